/**
 * How one node tells the others "look at the store": wake-ups, which may bring along what there is to see. The store is the truth and
 * everything a wake-up announces is also found by polling, so an engine may lose wake-ups, repeat them, merge them and come without what
 * they should bring; it must only be quick when it can. Three engines stand behind this port (in-process.ts, postgres.ts, nats.ts), and one contract
 * suite (bus.contract.ts).
 */

/** What there may be to look at. A closed list, so that an engine may use them as channel names. */
export const SUBJECTS = ['revocations', 'keys', 'clients', 'policy'] as const
export type Subject = (typeof SUBJECTS)[number]

export interface Bus {
  /**
   * Wakes every subscriber of every node, the caller's own too, in a later turn. Returns at once and never throws: a wake-up
   * that gets lost costs its subscribers the time to their next poll. Calls close together may become one wake-up. `along` is asked for by
   * engines that carry it to the other nodes; as it is, so whoever gets it must see for himself whose it is.
   */
  publish(subject: Subject, along?: () => Uint8Array | undefined): void
  /**
   * `wake` is called after a `publish`, and after any time in which one may have been missed (a link that came back). It
   * must not throw, and may be called when there is nothing new.
   */
  subscribe(subject: Subject, wake: Wake): Subscription
  /** Whether wake-ups of other nodes arrive at present. Always true in one process. */
  linked(): boolean
  /** No subscriber is called after it. Publishing to a closed bus does nothing. */
  close(): Promise<void>
}

/**
 * Who published since the last wake-up. `own`: nobody but this very bus. `telling`: others too, and `along` is what they all brought. `others`:
 * somebody brought nothing, or too much. In one process nobody is told apart.
 */
export type WokenBy = 'own' | 'telling' | 'others'
export type Wake = (by: WokenBy, along: readonly Uint8Array[]) => void

/** What one wake-up brings along at most, in pieces and in bytes of each. */
export const MAX_ALONG = 64
export const MAX_ALONG_BYTES = 64 * 1024

export interface Subscription {
  /** `wake` is not called again. */
  stop(): void
}

/** What an engine may report about itself; all optional. */
export interface BusObserver {
  /** The link to the other nodes came up or broke; `cause` says why. */
  link?(up: boolean, cause?: unknown): void
}
