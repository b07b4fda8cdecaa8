/** Waiting: interruptible, longer after each failure, and not for ever on somebody silent. */
import type { Chance, Clock, Timers } from '@signet/kernel/surroundings.ts'

/** Resolves after the time, or at once when the signal ends or `wake` is called. */
export class Pause {
  private readonly timers: Timers
  private readonly signal: AbortSignal
  private wakeUp: (() => void) | undefined

  constructor(timers: Timers, signal: AbortSignal) {
    this.timers = timers
    this.signal = signal
    signal.addEventListener('abort', () => this.wake())
  }

  wait(milliseconds: number): Promise<void> {
    if (this.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.timers.after(milliseconds, () => this.wake())
      this.wakeUp = () => {
        this.wakeUp = undefined
        timer.cancel()
        resolve()
      }
    })
  }

  wake(): void {
    this.wakeUp?.()
  }
}

/** 0–100 ms, then doubling from 200 ms up to a bound; half of each wait is chance, so that a fleet does not come back as one. */
export class Backoff {
  private readonly chance: Chance
  private readonly mostMs: number
  private failures = 0

  constructor(chance: Chance, mostMs: number) {
    this.chance = chance
    this.mostMs = mostMs
  }

  nextMs(): number {
    const share = (this.chance.bytes(1)[0] as number) / 255
    if (this.failures++ === 0) return share * 100
    const base = Math.min(this.mostMs, 100 * 2 ** Math.min(this.failures - 1, 16))
    return base / 2 + (share * base) / 2
  }

  /** Things went well. */
  reset(): void {
    this.failures = 0
  }
}

/** Calls `onSilence` once nothing has been heard for so long. One timer, however much is heard. */
export function silenceWatch(
  { clock, timers }: { readonly clock: Clock; readonly timers: Timers },
  onSilence: () => void,
  silenceMs: number,
): { heard(): void; stop(): void } {
  let heardAt = clock.monotonic()
  const check = (): void => {
    const left = heardAt + silenceMs - clock.monotonic()
    if (left < 1)
      onSilence() // Timers know no smaller part of a millisecond, and would come back at once for it.
    else timer = timers.after(left, check)
  }
  let timer = timers.after(silenceMs, check)
  return {
    heard: () => {
      heardAt = clock.monotonic()
    },
    stop: () => timer.cancel(),
  }
}
