/** The real clock, chance, timers and hash. Tests and simulations pass others. */
import { hash, randomFillSync } from 'node:crypto'
import type { Sha256, Surroundings } from '@signet/kernel/surroundings.ts'

export { createFile, isPrivate, makeDirectory } from '@signet/validator/private-file.ts'

export const sha256: Sha256 = (data) => hash('sha256', data, 'buffer')

export function realSurroundings(): Surroundings {
  return {
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    chance: { bytes: pooledBytes },
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

// One call to the kernel's generator costs 2 µs whatever its size, so small requests are cut from a pool.
const POOL_BYTES = 4096
const pool = new Uint8Array(POOL_BYTES)
let used = POOL_BYTES

function pooledBytes(count: number): Uint8Array {
  if (count > POOL_BYTES / 8) return randomFillSync(new Uint8Array(count))
  if (used + count > POOL_BYTES) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = pool.slice(used, used + count)
  pool.fill(0, used, used + count) // What was handed out does not stay behind.
  used += count
  return bytes
}
