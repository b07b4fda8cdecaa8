/**
 * What a node does by itself, over and over. Each task is short, bounded and harmless when several nodes do it at once; one that
 * fails is logged and tried again at its next turn.
 */
import type { Clock, Timer, Timers } from '@signet/kernel/surroundings.ts'
import type { Log } from './telemetry/log.ts'

export interface Task {
  readonly name: string
  readonly everyMs: number
  /** Does one bounded piece; true when there is more to do at once. */
  run(): Promise<boolean | undefined>
}

/** Pieces of one task in a row, so that a task with much to do leaves room for requests in between. */
export const BREATH_MS = 20

export interface Tasks {
  /** Milliseconds since each ended well, or since they were started when it never did. */
  ages(): ReadonlyMap<string, number>
  /** Stops; resolves when nothing runs any more. */
  close(): Promise<void>
}

export function startTasks(tasks: readonly Task[], parts: { clock: Clock; timers: Timers; log: Log }): Tasks {
  const { clock, timers, log } = parts
  const endedAt = new Map(tasks.map(({ name }) => [name, clock.monotonic()]))
  const waiting = new Map<string, Timer>()
  const running = new Set<Promise<void>>()
  let closed = false

  const schedule = (task: Task, inMs: number) => {
    if (closed) return
    waiting.set(
      task.name,
      timers.after(inMs, () => {
        const turn = once(task).finally(() => running.delete(turn))
        running.add(turn)
      }),
    )
  }

  async function once(task: Task): Promise<void> {
    let more: boolean | undefined = false
    try {
      more = await task.run()
      endedAt.set(task.name, clock.monotonic())
    } catch (error) {
      log.warn({ task: task.name, err: error }, 'a background task failed and will be tried again')
    }
    schedule(task, more === true ? BREATH_MS : task.everyMs)
  }

  for (const task of tasks) schedule(task, task.everyMs)
  return {
    ages() {
      const now = clock.monotonic()
      return new Map([...endedAt].map(([name, at]) => [name, now - at]))
    },
    async close() {
      closed = true
      for (const timer of waiting.values()) timer.cancel()
      await Promise.all(running)
    },
  }
}
