/** Migrating by itself, and nodes that may not. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { SCHEMA_VERSION } from './store/migrations.ts'
import { openPostgresStore } from './store/postgres.ts'
import { openSqliteStore } from './store/sqlite.ts'
import { isPrivate, realSurroundings } from './surroundings.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const surroundings = realSurroundings()
const folder = mkdtempSync(join(tmpdir(), 'signet-migrate-'))
const server = await startPostgres()
after(async () => {
  rmSync(folder, { recursive: true })
  if (!('skip' in server)) await server.stop()
})

/** A node that is expected to end by itself. */
function main(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { PATH, HOME } = process.env
  return spawnSync(process.execPath, [MAIN, ...args], { env: { PATH, HOME, ...env }, encoding: 'utf8', timeout: 60_000 })
}

test('on SQLite a node with migrations off starts on what was migrated, and on nothing else', async () => {
  const state = join(folder, 'state')
  const path = join(state, 'signet.db')
  const refused = main(['serve', '--state', state, '--listen', '127.0.0.1:0', '--migrations', 'off'])
  assert.equal(refused.status, 1)
  assert.match(refused.stderr, /schema version 1 has not run.*signet migrate/)
  const done = main(['migrate', '--state', state])
  assert.deepEqual(
    [done.status, JSON.parse(done.stdout)],
    [0, { migrated: true, store: 'sqlite', schema_version: SCHEMA_VERSION }],
    done.stderr,
  )
  assert.equal(main(['migrate', '--state', state]).status, 0, 'again, it is nothing to do')
  await (await openSqliteStore({ path, surroundings, migrations: 'off' })).close()
})

test('on PostgreSQL a node with migrations off needs no right to change the schema', async (t) => {
  if ('skip' in server) return t.skip(server.skip)
  const url = await server.freshDatabase()
  const { default: pg } = await import('pg')
  const owner = new pg.Client({ connectionString: url })
  await owner.connect()
  try {
    await assert.rejects(openPostgresStore({ url, surroundings, migrations: 'off' }), /schema version 1 has not run/)
    const { rows } = await owner.query("select count(*) as n from pg_class where relname = 'schema_migrations'")
    assert.equal(Number(rows[0].n), 0, 'it left nothing behind')
    const file = join(folder, 'database-url')
    writeFileSync(file, `${url}\n`, { mode: 0o600 })
    const done = main(['migrate', '--state', join(folder, 'other')], { SIGNET_DATABASE_FILE: file })
    assert.equal(done.status, 0, done.stderr)
    assert.equal(JSON.parse(done.stdout).schema_version, SCHEMA_VERSION)

    const role = `runner_${Date.now()}`
    await owner.query(`create role ${role} login password 'x'`)
    await owner.query(`grant select, insert, update, delete on all tables in schema public to ${role}`)
    const limited = new URL(url)
    limited.username = role
    limited.password = 'x'
    const store = await openPostgresStore({ url: limited.href, surroundings, migrations: 'off' })
    await store.transact((tx) => tx.meta.put('a', 'b'))
    assert.equal(await store.meta.get('a'), 'b')
    await store.close()
    await assert.rejects(openPostgresStore({ url: limited.href, surroundings }))
    // A version that this program has and the store does not: a node of the new version waits for its migration.
    await owner.query('delete from schema_migrations where version = $1', [SCHEMA_VERSION])
    await assert.rejects(
      openPostgresStore({ url, surroundings, migrations: 'off' }),
      new RegExp(`version ${SCHEMA_VERSION} has not run`),
    )
    await owner.query(`drop owned by ${role}`)
    await owner.query(`drop role ${role}`)
  } finally {
    await owner.end()
  }
})

test('a secret that is mounted for our group alone is private, and one that others may read is not', () => {
  const pod = { uid: 65_532, groups: [65_532] }
  assert.equal(isPrivate({ mode: 0o100600, uid: 65_532, gid: 65_532 }, pod), true)
  assert.equal(isPrivate({ mode: 0o100440, uid: 0, gid: 65_532 }, pod), true)
  assert.equal(isPrivate({ mode: 0o100440, uid: 0, gid: 0 }, pod), true)
  for (const open of [
    { mode: 0o100444, uid: 0, gid: 65_532 },
    { mode: 0o100460, uid: 0, gid: 65_532 },
    { mode: 0o100640, uid: 65_532, gid: 65_532 },
    { mode: 0o100440, uid: 0, gid: 987_654 },
  ]) {
    assert.equal(isPrivate(open, pod), false, JSON.stringify(open))
  }
  assert.equal(isPrivate({ mode: 0o100440, uid: 0, gid: 0 }, { uid: 0, groups: [0] }), false, "root's own is mode 0600")
})

test('a database is named in one place, and its file is private', () => {
  const file = join(folder, 'open-url')
  writeFileSync(file, 'postgres://signet:geheim@db/signet\n', { mode: 0o644 })
  const open = main(['migrate'], { SIGNET_DATABASE_FILE: file })
  assert.deepEqual(
    [open.status, /databaseFile \(SIGNET_DATABASE_FILE\): .* mode 0600/.test(open.stderr), open.stderr.includes('geheim')],
    [2, true, false],
  )
  const both = main(['migrate', '--database', 'postgres://db/x'], { SIGNET_DATABASE_FILE: join(folder, 'nowhere') })
  assert.equal(both.status, 2)
  assert.match(both.stderr, /database \(--database\): give either/)
  assert.match(both.stderr, /databaseFile \(SIGNET_DATABASE_FILE\): .*nowhere: not found/)
})
