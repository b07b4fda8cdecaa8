/**
 * Group commit on PostgreSQL: the works of a group run side by side in one transaction on one pipelined connection. When
 * one of them must be undone the whole group is, and it runs again without him.
 */

import { GENESIS } from '@signet/kernel/audit-entry.ts'
import { Fault, fault } from '@signet/kernel/errors.ts'
import type { Timers } from '@signet/kernel/surroundings.ts'
import { doAgree, flushOutboxes } from './flush.ts'
import {
  AGAIN_MS,
  isCollision,
  isOfAnotherEpoch,
  isSilence,
  isTaken,
  type Line,
  postgresDialect,
  postgresFault,
  type Session,
} from './postgres-line.ts'
import { TIMELINE_NOW } from './postgres-timeline.ts'
import { type Beginning, PostgresWork, SharedTransaction } from './postgres-work.ts'
import { gaveUp, type Job, type Queue, watch } from './queue.ts'
import { type ChainHead, type ChainPlace, readChain } from './tables/audit.ts'
import { BEGINNING, knownFrom } from './tables/beginning.ts'
import { Overtaken, type Row } from './tables/sql.ts'
import { type Shared, Transaction } from './tables/transaction.ts'

/** A work in company that was undone so often gets a transaction to itself. */
const MAX_COMPANY = 2
/** A work alone that found a unique key taken looks again so often; then it is a bug of its own. */
const MAX_TAKEN = 3

const BEGIN = 'begin isolation level read committed'
const NOW = 'select cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint) as now_ms'
const BEGUN = `${NOW}, ${BEGINNING}`
const BEGUN_WHERE = `${NOW}, ${TIMELINE_NOW} as timeline, ${BEGINNING}`

export class Committer {
  readonly #shared: Shared
  readonly #timers: Timers
  readonly #queue: Queue
  #chain: ChainHead
  /** A commit's outcome is unknown, so the store must be asked where the chain stands. */
  #chainUnsure = false
  /** Commits end one after another, since each link of the chain needs the one before. */
  #turn: Promise<void> = Promise.resolve()
  /** The last commit met trouble of the server's or the network's. */
  troubled = false
  /** Connections on which the chain is known to stand where we think. */
  readonly #known = new WeakSet<Session>()

  constructor(chain: string, shared: Shared, timers: Timers, queue: Queue) {
    this.#chain = { chain, index: 0, hash: GENESIS }
    this.#shared = shared
    this.#timers = timers
    this.#queue = queue
  }

  /** The last link of the chain whose commit was acknowledged. */
  get acknowledged(): ChainPlace {
    return this.#chain
  }

  /** Runs the jobs to one commit. Everybody is answered, or back in the queue, when it resolves. */
  async run(line: Line, jobs: readonly Job[]): Promise<void> {
    const turn = this.#newTurn()
    const began = performance.now()
    try {
      const { session, ...beginning } = await begin(line)
      const shared = new SharedTransaction((text, values) => session.query(text, values), beginning, this.#timers, turn.take)
      const ended = await this.#runAll(jobs, shared)
      if (mustUndo(ended, shared)) await this.#undo(session, ended, shared)
      else {
        await turn.take()
        await this.#commit(session, ended, shared)
      }
    } catch (error) {
      await line.drop()
      if (isCollision(error)) for (const job of jobs.toReversed()) this.#queue.putBack(job, error)
      else {
        this.#fail(jobs, error)
        // Who waits for a turn at a server that hangs would wait as long again.
        if (isSilence(error) && performance.now() - began > AGAIN_MS) this.#fail(this.#queue.takeAll(), error)
      }
    } finally {
      turn.release()
    }
  }

  async #runAll(jobs: readonly Job[], shared: SharedTransaction): Promise<Ended[]> {
    const giveUps: (() => void)[] = []
    const watching = watch(this.#timers, () => {
      for (const giveUp of giveUps) giveUp()
    })
    const ended = await Promise.all(
      jobs.map(async (job): Promise<Ended> => {
        const work = new PostgresWork(shared)
        try {
          const answer = await new Promise<unknown>((resolve, reject) => {
            // Who waits for the server is left to the server's own bounds.
            giveUps.push(() => work.waits || reject(gaveUp()))
            job.run(new Transaction(work, this.#shared), work).then(resolve, reject)
          })
          await work.end()
          return { job, work, thrown: undefined, answer }
        } catch (error) {
          await work.end()
          return { job, work, thrown: { error }, answer: undefined }
        }
      }),
    )
    watching.cancel()
    return ended
  }

  async #commit(session: Session, ended: readonly Ended[], shared: SharedTransaction): Promise<void> {
    const kept = ended.filter((end) => end.thrown === undefined)
    const last = shared.common()
    // A new connection may lead to another server, which may lack the end of the chain.
    if (this.#chainUnsure || !this.#known.has(session)) {
      this.#chain = await readChain(last, this.#chain.chain)
      this.#chainUnsure = false
      this.#known.add(session)
    }
    const outboxes = kept.map(({ work }) => work.outbox)
    if (!doAgree(outboxes)) {
      await session.query('rollback')
      return this.#again(ended, 'overtaken')
    }
    // The commit is sent along, so that the log's head is not locked until we have heard: where another epoch has begun, or the chain
    // is further on, a statement fails, and the server undoes all.
    const flushing = flushOutboxes(last, outboxes, this.#chain).catch(refused)
    session.warnings.length = 0
    this.#chainUnsure = true // Until the answer is here.
    const [flushed, { command }] = await Promise.all([flushing, session.query('commit')])
    if (command === 'ROLLBACK' && flushed === 'overtaken') return this.#again(ended, 'overtaken')
    if (command !== 'COMMIT' || flushed === 'overtaken')
      throw new Error(`commit was answered by ${command}, the chain's head is ${flushed}`)
    const cancelled = session.warnings.find(({ code }) => UNREPLICATED.includes(code))
    if (cancelled !== undefined) throw fault('store_unavailable', { cause: new Error(cancelled.message) })
    this.#chain = flushed.chain
    this.#chainUnsure = false
    this.troubled = false
    for (const task of last.done) task()
    for (const end of ended) settle(end)
  }

  #again(ended: readonly Ended[], cause: unknown): void {
    for (const { job } of ended.toReversed()) this.#queue.putBack(job, cause, job.tries + 1 >= MAX_COMPANY)
  }

  /** Takes the transaction back; whoever is to blame runs alone next, the others in company. */
  async #undo(session: Session, ended: readonly Ended[], shared: SharedTransaction): Promise<void> {
    const { failure } = shared
    const trouble = failure && postgresFault(failure.error)
    if (trouble) throw trouble
    await session.query('rollback')
    for (const end of ended.toReversed()) {
      const { job, work, thrown } = end
      const blamed = failure?.work === work || (thrown !== undefined && (work.wrote || thrown.error instanceof Overtaken))
      const error = failure?.work === work ? failure.error : (thrown?.error ?? failure?.error)
      if (ended.length > 1) this.#queue.putBack(job, error, blamed || job.tries + 1 >= MAX_COMPANY)
      else if (error instanceof Overtaken || isCollision(error)) this.#queue.putBack(job, error)
      else if (isTaken(error) && job.tries < MAX_TAKEN) this.#queue.putBack(job, error)
      else job.reject(error)
    }
  }

  #fail(jobs: readonly Job[], error: unknown): void {
    const trouble = error instanceof Fault ? error : postgresFault(error)
    if (trouble !== undefined && trouble.code !== 'stopping') this.troubled = true
    for (const job of jobs) job.reject(trouble ?? error)
  }

  #newTurn(): { take(): Promise<void>; release(): void } {
    let mine: Promise<void> | undefined
    let free: () => void = () => undefined
    return {
      take: () => {
        if (mine === undefined) {
          mine = this.#turn
          this.#turn = new Promise((resolve) => {
            free = resolve
          })
        }
        return mine
      },
      // Only when its turn had come: who gave up earlier must not let the next one in beside the one before.
      release: () => void mine?.then(free),
    }
  }
}

/** The row of a link is there already: an earlier commit had gone through although nobody heard of it. Or the log is of another epoch. */
function refused(error: unknown): 'overtaken' {
  if (isTaken(error) || isOfAnotherEpoch(error)) return 'overtaken'
  throw error
}

/** Begins a transaction. A connection that broke while it was idle is made anew. */
async function begin(line: Line): Promise<Beginning & { readonly session: Session }> {
  const began = performance.now()
  for (let tries = 1; ; tries++) {
    try {
      const session = await line.session()
      const text = session.timeline === undefined ? BEGUN : BEGUN_WHERE
      const begun = session.query(BEGIN)
      const [now] = await Promise.all([session.query(text), begun, ...session.begins.map((each) => session.query(each))])
      const row = now.rows[0] as Row
      // Behind a pooler the server can be another one than the connection was made to.
      if (session.timeline === row.timeline)
        return { session, nowMs: row.now_ms as number, known: knownFrom(row, postgresDialect) }
      if (tries === 2) throw fault('store_unavailable', { because: 'the pooler lends connections to another server each time' })
      await line.drop()
    } catch (error) {
      if (tries === 2 || postgresFault(error) === undefined || performance.now() - began > AGAIN_MS) throw error
      await line.drop()
    }
  }
}

/** A work that has run. */
interface Ended {
  readonly job: Job
  readonly work: PostgresWork
  readonly thrown: { readonly error: unknown } | undefined
  readonly answer: unknown
}

/** A work that threw before it wrote left nothing to undo: only its caller must hear of it. */
function mustUndo(ended: readonly Ended[], shared: SharedTransaction): boolean {
  if (shared.failure !== undefined) return true
  return ended.some(({ thrown, work }) => thrown !== undefined && (work.wrote || thrown.error instanceof Overtaken))
}

function settle({ job, work, thrown, answer }: Ended): void {
  if (thrown !== undefined) job.reject(thrown.error)
  else {
    for (const task of work.done) task()
    job.resolve(answer)
  }
}

/**
 * What the server warns with when it stops waiting for its standby: the commit is on this machine alone. It says so in a
 * notice and calls the commit done; we do not.
 */
const UNREPLICATED: readonly string[] = ['01000', '57P01']
