/**
 * How one node tells the others "look at the store": wake-ups without content. The store is the truth and everything a
 * wake-up announces is also found by polling, so an engine may lose wake-ups, repeat them and merge them; it must only be
 * quick when it can. Three engines stand behind this port (in-process.ts, postgres.ts, nats.ts), and one contract
 * suite (bus.contract.ts).
 */

/** What there may be to look at. A closed list, so that an engine may use them as channel names. */
export const SUBJECTS = ['revocations', 'keys', 'clients', 'policy'] as const
export type Subject = (typeof SUBJECTS)[number]

export interface Bus {
  /**
   * Wakes every subscriber of every node, the caller's own too, in a later turn. Returns at once and never throws: a wake-up
   * that gets lost costs its subscribers the time to their next poll. Calls close together may become one wake-up.
   */
  publish(subject: Subject): void
  /**
   * `wake` is called after a `publish`, and after any time in which one may have been missed (a link that came back). It
   * must not throw, and may be called when there is nothing new.
   */
  subscribe(subject: Subject, wake: (by: WokenBy) => void): Subscription
  /** Whether wake-ups of other nodes arrive at present. Always true in one process. */
  linked(): boolean
  /** No subscriber is called after it. Publishing to a closed bus does nothing. */
  close(): Promise<void>
}

/** `own`: nobody but this very bus published since the last wake-up. In one process nobody is told apart. */
export type WokenBy = 'own' | 'others'

export interface Subscription {
  /** `wake` is not called again. */
  stop(): void
}

/** What an engine may report about itself; all optional. */
export interface BusObserver {
  /** The link to the other nodes came up or broke; `cause` says why. */
  link?(up: boolean, cause?: unknown): void
}
