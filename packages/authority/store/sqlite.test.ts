import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { until } from '@signet/testkit/until.ts'
import { realSurroundings } from '../surroundings.ts'
import { aClient, aFamily, anEntry, anEvent, aRotation, NOW_AT } from './contract/samples.contract.ts'
import { openSqliteStore } from './sqlite.ts'
import { storeContract } from './store.contract.ts'

storeContract('sqlite', async () => {
  const { path, remove } = place()
  const open = () => openSqliteStore({ path, surroundings: realSurroundings() })
  let store = await open()
  return {
    get store() {
      return store
    },
    async reopen() {
      await store.close()
      store = await open()
      return store
    },
    async close() {
      await store.close()
      remove()
    },
  }
})

function place(): { path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'signet-store-'))
  return { path: join(folder, 'state', 'signet.db'), remove: () => rmSync(folder, { recursive: true, force: true }) }
}

const mode = (path: string): number => statSync(path).mode & 0o777

test('the files are for their owner alone', async () => {
  const { path, remove } = place()
  const store = await openSqliteStore({ path, surroundings: realSurroundings() })
  await store.transact((tx) => tx.meta.put('a', 'b'))
  assert.equal(mode(join(path, '..')), 0o700)
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}.lock`]) assert.equal(mode(file), 0o600, file)
  await store.close()
  remove()
})

test('a file belongs to one authority at a time, in this process and in any other, and readers may read', async () => {
  const { path, remove } = place()
  const first = await openSqliteStore({ path, surroundings: realSurroundings() })
  await first.transact((tx) => tx.meta.put('a', 'b'))
  const open = () => openSqliteStore({ path, surroundings: realSurroundings() })
  await assert.rejects(open(), new RegExp(`another authority has .* open: process ${process.pid} `))
  const child = await runChild(OPEN, path)
  assert.match(child.said, new RegExp(`refused: another authority .* process ${process.pid} `))
  const reader = new DatabaseSync(path, { readOnly: true })
  assert.equal(reader.prepare("select value from meta where name = 'a'").get()?.value, 'b')
  reader.close()
  await first.close()
  assert.match((await runChild(OPEN, path)).said, /opened/)
  await (await open()).close()
  remove()
})

test('what was acknowledged is there after kill -9, and the lock has gone with its holder', async () => {
  const { path, remove } = place()
  for (let round = 0; round < 3; round++) {
    const { said } = await runChild(LOAD, path, 150 + 100 * round)
    const acknowledged = said.match(/client-\S+/g) ?? []
    assert.ok(acknowledged.length > 0)
    const store = await openSqliteStore({ path, surroundings: realSurroundings() })
    for (const id of acknowledged) assert.ok(await store.clients.find(id as never), id)
    const head = await store.revocations.head()
    const entries = (await store.revocations.snapshot(NOW_AT)).entries
    assert.equal(entries.length, head.seq)
    const db = new DatabaseSync(path, { readOnly: true })
    assert.equal(db.prepare('select count(*) as n from clients').get()?.n, head.seq, 'a client and its entry are one')
    db.close()
    await store.close()
  }
  remove()
})

test('one chain goes on through restarts', async () => {
  const { path, remove } = place()
  for (let n = 1; n <= 3; n++) {
    const store = await openSqliteStore({ path, surroundings: realSurroundings() })
    await store.transact(async (tx) => tx.audit(anEvent()))
    const chains = await store.audit.chains()
    assert.deepEqual(
      chains.map((chain) => chain.index),
      [n],
    )
    await store.close()
  }
  remove()
})

test('the log is moved into the file by another thread, and does not grow without bound', async () => {
  const { path, remove } = place()
  const store = await openSqliteStore({ path, surroundings: realSurroundings() })
  for (let n = 0; n < 12; n++) {
    await Promise.all(
      Array.from({ length: 200 }, () => store.transact((tx) => tx.meta.put(`big ${Math.random()}`, 'x'.repeat(20_000)))),
    )
    await wait(50)
  }
  await until(() => statSync(path).size >= 20_000_000, 'the log is moved')
  assert.ok(statSync(`${path}-wal`).size < 200_000_000)
  await store.close()
  assert.equal(existsSync(`${path}-wal`), false, 'nothing is left in it after the end')
  remove()
})

test('a backup taken under load is whole, and holds what was acknowledged before it began', async () => {
  const { path, remove } = place()
  const copy = `${path}.copy`
  const store = await openSqliteStore({ path, surroundings: realSurroundings() })
  await store.transact((tx) => tx.meta.put('ballast', 'x'.repeat(5_000_000)))
  const before = aClient()
  await store.transact((tx) => tx.clients.create(before))
  let going = true
  const load = (async () => {
    while (going) {
      const write = () =>
        store.transact(async (tx) => {
          await tx.clients.create(aClient())
          tx.revocations.append(anEntry())
          tx.audit(anEvent())
        })
      await Promise.all([write(), write(), write()])
    }
  })()
  const told: number[] = []
  try {
    await store.backup?.(copy, (done, total) => told.push(done / total))
  } finally {
    going = false
    await load
  }
  assert.ok(told.length > 0)
  assert.equal(mode(copy), 0o600)
  await assert.rejects((store.backup as NonNullable<typeof store.backup>)(copy), /EEXIST/)
  await store.close()
  const restored = await openSqliteStore({ path: copy, surroundings: realSurroundings() })
  assert.deepEqual(await restored.clients.find(before.id), before)
  const head = await restored.revocations.head()
  assert.equal((await restored.revocations.snapshot(NOW_AT)).entries.length, head.seq)
  await restored.close()
  const db = new DatabaseSync(copy, { readOnly: true })
  assert.equal(db.prepare('pragma integrity_check').get()?.integrity_check, 'ok')
  assert.equal(db.prepare('select count(*) as n from clients').get()?.n, head.seq + 1)
  db.close()
  remove()
})

test('a work that waits for something else is given up, and those beside it go on', async () => {
  const surroundings = manualSurroundings()
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  const isStuck = Promise.withResolvers<void>()
  const stuck = assert.rejects(
    store.transact(async (tx) => {
      await tx.meta.put('stuck', 'yes')
      isStuck.resolve()
      await new Promise(() => undefined)
    }),
    /waited 5000 ms for something other than itself/,
  )
  const beside = store.transact((tx) => tx.meta.put('beside', 'yes'))
  await isStuck.promise
  surroundings.clock.advance(5_000)
  await stuck
  await beside
  assert.equal(await store.meta.get('stuck'), undefined)
  assert.equal(await store.meta.get('beside'), 'yes')
  await store.close()
})

test('in memory it does the same work', async () => {
  const store = await openSqliteStore({ path: ':memory:', surroundings: manualSurroundings() })
  const families = Array.from({ length: 20 }, () => aFamily())
  await Promise.all(families.map((family) => store.transact((tx) => tx.families.create(family))))
  const won = await Promise.all(families.map((family) => store.transact((tx) => tx.families.rotate(aRotation(family)))))
  assert.ok(won.every(Boolean))
  await store.transact(async (tx) => tx.revocations.append(anEntry()))
  assert.equal((await store.revocations.snapshot(NOW_AT)).entries.length, 1)
  assert.equal((await store.health()).writable, true)
  await store.close()
})

test('a schema that this program does not know stops the start', async () => {
  const { path, remove } = place()
  const open = () => openSqliteStore({ path, surroundings: realSurroundings() })
  await (await open()).close()
  const change = (sql: string) => {
    const db = new DatabaseSync(path)
    db.exec(sql)
    db.close()
  }
  change("insert into schema_migrations values (99, 'x', 0)")
  await assert.rejects(open(), /schema version 99, this program knows \d+/)
  change(
    'update schema_migrations set version = (select max(version) + 1 from schema_migrations where version < 99) where version = 99',
  )
  await assert.rejects(open(), /start a newer program/)
  change(`update schema_migrations set checksum = 'breaks ${'a'.repeat(64)}' where checksum = 'x'`)
  await assert.rejects(open(), /start a newer program/, 'a newer program took something away')
  change(`update schema_migrations set checksum = '${'a'.repeat(64)}' where checksum like 'breaks%'`)
  await (await open()).close() // A newer program has added something: this one goes on beside it.
  change("delete from schema_migrations where checksum like 'aaaa%'; update schema_migrations set checksum = 'x'")
  await assert.rejects(open(), /was changed/)
  remove()
})

test('a file that is no database is not touched', async () => {
  const { path, remove } = place()
  await (await openSqliteStore({ path, surroundings: realSurroundings() })).close()
  const db = new DatabaseSync(':memory:')
  db.close()
  const { writeFileSync, readFileSync } = await import('node:fs')
  writeFileSync(path, 'these are my notes, not a database; '.repeat(100))
  await assert.rejects(openSqliteStore({ path, surroundings: realSurroundings() }))
  assert.match(readFileSync(path, 'utf8'), /^these are my notes/)
  remove()
})

const IMPORTS = `
  import { openSqliteStore } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))}
  import { realSurroundings } from ${JSON.stringify(import.meta.resolve('../surroundings.ts'))}
  import { aClient, anEntry } from ${JSON.stringify(import.meta.resolve('./contract/samples.contract.ts'))}
  const open = () => openSqliteStore({ path: process.env.STORE_PATH, surroundings: realSurroundings() })`
const OPEN = `${IMPORTS}
  try { const store = await open(); console.log('opened'); await store.close() } catch (error) { console.log('refused: ' + error.message) }`
const LOAD = `${IMPORTS}
  const store = await open()
  let n = 0
  const one = async () => {
    for (;;) {
      const id = 'client-' + process.pid + '-' + n++
      await store.transact(async (tx) => { await tx.clients.create(aClient({ id })); tx.revocations.append(anEntry({ dropAfter: 5e9 })) })
      process.stdout.write(id + '\\n')
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))`

/** Runs a program in a process of its own; kills it hard so long after it first spoke, if told to. */
async function runChild(program: string, path: string, killAfterMs?: number): Promise<{ said: string }> {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    env: { ...process.env, STORE_PATH: path },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (text) => {
    if (said === '' && killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    said += text
  })
  await new Promise((resolve) => child.once('close', resolve))
  return { said: said.slice(0, said.lastIndexOf('\n') + 1) }
}
