/** A restore that fails leaves the store as it was; one that succeeds leaves no key of before in its place. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from './config.ts'
import { openKeyRing } from './keys/key-ring.ts'
import { loadMasterKey } from './keys/master-key.ts'
import { restore } from './restore.ts'
import { openSqliteStore } from './store/sqlite.ts'
import { realSurroundings } from './surroundings.ts'

test('what cannot be restored does not take the place of what there is', async () => {
  const state = await mkdtemp(join(tmpdir(), 'signet-restore-'))
  const surroundings = realSurroundings()
  try {
    const config = loadConfig({ state }, {})
    if (config.database.engine !== 'sqlite') throw new Error('the default is SQLite')
    const { path } = config.database
    const store = await openSqliteStore({ path, surroundings })
    await store.transact((tx) => tx.meta.put('mark', 'ours'))
    await store.close()
    const backup = join(state, 'backup.db')
    await writeFile(backup, 'this is no database, however long it is. '.repeat(500))
    await assert.rejects(restore(config, backup, { surroundings }))
    const again = await openSqliteStore({ path, surroundings })
    assert.equal(await again.meta.get('mark'), 'ours')
    await again.close()
    assert.deepEqual(
      (await readdir(state)).filter((name) => name.includes('restor')),
      [],
    )
  } finally {
    await rm(state, { recursive: true })
  }
})

test('a machine that has nothing but the master key gets the store back', async () => {
  const state = await mkdtemp(join(tmpdir(), 'signet-restore-'))
  const surroundings = realSurroundings()
  try {
    const backup = join(state, 'backup.db')
    const store = await openSqliteStore({ path: backup, surroundings })
    await store.transact((tx) => tx.meta.put('mark', 'ours'))
    await store.close()
    const config = loadConfig({ state: join(state, 'new') }, {})
    await restore(config, backup, { surroundings, masterKey: Buffer.alloc(32, 1).toString('base64url') })
    assert.equal((await stat(config.stateDirectory)).mode & 0o777, 0o700)
    const restored = await openSqliteStore({ path: join(config.stateDirectory, 'signet.db'), surroundings })
    assert.equal(await restored.meta.get('mark'), 'ours')
    await restored.close()
  } finally {
    await rm(state, { recursive: true })
  }
})

test('a key that may have been stolen since the backup signs nothing any more, and nothing under it is believed', async () => {
  const state = await mkdtemp(join(tmpdir(), 'signet-restore-'))
  const surroundings = realSurroundings()
  const { clock, chance } = surroundings
  try {
    const config = loadConfig({ state }, {})
    if (config.database.engine !== 'sqlite') throw new Error('the default is SQLite')
    const { path } = config.database
    const { settings, masterKeyFile: file } = config
    const openRing = async () => {
      const store = await openSqliteStore({ path, surroundings })
      const master = await loadMasterKey({ file, create: true, chance })
      return { store, ring: await openKeyRing({ store, master, clock, chance, settings }) }
    }
    const before = await openRing()
    const kid = before.ring.signer('token').id
    const old = before.ring.records().filter(({ purpose }) => purpose !== 'audit')
    const backup = join(state, 'backup.db')
    await before.store.backup?.(backup)
    await before.store.close()

    const stranger = await loadMasterKey({ file: join(state, 'other.key'), create: true, chance })
    assert.ok(stranger)
    const wrong = { ...config, masterKeyFile: join(state, 'other.key') }
    await assert.rejects(restore(wrong, backup, { surroundings }), /master key is not the one/)

    await restore(config, backup, { surroundings })
    const after = await openRing()
    for (const { id } of old) assert.equal(after.ring.records().find((record) => record.id === id)?.state, 'compromised')
    for (const purpose of ['token', 'feed'] as const)
      assert.ok(!old.some(({ id }) => id === after.ring.signer(purpose).id), `the ${purpose} key is one of before`)
    const log = await after.store.revocations.after(0, 100)
    assert.ok(log.some((entry) => entry.kind === 'key' && entry.target === kid))
    await after.store.close()
  } finally {
    await rm(state, { recursive: true })
  }
})
