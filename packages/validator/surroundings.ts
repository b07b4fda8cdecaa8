/** The real clock, chance, timers and hash. Tests and simulations pass others. */
import { hash, randomFillSync } from 'node:crypto'
import type { Sha256, Surroundings } from '@signet/kernel/surroundings.ts'

export const sha256: Sha256 = (data) => hash('sha256', data, 'buffer')

/** The same as a text, one character for each byte: what `createKeyer` likes best. */
export const sha256Text = (data: Uint8Array): string => hash('sha256', data, 'latin1')

export function realSurroundings(): Surroundings {
  return {
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    chance: { bytes: (count) => randomFillSync(new Uint8Array(count)) },
    timers: {
      after(milliseconds, task) {
        const timer = setTimeout(task, milliseconds)
        timer.unref()
        return { cancel: () => clearTimeout(timer) }
      },
      soon: (task) => void setImmediate(task),
    },
  }
}

const LONG = 2 ** 30

/**
 * Keeps the process alive until `promise` has settled. Sockets and timers of a validator do not, so that a script may end
 * without closing it; but whoever waits for an answer must get it.
 */
export async function holdingProcess<T>(promise: Promise<T>): Promise<T> {
  const hold = setInterval(() => {}, LONG)
  try {
    return await promise
  } finally {
    clearInterval(hold)
  }
}
