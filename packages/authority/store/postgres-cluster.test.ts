/** The store when its server is replaced, waits for a standby, takes no writes, or is reached through a pooler. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fault } from '@signet/kernel/errors.ts'
import { startPgbouncer } from '@signet/testkit/pgbouncer.ts'
import { ask, type PostgresServer, startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { until } from '@signet/testkit/until.ts'
import { realSurroundings } from '../surroundings.ts'
import { openPostgresStore } from './postgres.ts'
import { storeContract } from './store.contract.ts'
import type { Store } from './store.ts'

const BEAT_MS = 50
const put = (store: Store, name: string) => store.transact((tx) => tx.meta.put(name, 'x'))
const isFault = (error: unknown): true => {
  assert.ok(error instanceof Fault, String(error))
  assert.ok(['store_unavailable', 'store_read_only', 'overloaded'].includes(error.code), error.code)
  return true
}

describe('a server with a synchronous standby', () => {
  const families: PostgresServer[] = []
  after(async () => {
    for (const one of families) await one.close()
  })
  async function pair() {
    const primary = await startPostgresServer({ listen: 'tcp' })
    families.push(primary)
    const standby = await primary.addStandby('second')
    await primary.set('synchronous_standby_names', 'second')
    const both = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres?target_session_attrs=read-write`
    const store = await openPostgresStore({ url: both, surroundings: realSurroundings(), anyTimeline: true })
    return { primary, standby, store }
  }

  /** Writes over and over until it works again; every failure on the way must be a fault. */
  const untilWritten = (store: Store) =>
    until(() =>
      put(store, 'again').then(
        () => true,
        (error) => !isFault(error),
      ),
    )

  for (const how of ['kill', 'pause'] as const) {
    test(`is replaced (${how}): faults until the promotion, then writes within ten seconds, and nothing acknowledged is lost`, async () => {
      const { primary, standby, store } = await pair()
      let going = true
      try {
        const kept: string[] = []
        const load = (async () => {
          for (let n = 0; going; n++) {
            try {
              await put(store, `kept-${n}`)
              kept.push(`kept-${n}`)
            } catch (error) {
              if (going) isFault(error)
              await wait(20)
            }
          }
        })()
        while (kept.length < 50) await wait(5)
        if (how === 'kill') await primary.kill()
        else primary.pause()
        await assert.rejects(put(store, 'none takes it'), isFault)
        assert.equal((await store.health()).writable, false)
        await standby.promote()
        // In beats of this process: while something holds it up there are none.
        let beats = 0
        const heart = setInterval(() => beats++, BEAT_MS)
        await untilWritten(store)
        clearInterval(heart)
        const tookMs = beats * BEAT_MS
        process.stdout.write(`# ${how}: writes again ${tookMs.toFixed(0)} ms after the promotion\n`)
        assert.ok(tookMs < 10_000, `${tookMs} ms`) // docs/operating.md promises it; a tenth of it is usual.
        await until(async () => (await store.health()).writable, 'it knows that it writes again')
        going = false
        await load
        for (const name of kept) assert.equal(await store.meta.get(name), 'x', `${name} was acknowledged and is lost`)
        if (how === 'kill') {
          // It comes back and takes itself for the primary: nobody follows it.
          await primary.start()
          await standby.stop()
          await assert.rejects(put(store, 'split'), isFault)
        }
      } finally {
        going = false
        if (how === 'pause') primary.resume()
        await store.close()
      }
    })
  }

  test('whose wait for the standby is cancelled has acknowledged nothing', async () => {
    const { primary, standby, store } = await pair()
    try {
      await put(store, 'before')
      await standby.stop()
      const waiting = "from pg_stat_activity where wait_event = 'SyncRep'"
      await until(async () => {
        let outcome: unknown
        const putting = put(store, 'alone').then(
          () => assert.fail('it was acknowledged'),
          (error) => {
            outcome = error
          },
        )
        while (outcome === undefined) {
          await primary.query(`select pg_cancel_backend(pid) ${waiting}`)
          await wait(5)
        }
        await putting
        isFault(outcome)
        // It may have waited for longer than the store does before somebody cancelled it: then once more.
        return /standby|canceling wait/i.test(String((outcome as Error).cause))
      }, 'the wait is cancelled')
      await standby.start()
      await untilWritten(store)
    } finally {
      await store.close()
    }
  })
})

describe('a server that takes no writes for a while', () => {
  test('is read on, and says why it is not ready', async () => {
    const server = await startPostgresServer()
    const store = await openPostgresStore({ url: server.url, surroundings: realSurroundings() })
    try {
      await put(store, 'before')
      await server.set('default_transaction_read_only', 'on')
      await assert.rejects(put(store, 'refused'), (error: unknown) => error instanceof Fault && error.code === 'store_read_only')
      // Connections made anew, too.
      await server.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet'")
      await assert.rejects(put(store, 'refused'), isFault)
      // A connection that has just been killed may go unnoticed for as long as a read is tried.
      await until(
        () =>
          store.meta.get('before').then(
            (value) => value === 'x',
            (error) => !isFault(error),
          ),
        'it is read',
      )
      assert.ok((await store.revocations.head()).epoch)
      assert.equal((await store.health()).writable, false)
      await server.query('begin read write; alter system set default_transaction_read_only = off; commit').catch(() => undefined)
      await server.query('set transaction_read_only = off').catch(() => undefined)
      await server.set('default_transaction_read_only', 'off')
      await put(store, 'after')
      assert.equal((await store.health()).writable, true)
    } finally {
      await store.close()
      await server.close()
    }
  })
})

const server = await startPostgresServer({ listen: 'tcp' })
const pool = await startPgbouncer(server.port as number)
if ('skip' in pool) test('store contract, pgbouncer', { skip: pool.skip }, () => undefined)
else {
  let made = 0
  storeContract('postgres through PgBouncer', async () => {
    const name = `pooled_${++made}`
    await ask(server.url, `create database ${name}`)
    const url = pool.through(`postgres://x/${name}`)
    const open = () => openPostgresStore({ url, pooled: true, surroundings: realSurroundings() })
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
}
after(async () => {
  if (!('skip' in pool)) await pool.stop()
  await server.close()
})
