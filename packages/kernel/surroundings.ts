/**
 * What code that decides may know of the outside: time, chance, timers. They come in as arguments, so that a
 * whole cluster with its validators can run in one process from one seed and every failure replays.
 */

export interface Clock {
  /** Wall time, epoch milliseconds. May step. */
  now(): number
  /** Milliseconds since some fixed moment. Never goes back; may stand still while the machine sleeps. */
  monotonic(): number
}

export interface Chance {
  /** Fresh bytes, unpredictable in production. The caller owns the array. */
  bytes(count: number): Uint8Array
}

export interface Timer {
  cancel(): void
}

export interface Timers {
  /** Runs `task` once, after `milliseconds`. Never keeps the process alive by itself. */
  after(milliseconds: number, task: () => void): Timer
  /** Runs `task` once at the end of this turn of the event loop: where small writes gather into one commit. */
  soon(task: () => void): void
}

/** Everything above in one value, for those who need it all. */
export interface Surroundings {
  readonly clock: Clock
  readonly chance: Chance
  readonly timers: Timers
}

/** SHA-256. Passed in, since the kernel imports nothing of Node. */
export type Sha256 = (data: string | Uint8Array) => Uint8Array

export const epochSeconds = (milliseconds: number): number => Math.floor(milliseconds / 1000)
