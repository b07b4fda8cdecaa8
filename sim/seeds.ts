/**
 * Many seeds on all cores. A world takes its process for itself (builtins.ts), so each core gets a process that asks for one seed
 * after the other; which process a seed falls to changes nothing about its world.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Outcome } from './simulate.ts'

/** What a process is told to do. Only what can be sent: a mutant by its name. */
export interface Task {
  readonly seed: number
  /** Two regions, whose seeds are others. */
  readonly regions?: boolean
  readonly mutant?: string
  readonly faults?: readonly string[]
  readonly lines?: number
}

export interface Run {
  readonly first: number
  readonly count: number
  readonly task?: Omit<Task, 'seed'>
  /** Processes at once; as many as there are cores unless said. */
  readonly jobs?: number
  /** Called for each world as it ends, in no order of seeds. No new world is begun once it has answered false. */
  readonly each: (outcome: Outcome) => boolean
}

/** A world takes a second or so; one that takes so long waits for something that does not come, whatever runs beside it. */
const ENDLESS_MS = 60_000

/** Resolves with the number of worlds that were simulated. Rejects when a process dies, or a world does not come to an end. */
export async function simulateSeeds({ first, count, task = {}, jobs = availableParallelism(), each }: Run): Promise<number> {
  let next = first
  let done = 0
  let wanted = true
  const work = async (child: ChildProcess) => {
    const died = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`a simulating process ended by itself (${signal ?? code})`)
    })
    died.catch(() => {}) // It ends when it is told to, too.
    while (wanted && next < first + count) {
      const answer = once(child, 'message')
      const seed = next++
      child.send({ ...task, seed } satisfies Task)
      const endless = Promise.withResolvers<never>()
      const timer = setTimeout(() => endless.reject(new Error(`seed ${seed} does not come to an end`)), ENDLESS_MS)
      const [outcome] = (await Promise.race([answer, died, endless.promise]).finally(() => clearTimeout(timer))) as [Outcome]
      done++
      wanted = each(outcome) && wanted
    }
  }
  const children = Array.from({ length: Math.min(jobs, count) }, () =>
    fork(fileURLToPath(new URL('./seeds-process.ts', import.meta.url)), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  )
  try {
    await Promise.all(children.map(work))
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
  return done
}
