/** Reads on SQLite: quick ones on the writer's connection, whose cache is warm; long ones on one of their own, in strides. */
import type { Revocation } from '@signet/kernel/revocation.ts'
import type { Timers } from '@signet/kernel/surroundings.ts'
import type { LogHead } from './ports/revocations.ts'
import { type SqliteConnection, sqliteDialect, sqliteFault } from './sqlite-file.ts'
import { readHead, snapshotPart } from './tables/revocations.ts'
import type { Row, Sql, Value } from './tables/sql.ts'

/** Entries of a snapshot read between two turns of the event loop. */
const STRIDE = 4096

export class SqliteReads {
  readonly quick: Sql
  readonly slow: Sql
  readonly #open: (() => SqliteConnection) | undefined
  readonly #timers: Timers
  readonly #committing: () => Promise<void> | undefined
  #reader: SqliteConnection | undefined
  /** Long reads take turns: each needs the connection to itself. */
  #turn: Promise<unknown> = Promise.resolve()

  /** `open` gives the connection for long reads; without it they share the writer's, in one go. */
  constructor(
    db: SqliteConnection,
    open: (() => SqliteConnection) | undefined,
    timers: Timers,
    committing: () => Promise<void> | undefined,
  ) {
    this.#open = open
    this.#timers = timers
    this.#committing = committing
    this.quick = readsOn(() => db, committing)
    this.slow = open === undefined ? this.quick : { ...readsOn(() => this.#connection(), never) }
  }

  snapshot(nowAt: number): Promise<{ head: LogHead; entries: readonly Revocation[] }> {
    const mine = this.#turn.then(() => this.#readSnapshot(nowAt))
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  async close(): Promise<void> {
    await this.#turn
    this.#reader?.close()
  }

  async #readSnapshot(nowAt: number): Promise<{ head: LogHead; entries: readonly Revocation[] }> {
    if (this.#open === undefined) {
      while (this.#committing() !== undefined) await this.#committing()
      // Both are asked in one breath, so nothing commits between them.
      const [head, entries] = await Promise.all([readHead(this.quick), snapshotPart(this.quick, nowAt, 0, -1)])
      return { head, entries }
    }
    const db = this.#connection()
    db.run('begin', [])
    try {
      const sql = readsOn(() => db, never)
      const head = await readHead(sql)
      const entries: Revocation[] = []
      for (let seq = 0; ; ) {
        const part = await snapshotPart(sql, nowAt, seq, STRIDE)
        for (const entry of part) entries.push(entry)
        if (part.length < STRIDE) return { head, entries }
        seq = part.at(-1)?.seq as number
        await new Promise<void>((resolve) => this.#timers.soon(resolve))
      }
    } finally {
      db.run('commit', [])
    }
  }

  #connection(): SqliteConnection {
    this.#reader ??= (this.#open as () => SqliteConnection)()
    return this.#reader
  }
}

const never = () => undefined

function readsOn(connection: () => SqliteConnection, committing: () => Promise<void> | undefined): Sql {
  return {
    dialect: sqliteDialect,
    async read(text: string, values: readonly Value[]): Promise<readonly Row[]> {
      while (committing() !== undefined) await committing()
      return guarded(() => connection().all(text, values))
    },
    async readOne(text: string, values: readonly Value[]): Promise<Row | undefined> {
      while (committing() !== undefined) await committing()
      return guarded(() => connection().get(text, values))
    },
  }
}

function guarded<T>(statement: () => T): T {
  try {
    return statement()
  } catch (error) {
    throw sqliteFault(error) ?? error
  }
}
