import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { Fault } from '@signet/kernel/errors.ts'
import { decodeOpaque, encodeOpaque, PREFIXES } from '@signet/kernel/opaque-token.ts'
import { seededChance } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { openAccessToken, sealAccessToken } from './opaque-access-token.ts'
import { testRing } from './ring.testkit.ts'

const keys = testRing(1, 9)
const chance = seededChance('opaque access tokens')
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl'
const sealed = sealAccessToken(JWT, { keys, chance })
const payload = decodeOpaque('access_token', sealed) as Uint8Array

test('what was sealed is opened again, up to the longest JWT that is read', () => {
  const base64url = [...'ABCXYZabcxyz0189-_.']
  const jwts = fc.string({ unit: fc.constantFrom(...base64url), minLength: 1, maxLength: 2048 })
  fc.assert(fc.property(jwts, (jwt) => assert.equal(openAccessToken(sealAccessToken(jwt, { keys, chance }), keys), jwt)))
  const longest = 'x'.repeat(8192)
  assert.equal(openAccessToken(sealAccessToken(longest, { keys, chance }), keys), longest)
})

test('no two seals of one JWT are alike, and none shows what is within', () => {
  const other = sealAccessToken(JWT, { keys, chance })
  assert.notEqual(sealed, other)
  const bytes = Buffer.from(payload)
  for (let at = 0; at + 4 <= JWT.length; at++) assert.equal(bytes.indexOf(JWT.slice(at, at + 4)), -1)
})

test('every character counts', () => {
  for (let at = 0; at < sealed.length; at++) {
    for (const other of ['A', 'B', '_', '.', '=', ' ', '\u0000', 'é']) {
      if (sealed[at] === other) continue
      assert.equal(openAccessToken(sealed.slice(0, at) + other + sealed.slice(at + 1), keys), undefined, `${at} ${other}`)
    }
  }
})

test('every bit counts, also when the checksum was mended', () => {
  for (let bit = 0; bit < payload.length * 8; bit++) {
    const changed = Uint8Array.from(payload)
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.equal(openAccessToken(encodeOpaque('access_token', changed), keys), undefined, String(bit))
  }
})

test('torn ones and other texts are not opened', () => {
  for (let length = 0; length < sealed.length; length++) assert.equal(openAccessToken(sealed.slice(0, length), keys), undefined)
  for (let length = 0; length < payload.length; length++) {
    assert.equal(openAccessToken(encodeOpaque('access_token', payload.slice(0, length)), keys), undefined, String(length))
  }
  const texts = [`${sealed}A`, sealed + sealed, JWT, sealed.slice(4), encodeOpaque('refresh_token', payload), 'sga_']
  for (const text of [...texts, `sga_${'A'.repeat(100_000)}`]) assert.equal(openAccessToken(text, keys), undefined)
})

test('it opens under the ring key that sealed it, as long as that counts, and under no other', () => {
  assert.equal(openAccessToken(sealed, testRing(9, 12)), JWT, 'a newer ring key has taken over')
  assert.equal(openAccessToken(sealed, testRing(10, 12)), undefined, 'retired')
  assert.equal(openAccessToken(sealed, testRing(1, 9, [9])), undefined, 'compromised')
  assert.equal(openAccessToken(sealed, testRing(1, 8)), undefined, 'not known here')
  const stranger = { version: 9, hmac: (data: Uint8Array) => createHmac('sha256', 'of another authority').update(data).digest() }
  assert.equal(openAccessToken(sealed, { ring: () => stranger }), undefined)
  assert.throws(() => sealAccessToken(JWT, { keys: { ring: () => undefined }, chance }), Fault)
})

test('other kinds of opaque tokens keep their bound of 512 characters', () => {
  for (const kind of Object.keys(PREFIXES) as (keyof typeof PREFIXES)[]) {
    const long = encodeOpaque(kind, new Uint8Array(400))
    assert.equal(decodeOpaque(kind, long)?.length, kind === 'access_token' ? 400 : undefined, kind)
  }
})
