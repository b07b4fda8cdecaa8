/** One unit of work in a PostgreSQL transaction that many share and that runs on one pipelined connection. */
import type { Timers } from '@signet/kernel/surroundings.ts'
import { type Answer, isEcho, postgresDialect } from './postgres-line.ts'
import { type Gathering, type Outbox, Overtaken, type Row, type Value, type Work } from './tables/sql.ts'

type Send = (text: string, values: readonly Value[]) => Promise<Answer>

/** By the server's clock, and what was read along with it. */
export interface Beginning {
  readonly nowMs: number
  readonly known: Work['known']
}

/** What the works of one transaction share. */
export class SharedTransaction {
  readonly nowMs: number
  /** What it found as it began. */
  readonly known: Work['known']
  readonly #send: Send
  readonly #timers: Timers
  readonly #gathered = new Map<string, Gathered>()
  readonly #exclusive: () => Promise<void>
  /** Who holds what, until he has ended. */
  readonly #held = new Map<string, PostgresWork>()
  /** The first error that a statement met: the server undoes all of the transaction for it. */
  failure: { readonly error: unknown; readonly work: PostgresWork | undefined } | undefined

  constructor(send: Send, { nowMs, known }: Beginning, timers: Timers, exclusive: () => Promise<void>) {
    this.#send = send
    this.nowMs = nowMs
    this.known = known
    this.#timers = timers
    this.#exclusive = exclusive
  }

  async send(text: string, values: readonly Value[], work: PostgresWork | undefined): Promise<Answer> {
    try {
      return await this.#send(text, values)
    } catch (error) {
      if (!isEcho(error)) this.failure ??= { error, work }
      throw error
    }
  }

  /** Statements for all of the works at once are nobody's own. */
  common(): PostgresWork {
    return new PostgresWork(this)
  }

  gather<Item, Result>(gathering: Gathering<Item, Result>, item: Item, work: PostgresWork): Promise<Result> {
    let gathered = this.#gathered.get(gathering.name)
    if (gathered === undefined) {
      gathered = { gathering: gathering as Gathering<unknown, unknown>, calls: [] }
      this.#gathered.set(gathering.name, gathered)
      this.#timers.soon(() => this.#sendGathered(gathering.name))
    }
    const calls = gathered.calls
    return new Promise((resolve, reject) => calls.push({ item, work, resolve: resolve as (answer: unknown) => void, reject }))
  }

  exclusive(): Promise<void> {
    return this.#exclusive()
  }

  async hold(key: string, work: PostgresWork): Promise<void> {
    for (let holder = this.#held.get(key); holder !== work; holder = this.#held.get(key)) {
      if (holder === undefined) {
        this.#held.set(key, work)
        work.holds = true
      } else if (work.holds)
        throw new Overtaken() // Somebody may be waiting for us in turn. It runs alone next.
      else await holder.ended
    }
  }

  release(work: PostgresWork): void {
    if (work.holds) for (const [key, holder] of this.#held) if (holder === work) this.#held.delete(key)
  }

  #sendGathered(name: string): void {
    const { gathering, calls } = this.#gathered.get(name) as Gathered
    this.#gathered.delete(name)
    let rest = calls
    while (rest.length > 0) {
      // Of calls for one row only the first goes into this statement; its siblings follow in the next.
      const keys = new Set<string>()
      const now: Call[] = []
      const later: Call[] = []
      for (const call of rest) {
        const key = gathering.key(call.item)
        ;(keys.has(key) ? later : now).push(call)
        keys.add(key)
      }
      answer(gathering, now, this.common())
      rest = later
    }
  }
}

interface Call {
  readonly item: unknown
  readonly work: PostgresWork
  readonly resolve: (answer: unknown) => void
  readonly reject: (reason: unknown) => void
}
interface Gathered {
  readonly gathering: Gathering<unknown, unknown>
  readonly calls: Call[]
}

function answer(gathering: Gathering<unknown, unknown>, calls: readonly Call[], common: PostgresWork): void {
  gathering
    .many(
      common,
      calls.map((call) => call.item),
    )
    .then(
      (answers) =>
        calls.forEach((call, n) => {
          if (answers[n] !== false) call.work.wrote = true
          call.resolve(answers[n])
        }),
      (reason) => {
        for (const call of calls) call.reject(reason)
      },
    )
}

export class PostgresWork implements Work {
  readonly dialect = postgresDialect
  readonly outbox: Outbox = { events: [], entries: [] }
  readonly done: (() => void)[] = []
  /** Works run side by side here, so each has its own. */
  readonly known: Work['known']
  /** It changed something, so undoing it takes the whole transaction. */
  wrote = false
  /** Others of its transaction may be waiting for it to end. */
  holds = false
  /** Statements that are not answered yet. */
  readonly #pending = new Set<Promise<unknown>>()
  readonly #shared: SharedTransaction
  readonly #ended = Promise.withResolvers<void>()
  #over = false
  constructor(shared: SharedTransaction) {
    this.#shared = shared
    this.known = { ...shared.known }
  }
  get nowMs(): number {
    return this.#shared.nowMs
  }

  async read(text: string, values: readonly Value[]): Promise<readonly Row[]> {
    return (await this.#send(text, values)).rows
  }
  async readOne(text: string, values: readonly Value[]): Promise<Row | undefined> {
    return (await this.#send(text, values)).rows[0]
  }
  async write(text: string, values: readonly Value[]): Promise<number> {
    const { rowCount } = await this.#send(text, values)
    if (rowCount > 0) this.wrote = true
    return rowCount
  }
  async writeRows(text: string, values: readonly Value[]): Promise<readonly Row[]> {
    const { rows, rowCount } = await this.#send(text, values)
    if (rowCount > 0) this.wrote = true
    return rows
  }
  gather<Item, Result>(gathering: Gathering<Item, Result>, item: Item): Promise<Result> {
    this.#guard()
    return this.#track(this.#shared.gather(gathering, item, this))
  }
  exclusive(): Promise<void> {
    this.#guard()
    return this.#track(this.#shared.exclusive())
  }
  hold(key: string): Promise<void> {
    this.#guard()
    return this.#track(this.#shared.hold(key, this))
  }
  afterCommit(task: () => void): void {
    this.done.push(task)
  }
  again(): never {
    throw new Overtaken()
  }

  /** Whether an answer is still awaited. */
  get waits(): boolean {
    return this.#pending.size > 0
  }
  /** Nothing more may be asked; resolves when all that was asked is answered. */
  async end(): Promise<void> {
    this.#over = true
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
    this.#shared.release(this)
    this.#ended.resolve()
  }
  /** Resolves when it has ended. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  #send(text: string, values: readonly Value[]): Promise<Answer> {
    this.#guard()
    return this.#track(this.#shared.send(text, values, this))
  }
  #guard(): void {
    if (this.#over) throw new Error('a transaction was used after its end')
  }
  #track<T>(answer: Promise<T>): Promise<T> {
    this.#pending.add(answer)
    const forget = () => this.#pending.delete(answer)
    answer.then(forget, forget)
    return answer
  }
}
