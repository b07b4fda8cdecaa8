/**
 * The engine for many nodes: PostgreSQL. Transactions gather into groups of which two are under way at a time; reads go over
 * pipelined connections of their own. SQL stays within what its relatives run too: row locks, no advisory ones.
 */

import { fault } from '@signet/kernel/errors.ts'
import { newId } from '@signet/kernel/ids.ts'
import { postgresHosts } from '@signet/kernel/postgres-hosts.ts'
import type { Revocation } from '@signet/kernel/revocation.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { createLookups, type Lookups } from './lookups.ts'
import { demandSchema, MIGRATIONS_TABLE, type Migrations, migrate, SCHEMA_VERSION } from './migrations.ts'
import { type Haste, Pace } from './pace.ts'
import type { Fleet } from './ports/fleet.ts'
import type { LogHead } from './ports/revocations.ts'
import { Committer } from './postgres-committer.ts'
import { isMade, Line, POSTGRES_WORDS, postgresFault, readsOn, type Session, Target } from './postgres-line.ts'
import { type Promotion, readTimelines, TIMELINE } from './postgres-timeline.ts'
import { Queue } from './queue.ts'
import type { PurgeReport, Store, StoreHealth, Tx } from './store.ts'
import type { ChainPlace } from './tables/audit.ts'
import { LONGEST_FAMILY } from './tables/families.ts'
import { openFleet } from './tables/fleet.ts'
import { purge } from './tables/purge.ts'
import { createHead, readHead, snapshotPart } from './tables/revocations.ts'
import type { Sql, Work } from './tables/sql.ts'
import { createTerms } from './tables/terms.ts'
import type { Shared } from './tables/transaction.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`; of several servers, with commas between them, the primary is found. */
  readonly url: string
  /** There is a pooler in between that hands out connections by transaction (PgBouncer). */
  readonly pooled?: boolean
  readonly surroundings: Surroundings
  /** Default `auto`. `off` needs no right to change the schema. */
  readonly migrations?: Migrations
  /** Connections, at least 5: two commit, one purges, one reads long, the rest read. */
  readonly poolSize?: number
  /**
   * Called when the server was promoted and may lack what was acknowledged; nothing is read or written until `meta` says that the new
   * timeline is whole. `acknowledged` is the last link of this store's audit chain that was: with it gone, something was lost, which is
   * told of on a timeline that is said to be whole too, unless everything was ended on it.
   */
  readonly promoted?: (promotion: Promotion & { readonly acknowledged: ChainPlace }) => void
  /** Opens a server on any timeline: for whoever settles it. */
  readonly anyTimeline?: boolean
}

/** Works in one transaction … */
const MAX_GROUP = 128
/** … and transactions under way: one commits while the other runs. */
const LANES = 2
const DEFAULT_CONNECTIONS = 6
/** Long reads and purges may take this long. */
const LONG_STATEMENT_MS = 60_000
/** Entries of a snapshot read by one statement. */
const SNAPSHOT_STRIDE = 8192

export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  const store = new PostgresStore(options)
  try {
    await store.begin()
    return Object.assign(store, store.lookups)
  } catch (cause) {
    await store.close()
    throw cause
  }
}

function targetOf(url: string, pooled: boolean): Target {
  const hosts = postgresHosts(url)
  if (typeof hosts === 'string') throw new Error(`the database's address ${hosts}`)
  return new Target(hosts.urls, pooled)
}

/** The timeline of the server behind this URL; undefined where there are none. */
export async function timelineOf(url: string, pooled: boolean): Promise<string | undefined> {
  const line = new Line(targetOf(url, pooled), { anyTimeline: true, writes: true })
  try {
    return (await line.session()).timeline
  } finally {
    await line.close()
  }
}

class PostgresStore implements Omit<Store, keyof Lookups> {
  readonly engine = 'postgres'
  readonly lookups: Lookups
  readonly fleet: Fleet

  readonly #surroundings: Surroundings
  readonly #anyTimeline: boolean
  readonly #migrations: Migrations
  readonly #shared: Shared = { terms: createTerms(), longestFamily: { seconds: 0 } }
  readonly #queue: Queue
  readonly #pace: Pace
  readonly #committer: Committer
  readonly #lanes: { readonly line: Line; busy: boolean }[]
  readonly #background: Line
  readonly #slow: Line
  readonly #readers: readonly Line[]
  readonly #reads: Sql
  #scheduled = false
  /** Purges and long reads take turns on their connections. */
  #backgroundTurn: Promise<unknown> = Promise.resolve()
  #slowTurn: Promise<unknown> = Promise.resolve()
  #closed: Promise<void> | undefined

  constructor(options: PostgresOptions) {
    const { url, pooled = false, surroundings, poolSize = DEFAULT_CONNECTIONS, promoted, anyTimeline = false } = options
    const { clock, chance, timers } = surroundings
    const target = targetOf(url, pooled)
    this.#surroundings = surroundings
    this.#anyTimeline = anyTimeline
    this.#migrations = options.migrations ?? 'auto'
    const told = (promotion: Promotion) => promoted?.({ ...promotion, acknowledged: this.#committer.acknowledged })
    this.#queue = new Queue(clock)
    this.#pace = new Pace(clock, timers, true)
    this.#committer = new Committer(newId(clock.now(), chance), this.#shared, timers, this.#queue)
    const writing = { promoted: told, acknowledged: () => this.#committer.acknowledged, anyTimeline, writes: true }
    const reading = { ...writing, writes: false }
    this.#lanes = Array.from({ length: LANES }, () => ({ line: new Line(target, writing), busy: false }))
    this.#background = new Line(target, { ...writing, statementMs: LONG_STATEMENT_MS })
    this.#slow = new Line(target, { ...reading, statementMs: LONG_STATEMENT_MS })
    this.#readers = Array.from({ length: Math.max(1, poolSize - LANES - 2) }, () => new Line(target, reading))
    this.#reads = readsOn(this.#readers)
    this.lookups = createLookups(this.#reads, this.#slowReads(), this.#shared, (nowAt) =>
      this.#inSlowTurn(() => this.#snapshot(nowAt)),
    )
    this.fleet = openFleet(this.#reads, (run) => this.#inBackground((_, work) => run(work)))
  }

  /** Brings the schema up to date and begins the revocation log, if that is still to be done. */
  async begin(): Promise<void> {
    try {
      const session = await this.#background.session()
      if (this.#migrations === 'auto') await migratePostgres(session, this.#surroundings)
      else demandSchema(await appliedMigrations(session))
    } catch (error) {
      throw postgresFault(error) ?? error
    }
    await this.#inOneWork((_, work) => createHead(work, this.#surroundings.chance))
    if (!this.#anyTimeline) await this.#keepTimeline()
    this.#shared.longestFamily.seconds = Number((await this.lookups.meta.get(LONGEST_FAMILY)) ?? 0)
  }

  /** The timeline that a store begins on is whole. */
  async #keepTimeline(): Promise<void> {
    const session = await this.#background.session()
    const { current, whole } = await readTimelines((text) => session.query(text))
    if (current === undefined || whole !== undefined) return
    await this.transact(async (tx) => {
      if ((await tx.meta.get(TIMELINE)) === undefined) await tx.meta.put(TIMELINE, current)
    })
  }

  async now(): Promise<number> {
    const text = 'select cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint) as now_ms'
    return (await this.#reads.readOne(text, []))?.now_ms as number
  }

  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#inOneWork(work)
  }

  gently<T>(haste: Haste, piece: (transact: Store['transact']) => Promise<T>): Promise<T> {
    return this.#pace.gently(haste, () => piece((work) => this.#inOneWork(work)))
  }

  purge(nowMs: number, limit: number): Promise<PurgeReport> {
    return purge((haste, run) => this.#pace.gently(haste, () => this.#inBackground((_, work) => run(work))), nowMs, limit)
  }

  async health(): Promise<StoreHealth> {
    const text = "select current_setting('transaction_read_only') as read_only"
    const answer = await this.#reads.readOne(text, []).catch(() => undefined)
    const writable = answer?.read_only === 'off' && (!this.#committer.troubled || (await this.#probe()))
    return { writable, queued: this.#queue.length, schemaVersion: SCHEMA_VERSION }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { timers } = this.#surroundings
    while (this.#queue.length > 0 || this.#lanes.some((lane) => lane.busy))
      await new Promise<void>((resolve) => timers.soon(resolve))
    await Promise.all([this.#backgroundTurn, this.#slowTurn])
    const lines = [...this.#lanes.map((lane) => lane.line), this.#background, this.#slow, ...this.#readers]
    await Promise.all(lines.map((line) => line.close()))
  }

  /** After trouble only a real write tells whether it is over. */
  async #probe(): Promise<boolean> {
    const wrote = this.transact((tx) => tx.meta.put('probe', ''))
    return wrote.then(
      () => true,
      () => false,
    )
  }

  // ── Groups ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #inOneWork<T>(run: (tx: Tx, work: Work) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(fault('stopping'))
    const answer = this.#queue.add(run)
    this.#dispatch()
    return answer
  }

  #dispatch(): void {
    if (this.#scheduled || this.#queue.length === 0 || this.#lanes.every((lane) => lane.busy)) return
    this.#scheduled = true
    this.#surroundings.timers.soon(() => {
      this.#scheduled = false
      const lane = this.#lanes.find((lane) => !lane.busy)
      const jobs = lane === undefined ? [] : this.#queue.take(MAX_GROUP)
      if (lane !== undefined && jobs.length > 0) {
        lane.busy = true
        void this.#committer.run(lane.line, jobs).finally(() => {
          lane.busy = false
          this.#dispatch()
        })
      }
      this.#dispatch()
    })
  }

  /** One work, by itself, on the connection for what may take its time. */
  #inBackground<T>(run: (tx: Tx, work: Work) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(fault('stopping'))
    const queue = new Queue(this.#surroundings.clock)
    const answer = queue.add(run)
    const committer = new Committer(newId(0, this.#surroundings.chance), this.#shared, this.#surroundings.timers, queue)
    this.#backgroundTurn = this.#backgroundTurn.then(async () => {
      while (queue.length > 0) await committer.run(this.#background, queue.take(1))
    })
    return answer
  }

  // ── Long reads ───────────────────────────────────────────────────────────────────────────────────────────────────

  #slowReads(): Sql {
    const direct = readsOn([this.#slow])
    return {
      dialect: direct.dialect,
      read: (text, values) => this.#inSlowTurn(() => direct.read(text, values)),
      readOne: (text, values) => this.#inSlowTurn(() => direct.readOne(text, values)),
    }
  }

  #inSlowTurn<T>(read: () => Promise<T>): Promise<T> {
    const mine = this.#slowTurn.then(read)
    this.#slowTurn = mine.catch(() => undefined)
    return mine
  }

  async #snapshot(nowAt: number): Promise<{ head: LogHead; entries: readonly Revocation[] }> {
    const session = await this.#slow.session().catch((error) => {
      throw postgresFault(error) ?? error
    })
    const sql = readsOn([session])
    await sql.read('begin isolation level repeatable read read only', [])
    try {
      const head = await readHead(sql)
      const entries: Revocation[] = []
      for (let seq = 0; ; ) {
        const part = await snapshotPart(sql, nowAt, seq, SNAPSHOT_STRIDE)
        for (const entry of part) entries.push(entry)
        if (part.length < SNAPSHOT_STRIDE) return { head, entries }
        seq = part.at(-1)?.seq as number
      }
    } finally {
      await sql.read('rollback', []).catch(() => this.#slow.drop())
    }
  }
}

async function appliedMigrations(session: Session): Promise<{ version: number; checksum: string }[]> {
  const { rows } = await session.query(`select to_regclass('schema_migrations') is not null as there`)
  if (rows[0]?.there !== true) return []
  const applied = await session.query('select version, checksum from schema_migrations where version > 0')
  return applied.rows as unknown as { version: number; checksum: string }[]
}

/** Runs the migrations that are missing, one node at a time: the row of version 0 is the lock. */
async function migratePostgres(session: Session, { clock }: Surroundings): Promise<void> {
  const tries = 5
  for (let n = 1; ; n++) {
    try {
      await session.query(MIGRATIONS_TABLE)
      break
    } catch (error) {
      // Two nodes that create it in the same moment collide in the catalogue, in spite of "if not exists".
      if (!isMade(error) || n === tries) throw error
    }
  }
  await session.query(`insert into schema_migrations values (0, 'lock', 0) on conflict do nothing`)
  await session.query('begin')
  try {
    await session.query('select version from schema_migrations where version = 0 for update')
    await migrate({
      words: POSTGRES_WORDS,
      run: async (sql) => void (await session.query(sql)),
      applied: () => appliedMigrations(session),
      record: async (version, checksum) =>
        void (await session.query('insert into schema_migrations (version, checksum, at_ms) values ($1, $2, $3)', [
          version,
          checksum,
          clock.now(),
        ])),
    })
    await session.query('commit')
  } catch (error) {
    await session.query('rollback').catch(() => session.destroy())
    throw error
  }
}
