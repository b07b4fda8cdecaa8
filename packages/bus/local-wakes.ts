/** The subscribers within this process: all engines hand wake-ups to them here, merged and in a later turn. */
import type { Timers } from '@signet/kernel/surroundings.ts'
import { MAX_ALONG, SUBJECTS, type Subject, type Subscription, type Wake, type WokenBy } from './bus.ts'

/** A wake-up that is to come. */
export interface Due {
  readonly by: WokenBy
  readonly along: readonly Uint8Array[]
}

export interface LocalWakes {
  subscribe(subject: Subject, wake: Wake): Subscription
  /** Calls the subscribers once at the end of this turn, however often it is called in it. */
  wake(subject: Subject, due: Due): void
  wakeAll(): void
  close(): void
}

export const OWN: Due = { by: 'own', along: [] }
export const OTHERS: Due = { by: 'others', along: [] }

/** Two wake-ups as one. */
export function merged(one: Due | undefined, other: Due): Due {
  if (one === undefined) return other
  if (one.by === 'others' || other.by === 'others' || one.along.length + other.along.length > MAX_ALONG) return OTHERS
  return one.by === 'own' && other.by === 'own' ? OWN : { by: 'telling', along: [...one.along, ...other.along] }
}

export function createLocalWakes(timers: Timers): LocalWakes {
  // A subscriber is a box, so that one function subscribed twice is two subscriptions.
  const subscribers = new Map<Subject, Set<{ readonly wake: Wake }>>(SUBJECTS.map((subject) => [subject, new Set()]))
  const due = new Map<Subject, Due>()
  let closed = false

  function wake(subject: Subject, next: Due): void {
    if (closed) return
    const before = due.get(subject)
    due.set(subject, merged(before, next))
    if (before !== undefined) return
    timers.soon(() => {
      const { by, along } = due.get(subject) as Due
      due.delete(subject)
      if (closed) return
      const present = subscribers.get(subject) as Set<{ readonly wake: Wake }>
      // A copy, and membership asked again: a subscriber may stop another while we go round.
      for (const subscriber of [...present]) if (present.has(subscriber)) subscriber.wake(by, along)
    })
  }

  return {
    subscribe(subject, wakeUp) {
      const present = subscribers.get(subject) as Set<{ readonly wake: Wake }>
      const subscriber = { wake: wakeUp }
      present.add(subscriber)
      return { stop: () => void present.delete(subscriber) }
    },
    wake,
    wakeAll() {
      for (const subject of SUBJECTS) wake(subject, OTHERS)
    },
    close() {
      closed = true
      for (const present of subscribers.values()) present.clear()
    },
  }
}
