import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { createRevocationView } from '@signet/kernel/revocation-view.ts'
import { CacheFileFault, readCacheFile, writeCacheFile } from './disk-cache.ts'
import { createValidator } from './index.ts'
import { chance } from './issuer.testkit.ts'

const ISSUER = 'https://id.example'
let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signet-cache-'))
  path = join(folder, 'cache')
})
afterEach(() => rm(folder, { recursive: true }))

function viewWith(count: number) {
  const view = createRevocationView()
  view.begin({ epoch: 'e', seq: 0 }, { version: 3, bytes: chance.bytes(16) })
  const entries = Array.from({ length: count }, (_, n) => ({ key: chance.bytes(16), cutoffMs: 1000 + n, dropAfter: 2 ** 32 - 1 }))
  if (count > 0) view.applyBatch({ epoch: 'e', from: 1, to: count, saltVersion: 3, entries }, { nowMs: 1e12, guardMs: 0 })
  return { view, entries }
}
const jwks = { [ISSUER]: [{ kty: 'EC', kid: 'a' }] }

describe('the cache file', () => {
  test('says again what was written, and belongs to its owner alone', async () => {
    const { view, entries } = viewWith(1000)
    await writeCacheFile(path, { issuer: ISSUER, jwks, view, freshAtMs: 77 })
    const kept = await readCacheFile(path, ISSUER)
    assert.deepEqual(kept?.jwks, jwks)
    assert.deepEqual(kept?.registry?.position, { epoch: 'e', seq: 1000 })
    assert.equal(kept?.registry?.freshAtMs, 77)
    const again = createRevocationView()
    const { registry } = kept ?? {}
    assert.ok(registry)
    assert.equal(again.replace({ ...registry.position, ...registry }, { nowMs: 1e12, guardMs: 0 }), 'replaced')
    for (const { key, cutoffMs } of entries) assert.equal(again.cutoff(key), cutoffMs)
    assert.deepEqual(again.salt, view.salt)
    if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(folder), ['cache'])
  })

  test('is of one epoch, also when the next one begins while it is written', async () => {
    const { view, entries } = viewWith(1000)
    const writing = writeCacheFile(path, { issuer: ISSUER, jwks, view, freshAtMs: 77 })
    const other = viewWith(10).view
    const records = Buffer.concat([...other.records()])
    const snapshot = { epoch: 'f', seq: 10, salt: { version: 4, bytes: chance.bytes(16) }, records }
    assert.equal(view.replace(snapshot, { nowMs: 1e12, guardMs: 0 }), 'replaced')
    await writing
    const { registry } = (await readCacheFile(path, ISSUER)) ?? {}
    assert.ok(registry)
    assert.equal(registry.position.epoch, 'e')
    const again = createRevocationView()
    assert.equal(again.replace({ ...registry.position, ...registry }, { nowMs: 1e12, guardMs: 0 }), 'replaced')
    for (const { key, cutoffMs } of entries) assert.equal(again.cutoff(key), cutoffMs)
  })

  test('can be written before anything is known', async () => {
    await writeCacheFile(path, { issuer: ISSUER, jwks: {}, view: createRevocationView(), freshAtMs: undefined })
    assert.equal((await readCacheFile(path, ISSUER))?.registry, undefined)
  })

  test('keeps the feed keys that follow from pinned ones', async () => {
    const feed = { pins: 'digest of the pins', jwks: [{ kty: 'EC', kid: 'feed' }], atMs: 1_795_132_800_000 }
    await writeCacheFile(path, { issuer: ISSUER, jwks, view: createRevocationView(), freshAtMs: undefined, feed })
    assert.deepEqual((await readCacheFile(path, ISSUER))?.feed, feed)
  })

  test('with a cutoff beyond the poison limit is not taken in', async () => {
    const view = createRevocationView()
    view.begin({ epoch: 'e', seq: 0 }, { version: 3, bytes: chance.bytes(16) })
    const [nowMs, dropAfter] = [Date.now(), 2 ** 32 - 1]
    const entries = [{ key: chance.bytes(16), cutoffMs: nowMs + 3_600_000, dropAfter }]
    view.applyBatch({ epoch: 'e', from: 1, to: 1, saltVersion: 3, entries }, { nowMs, guardMs: 7_200_000 })
    const issuer = 'http://localhost:9' // Nobody is there.
    await writeCacheFile(path, { issuer, jwks: {}, view, freshAtMs: nowMs })
    const validator = createValidator({ issuer, audience: 'https://api.example', cacheFile: path })
    const told = Promise.withResolvers<unknown>()
    validator.events.on('trouble', ({ what, cause }) => what === 'cache_file' && told.resolve(cause))
    assert.match(String(await told.promise), /refused: poisoned/)
    assert.equal(validator.stats().position, undefined)
    assert.equal(validator.stats().stalenessMs, Number.POSITIVE_INFINITY)
    await validator.close()
  })

  test('that is not there is nothing', async () => {
    assert.equal(await readCacheFile(path, ISSUER), undefined)
  })

  test('with any byte changed, cut off or added is refused', async () => {
    const { view } = viewWith(3)
    await writeCacheFile(path, { issuer: ISSUER, jwks, view, freshAtMs: 77 })
    const good = await readFile(path)
    for (let at = 0; at < good.length; at += 7) {
      const bad = Buffer.from(good)
      bad[at] = (bad[at] as number) ^ 1
      await writeFile(path, bad)
      await assert.rejects(readCacheFile(path, ISSUER), CacheFileFault)
    }
    for (const bad of [good.subarray(0, good.length - 1), Buffer.concat([good, Buffer.alloc(1)]), Buffer.alloc(0)]) {
      await writeFile(path, bad)
      await assert.rejects(readCacheFile(path, ISSUER), CacheFileFault)
    }
  })

  test('of another issuer, or that others may write to, is refused', async () => {
    const { view } = viewWith(3)
    await writeCacheFile(path, { issuer: ISSUER, jwks, view, freshAtMs: 77 })
    await assert.rejects(readCacheFile(path, 'https://other.example'), /another issuer/)
    if (process.platform === 'win32') return
    await chmod(path, 0o666)
    await assert.rejects(readCacheFile(path, ISSUER), /others may write/)
  })

  test('that cannot be written leaves nothing behind', async () => {
    const { view } = viewWith(3)
    await assert.rejects(writeCacheFile(join(folder, 'no', 'such', 'folder'), { issuer: ISSUER, jwks, view, freshAtMs: 1 }))
    assert.deepEqual(await readdir(folder), [])
  })
})
