/** One SQLite file and what holds around it: who may read it, that it is durable, that one authority has it at a time. */
import { chmodSync, closeSync, openSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type Fault, fault } from '@signet/kernel/errors.ts'
import { idFromBytes, idToBytes, isUuid } from '@signet/kernel/ids.ts'
import { makeDirectory } from '../surroundings.ts'
import type { Dialect, Row, Value } from './tables/sql.ts'

export const IN_MEMORY = ':memory:'

export const sqliteDialect: Dialect = {
  engine: 'sqlite',
  id: (id) => (id !== undefined && isUuid(id) ? idToBytes(id) : null),
  readId: (value) => idFromBytes(value as Uint8Array),
  readBytes: (value) => value as Uint8Array,
  larger: 'max',
  position: 'instr',
  skipLocked: '',
  // The index holds four bytes of chance out of the id: enough to find by, a quarter of the size.
  isSubject: (column, parameter) => `substr(${column}, 13, 4) = substr(${parameter}, 13, 4) and ${column} = ${parameter}`,
}

export const SQLITE_WORDS: Readonly<Record<string, string>> = {
  ...{ id: 'blob', bytes: 'blob', int: 'integer', int4: 'integer', int2: 'integer', text: 'text', name: 'text' },
  ...{ serial: 'integer not null primary key', sequence: 'integer not null', subject_tag: 'substr(subject, 13, 4)' },
  ...{ keyed: 'strict, without rowid', keyed_spare: 'strict, without rowid', heap: 'strict' },
}

/** How long a statement waits for another connection's lock, blocking this thread: at the start, and from then on. */
const STARTING_BUSY_MS = 5_000
const BUSY_MS = 20
/** Small pages: a rotation changes one row, and what it costs is the pages that go to the log. */
const PAGE_BYTES = 2048
const CACHE_KIB = 32 * 1024
/** The log file is cut back to this after it was longer. */
const LOG_BYTES = 64 * 1024 * 1024

/** Opens the file for writing and makes sure that it keeps what it acknowledges. */
export function openWriter(path: string): SqliteConnection {
  const db = new DatabaseSync(path, { timeout: STARTING_BUSY_MS })
  try {
    db.exec(`pragma page_size = ${PAGE_BYTES}`) // Of a new file; an old one keeps its own.
    if (path !== IN_MEMORY) {
      demand(db, 'journal_mode = wal', 'journal_mode', 'wal')
      demand(db, 'synchronous = full', 'synchronous', 2)
      db.exec(`pragma wal_autocheckpoint = 0; pragma journal_size_limit = ${LOG_BYTES}`)
    }
    db.exec(`pragma cache_size = -${CACHE_KIB}; pragma temp_store = memory; pragma trusted_schema = off`)
  } catch (cause) {
    db.close()
    throw cause
  }
  return new SqliteConnection(db)
}

/** From here on a commit that meets a lock lets the event loop go on and tries again. */
export function endStart(db: SqliteConnection): void {
  db.db.exec(`pragma busy_timeout = ${BUSY_MS}`)
}

/** Opens it beside the writer, for reading only. */
export function openReader(path: string): SqliteConnection {
  return new SqliteConnection(new DatabaseSync(path, { timeout: STARTING_BUSY_MS, readOnly: true }))
}

/** Makes the file, and its directory, for its owner alone. */
function createPrivately(path: string): void {
  makeDirectory(dirname(path))
  try {
    // Never opened when it is there: closing it again would drop the locks that this process may have on it (POSIX).
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    chmodSync(path, 0o600) // SQLite gives the files beside it the same mode.
  }
}

function demand(db: DatabaseSync, set: string, name: string, wanted: string | number): void {
  db.exec(`pragma ${set}`)
  const found = Object.values(db.prepare(`pragma ${name}`).get() ?? {})[0]
  if (found !== wanted) throw new Error(`this file system does not give SQLite "${set}": pragma ${name} says ${String(found)}`)
}

export interface Taken {
  /** A descriptor of the file, for syncing it. */
  readonly file: number
  /** After the last connection to it was closed. */
  release(): void
}

/**
 * Makes the file if there is none, and keeps a second authority away from the file. The lock is the operating system's, on a file of its own beside it, so it
 * ends with its process whatever happens, and readers of the store never meet it.
 */
export function takeFile(path: string): Taken {
  const name = `${path}.lock`
  createPrivately(path)
  createPrivately(name)
  const db = new DatabaseSync(name, { timeout: 0 })
  try {
    db.exec('begin immediate')
    db.exec('create table if not exists holder (pid integer, host text, since text); delete from holder')
    db.prepare('insert into holder values (?, ?, ?)').run(process.pid, hostname(), new Date().toISOString())
    db.exec('commit')
    db.exec('begin immediate') // Held, without a change, until the end.
  } catch (cause) {
    const reason = isBusy(cause) ? `another authority has ${path} open${tryHolder(db)}` : `${name} can't be locked`
    db.close()
    throw new Error(reason, { cause })
  }
  // Opened before SQLite opens it and closed after SQLite has: closing it drops the locks that this process has on it (POSIX).
  const file = openSync(path, 'r+')
  return {
    file,
    release() {
      closeSync(file)
      db.close()
    },
  }
}

function tryHolder(db: DatabaseSync): string {
  try {
    const row = db.prepare('select pid, host, since from holder').get()
    return row ? `: process ${row.pid} on ${row.host}, since ${row.since}` : ''
  } catch {
    return ''
  }
}

/** One connection with its prepared statements. Everything on it is synchronous. */
export class SqliteConnection {
  readonly db: DatabaseSync
  /** As many as there are texts in tables/: a hundred or so. */
  readonly #statements = new Map<string, Prepared>()
  constructor(db: DatabaseSync) {
    this.db = db
  }
  all(text: string, values: readonly Value[]): Row[] {
    const { statement, names } = this.#prepared(text)
    return (statement.all(...(values as Bindable[])) as unknown as unknown[][]).map((row) => named(names, row))
  }
  get(text: string, values: readonly Value[]): Row | undefined {
    const { statement, names } = this.#prepared(text)
    const row = statement.get(...(values as Bindable[])) as unknown as unknown[] | undefined
    return row && named(names, row)
  }
  run(text: string, values: readonly Value[]): number {
    return this.#prepared(text).statement.run(...(values as Bindable[])).changes as number
  }
  close(): void {
    this.#statements.clear()
    this.db.close()
  }
  #prepared(text: string): Prepared {
    let prepared = this.#statements.get(text)
    if (prepared === undefined) {
      // SQLite counts `?1`; `$1` would be a name to it.
      const statement = this.db.prepare(text.replaceAll('$', '?'))
      statement.setReturnArrays(true)
      prepared = { statement, names: statement.columns().map((column) => column.name) }
      this.#statements.set(text, prepared)
    }
    return prepared
  }
}
type Bindable = string | number | Uint8Array | null
interface Prepared {
  readonly statement: StatementSync
  readonly names: readonly string[]
}

/** Made here, since the driver's own objects cost a wide row twice its reading. */
function named(names: readonly string[], values: readonly unknown[]): Row {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < names.length; i++) row[names[i] as string] = values[i]
  return row
}

/** Result codes (sqlite.org/rescode.html) that are trouble of the engine's own, not of the statement. */
const TROUBLE = new Map([
  [5, 'busy'],
  [6, 'locked'],
  [7, 'nomem'],
  [8, 'readonly'],
  [10, 'ioerr'],
  [11, 'corrupt'],
  [13, 'full'],
  [14, 'cantopen'],
  [26, 'notadb'],
])

/** The fault that an error of SQLite's is; undefined for an error of ours. */
export function sqliteFault(error: unknown): Fault | undefined {
  const trouble = TROUBLE.get(primaryCode(error))
  if (trouble === undefined) return undefined
  return fault(trouble === 'readonly' ? 'store_read_only' : 'store_unavailable', { cause: error })
}

/** Another connection holds the lock; it will not for long. */
export const isBusy = (error: unknown): boolean => primaryCode(error) === 5

/** After it, what the operating system holds of the file is unknown: nothing may be acknowledged on top of that. */
export const isLost = (error: unknown): boolean => [10, 11, 26].includes(primaryCode(error))

function primaryCode(error: unknown): number {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code & 0xff : 0
}
