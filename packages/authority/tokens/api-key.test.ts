import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idTimeMs } from '@signet/kernel/ids.ts'
import { seededChance } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { mintApiKey, parseApiKey, verifiesApiKey } from './api-key.ts'

const chance = seededChance('api keys')
const NOW_MS = 1_800_000_000_000

test('a key is read back and verifies against what was stored', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 48 - 1 }), (nowMs) => {
      const { id, key, secretHash } = mintApiKey(nowMs, chance)
      const presented = parseApiKey(key.reveal())
      assert.ok(presented)
      assert.equal(presented.id, id)
      assert.equal(idTimeMs(id), nowMs)
      assert.ok(verifiesApiKey(presented, { id, secretHash }))
    }),
  )
})

test('a key with any one character changed is refused or does not verify', () => {
  const { id, key, secretHash } = mintApiKey(NOW_MS, chance)
  const text = key.reveal()
  for (let at = 0; at < text.length; at++) {
    for (const other of 'Az09-_.= ') {
      if (text[at] === other) continue
      const presented = parseApiKey(text.slice(0, at) + other + text.slice(at + 1))
      assert.ok(presented === undefined || !verifiesApiKey(presented, { id, secretHash }), `${at} ${other}`)
    }
  }
})

test('the secret of one key is worth nothing with the id of another, nor against a hash of another length', () => {
  const one = mintApiKey(NOW_MS, chance)
  const other = mintApiKey(NOW_MS, chance)
  const presented = parseApiKey(one.key.reveal())
  assert.ok(presented)
  assert.ok(!verifiesApiKey(presented, { id: other.id, secretHash: one.secretHash }))
  assert.ok(!verifiesApiKey(presented, { id: one.id, secretHash: other.secretHash }))
  assert.ok(!verifiesApiKey(presented, { id: one.id, secretHash: new Uint8Array(0) }))
})

test('a key does not show itself when printed', () => {
  const { key } = mintApiKey(NOW_MS, chance)
  assert.equal(JSON.stringify({ key }), '{"key":"[secret]"}')
  assert.equal(`${key}`, '[secret]')
})
