/**
 * The stores at size: millions of refresh families, half of them over. Look-ups, refreshes with and without a purge of the other half beside
 * them, new families against a store of a tenth of the size, and a wrong revocation undone in a long log.
 * `SIGNET_BENCH_FAMILIES` says how many (default 1,000,000; the target is for 10,000,000, which takes about ten minutes and 5 GB).
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openPostgresStore } from '@signet/authority/store/postgres.ts'
import { openSqliteStore } from '@signet/authority/store/sqlite.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { BREATH_MS } from '@signet/authority/tasks.ts'
import { PURGE_ROWS } from '@signet/authority/upkeep.ts'
import type { FamilyId } from '@signet/kernel/ids.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import pg from 'pg'
import { type Benchmark, oursAtMost, type Pace, type Row, ratioAtLeast, ratioAtMost } from './benchmark.ts'
import { createRotator, makeFamilies, newFamily } from './families.ts'
import { type Filled, fillPostgres, fillSqlite, renewLog } from './fill.ts'
import { comparison, interleave, median, quantile, ratePerSecondAsync } from './rounds.ts'

const surroundings = realSurroundings()

/** Entries of the log in which one is undone. */
const LOG_ENTRIES = 1_000_000
/** Refreshes that are answered side by side while the purge goes on. */
const IN_FLIGHT = 4
/** Rounds of it: the 99th percentile of one wanders by a fifth. */
const PURGE_ROUNDS = 9

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const families = Number(process.env.SIGNET_BENCH_FAMILIES ?? (pace.quick ? 100_000 : 1_000_000))
  const only = process.env.SIGNET_BENCH_ENGINE
  const rows: Row[] = []
  if (only !== 'postgres') rows.push(...(await onSqlite(pace, scratch, families)))
  if (only !== 'sqlite') rows.push(...(await onPostgres(pace, families)))
  return rows
}

async function onSqlite(pace: Pace, scratch: string, families: number): Promise<Row[]> {
  const open = async (name: string, count: number) => {
    const path = join(scratch, name)
    await (await openSqliteStore({ path, surroundings })).close()
    const db = new DatabaseSync(path)
    const filled = fillSqlite(db, count, pace.quick ? LOG_ENTRIES / 10 : LOG_ENTRIES)
    db.close()
    return { store: await openSqliteStore({ path, surroundings }), filled }
  }
  const large = await open('large.db', families)
  const small = await open('small.db', families / 10)
  try {
    return [...(await measure('SQLite', pace, large, small)), ...(await sqliteRefreshes(scratch))]
  } finally {
    await Promise.all([large.store.close(), small.store.close()])
  }
}

/** What a refresh writes: to the log on disk before it is acknowledged, and for good, which is its audit event. */
async function sqliteRefreshes(scratch: string): Promise<Row[]> {
  const path = join(scratch, 'refreshes.db')
  const first = await openSqliteStore({ path, surroundings })
  const ids = await makeFamilies(first, 2000)
  await first.close() // Brings the log into the file.
  const rows: Row[] = []
  let generation = 0
  for (const inFlight of [1, 128]) {
    const before = statSync(path).size
    const store = await openSqliteStore({ path, surroundings })
    const rotate = createRotator(store, ids, generation++)
    for (let at = 0; at < ids.length; at += inFlight) {
      await Promise.all(Array.from({ length: Math.min(inFlight, ids.length - at) }, rotate))
    }
    const logged = statSync(`${path}-wal`).size / ids.length
    await store.close()
    const kept = (statSync(path).size - before) / ids.length
    const how = `SQLite, ${inFlight} in flight`
    rows.push({ name: `bytes written to the log per refresh, ${how}`, ours: logged, unit: 'B', rounds: 1 })
    rows.push({ name: `bytes kept per refresh, its audit event, ${how}`, ours: kept, unit: 'B', rounds: 1 })
  }
  return rows
}

async function onPostgres(pace: Pace, families: number): Promise<Row[]> {
  const server = await startPostgres()
  if ('skip' in server) {
    console.log(`  PostgreSQL is left out: ${server.skip}`)
    return []
  }
  const open = async (count: number) => {
    const url = await server.freshDatabase()
    const store = await openPostgresStore({ url, surroundings })
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const filled = await fillPostgres(client, count, pace.quick ? LOG_ENTRIES / 10 : LOG_ENTRIES)
    await client.end()
    return { store, filled }
  }
  try {
    const large = await open(families)
    const small = await open(families / 10)
    try {
      return await measure('PostgreSQL', pace, large, small)
    } finally {
      await Promise.all([large.store.close(), small.store.close()])
    }
  } finally {
    await server.stop()
  }
}

interface Open {
  readonly store: Store
  readonly filled: Filled
}

async function measure(engine: string, pace: Pace, large: Open, small: Open): Promise<Row[]> {
  const { store, filled } = large
  const of = `${engine}, ${(filled.count / 1e6).toLocaleString('en')} M families`
  const rotate = createRotator(store, [...new Set(Array.from({ length: 50_000 }, () => pick(filled)))])
  const lookUps = await timed(pace.turnMs * 3, 1, async () => void (await store.families.find(pick(filled))))
  const creating = await interleave(
    {
      large: (ms) => ratePerSecondAsync(() => create(store), ms, 128),
      small: (ms) => ratePerSecondAsync(() => create(small.store), ms, 128),
    },
    pace,
  )
  return [
    { name: `look-up p99, ${of}`, ours: quantile(lookUps, 0.99), target: oursAtMost(5), unit: 'ms', rounds: 1 },
    { name: `look-up p50, ${of}`, ours: quantile(lookUps, 0.5), unit: 'ms', rounds: 1 },
    { name: `S4 bytes per family at rest, ${of}`, ours: filled.bytes / filled.count, unit: 'B', rounds: 1 },
    comparison(
      { name: `S3 new families per second, ${of}, against a tenth of it`, unit: '/s', target: ratioAtLeast(0.8) },
      creating.large,
      creating.small,
    ),
    ...(await whilePurging(pace, of, store, filled, rotate)),
    ...(await undoing(of, store, rotate)),
  ]
}

const create = (store: Store) => store.transact((tx) => tx.families.create(newFamily()))

/** One of the living families: the younger half. */
function pick({ idAt, count }: Filled): FamilyId {
  return idAt(Math.floor(count / 2 + (Math.random() * count) / 2))
}

/**
 * Refreshes as they come, with the purge of what is over beside them and without; and without once more, so that it can be seen how far two
 * measurements of the same lie apart.
 */
async function whilePurging(pace: Pace, of: string, store: Store, filled: Filled, rotate: () => Promise<void>): Promise<Row[]> {
  const refresh = async () => {
    await store.families.find(pick(filled))
    await rotate()
  }
  const nowMs = await store.now()
  const rates: number[] = []
  const plain = async (ms: number) => quantile(await timed(ms, IN_FLIGHT, refresh), 0.99)
  const { beside, without, again } = await interleave(
    {
      async beside(ms) {
        const purging = purgeOn(store, nowMs)
        const p99 = await plain(ms)
        rates.push(await purging.stop())
        return p99
      },
      without: plain,
      again: plain,
    },
    { ...pace, turnMs: pace.turnMs * 3, rounds: pace.quick ? pace.rounds : PURGE_ROUNDS },
  )
  await new Promise((resolve) => setTimeout(resolve, 1500)) // Until it is quiet.
  const alone = purgeOn(store, nowMs)
  await new Promise((resolve) => setTimeout(resolve, pace.turnMs * 6))
  const alonePerSecond = await alone.stop()
  const perSecond = median(rates)
  const hours = (rate: number) => (5e6 / rate / 3600).toFixed(1)
  return [
    {
      ...comparison(
        { name: `refresh p99 beside a purge, ${of}, against none`, unit: 'ms', target: ratioAtMost(1.1) },
        beside,
        without,
      ),
      note: `${IN_FLIGHT} in flight`,
    },
    comparison({ name: `the same measured twice: p99 beside no purge, ${of}, against none`, unit: 'ms' }, again, without),
    {
      ...comparison(
        { name: `families purged beside refreshes, ${of}, against what ends`, unit: '/s', target: ratioAtLeast(2) },
        rates,
        rates.map(() => filled.count / IDLE_DAYS / 86_400),
      ),
      note: `5 million in ${hours(perSecond)} hours; alone ${Math.round(alonePerSecond).toLocaleString('en')}/s, ${hours(alonePerSecond)} hours`,
    },
  ]
}

/** When nobody comes back, as many families end in so long as there are. */
const IDLE_DAYS = 14

/** Purges as the authority does it (tasks.ts), until it is stopped: then it gives the families per second. */
function purgeOn(store: Store, nowMs: number) {
  let going = true
  let gone = 0
  const began = performance.now()
  const ended = (async () => {
    while (going) {
      const { purged, more } = await store.purge(nowMs, PURGE_ROWS)
      gone += purged.families ?? 0
      if (!more) throw new Error('the purge came to its end before the round did: take more families')
      await new Promise((resolve) => setTimeout(resolve, BREATH_MS))
    }
  })()
  return {
    async stop() {
      going = false
      await ended
      return gone / ((performance.now() - began) / 1000)
    },
  }
}

/** A new epoch over a long log: how long it takes, and how long a refresh beside it has to wait. */
async function undoing(of: string, store: Store, rotate: () => Promise<void>): Promise<Row[]> {
  let going = true
  const waits: number[] = []
  const refreshing = (async () => {
    while (going) {
      const began = performance.now()
      await rotate()
      waits.push(performance.now() - began)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  })()
  const began = performance.now()
  const entries = await renewLog(store)
  const seconds = (performance.now() - began) / 1000
  going = false
  await refreshing
  const about = `${entries.toLocaleString('en')} log entries`
  return [
    {
      name: `R1 longest wait of a refresh beside a new epoch, ${of}`,
      ours: Math.max(...waits),
      target: oursAtMost(100),
      unit: 'ms',
      rounds: 1,
      note: about,
    },
    { name: `R1 a new epoch, ${of}`, ours: seconds, unit: 's', rounds: 1, note: about },
  ]
}

/** Milliseconds of each call in about `ms`, with `inFlight` of them under way. */
async function timed(ms: number, inFlight: number, call: () => Promise<void>): Promise<number[]> {
  const times: number[] = []
  const until = performance.now() + ms
  const lane = async () => {
    for (let began = performance.now(); began < until; began = performance.now()) {
      await call()
      times.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return times
}
