/**
 * The pace of long background work, in one place. Such work is cut into pieces that are small beside a commit, and after each comes a
 * pause by how long it took: so it has at most a stated part of the time while requests come, on a fast disk and on a slow one, and less of it
 * the busier the store is. When nobody asks there are no pauses. A pause has a bound, so that the work always goes on.
 */
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'

/**
 * `whenever`: nobody waits for its end, and it grows by little in a day. `soon`: an operator waits for it, or it grows with every request and
 * must not fall behind.
 */
export type Haste = 'whenever' | 'soon'

/** The part of the time that pieces may take, and the longest pause between two. */
const PACES: Readonly<Record<Haste, { readonly share: number; readonly longestPauseMs: number }>> = {
  whenever: { share: 0.03, longestPauseMs: 25 },
  soon: { share: 0.5, longestPauseMs: 10 },
}

/**
 * Rows in one piece. `families`, `rows`: that it deletes. On SQLite a family costs the only writer 0.1 ms, most of it the pages that go to
 * the log, for which everybody in that commit waits; PostgreSQL takes many in one statement, beside the commits of requests. `looks`: families that it
 * reads to find those that are over. `entries`: of the log, that it carries into a new epoch; a millisecond or two, reading and hashing included.
 */
export const PIECE = {
  sqlite: { families: 1, rows: 16, looks: 64, entries: 32 },
  postgres: { families: 16, rows: 64, looks: 128, entries: 64 },
} as const
/** Targets in one piece of a batch. Its pace is the operator's (`perSecond`). */
export const BATCH_TARGETS_AT_ONCE = 64

/** No request for so long: nobody is disturbed. */
const QUIET_MS = 1000

export class Pace {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #isShared: boolean
  /** Of each haste its last piece with the pause after it: the next begins behind them. */
  readonly #lanes = new Map<Haste, Promise<void>>()
  /** There is one piece at a time. */
  #piece: Promise<unknown> = Promise.resolve()
  #askedMs = Number.NEGATIVE_INFINITY

  /** `isShared`: other nodes use the store too, so that there are always requests, seen or not. */
  constructor(clock: Clock, timers: Timers, isShared: boolean) {
    this.#clock = clock
    this.#timers = timers
    this.#isShared = isShared
  }

  /** A request asks for something. */
  asked(): void {
    this.#askedMs = this.#clock.monotonic()
  }

  /** Runs a piece when its turn has come. A piece must not wait for another. */
  gently<T>(haste: Haste, piece: () => Promise<T>): Promise<T> {
    const answer = Promise.withResolvers<T>()
    const before = this.#lanes.get(haste) ?? Promise.resolve()
    const alive = setInterval(() => {}, 2 ** 30) // The timer of a pause would let the process end in the midst of its work.
    const mine = before.then(async () => {
      clearInterval(alive)
      const timing = this.#piece.then(() => this.#time(piece, answer))
      this.#piece = timing
      await this.#pause(haste, await timing)
    })
    this.#lanes.set(haste, mine)
    return answer.promise
  }

  /** Milliseconds that it took, ended well or not. */
  async #time<T>(piece: () => Promise<T>, answer: PromiseWithResolvers<T>): Promise<number> {
    const beganMs = this.#clock.monotonic()
    try {
      answer.resolve(await piece())
    } catch (error) {
      answer.reject(error)
    }
    return this.#clock.monotonic() - beganMs
  }

  async #pause(haste: Haste, tookMs: number): Promise<void> {
    const { share, longestPauseMs } = PACES[haste]
    const pauseMs = Math.min(longestPauseMs, tookMs / share - tookMs)
    const isQuiet = !this.#isShared && this.#clock.monotonic() - this.#askedMs >= QUIET_MS
    if (pauseMs <= 0 || isQuiet) return
    await new Promise<void>((resolve) => this.#timers.after(pauseMs, resolve))
  }
}
