import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { composeAuthority } from './compose.ts'
import { loadConfig } from './config.ts'
import { firstStart } from './first-start.ts'
import { migrateStore } from './open-store.ts'
import { openSqliteStore } from './store/sqlite.ts'
import { realSurroundings, sha256 } from './surroundings.ts'
import { createLog } from './telemetry/log.ts'

it('credentials for the CLI are made once, for their owner alone, and a client that was deleted does not come back', async () => {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'signet-first-'))
  const surroundings = realSurroundings()
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  try {
    const start = () => firstStart({ store, issuer: 'http://localhost:4800', stateDirectory, surroundings, sha256 })
    assert.match((await start()) ?? '', /^http:\/\/localhost:4800\/setup\/sgu_/)
    const file = join(stateDirectory, 'cli.json')
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    const written = await readFile(file, 'utf8')
    const id = JSON.parse(written).client_id as ClientId
    const client = await store.clients.find(id)
    assert.equal(JSON.stringify(client).includes(JSON.parse(written).private_jwk.d), false, 'the private half is in the store')

    await start()
    assert.equal(await readFile(file, 'utf8'), written)
    await store.transact((tx) => tx.clients.delete(id))
    await start()
    assert.equal(await store.clients.find(id), undefined)
  } finally {
    await store.close()
    await rm(stateDirectory, { recursive: true })
  }
})

it('a master key is made for a store without keys alone: where it is missing it has to be put back', async () => {
  const state = await mkdtemp(join(tmpdir(), 'signet-first-'))
  const surroundings = realSurroundings()
  try {
    const config = loadConfig({ state, listen: '127.0.0.1:0' }, {})
    const start = () => composeAuthority(config, { surroundings, log: createLog('silent') })
    await migrateStore(config, surroundings)
    await (await start()).close() // A schema is there before, but no key.
    const key = await readFile(config.masterKeyFile)
    await rm(config.masterKeyFile)
    await assert.rejects(start(), /No master key: .* does not exist and SIGNET_MASTER_KEY is not set/)
    assert.equal((await readdir(state)).includes('master.key'), false, 'one was made that opens nothing')
    await writeFile(config.masterKeyFile, key, { mode: 0o600 })
    await (await start()).close()
  } finally {
    await rm(state, { recursive: true })
  }
})
