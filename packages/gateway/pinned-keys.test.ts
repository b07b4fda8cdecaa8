/** Readers and relays with the authority's feed keys pinned, when others on the way have older keys than they. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { freePort } from '@signet/testkit/free-port.ts'
import { until } from '@signet/testkit/until.ts'
import type { Validator } from '@signet/validator/index.ts'
import { startIssuer, type TestIssuer, type TestKey, testKey } from '@signet/validator/issuer.testkit.ts'
import { type RunningRelay, readerOf, relayOf, Undoing } from './relay.testkit.ts'

let issuer: TestIssuer
let undoing: Undoing

beforeEach(async () => {
  undoing = new Undoing()
  issuer = await startIssuer()
  undoing.add(() => issuer.close())
})
afterEach(() => undoing.run())

const pinned = (keys: readonly TestKey[]) => ({ keys: keys.map(({ jwk }) => jwk), at: Date.now() })
const reaches = (validator: Validator, seq: number) => until(() => validator.stats().position?.seq === seq, `it reaches ${seq}`)
const feedOf = (relay: RunningRelay, keys: readonly TestKey[]) => ({
  url: relay.url,
  relayKeys: relay.jwks,
  authorityKeys: pinned(keys),
})

test('a reader whose pins are newer than its relay’s keys is well again once the relay has the newer ones', async () => {
  const [old, next, last] = [issuer.feedKey, testKey('feed-2'), testKey('feed-3')]
  issuer.feedJwks = [old, next]
  const port = await freePort() // To which it comes back.
  const behind = await relayOf(undoing, issuer, undefined, { port })
  await behind.validator.ready()
  // Two rotations that the relay did not see, while the first key still verifies.
  issuer.feedJwks = [old, next, last]
  issuer.feedKey = last
  const feed = feedOf(behind, issuer.feedJwks)
  const cacheFile = join(behind.directory, 'reader.cache')
  const before = readerOf(undoing, issuer, behind, { cacheFile, feed })
  await before.ready()
  await before.close()
  const reader = readerOf(undoing, issuer, behind, { cacheFile, feed })
  await reader.ready()
  const seq = issuer.revoke({ kind: 'subject', id: 'signed by the last' })
  await behind.close()
  const over = { port, stateDirectory: behind.directory, authorityKeys: pinned(issuer.feedJwks) }
  const relay = await relayOf(undoing, issuer, undefined, over)
  await reaches(relay.validator, seq)
  await reaches(reader, seq)
})

test('keys that were taken are not taken back, over a restart of the reader', async () => {
  const relay = await relayOf(undoing, issuer)
  const cacheFile = join(relay.directory, 'reader.cache')
  const before = readerOf(undoing, issuer, relay, { cacheFile })
  await before.ready()
  await before.close()
  issuer.faults.keysAgeMs = 3_600_000
  const replaying = await relayOf(undoing, issuer)
  await replaying.validator.ready()
  const reader = readerOf(undoing, issuer, replaying, { cacheFile })
  const troubles: string[] = []
  reader.events.on('trouble', ({ cause }) => troubles.push(`${cause}`))
  await until(() => troubles.some((trouble) => trouble.includes('old_keys')), 'the set from before is refused')
  assert.equal(reader.stats().position?.epoch, issuer.epoch, 'it goes on from its file')
})
