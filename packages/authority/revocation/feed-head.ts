/**
 * The answer to "what is your head?". It is read from the store after the question has come, so that it proves something; many
 * questions share one read, but only those that were there before it began.
 */
import { fault } from '@signet/kernel/errors.ts'
import type { Timers } from '@signet/kernel/surroundings.ts'
import type { LogHead } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'

export interface HeadReader {
  /** Throws a fault when the store does not answer or too many ask. */
  read(): Promise<LogHead>
}

/** Questions that wait for the next read, at most. */
const MAX_WAITING = 10_000
const PATIENCE_MS = 3000

export function createHeadReader(parts: { readonly store: Pick<Store, 'revocations'>; readonly timers: Timers }): HeadReader {
  let waiting: PromiseWithResolvers<LogHead>[] = []
  let reading = false

  function start(): void {
    const served = waiting
    waiting = []
    reading = true
    const late = Promise.withResolvers<never>()
    const because = 'the head of the log was not read in time'
    const timer = parts.timers.after(PATIENCE_MS, () => late.reject(fault('store_unavailable', { because })))
    Promise.race([parts.store.revocations.head(), late.promise])
      .then(
        (head) => {
          for (const question of served) question.resolve(head)
        },
        (cause: unknown) => {
          for (const question of served) question.reject(cause)
        },
      )
      .finally(() => {
        timer.cancel()
        reading = false
        if (waiting.length > 0) start()
      })
  }

  return {
    read() {
      if (waiting.length >= MAX_WAITING)
        return Promise.reject(fault('overloaded', { because: 'too many wait for the head of the log' }))
      const question = Promise.withResolvers<LogHead>()
      waiting.push(question)
      if (!reading) start()
      return question.promise
    },
  }
}
