/** What a relay keeps in its state directory: whole or not there, and nobody else's. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { realSurroundings } from '@signet/validator/surroundings.ts'
import { anchorKeys } from './anchor.ts'
import { loadRelayConfig } from './config.ts'
import { openRelayKey } from './relay-key.ts'

const directory = await mkdtemp(join(tmpdir(), 'signet-relay-files-'))
after(() => rm(directory, { recursive: true }))

test('of many that start at once one makes the key, and all have it, whole', async () => {
  const path = join(directory, 'relay-key.json')
  const keys = await Promise.all(Array.from({ length: 20 }, () => openRelayKey(path)))
  assert.equal(new Set(keys.map(({ kid }) => kid)).size, 1)
  assert.equal((await openRelayKey(path)).kid, keys[0]?.kid)
  assert.deepEqual(await readdir(directory), ['relay-key.json'], 'nothing is left beside it')
  assert.equal((await stat(path)).mode & 0o777, 0o600)
})

test('a key that others may read is refused, whole as it is', async () => {
  const path = join(directory, 'open-key.json')
  await openRelayKey(path)
  const before = await readFile(path, 'utf8')
  await chmod(path, 0o640)
  await assert.rejects(openRelayKey(path), /others/)
  assert.equal(await readFile(path, 'utf8'), before)
})

test('a client secret that others may read is refused', async () => {
  const path = join(directory, 'client-secret')
  await writeFile(path, 'sgx_secret\n', { mode: 0o600 })
  const load = () => loadRelayConfig({ issuer: 'https://auth.example', 'client-id': 'relay', 'client-secret-file': path }, {})
  assert.equal(load().credentials?.clientId, 'relay')
  await chmod(path, 0o644)
  assert.throws(load, /clientSecretFile.*others/)
})

test("the authority's keys, from which all follows, are not taken from a file that others may write to", async () => {
  const file = join(directory, 'authority-keys.json')
  await writeFile(file, '{"keys":[{"kty":"EC"}]}', { mode: 0o644 })
  const parts = { issuer: 'https://auth.example', file, surroundings: realSurroundings(), allowInsecureHttp: false }
  assert.equal((await anchorKeys(parts)).keys.length, 1)
  await chmod(file, 0o666)
  await assert.rejects(anchorKeys(parts), /others/)
})
