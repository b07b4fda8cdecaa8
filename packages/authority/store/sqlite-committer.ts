/**
 * Group commit on SQLite: the works of a group run one after another in one transaction, and one sync of the disk serves
 * them all. When one must be undone the whole group runs again, then with a savepoint for each.
 */
import { GENESIS } from '@signet/kernel/audit-entry.ts'
import { Fault, fault } from '@signet/kernel/errors.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import { flushOutboxes } from './flush.ts'
import { gaveUp, type Job, Queue, watch } from './queue.ts'
import { isBusy, isLost, type SqliteConnection, sqliteFault } from './sqlite-file.ts'
import { SqliteWork } from './sqlite-work.ts'
import type { Tx } from './store.ts'
import type { ChainHead } from './tables/audit.ts'
import { Overtaken, type Work } from './tables/sql.ts'
import { type Shared, Transaction } from './tables/transaction.ts'

/** Transactions in one commit. More would only make the first of them wait. */
const MAX_GROUP = 256
/** After a work had to be undone, so many groups run with a savepoint for each, which costs them a tenth. */
const CAREFUL_GROUPS = 64
/** Attempts to begin, of up to 20 ms each, while another connection has the lock. */
const MAX_BUSY = 250

export class SqliteCommitter {
  /** Where the audit chain stands. Whoever opens the store says so before the first event comes. */
  chain: ChainHead = { chain: '', index: 0, hash: GENESIS }
  /** Why nothing more is acknowledged; for good when it is the disk's fault. */
  broken: Fault | undefined
  /** The last group met trouble of the disk's; the next that commits ends it. */
  troubled = false
  readonly #db: SqliteConnection
  readonly #shared: Shared
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #queue: Queue
  #scheduled = false
  #group: Promise<void> | undefined
  /** Ends the wait for the work that is running. */
  #giveUp: (() => void) | undefined
  /** Groups that still run with savepoints. */
  #careful = 0
  #stopping = false

  constructor(db: SqliteConnection, shared: Shared, clock: Clock, timers: Timers) {
    this.#db = db
    this.#shared = shared
    this.#clock = clock
    this.#timers = timers
    this.#queue = new Queue(clock)
  }

  /** The commit under way; lookups wait for its end, so that they see only what is durable. */
  get underWay(): Promise<void> | undefined {
    return this.#group
  }

  get queued(): number {
    return this.#queue.length
  }

  /** Runs it with others in one commit; the answer comes when that is durable. */
  inOneWork<T>(run: (tx: Tx, work: Work) => Promise<T>): Promise<T> {
    const stopped = this.broken ?? (this.#stopping ? fault('stopping') : undefined)
    if (stopped) return Promise.reject(stopped)
    const answer = this.#queue.add(run)
    this.#schedule()
    return answer
  }

  /** Lets no commit begin until the answer is called. */
  async pause(): Promise<() => void> {
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

  /** Commits what waits; whoever comes after the call is refused. */
  async stop(): Promise<void> {
    this.#stopping = true
    while (this.#group !== undefined || this.#queue.length > 0) await (this.#group ?? this.#commitGroup())
    this.broken ??= fault('stopping')
  }

  #schedule(): void {
    if (this.#scheduled || this.#group !== undefined) return
    this.#scheduled = true
    this.#timers.soon(() => {
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

  async #runGroup(jobs: readonly Job[]): Promise<void> {
    if (jobs.length === 0) return
    const watching = watch(this.#timers, () => this.#giveUp?.())
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
        return this.#clock.now()
      } catch (error) {
        if (!isBusy(error) || tries === MAX_BUSY) throw error
        await new Promise<void>((resolve) => this.#timers.soon(resolve))
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
      this.chain,
    )
    if (flushed === 'overtaken') {
      this.#db.run('rollback', [])
      return false
    }
    try {
      this.#db.run('commit', [])
    } catch (error) {
      if (isLost(error)) this.broken = sqliteFault(error)
      throw error
    }
    this.chain = flushed.chain
    this.troubled = false
    for (const task of last.done) task()
    return true
  }

  #failGroup(jobs: readonly Job[], error: unknown): void {
    try {
      if (this.#db.db.isTransaction) this.#db.run('rollback', [])
    } catch (cause) {
      this.broken ??= fault('store_unavailable', { cause })
    }
    const trouble = error instanceof Fault ? error : sqliteFault(error)
    if (trouble) this.troubled = true
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
