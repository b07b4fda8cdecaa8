/**
 * The embedded engine: one file, one writer, no server. Transactions that arrive in one turn of the event loop share a
 * commit, each in a savepoint of its own; one sync of the disk then serves them all.
 */
import { closeSync, openSync, rmSync } from 'node:fs'
import { backup as copyDatabase } from 'node:sqlite'
import { GENESIS } from '@signet/kernel/audit-entry.ts'
import { Fault, fault } from '@signet/kernel/errors.ts'
import { isUuid, newId } from '@signet/kernel/ids.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { flushOutboxes } from './flush.ts'
import { createLookups, type Lookups } from './lookups.ts'
import { demandSchema, MIGRATIONS_TABLE, type Migrations, migrate, SCHEMA_VERSION } from './migrations.ts'
import type { Fleet } from './ports/fleet.ts'
import { gaveUp, type Job, Queue, watch } from './queue.ts'
import { type Checkpointer, startCheckpointer } from './sqlite-checkpointer.ts'
import {
  endStart,
  IN_MEMORY,
  isBusy,
  isLost,
  openReader,
  openWriter,
  SQLITE_WORDS,
  type SqliteConnection,
  sqliteFault,
  takeFile,
} from './sqlite-file.ts'
import { SqliteReads } from './sqlite-reads.ts'
import { SqliteWork } from './sqlite-work.ts'
import type { PurgeReport, Store, StoreHealth, Tx } from './store.ts'
import { type ChainHead, readChain } from './tables/audit.ts'
import { LONGEST_FAMILY } from './tables/families.ts'
import { openFleet } from './tables/fleet.ts'
import { purge } from './tables/purge.ts'
import { createHead } from './tables/revocations.ts'
import { Overtaken, type Work } from './tables/sql.ts'
import { createTerms } from './tables/terms.ts'
import { type Shared, Transaction } from './tables/transaction.ts'

export interface SqliteOptions {
  /** A file, or `:memory:`. */
  readonly path: string
  readonly surroundings: Surroundings
  /** The audit chain to write, a UUID; by default the one this file was begun with. */
  readonly chain?: string
  /** Default `auto`. */
  readonly migrations?: Migrations
}

/** Transactions in one commit. More would only make the first of them wait. */
const MAX_GROUP = 256

export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const { path, surroundings } = options
  const lock = path === IN_MEMORY ? undefined : takeFile(path)
  let store: SqliteStore | undefined
  try {
    const writer = openWriter(path)
    await migrateSqlite(writer, surroundings, options.migrations ?? 'auto')
    store = new SqliteStore(writer, path, surroundings, () => lock?.release())
    await store.begin(options.chain)
    endStart(writer)
    return store
  } catch (cause) {
    if (store === undefined) lock?.release()
    else await store.close()
    throw cause
  }
}

async function migrateSqlite(db: SqliteConnection, { clock }: Surroundings, migrations: Migrations): Promise<void> {
  const applied = () =>
    db.all('select version, checksum from schema_migrations', []) as unknown as { version: number; checksum: string }[]
  db.run('begin immediate', [])
  try {
    if (migrations === 'auto') db.db.exec(MIGRATIONS_TABLE)
    else demandSchema(isThere(db, 'schema_migrations') ? applied() : [])
    await migrate({
      words: SQLITE_WORDS,
      run: async (sql) => db.db.exec(sql),
      applied: async () => applied(),
      async record(version, checksum) {
        db.run('insert into schema_migrations (version, checksum, at_ms) values ($1, $2, $3)', [version, checksum, clock.now()])
      },
    })
    db.run('commit', [])
  } catch (cause) {
    db.close()
    throw cause
  }
}

const isThere = (db: SqliteConnection, table: string): boolean =>
  db.get("select 1 as one from sqlite_master where type = 'table' and name = $1", [table]) !== undefined

class SqliteStore implements Store {
  readonly engine = 'sqlite'
  readonly clients: Lookups['clients']
  readonly resources: Lookups['resources']
  readonly subjects: Lookups['subjects']
  readonly sessions: Lookups['sessions']
  readonly devices: Lookups['devices']
  readonly families: Lookups['families']
  readonly codes: Lookups['codes']
  readonly consents: Lookups['consents']
  readonly apiKeys: Lookups['apiKeys']
  readonly interactions: Lookups['interactions']
  readonly keys: Lookups['keys']
  readonly peers: Lookups['peers']
  readonly revocations: Lookups['revocations']
  readonly batches: Lookups['batches']
  readonly audit: Lookups['audit']
  readonly meta: Lookups['meta']
  readonly fleet: Fleet

  readonly #db: SqliteConnection
  readonly #surroundings: Surroundings
  readonly #shared: Shared = { terms: createTerms(), longestFamily: { seconds: 0 } }
  readonly #queue: Queue
  readonly #reads: SqliteReads
  readonly #checkpointer: Checkpointer | undefined
  readonly #release: () => void
  #chain: ChainHead = { chain: '', index: 0, hash: GENESIS } // Until `begin` has read it; no event comes before.
  #scheduled = false
  /** The commit under way; lookups wait for its end, so that they see only what is durable. */
  #group: Promise<void> | undefined
  /** Ends the wait for the work that is running. */
  #giveUp: (() => void) | undefined
  /** Why nothing more is acknowledged; for good when it is the disk's fault. */
  #broken: Fault | undefined
  #troubled = false
  /** Groups that still run with savepoints. */
  #careful = 0
  #closed: Promise<void> | undefined

  constructor(db: SqliteConnection, path: string, surroundings: Surroundings, release: () => void) {
    this.#db = db
    this.#surroundings = surroundings
    this.#release = release
    this.#queue = new Queue(surroundings.clock)
    this.#reads = new SqliteReads(
      db,
      path === IN_MEMORY ? undefined : () => openReader(path),
      surroundings.timers,
      () => this.#group,
    )
    this.#checkpointer = path === IN_MEMORY ? undefined : startCheckpointer(path)
    const lookups = createLookups(this.#reads.quick, this.#reads.slow, this.#shared, (nowAt) => this.#reads.snapshot(nowAt))
    this.clients = lookups.clients
    this.resources = lookups.resources
    this.subjects = lookups.subjects
    this.sessions = lookups.sessions
    this.devices = lookups.devices
    this.families = lookups.families
    this.codes = lookups.codes
    this.consents = lookups.consents
    this.apiKeys = lookups.apiKeys
    this.interactions = lookups.interactions
    this.keys = lookups.keys
    this.peers = lookups.peers
    this.revocations = lookups.revocations
    this.batches = lookups.batches
    this.audit = lookups.audit
    this.meta = lookups.meta
    this.fleet = openFleet(this.#reads.quick, (run) => this.#inOneWork((_, work) => run(work)))
  }

  /** Finds or begins the revocation log and this file's audit chain. */
  async begin(chain: string | undefined): Promise<void> {
    if (chain !== undefined && !isUuid(chain)) throw new Error('an audit chain is named by a UUID')
    const { clock, chance } = this.#surroundings
    const name = await this.#inOneWork(async (tx, work) => {
      await createHead(work, chance)
      const kept = chain ?? (await tx.meta.get(CHAIN)) ?? newId(clock.now(), chance)
      await tx.meta.put(CHAIN, kept)
      return kept
    })
    this.#shared.longestFamily.seconds = Number((await this.meta.get(LONGEST_FAMILY)) ?? 0)
    this.#chain = await readChain(this.#reads.quick, name)
  }

  async now(): Promise<number> {
    return this.#surroundings.clock.now()
  }

  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#inOneWork(work)
  }

  purge(nowMs: number, limit: number): Promise<PurgeReport> {
    return purge((run) => this.#inOneWork((_, work) => run(work)), nowMs, limit)
  }

  async backup(path: string, onProgress?: (done: number, total: number) => void): Promise<void> {
    closeSync(openSync(path, 'wx', 0o600)) // Never over another file, and for its owner alone.
    const resume = await this.#pause()
    try {
      // Through the writer's own connection: what commits meanwhile goes to the copy too, and it need not begin anew. Its first
      // step must not meet a transaction under way, or it fails; later ones wait for it.
      await copyDatabase(this.#db.db, path, {
        rate: BACKUP_PAGES,
        progress: ({ totalPages, remainingPages }) => {
          resume()
          onProgress?.(totalPages - remainingPages, totalPages)
        },
      })
    } catch (cause) {
      rmSync(path, { force: true })
      throw sqliteFault(cause) ?? cause
    } finally {
      resume()
    }
  }

  async health(): Promise<StoreHealth> {
    // After trouble only a real write tells whether it is over.
    if (this.#troubled && this.#broken === undefined) await this.transact((tx) => tx.meta.put('probe', '')).catch(() => undefined)
    await this.#group
    const pages = this.#db.get('pragma page_count', [])?.page_count as number
    const size = this.#db.get('pragma page_size', [])?.page_size as number
    const writable = this.#broken === undefined && !this.#troubled
    return { writable, queued: this.#queue.length, schemaVersion: SCHEMA_VERSION, bytes: pages * size }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    while (this.#group !== undefined || this.#queue.length > 0) await (this.#group ?? this.#commitGroup())
    this.#broken ??= fault('stopping')
    await this.#reads.close()
    await this.#checkpointer?.stop()
    this.#db.close()
    this.#release()
  }

  // ── Group commit ─────────────────────────────────────────────────────────────────────────────────────────────────

  #inOneWork<T>(run: (tx: Tx, work: Work) => Promise<T>): Promise<T> {
    const stopped = this.#broken ?? (this.#closed && fault('stopping'))
    if (stopped) return Promise.reject(stopped)
    const answer = this.#queue.add(run)
    this.#schedule()
    return answer
  }

  #schedule(): void {
    if (this.#scheduled || this.#group !== undefined) return
    this.#scheduled = true
    this.#surroundings.timers.soon(() => {
      this.#scheduled = false
      if (this.#group === undefined) void this.#commitGroup()
    })
  }

  #commitGroup(): Promise<void> {
    this.#group = this.#runGroup(this.#queue.take(MAX_GROUP)).finally(() => {
      this.#group = undefined
      if (this.#queue.length > 0) this.#schedule()
    })
    return this.#group
  }

  /** Lets no commit begin until the answer is called. */
  async #pause(): Promise<() => void> {
    while (this.#group !== undefined) await this.#group
    let resume = () => {}
    const paused = new Promise<void>((resolve) => {
      resume = resolve
    })
    this.#group = paused
    return () => {
      if (this.#group !== paused) return
      this.#group = undefined
      resume()
      if (this.#queue.length > 0) this.#schedule()
    }
  }

  async #runGroup(jobs: readonly Job[]): Promise<void> {
    if (jobs.length === 0) return
    const watching = watch(this.#surroundings.timers, () => this.#giveUp?.())
    try {
      const nowMs = await this.#begin()
      const ended = (await this.#runAll(jobs, nowMs)) ?? (await this.#runAllAgain(jobs, nowMs))
      const kept = ended.filter((end) => end.kept)
      if (kept.length === 0) this.#db.run('rollback', [])
      else if (!(await this.#commit(kept, nowMs))) {
        for (const { job } of ended.toReversed()) this.#queue.putBack(job, 'overtaken')
        return
      }
      for (const end of ended) end.settle()
    } catch (error) {
      this.#failGroup(jobs, error)
    } finally {
      watching.cancel()
    }
  }

  /** Begins the transaction. While a checkpoint has the lock the event loop goes on. */
  async #begin(): Promise<number> {
    for (let tries = 0; ; tries++) {
      try {
        this.#db.run('begin immediate', [])
        return this.#surroundings.clock.now()
      } catch (error) {
        if (!isBusy(error) || tries === MAX_BUSY) throw error
        await new Promise<void>((resolve) => this.#surroundings.timers.soon(resolve))
      }
    }
  }

  /** Runs the works one after another. Undefined when one is to be undone and can't be by itself. */
  async #runAll(jobs: readonly Job[], nowMs: number): Promise<Ended[] | undefined> {
    const undoable = this.#careful > 0
    if (undoable) this.#careful--
    const ended: Ended[] = []
    const known = {}
    for (const job of jobs.filter((job) => !job.givenUp)) {
      const end = await this.#runJob(job, new SqliteWork(this.#db, nowMs, undoable, known))
      if (end === undefined) return undefined
      ended.push(end)
    }
    return ended
  }

  /** Somebody's writes must go: all of them over again, so that each can be undone by itself. */
  async #runAllAgain(jobs: readonly Job[], nowMs: number): Promise<Ended[]> {
    this.#db.run('rollback', [])
    this.#db.run('begin immediate', [])
    this.#careful = CAREFUL_GROUPS
    return (await this.#runAll(jobs, nowMs)) as Ended[]
  }

  /** Runs one work to its end. Its caller hears of it when the commit is durable. */
  async #runJob(job: Job, work: SqliteWork): Promise<Ended | undefined> {
    try {
      const answer = await new Promise<unknown>((resolve, reject) => {
        this.#giveUp = () => {
          job.givenUp = true
          reject(gaveUp())
        }
        job.run(new Transaction(work, this.#shared), work).then(resolve, reject)
      })
      if (work.trouble) throw work.trouble
      work.keep()
      const settle = () => {
        for (const task of work.done) task()
        job.resolve(answer)
      }
      return { job, work, kept: true, settle }
    } catch (error) {
      // SQLite may have ended the transaction by itself: then there is nothing left for the others either.
      if (work.trouble || !this.#db.db.isTransaction) throw work.trouble ?? error
      const undone = work.undo()
      if (job.givenUp) job.reject(error)
      if (!undone) return undefined
      const again = error instanceof Overtaken
      return { job, work, kept: false, settle: () => (again ? this.#queue.putBack(job, error) : job.reject(error)) }
    }
  }

  /** Writes the ends of all works and commits. False when they were overtaken; then nothing was written. */
  async #commit(kept: readonly Ended[], nowMs: number): Promise<boolean> {
    const last = new SqliteWork(this.#db, nowMs, false)
    const flushed = await flushOutboxes(
      last,
      kept.map(({ work }) => work.outbox),
      this.#chain,
    )
    if (flushed === 'overtaken') {
      this.#db.run('rollback', [])
      return false
    }
    try {
      this.#db.run('commit', [])
    } catch (error) {
      if (isLost(error)) this.#broken = sqliteFault(error)
      throw error
    }
    this.#chain = flushed.chain
    this.#troubled = false
    for (const task of last.done) task()
    return true
  }

  #failGroup(jobs: readonly Job[], error: unknown): void {
    try {
      if (this.#db.db.isTransaction) this.#db.run('rollback', [])
    } catch (cause) {
      this.#broken ??= fault('store_unavailable', { cause })
    }
    const trouble = error instanceof Fault ? error : sqliteFault(error)
    if (trouble) this.#troubled = true
    for (const job of jobs) job.reject(trouble ?? error)
  }
}

/** A work that has run, and what to tell its caller once the commit is durable. */
interface Ended {
  readonly job: Job
  readonly work: SqliteWork
  readonly kept: boolean
  settle(): void
}

/** After a work had to be undone, so many groups run with a savepoint for each, which costs them a tenth. */
const CAREFUL_GROUPS = 64
/** Attempts to begin, of up to 20 ms each, while another connection has the lock. */
const MAX_BUSY = 250
/** Meta name of the audit chain that this file is written under. */
const CHAIN = 'audit_chain'
/** Pages that a backup copies at a time: a transaction may wait for so many. */
const BACKUP_PAGES = 200
