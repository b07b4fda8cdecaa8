/** Which key sets are taken from somebody who need not be believed, and which feed keys are trusted after each. */
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { KEYS_TYPE } from '@signet/kernel/feed.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { signJws, type TestKey, testKey } from './issuer.testkit.ts'
import { SIGNET_ALGORITHMS } from './jwk.ts'
import { KeySet } from './key-set.ts'
import type { PinnedKeys } from './options.ts'
import { createSignedKeys, pinsDigest, type SignedKeys } from './signed-keys.ts'

const ISSUER = 'https://auth.example'
const DAY = 86_400_000
const [first, second, third, fourth] = [testKey('feed-1'), testKey('feed-2'), testKey('feed-3'), testKey('feed-4')] as const
const token = testKey('token-1')
const { clock } = manualSurroundings()
let now: number
let trusted: KeySet

beforeEach(() => {
  now = clock.now()
  trusted = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
})

const pinned = (keys: readonly TestKey[], at?: number): PinnedKeys => ({
  keys: keys.map(({ jwk }) => jwk),
  ...(at !== undefined && { at }),
})
const readerWith = (pins: PinnedKeys): SignedKeys =>
  createSignedKeys({ issuer: ISSUER, pins, feedKeys: trusted, clock, onKeys() {} })
function set(by: TestKey, at: number, keys: readonly TestKey[]): Uint8Array {
  const payload = { iss: ISSUER, at, epoch: 'e1', token_keys: [token.jwk], feed_keys: keys.map(({ jwk }) => jwk) }
  return Buffer.from(signJws(by, { typ: KEYS_TYPE }, payload))
}
const trusts = () => [...trusted.kids].sort()
const refused = (reading: Promise<unknown>, reason: string) => assert.rejects(reading, { reason })

test('a set from before what was pinned does not take the pinned keys away: those that come after follow from them', async () => {
  const keys = readerWith(pinned([first, second, third], now - DAY))
  // What a relay has that was cut off for two rotations, and passes on meanwhile.
  const { keys: tokenKeys } = await keys.read('token', set(first, now - 9 * DAY, [first, second]))
  assert.deepEqual(tokenKeys, [token.jwk], 'what is signed with them is judged all the same')
  assert.deepEqual(trusts(), ['feed-1', 'feed-2', 'feed-3'])
  // The relay was given the keys of today.
  await keys.read('token', set(third, now, [third, fourth]))
  assert.deepEqual(trusts(), ['feed-3', 'feed-4'])
})

test('a key that was pinned no more, being compromised, does not come back with a set from before', async () => {
  const keys = readerWith(pinned([second, third], now - 1000))
  await keys.read('token', set(second, now - DAY, [first, second, third]))
  assert.deepEqual(trusts(), ['feed-2', 'feed-3'])
  await refused(keys.read('token', set(first, now, [first])), 'unknown_key')
})

test('what was taken is not taken back, over a restart either', async () => {
  const pins = pinned([first, second])
  const before = readerWith(pins)
  await before.read('token', set(first, now - DAY, [first, second]))
  await before.read('token', set(second, now, [second, third])) // The first was compromised.
  await refused(before.read('token', set(second, now - DAY, [first, second])), 'old_keys')
  const kept = before.trusted()
  trusted = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
  const again = readerWith(pins)
  again.restore(kept)
  assert.deepEqual(trusts(), ['feed-2', 'feed-3'])
  await refused(again.read('token', set(second, now - DAY, [first, second])), 'old_keys')
  assert.deepEqual(trusts(), ['feed-2', 'feed-3'])
})

test('what was kept from before the keys were pinned again does not stand in their place', async () => {
  const before = readerWith(pinned([first, second], now - 9 * DAY))
  await before.read('token', set(first, now - 8 * DAY, [first, second, third]))
  trusted = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
  const again = readerWith(pinned([first, second], now - 2 * DAY)) // The third was withdrawn.
  again.restore(before.trusted())
  assert.deepEqual(trusts(), ['feed-1', 'feed-2'])
})

test('a set of about the same time does not take the pinned keys away: another clock, or a node that has not heard of the last', async () => {
  const keys = readerWith(pinned([first, second], now - 1000))
  const { keys: feedKeys } = await keys.read('feed', set(first, now, [first]))
  assert.deepEqual(feedKeys, [first.jwk, second.jwk])
  assert.deepEqual(trusts(), ['feed-1', 'feed-2'])
  await keys.read('token', set(second, now + 60_000, [second, third]))
  assert.deepEqual(trusts(), ['feed-2', 'feed-3'])
})

test('keys that were pinned off a clock that ran ahead give way a minute later', async () => {
  const keys = readerWith(pinned([first, second], now + DAY))
  await keys.read('feed', set(first, now + 60_000, [first, second, third]))
  assert.deepEqual(trusts(), ['feed-1', 'feed-2', 'feed-3'])
})

test('pins are the same whenever they were asked for', () => {
  assert.equal(pinsDigest(pinned([first, second], now)), pinsDigest(pinned([first, second])))
  assert.notEqual(pinsDigest(pinned([first])), pinsDigest(pinned([first, second])))
})
