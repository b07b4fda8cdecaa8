import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { batchHash, eventsRoot, GENESIS, splitEvents } from '@signet/kernel/audit-entry.ts'
import { equalBytes } from '@signet/kernel/bytes.ts'
import { Fault } from '@signet/kernel/errors.ts'
import { startPostgres, type TestPostgres } from '@signet/testkit/postgres.ts'
import { ask } from '@signet/testkit/postgres-server.ts'
import { until } from '@signet/testkit/until.ts'
import pg from 'pg'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { aClient, anEntry, anEvent } from './contract/samples.contract.ts'
import type { ClientRecord } from './ports/clients.ts'
import { openPostgresStore } from './postgres.ts'
import { storeContract } from './store.contract.ts'
import type { Store } from './store.ts'

const server = await startPostgres()

if ('skip' in server) test('store contract, postgres', { skip: server.skip }, () => undefined)
else {
  after(() => server.stop())
  storeContract('postgres', async () => {
    const url = await server.freshDatabase()
    const open = () => openPostgresStore({ url, surroundings: realSurroundings() })
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
      second: open,
      close: () => store.close(),
    }
  })
  troubleTests(server)
}

function troubleTests(server: TestPostgres): void {
  test('reading on at the end of a long log touches what is new, not the log', async () => {
    const url = await server.freshDatabase()
    const store = await openPostgresStore({ url, surroundings: realSurroundings() })
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const [long, fresh, reads] = [20_000, 10, 20]
    await client.query(
      `insert into revocation_log (seq, at_ms, key, cutoff_ms, drop_after, kind, issuer, target, reason, actor)
       select i, 1, decode(md5(i::text), 'hex'), 1, 5000000000, 0, 'https://issuer.example', 't' || i, 'test', 'system'
       from generate_series(1, $1::int) as i`,
      [long],
    )
    await client.query('update revocation_head set seq = $1', [long])
    await client.query('analyze')
    for (let n = 0; n < reads; n++) {
      const { head, entries } = await store.revocations.since(long - fresh, 1000)
      assert.deepEqual(
        [head.seq, entries.map(({ seq }) => seq)],
        [long, Array.from({ length: fresh }, (_, i) => long - fresh + 1 + i)],
      )
      assert.equal((await store.revocations.after(long - fresh, 1000)).length, fresh)
    }
    await store.close() // Sessions tell what they did when they end.
    const touched = async () =>
      Number(
        (await client.query("select idx_tup_fetch + seq_tup_read as n from pg_stat_user_tables where relname = 'revocation_log'"))
          .rows[0].n,
      )
    while ((await touched()) < 2 * reads * fresh) await wait(20)
    assert.ok((await touched()) < long, `${await touched()} rows for ${2 * reads * fresh}`)
    await client.end()
  })

  const given = async (setting?: string) => {
    const url = await server.freshDatabase()
    const admin = new pg.Client({ connectionString: url, application_name: 'admin' })
    await admin.connect()
    if (setting !== undefined)
      await admin.query(`do $$ begin execute format('alter database %I set ${setting}', current_database()); end $$`)
    const store = await openPostgresStore({ url, surroundings: realSurroundings() })
    return { url, admin, store }
  }
  const others = "from pg_stat_activity where application_name = 'signet' and datname = current_database()"

  test('connections that are killed under load cost faults, never an acknowledged write, nor a link of the chain', async () => {
    const { admin, store } = await given()
    const kept: string[] = []
    let faults = 0
    let going = true
    const load = Array.from({ length: 24 }, async () => {
      while (going) {
        const client = aClient()
        try {
          const place = await store.transact(async (tx) => {
            assert.equal(await tx.clients.create(client), true)
            tx.audit(anEvent({ detail: { client: client.id } }))
            return tx.revocations.append(anEntry({ target: client.id }))
          })
          assert.ok(place.seq > 0)
          kept.push(client.id)
        } catch (error) {
          assert.ok(error instanceof Fault, String(error))
          faults++
          await wait(5)
        }
      }
    })
    // Each time when something was kept since the last, and on until somebody was hit.
    for (let n = 0; n < 12 || faults === 0; n++) {
      const before = kept.length
      await wait(60)
      await until(() => kept.length > before, 'it goes on after a kill')
      await admin.query(`select pg_terminate_backend(pid) ${others}`)
      assert.ok(n < 200, 'nobody was hit')
    }
    going = false
    await Promise.all(load)
    for (const id of kept) assert.ok(await store.clients.find(id as never), id)
    const audited = await provenEvents(store)
    assert.deepEqual(
      kept.filter((id) => !audited.includes(id)),
      [],
    )
    const { rows } = await admin.query(
      'select count(*)::int as n, max(seq)::int as last, (select seq::int from revocation_head) as head from revocation_log',
    )
    assert.equal(rows[0].n, rows[0].last, 'dense')
    assert.equal(rows[0].head, rows[0].last)
    const clients = await admin.query('select count(*)::int as n from clients')
    assert.equal(clients.rows[0].n, rows[0].n, 'a client and its entry are one')
    assert.equal((await store.health()).writable, true)
    await store.close()
    await admin.end()
  })

  test('a server that only reads is a fault of its own kind, and health tells when it is over', async () => {
    const { admin, store } = await given()
    const set = async (value: string) => {
      await admin.query(
        `do $$ begin execute format('alter database %I set default_transaction_read_only = ${value}', current_database()); end $$`,
      )
      await admin.query(`select pg_terminate_backend(pid) ${others}`)
    }
    const put = () =>
      store
        .transact((tx) => tx.meta.put('a', 'b'))
        .then(
          () => 'written',
          (error: Fault) => error.code,
        )
    await set('on')
    // A connection of before may have gone unnoticed yet.
    await until(async () => (await put()) === 'store_read_only', 'it is told that the server only reads')
    assert.equal((await store.health()).writable, false)
    await admin.query('set default_transaction_read_only = off')
    await set('off')
    await until(async () => (await put()) === 'written', 'it writes again')
    await until(async () => (await store.health()).writable, 'it knows that it writes again')
    await store.close()
    await admin.end()
  })

  test('a commit whose standby was not waited for is not acknowledged', async (t) => {
    const { admin, store, url } = await given()
    const super_ = (await admin.query("select current_setting('is_superuser') as it")).rows[0].it
    if (super_ !== 'on') {
      await store.close()
      await admin.end()
      return t.skip('needs a server whose settings may be changed')
    }
    const standby = async (name: string) => {
      await admin.query(`alter system set synchronous_standby_names = '${name}'`)
      await admin.query('select pg_reload_conf()')
      const now = () => ask(url, "select current_setting('synchronous_standby_names') as names")
      await until(async () => (await now())[0]?.names === name, 'the setting is what it was')
      // Whether commits wait the checkpointer says, which looks at the settings before it does what it is asked.
      for (let n = 0; n < 2; n++) await admin.query('checkpoint')
    }
    await standby('nobody')
    try {
      const outcome = store
        .transact(async (tx) => tx.audit(anEvent({ detail: { client: 'alone' } })))
        .then(
          () => 'acknowledged',
          (error: Fault) => error.code,
        )
      for (let cancelled = false; !cancelled; ) {
        await wait(20)
        cancelled = (await admin.query(`select pg_cancel_backend(pid) ${others} and wait_event = 'SyncRep'`)).rowCount === 1
      }
      assert.equal(await outcome, 'store_unavailable')
    } finally {
      await standby('')
    }
    // It is in the record here all the same; the chain goes on after it.
    await store.transact(async (tx) => tx.audit(anEvent({ detail: { client: 'after' } })))
    assert.deepEqual(await provenEvents(store), ['alone', 'after'])
    await store.close()
    await admin.end()
  })

  /** Suspends these clients in one transaction, `between` two of them; resolves to how often the work ran. */
  async function suspendAll(store: Store, clients: readonly ClientRecord[], between: () => Promise<void>): Promise<number> {
    let runs = 0
    await store.transact(async (tx) => {
      runs++
      for (const [n, { id }] of clients.entries()) {
        if (n > 0) await between()
        assert.equal(await tx.clients.changeStanding(id, { from: ['active'], to: 'suspended', cutoffMs: 1 }), true)
      }
      tx.audit(anEvent({ type: 'suspended' }))
    })
    return runs
  }
  const untilBlocked = async (eye: pg.Client, name: 'signet' | 'admin' = 'signet') => {
    const blocked = `select 1 ${others.replace("'signet'", `'${name}'`)} and wait_event_type = 'Lock'`
    await until(async () => (await eye.query(blocked)).rowCount !== 0, `${name} waits for a lock`)
  }

  test('a deadlock with another session is undone and tried again, and nobody hears of it', async () => {
    const { admin, store, url } = await given('deadlock_timeout = 10')
    const eye = new pg.Client({ connectionString: url })
    await eye.connect()
    try {
      const clients = [aClient(), aClient()]
      const [first, last] = clients as [ClientRecord, ClientRecord]
      await store.transact(async (tx) => {
        for (const client of clients) await tx.clients.create(client)
      })
      // Whoever has waited for as long as its own limit looks for deadlocks, once, and is the one to give way: not this session, which waits first.
      await admin.query("set deadlock_timeout = '10min'")
      const touch = 'update clients set name = name where id = $1'
      await admin.query('begin')
      await admin.query(touch, [last.id])
      let crossing: Promise<unknown> | undefined
      const runs = await suspendAll(store, clients, async () => {
        if (crossing !== undefined) return
        crossing = admin.query(touch, [first.id]).then(() => admin.query('commit'))
        await untilBlocked(eye, 'admin')
      })
      await crossing
      assert.ok(runs > 1, 'there was no deadlock')
      assert.deepEqual(await Promise.all(clients.map(async ({ id }) => (await store.clients.find(id))?.status)), [
        'suspended',
        'suspended',
      ])
      assert.deepEqual(
        (await allEvents(store)).filter((type) => type === 'suspended'),
        ['suspended'],
      )
    } finally {
      await eye.end()
      await admin.end()
      await store.close()
    }
  })

  test('a serialization failure is undone and tried again, and nobody hears of it', async () => {
    const { admin, store } = await given()
    try {
      const client = aClient({ name: 'here' })
      await store.transact((tx) => tx.clients.create(client))
      // At the isolation we use there is one way to a real 40001: a row that another session moves to another partition.
      await admin.query(`create table moving (like clients including defaults) partition by list (name);
        create table moving_from partition of moving for values in ('here');
        create table moving_to partition of moving for values in ('there');
        insert into moving select * from clients;
        alter table clients rename to clients_before;
        alter table moving rename to clients`)
      await admin.query('begin')
      await admin.query("update clients set name = 'there' where id = $1", [client.id])
      const suspended = suspendAll(store, [client], async () => {})
      await untilBlocked(admin)
      await admin.query('commit')
      assert.ok((await suspended) > 1, 'there was no serialization failure')
      assert.deepEqual(
        [(await store.clients.find(client.id))?.status, (await store.clients.find(client.id))?.name],
        ['suspended', 'there'],
      )
      assert.deepEqual(
        (await allEvents(store)).filter((type) => type === 'suspended'),
        ['suspended'],
      )
    } finally {
      await admin.end()
      await store.close()
    }
  })

  test('nodes that start together migrate once', async () => {
    const url = await server.freshDatabase()
    const stores = await Promise.all([1, 2, 3, 4].map(() => openPostgresStore({ url, surroundings: realSurroundings() })))
    const heads = await Promise.all(stores.map((store) => store.revocations.head()))
    assert.equal(new Set(heads.map((head) => head.epoch)).size, 1)
    await Promise.all(stores.map((store) => store.close()))
  })

  test('a schema that this program does not know stops the start', async () => {
    const { url, admin, store } = await given()
    await store.close()
    await admin.query("insert into schema_migrations values (99, 'x', 0)")
    await assert.rejects(openPostgresStore({ url, surroundings: realSurroundings() }), /schema version 99/)
    await admin.query(
      "delete from schema_migrations where version = 99; update schema_migrations set checksum = 'x' where version = 1",
    )
    await assert.rejects(openPostgresStore({ url, surroundings: realSurroundings() }), /was changed/)
    await admin.end()
  })

  test('a server that is not there is a fault', async () => {
    const url = 'postgres://postgres@127.0.0.1:1/none'
    await assert.rejects(
      openPostgresStore({ url, surroundings: realSurroundings() }),
      (error: Fault) => error.code === 'store_unavailable',
    )
  })
}

/** The clients that the events of all chains name, after proving each chain. */
async function provenEvents(store: Store): Promise<string[]> {
  const clients: string[] = []
  for (const chain of await store.audit.chains()) {
    let previous: Uint8Array = GENESIS
    for (let index = 1; index <= chain.index; index++) {
      const [batch] = await store.audit.batches(chain.chain, index, 1)
      assert.ok(batch && batch.index === index && equalBytes(batch.previous, previous))
      const events = splitEvents(batch.events)
      assert.ok(equalBytes(batch.hash, batchHash(sha256, { ...batch, root: eventsRoot(sha256, events) })))
      previous = batch.hash
      clients.push(...events.map((event) => JSON.parse(event).detail.client))
    }
    assert.ok(equalBytes(previous, chain.hash))
  }
  return clients
}

async function allEvents(store: Store): Promise<string[]> {
  const chains = await store.audit.chains()
  const batches = await Promise.all(chains.map(({ chain }) => store.audit.batches(chain, 0, 100)))
  return batches.flat().flatMap(({ events }) => (JSON.parse(events) as { type: string }[]).map(({ type }) => type))
}
