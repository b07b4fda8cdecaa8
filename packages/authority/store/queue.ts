/** Transactions that wait for a commit to take them along. Bounded in number and in time. */
import { fault } from '@signet/kernel/errors.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import type { Tx } from './store.ts'
import type { Work } from './tables/sql.ts'

export interface Job {
  readonly run: (tx: Tx, work: Work) => Promise<unknown>
  readonly resolve: (answer: unknown) => void
  readonly reject: (reason: unknown) => void
  readonly sinceMs: number
  /** Times it was undone and begun again. */
  tries: number
  /** It wants a commit to itself: in company it was undone. */
  alone: boolean
  /** It waited for something other than its transaction, and its caller was told: it is not run again. */
  givenUp: boolean
}

/** More waiting transactions than this is a flood: the next is told to come later. */
const MAX_WAITING = 10_000
/** Whoever waited so long is told to come later, for his own caller has gone. */
const MAX_WAIT_MS = 5_000
/** A work that is begun so often and overtaken each time gives up. */
const MAX_TRIES = 8

/** Ends the patience with works that wait for something else, every so often until it is cancelled. */
export function watch(timers: Timers, giveUp: () => void): { cancel(): void } {
  let timer = timers.after(MAX_WAIT_MS, again)
  function again(): void {
    timer = timers.after(MAX_WAIT_MS, again)
    giveUp()
  }
  return { cancel: () => timer.cancel() }
}

export const gaveUp = (): Error => new Error(`a transaction waited ${MAX_WAIT_MS} ms for something other than itself`)

export class Queue {
  readonly #clock: Clock
  #jobs: Job[] = []
  constructor(clock: Clock) {
    this.#clock = clock
  }
  get length(): number {
    return this.#jobs.length
  }
  /** Adds a transaction; its answer comes when a commit has taken it along. */
  add<T>(run: (tx: Tx, work: Work) => Promise<T>): Promise<T> {
    if (this.#jobs.length >= MAX_WAITING) return Promise.reject(fault('overloaded', { because: 'too many transactions wait' }))
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.monotonic()
      this.#jobs.push({
        run,
        resolve: resolve as (answer: unknown) => void,
        reject,
        sinceMs,
        tries: 0,
        alone: false,
        givenUp: false,
      })
    })
  }
  /** The next at most `most` that may share a commit, in the order they came, without those who waited too long. */
  take(most: number): Job[] {
    const oldest = this.#clock.monotonic() - MAX_WAIT_MS
    const taken: Job[] = []
    let at = 0
    for (; at < this.#jobs.length && taken.length < most; at++) {
      const job = this.#jobs[at] as Job
      if (job.sinceMs < oldest) {
        job.reject(fault('overloaded', { because: 'a transaction waited too long for its turn' }))
        continue
      }
      if (job.alone && taken.length > 0) break
      taken.push(job)
      if (job.alone) {
        at++
        break
      }
    }
    this.#jobs = this.#jobs.slice(at)
    return taken
  }
  /** All that wait, to be told that there is no use in it. */
  takeAll(): Job[] {
    return this.#jobs.splice(0)
  }
  /** Puts a job back to the front, to be tried again; one that was tried too often is told to come later. */
  putBack(job: Job, cause: unknown, alone = true): void {
    job.tries++
    job.alone = alone
    if (job.tries < MAX_TRIES) this.#jobs.unshift(job)
    else job.reject(fault('overloaded', { cause }))
  }
}
