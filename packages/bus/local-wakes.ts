/** The subscribers within this process: all engines hand wake-ups to them here, merged and in a later turn. */
import type { Timers } from '@signet/kernel/surroundings.ts'
import { SUBJECTS, type Subject, type Subscription, type WokenBy } from './bus.ts'

export interface LocalWakes {
  subscribe(subject: Subject, wake: (by: WokenBy) => void): Subscription
  /** Calls the subscribers once at the end of this turn, however often it is called in it. */
  wake(subject: Subject, by: WokenBy): void
  wakeAll(): void
  close(): void
}

export function createLocalWakes(timers: Timers): LocalWakes {
  // A subscriber is a box, so that one function subscribed twice is two subscriptions.
  const subscribers = new Map<Subject, Set<{ readonly wake: (by: WokenBy) => void }>>(
    SUBJECTS.map((subject) => [subject, new Set()]),
  )
  const due = new Map<Subject, WokenBy>()
  let closed = false

  function wake(subject: Subject, by: WokenBy): void {
    if (closed) return
    const isDue = due.has(subject)
    if (!isDue || by === 'others') due.set(subject, by)
    if (isDue) return
    timers.soon(() => {
      const by = due.get(subject) as WokenBy
      due.delete(subject)
      if (closed) return
      const present = subscribers.get(subject) as Set<{ readonly wake: (by: WokenBy) => void }>
      // A copy, and membership asked again: a subscriber may stop another while we go round.
      for (const subscriber of [...present]) if (present.has(subscriber)) subscriber.wake(by)
    })
  }

  return {
    subscribe(subject, wakeUp) {
      const present = subscribers.get(subject) as Set<{ readonly wake: (by: WokenBy) => void }>
      const subscriber = { wake: wakeUp }
      present.add(subscriber)
      return { stop: () => void present.delete(subscriber) }
    },
    wake,
    wakeAll() {
      for (const subject of SUBJECTS) wake(subject, 'others')
    },
    close() {
      closed = true
      for (const present of subscribers.values()) present.clear()
    },
  }
}
