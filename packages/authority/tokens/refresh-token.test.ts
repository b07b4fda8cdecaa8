import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '@signet/kernel/errors.ts'
import { type FamilyId, idFromBytes } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import fc from 'fast-check'
import { encodeRefreshToken, parseRefreshToken, verifiesTag } from './refresh-token.ts'
import { testRing } from './ring.testkit.ts'

const keys = testRing(1, 9)

/** A UUIDv7 from any 16 bytes. */
function familyId(bytes: Uint8Array): FamilyId {
  const id = Uint8Array.from(bytes)
  id[6] = 0x70 | ((id[6] as number) & 0x0f)
  id[8] = 0x80 | ((id[8] as number) & 0x3f)
  return idFromBytes(id)
}

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const families = fc.record({
  id: bytes(16).map(familyId),
  generation: fc.integer({ min: 0, max: 0xffffffff }),
  nonce: bytes(16),
  ring: fc.integer({ min: 1, max: 9 }),
  previousRing: fc.integer({ min: 1, max: 9 }),
})

test('what was encoded is read back and verifies, and is the same text every time', () => {
  fc.assert(
    fc.property(families, (family) => {
      const token = encodeRefreshToken(keys, family)
      assert.equal(token, encodeRefreshToken(keys, family))
      const presented = parseRefreshToken(token)
      assert.ok(presented)
      assert.deepEqual([presented.family, presented.generation, presented.ring], [family.id, family.generation, family.ring])
      assert.ok(verifiesTag(keys, presented, family))
    }),
  )
})

test('a token with any one character changed is refused or does not verify', () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+ '
  fc.assert(
    fc.property(families, fc.nat(), fc.constantFrom(...alphabet), (family, place, other) => {
      const token = encodeRefreshToken(keys, family)
      const at = place % token.length
      fc.pre(token[at] !== other)
      const presented = parseRefreshToken(token.slice(0, at) + other + token.slice(at + 1))
      assert.ok(presented === undefined || !verifiesTag(keys, presented, family))
    }),
  )
})

test('a token with any one bit changed and its checksum mended does not verify', () => {
  fc.assert(
    fc.property(families, fc.nat(), (family, place) => {
      const payload = Uint8Array.from(decodeOpaque('refresh_token', encodeRefreshToken(keys, family)) as Uint8Array)
      const bit = place % (payload.length * 8)
      payload[bit >> 3] = (payload[bit >> 3] as number) ^ (1 << (bit & 7))
      const presented = parseRefreshToken(encodeOpaque('refresh_token', payload))
      assert.ok(presented === undefined || !verifiesTag(keys, presented, family))
    }),
  )
})

const family = {
  id: familyId(new Uint8Array(16).fill(3)),
  generation: 7,
  nonce: new Uint8Array(16).fill(5),
  ring: 4,
  previousRing: 3,
}
const presented = (of: { generation?: number; ring?: number; nonce?: Uint8Array }, from = keys) => {
  const parsed = parseRefreshToken(encodeRefreshToken(from, { ...family, ...of }))
  assert.ok(parsed)
  return parsed
}

test('a tag is worth nothing for another family, generation or nonce', () => {
  assert.ok(!verifiesTag(keys, presented({}), { ...family, id: familyId(new Uint8Array(16).fill(4)) }))
  assert.ok(!verifiesTag(keys, presented({ nonce: new Uint8Array(16) }), family))
  assert.ok(!verifiesTag(keys, { ...presented({ generation: 6, ring: 3 }), generation: 7, ring: 4 }, family))
})

test('the current and the previous generation verify only under the ring key the family was tagged with', () => {
  assert.ok(verifiesTag(keys, presented({}), family))
  assert.ok(verifiesTag(keys, presented({ generation: 6, ring: 3 }), family))
  assert.ok(!verifiesTag(keys, presented({ ring: 3 }), family), 'an older ring key that leaked makes no current token')
  assert.ok(!verifiesTag(keys, presented({ generation: 6, ring: 4 }), family))
  assert.ok(verifiesTag(keys, presented({ generation: 2, ring: 1 }), family), 'older generations are told from forgeries')
})

test('a ring key that is gone verifies nothing, and none is made with it', () => {
  const without = testRing(1, 9, [4])
  assert.ok(!verifiesTag(without, presented({}), family))
  assert.throws(() => encodeRefreshToken(without, family), Fault)
})

test('a family rotated under a ring key this node has not read yet is a fault, not a forgery', () => {
  const behind = testRing(1, 3)
  assert.throws(() => verifiesTag(behind, presented({}), family), Fault)
  assert.ok(
    !verifiesTag(behind, { ...presented({}), generation: 2, ring: 9999 }, family),
    'what only the token claims is not believed',
  )
})

test('other texts are no refresh tokens', () => {
  const token = encodeRefreshToken(keys, family)
  const payload = decodeOpaque('refresh_token', token) as Uint8Array
  for (const text of [
    '',
    'sgr_',
    token.slice(0, -1),
    `${token}A`,
    token.replace('sgr_', 'sgk_'),
    encodeOpaque('api_key', payload),
    encodeOpaque('refresh_token', payload.slice(0, -1)),
    encodeOpaque('refresh_token', Uint8Array.from([2, ...payload.slice(1)])),
  ]) {
    assert.equal(parseRefreshToken(text), undefined, text)
  }
})
