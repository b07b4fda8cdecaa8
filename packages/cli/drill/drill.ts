/**
 * A drill: something bad is done on purpose, the answer is practised with the commands that a person on call would use, and it is checked that what
 * must be true is. The times that it takes are the result.
 */
import type { AdminClient } from '@signet/api/client.ts'
import type { ScratchOptions } from './scratch.ts'

export interface Drill {
  readonly name: string
  readonly brief: string
  /** What it does in a scratch environment, in the order in which it does it; told before it begins. */
  readonly does: readonly string[]
  /** What it needs beside this program. */
  readonly needs?: { readonly database?: string; readonly bus?: string }
  /** In an environment of its own, which it starts itself. */
  scratch(run: Run, options: ScratchOptions): Promise<void>
  /** In the environment that the credentials name; absent where there is nothing that should be done to one that is in use. */
  readonly named?: {
    /** What it does there, which is less. */
    readonly does: readonly string[]
    /** What people there will notice; they are asked for it. */
    readonly harm: string | undefined
    play(run: Run, admin: AdminClient): Promise<void>
  }
}

export interface Step {
  readonly what: string
  readonly ok: boolean
  readonly ms?: number
}

export interface Run {
  readonly steps: readonly Step[]
  /** Something that must be true. */
  check(what: string, ok: boolean, ms?: number): void
  /** Does it, and says how long it took. */
  timed<T>(what: string, work: () => Promise<T>): Promise<T>
  /** Waits until it is so; the check fails after `withinMs`. Milliseconds it took. */
  until(what: string, withinMs: number, isSo: () => Promise<boolean>): Promise<void>
}

export function createRun(told: (step: Step) => void): Run {
  const steps: Step[] = []
  const add = (step: Step) => {
    steps.push(step)
    told(step)
  }
  return {
    steps,
    check: (what, ok, ms) => add({ what, ok, ...(ms !== undefined && { ms }) }),
    async timed(what, work) {
      const began = performance.now()
      try {
        const result = await work()
        add({ what, ok: true, ms: performance.now() - began })
        return result
      } catch (error) {
        add({ what: `${what}: ${(error as Error).message}`, ok: false, ms: performance.now() - began })
        throw error
      }
    },
    async until(what, withinMs, isSo) {
      const began = performance.now()
      let ok = false
      while (!ok && performance.now() - began < withinMs) {
        ok = await isSo()
        if (!ok) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
      }
      add({ what, ok, ms: performance.now() - began })
    },
  }
}

const LOOK_MS = 5
