/** One unit of work on SQLite, inside the transaction that it shares. */
import type { Fault } from '@signet/kernel/errors.ts'
import { type SqliteConnection, sqliteDialect, sqliteFault } from './sqlite-file.ts'
import { type Gathering, type Outbox, Overtaken, type Row, type Value, type Work } from './tables/sql.ts'

export class SqliteWork implements Work {
  readonly dialect = sqliteDialect
  readonly nowMs: number
  readonly outbox: Outbox = { events: [], entries: [] }
  readonly done: (() => void)[] = []
  readonly known: Work['known']
  /** The engine's own trouble, if it met any: then the whole transaction is over, whatever the work made of it. */
  trouble: Fault | undefined
  readonly #db: SqliteConnection
  readonly #undoable: boolean
  #state: 'clean' | 'written' | 'over' = 'clean'
  /** `undoable`: its first write opens a savepoint, so that it can be undone without those it shares the transaction with. */
  constructor(db: SqliteConnection, nowMs: number, undoable: boolean, known: Work['known'] = {}) {
    this.#db = db
    this.known = known
    this.nowMs = nowMs
    this.#undoable = undoable
  }

  async read(text: string, values: readonly Value[]): Promise<readonly Row[]> {
    return this.#do(() => this.#db.all(text, values))
  }
  async readOne(text: string, values: readonly Value[]): Promise<Row | undefined> {
    return this.#do(() => this.#db.get(text, values))
  }
  async write(text: string, values: readonly Value[]): Promise<number> {
    return this.#do(() => {
      this.#open()
      return this.#db.run(text, values)
    })
  }
  async writeRows(text: string, values: readonly Value[]): Promise<readonly Row[]> {
    return this.#do(() => {
      this.#open()
      return this.#db.all(text, values)
    })
  }
  gather<Item, Answer>(gathering: Gathering<Item, Answer>, item: Item): Promise<Answer> {
    return gathering.one(this, item)
  }
  async exclusive(): Promise<void> {}
  /** Works run one after another here. */
  async hold(): Promise<void> {}
  afterCommit(task: () => void): void {
    this.done.push(task)
  }
  again(): never {
    throw new Overtaken()
  }

  /** Ends it; its writes stay in the shared transaction. */
  keep(): void {
    if (this.#undoable && this.#state === 'written') this.#db.run('release work', [])
    this.#state = 'over'
  }
  /** Ends it without its writes. False when they are there still, and only the whole transaction's end takes them away. */
  undo(): boolean {
    const written = this.#state === 'written'
    this.#state = 'over'
    if (!written) return true
    this.known.head = undefined
    this.known.tokenSeconds = undefined
    if (!this.#undoable) return false
    this.#db.run('rollback to work', [])
    this.#db.run('release work', [])
    return true
  }

  #open(): void {
    if (this.#state !== 'clean') return
    if (this.#undoable) this.#db.run('savepoint work', [])
    this.#state = 'written'
  }
  #do<T>(statement: () => T): T {
    if (this.#state === 'over') throw new Error('a transaction was used after its end')
    try {
      return statement()
    } catch (error) {
      const trouble = sqliteFault(error)
      if (trouble === undefined) throw error
      this.trouble ??= trouble
      throw trouble
    }
  }
}
