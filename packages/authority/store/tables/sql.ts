/**
 * What the tables need of an engine. The SQL in this folder is written once, with `$1`, `$2`, … and only what both engines
 * understand; where they differ, the `Dialect` says how.
 */
import type { LogEntry, LogHead } from '../ports/revocations.ts'

/** Arrays are for PostgreSQL's `unnest` alone. */
export type Value = string | number | Uint8Array | null | readonly (string | number | Uint8Array | null)[]
export type Row = Readonly<Record<string, unknown>>

export interface Dialect {
  readonly engine: 'sqlite' | 'postgres'
  /** A UUID as the engine stores it (16 bytes, or its native type); null for text that is none, which then matches nothing. */
  id(id: string | undefined): Value
  readId(value: unknown): string
  readBytes(value: unknown): Uint8Array
  /** Name of the function that gives the larger of two numbers. */
  readonly larger: 'max' | 'greatest'
  /** Name of the function (text, part) that gives the part's position, 0 when it is not in it. */
  readonly position: 'instr' | 'strpos'
  /** Ends a subselect of rows to delete: leaves those that somebody holds for the next time. */
  readonly skipLocked: '' | 'for update skip locked'
  /** Whether a column holds this subject, so that the index on it is used. */
  isSubject(column: string, parameter: string): string
}

/** Reads. Each call is one statement; outside a transaction it sees what has been committed. */
export interface Sql {
  readonly dialect: Dialect
  read(text: string, values: readonly Value[]): Promise<readonly Row[]>
  readOne(text: string, values: readonly Value[]): Promise<Row | undefined>
}

/** One unit of work in a transaction, perhaps beside others that share its commit. */
export interface Work extends Sql {
  /** The store's clock when the transaction began, epoch milliseconds. */
  readonly nowMs: number
  /** How many rows were written. */
  write(text: string, values: readonly Value[]): Promise<number>
  /** The rows that `returning` gives back. */
  writeRows(text: string, values: readonly Value[]): Promise<readonly Row[]>
  /** Does it with all that other works of this commit gathered in the same turn, where that is cheaper. */
  gather<Item, Answer>(gathering: Gathering<Item, Answer>, item: Item): Promise<Answer>
  /** Waits until no other commit of this store is being ended, and keeps it so until this one has: before locking the log's head early. */
  exclusive(): Promise<void>
  /**
   * Until this work has ended, others that share its transaction wait here for the same key: what a row lock does between transactions. For what
   * takes more than one statement to decide.
   */
  hold(key: string): Promise<void>
  /** Runs `task` once the commit is durable; never when the work was undone. */
  afterCommit(task: () => void): void
  /** Undoes this work and runs it again, when what it read has been overtaken. */
  again(): never
  /** What goes to the log and the audit chain at the end of the commit. */
  readonly outbox: Outbox
  /** What works that share a commit, and see what the others wrote, need to read only once. */
  readonly known: { head?: LogHead | undefined; tokenSeconds?: number | undefined }
}

/** What one step of a purge did, and whether there is more to do at once. */
export interface Step {
  readonly gone: number
  readonly more: boolean
}

/** The same transition asked for by many works at once. */
export interface Gathering<Item, Answer> {
  readonly name: string
  /** Items alike in this never share a statement; the later ones wait for the next. */
  key(item: Item): string
  /** By itself, on SQLite, where a statement costs little. */
  one(work: Work, item: Item): Promise<Answer>
  /** In one statement, on PostgreSQL; answers in the order of the items. `false` says that nothing was written. */
  many(work: Work, items: readonly Item[]): Promise<readonly Answer[]>
}

export type NewEntry = Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>

/** A mutable promise of a place in the log: filled when the commit is acknowledged. */
export interface Place {
  seq: number
  epoch: string
  /** The largest cutoff of the commits before this one. */
  beforeMs: number
}

export interface Outbox {
  /** Audit events as JSON. */
  readonly events: string[]
  readonly entries: { readonly entry: NewEntry; readonly place: Place }[]
  /** The head as this work read it; its entries' keys are digests under that salt. */
  head?: LogHead
  /** This work began a new epoch. */
  renewed?: boolean
}

/** Thrown by `Work.again`; the engine catches it. */
export class Overtaken extends Error {
  constructor() {
    super('what a transaction had read was overtaken')
    this.name = 'Overtaken'
  }
}
