/**
 * A machine of the simulated world: a wall clock that may be wrong, a monotonic one, timers, chance. It can crash (all it was about to do is
 * gone), stop for a while (SIGSTOP: it goes on later with all it missed) and sleep (the same, and its monotonic clock stood still).
 */
import type { Clock, Surroundings, Timers } from '@signet/kernel/surroundings.ts'
import type { Dice } from './dice.ts'
import type { VirtualTime } from './time.ts'

/** Wall time at which every world begins: 2026-11-20. */
export const EPOCH_MS = Date.UTC(2026, 10, 20)

export interface Machine {
  readonly name: string
  readonly surroundings: Surroundings
  readonly isUp: boolean
  readonly isPaused: boolean
  /** Counts its lives: what was begun in an earlier one does not reach a later one. */
  readonly life: number
  /** Wall clock minus true time, milliseconds. */
  readonly offsetMs: number
  setOffset(milliseconds: number): void
  /** Runs `task` on this machine as soon as it can: now, after its pause, or never if it has crashed since. */
  deliver(task: () => void): void
  crash(): void
  start(): void
  pause(): void
  /** `slept`: its monotonic clock stood still meanwhile. */
  resume(slept: boolean): void
  delay(milliseconds: number): Promise<void>
  /** Calls `task` once, when it crashes next. */
  onCrash(task: () => void): void
}

export function createMachine(name: string, time: VirtualTime, dice: Dice): Machine {
  let life = 1
  let isUp = true
  let isPaused = false
  let pausedAtMs = 0
  let offsetMs = 0
  let lostMs = 0
  let held: (() => void)[] = []
  const mourners: (() => void)[] = []

  const clock: Clock = {
    now: () => Math.floor(EPOCH_MS + time.nowMs + offsetMs),
    monotonic: () => time.nowMs - lostMs,
  }
  function deliver(task: () => void, born = life): void {
    if (born !== life || !isUp) return
    if (isPaused) held.push(() => deliver(task, born))
    else task()
  }
  const timers: Timers = {
    after(milliseconds, task) {
      const born = life
      let live = true
      const happening = time.after(milliseconds, name, () => deliver(() => live && task(), born))
      return {
        cancel: () => {
          live = false
          happening.cancel()
        },
      }
    },
    soon(task) {
      const born = life
      time.after(0, name, () => deliver(task, born))
    },
  }
  return {
    name,
    surroundings: { clock, chance: dice.chance, timers },
    get isUp() {
      return isUp
    },
    get isPaused() {
      return isPaused
    },
    get life() {
      return life
    },
    get offsetMs() {
      return offsetMs
    },
    setOffset(milliseconds) {
      offsetMs = milliseconds
    },
    deliver: (task) => deliver(task),
    crash() {
      life++
      isUp = false
      isPaused = false
      held = []
      for (const mourner of mourners.splice(0)) mourner()
    },
    onCrash: (task) => void mourners.push(task),
    start() {
      isUp = true
    },
    pause() {
      if (!isUp || isPaused) return
      isPaused = true
      pausedAtMs = time.nowMs
    },
    resume(slept) {
      if (!isPaused) return
      isPaused = false
      if (slept) lostMs += time.nowMs - pausedAtMs
      // One after another in their order, each in a turn of its own, as an event loop would find them.
      const waiting = held
      held = []
      for (const task of waiting) time.after(0, name, task)
    },
    delay: (milliseconds) => new Promise((resolve) => timers.after(milliseconds, resolve)),
  }
}
