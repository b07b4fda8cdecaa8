/**
 * The embedded engine: one file, one writer, no server. Transactions that arrive in one turn of the event loop share a
 * commit (`sqlite-committer.ts`).
 */
import { closeSync, openSync, rmSync } from 'node:fs'
import { backup as copyDatabase } from 'node:sqlite'
import { isUuid, newId } from '@signet/kernel/ids.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { createLookups, type Lookups } from './lookups.ts'
import { demandSchema, MIGRATIONS_TABLE, type Migrations, migrate, SCHEMA_VERSION } from './migrations.ts'
import { type Haste, Pace } from './pace.ts'
import type { Fleet } from './ports/fleet.ts'
import { type Checkpointer, startCheckpointer } from './sqlite-checkpointer.ts'
import { SqliteCommitter } from './sqlite-committer.ts'
import {
  endStart,
  IN_MEMORY,
  openReader,
  openWriter,
  SQLITE_WORDS,
  type SqliteConnection,
  sqliteFault,
  type Taken,
  takeFile,
} from './sqlite-file.ts'
import { SqliteReads } from './sqlite-reads.ts'
import type { PurgeReport, Store, StoreHealth, Tx } from './store.ts'
import { readChain } from './tables/audit.ts'
import { LONGEST_FAMILY } from './tables/families.ts'
import { openFleet } from './tables/fleet.ts'
import { purge } from './tables/purge.ts'
import { createHead } from './tables/revocations.ts'
import type { Work } from './tables/sql.ts'
import { createTerms } from './tables/terms.ts'
import type { Shared } from './tables/transaction.ts'

export interface SqliteOptions {
  /** A file, or `:memory:`. */
  readonly path: string
  readonly surroundings: Surroundings
  /** The audit chain to write, a UUID; by default the one this file was begun with. */
  readonly chain?: string
  /** Default `auto`. */
  readonly migrations?: Migrations
}

export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const { path, surroundings } = options
  const lock = path === IN_MEMORY ? undefined : takeFile(path)
  let store: SqliteStore | undefined
  try {
    const writer = openWriter(path)
    await migrateSqlite(writer, surroundings, options.migrations ?? 'auto')
    store = new SqliteStore(writer, path, surroundings, lock)
    await store.begin(options.chain)
    endStart(writer)
    return Object.assign(store, store.lookups)
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

/** Meta name of the audit chain that this file is written under. */
const CHAIN = 'audit_chain'
/** Pages that a backup copies at a time: a transaction may wait for so many. */
const BACKUP_PAGES = 200

class SqliteStore implements Omit<Store, keyof Lookups> {
  readonly engine = 'sqlite'
  readonly lookups: Lookups
  readonly fleet: Fleet

  readonly #db: SqliteConnection
  readonly #surroundings: Surroundings
  readonly #shared: Shared = { terms: createTerms(), longestFamily: { seconds: 0 } }
  readonly #committer: SqliteCommitter
  readonly #pace: Pace
  readonly #reads: SqliteReads
  readonly #checkpointer: Checkpointer | undefined
  readonly #taken: Taken | undefined
  #closed: Promise<void> | undefined

  constructor(db: SqliteConnection, path: string, surroundings: Surroundings, taken: Taken | undefined) {
    const { clock, timers } = surroundings
    this.#db = db
    this.#surroundings = surroundings
    this.#taken = taken
    this.#committer = new SqliteCommitter(db, this.#shared, clock, timers)
    this.#pace = new Pace(clock, timers, false)
    const openLong = path === IN_MEMORY ? undefined : () => openReader(path)
    this.#reads = new SqliteReads(db, openLong, timers, () => this.#committer.underWay)
    this.#checkpointer = taken && startCheckpointer(path, taken.file)
    this.lookups = createLookups(this.#reads.quick, this.#reads.slow, this.#shared, (nowAt) => this.#reads.snapshot(nowAt))
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
    this.#shared.longestFamily.seconds = Number((await this.lookups.meta.get(LONGEST_FAMILY)) ?? 0)
    this.#committer.chain = await readChain(this.#reads.quick, name)
  }

  async now(): Promise<number> {
    return this.#surroundings.clock.now()
  }

  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    this.#pace.asked()
    return this.#inOneWork(work)
  }

  gently<T>(haste: Haste, piece: (transact: Store['transact']) => Promise<T>): Promise<T> {
    return this.#pace.gently(haste, () => piece((work) => this.#inOneWork(work)))
  }

  purge(nowMs: number, limit: number): Promise<PurgeReport> {
    return purge((haste, run) => this.#pace.gently(haste, () => this.#inOneWork((_, work) => run(work))), nowMs, limit)
  }

  async backup(path: string, onProgress?: (done: number, total: number) => void): Promise<void> {
    closeSync(openSync(path, 'wx', 0o600)) // Never over another file, and for its owner alone.
    const resume = await this.#committer.pause()
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
    const committer = this.#committer
    // After trouble only a real write tells whether it is over.
    if (committer.troubled && committer.broken === undefined)
      await this.transact((tx) => tx.meta.put('probe', '')).catch(() => undefined)
    await committer.underWay
    const pages = this.#db.get('pragma page_count', [])?.page_count as number
    const size = this.#db.get('pragma page_size', [])?.page_size as number
    const writable = committer.broken === undefined && !committer.troubled
    return { writable, queued: committer.queued, schemaVersion: SCHEMA_VERSION, bytes: pages * size }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#committer.stop()
    await this.#reads.close()
    await this.#checkpointer?.stop()
    this.#db.close()
    this.#taken?.release()
  }

  #inOneWork<T>(run: (tx: Tx, work: Work) => Promise<T>): Promise<T> {
    return this.#committer.inOneWork(run)
  }
}
