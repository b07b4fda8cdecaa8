/** A restore that fails leaves the store as it was. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from './config.ts'
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
