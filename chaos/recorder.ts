/** Writes a history down, in memory and as lines of JSON in a file that is kept when something was found. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import type { Fact, Unstamped } from './facts.ts'

/** Milliseconds of the machine's monotonic clock: one for all of its processes, never stepped. */
export const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6

export interface Recorder {
  readonly facts: readonly Fact[]
  /** Milliseconds since the run began. */
  now(): number
  /** `atMs`: by the machine's clock, when somebody else saw it. */
  note(fact: Unstamped, atMs?: number): number
  /** A number for a call or a revocation. */
  number(): number
  close(): Promise<void>
}

export function createRecorder(file: string): Recorder {
  const beganMs = machineMs()
  const facts: Fact[] = []
  const out = createWriteStream(file, { mode: 0o600 })
  out.on('error', () => {}) // Somebody who is late, when it is closed; or the directory has gone.
  let numbers = 0
  return {
    facts,
    now: () => machineMs() - beganMs,
    note(fact, atMs = machineMs()) {
      const at = Math.round((atMs - beganMs) * 1000) / 1000
      const stamped = { at, ...fact } as Fact
      facts.push(stamped)
      out.write(`${JSON.stringify(stamped)}\n`)
      return at
    },
    number: () => ++numbers,
    close: () => new Promise((resolve) => out.end(() => resolve())),
  }
}

/** What stands for a token in a history. */
export const digest = (token: string): string => createHash('sha256').update(token).digest('base64url').slice(0, 16)
