/** Time, chance and timers that a test holds in its hand: the same seed gives the same run. */
import type { Chance, Clock, Surroundings, Timer, Timers } from '@signet/kernel/surroundings.ts'

export interface ManualClock extends Clock {
  /** Lets time pass on both clocks; timers that come due on the way run in their order, each at its own time. */
  advance(milliseconds: number): void
  /** Moves the wall clock alone, forwards or back: a time server steps it, or the machine slept. */
  step(milliseconds: number): void
  /** Calls `run` on the way of `advance`: it says when its next timer is due, and runs it. For `manualTimers`. */
  attach(source: { nextAt(): number | undefined; runNext(): void }): void
}

/** A clock that stands still until it is moved. `startMs` in epoch milliseconds; the monotonic clock begins at 0. */
export function manualClock(startMs = Date.UTC(2026, 10, 20)): ManualClock {
  let wall = startMs
  let monotonic = 0
  const sources: { nextAt(): number | undefined; runNext(): void }[] = []
  const pass = (milliseconds: number) => {
    wall += milliseconds
    monotonic += milliseconds
  }
  return {
    now: () => Math.floor(wall),
    monotonic: () => monotonic,
    advance(milliseconds) {
      const end = monotonic + milliseconds
      for (;;) {
        const next = sources
          .map((source) => ({ source, at: source.nextAt() ?? Number.POSITIVE_INFINITY }))
          .reduce((a, b) => (b.at < a.at ? b : a), { source: undefined as (typeof sources)[number] | undefined, at: end + 1 })
        if (next.source === undefined || next.at > end) break
        pass(Math.max(0, next.at - monotonic))
        next.source.runNext()
      }
      pass(end - monotonic)
    },
    step(milliseconds) {
      wall += milliseconds
    },
    attach(source) {
      sources.push(source)
    },
  }
}

/** Timers that run when the clock is advanced past them. `soon` runs at the end of the real turn, as it always does. */
export function manualTimers(clock: ManualClock): Timers & { pending(): number } {
  let waiting: { readonly at: number; readonly order: number; readonly task: () => void }[] = []
  let order = 0
  const first = () =>
    waiting.reduce<(typeof waiting)[number] | undefined>(
      (a, b) => (a === undefined || b.at < a.at || (b.at === a.at && b.order < a.order) ? b : a),
      undefined,
    )
  clock.attach({
    nextAt: () => first()?.at,
    runNext() {
      const next = first()
      waiting = waiting.filter((timer) => timer !== next)
      next?.task()
    },
  })
  return {
    after(milliseconds, task): Timer {
      const timer = { at: clock.monotonic() + Math.max(0, milliseconds), order: order++, task }
      waiting.push(timer)
      return {
        cancel() {
          waiting = waiting.filter((other) => other !== timer)
        },
      }
    },
    soon: (task) => void setImmediate(task),
    pending: () => waiting.length,
  }
}

/** Bytes from a seed (sfc32): good enough to tell ids apart, and the same in every run. Not for keys that matter. */
export function seededChance(seed: number | string): Chance {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = typeof seed === 'number' ? seed | 0 : textSeed(seed)
  let counter = 1
  const next = () => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return t
  }
  for (let i = 0; i < 16; i++) next()
  return {
    bytes(count) {
      const bytes = new Uint8Array(count)
      for (let i = 0, word = 0; i < count; i++, word >>>= 8) {
        if (i % 4 === 0) word = next() >>> 0
        bytes[i] = word & 0xff
      }
      return bytes
    },
  }
}

/** FNV-1a. */
function textSeed(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash | 0
}

/** All three in one. */
export function manualSurroundings(
  seed: number | string = 1,
  startMs?: number,
): Surroundings & { readonly clock: ManualClock; readonly timers: ReturnType<typeof manualTimers> } {
  const clock = manualClock(startMs)
  return { clock, chance: seededChance(seed), timers: manualTimers(clock) }
}
