/** The fleet: validators, and how far they have come. */

export interface ValidatorRecord {
  /** Whom it authenticates as; '' where the feed is open. */
  readonly client: string
  /** Its own name. */
  readonly validator: string
  readonly epoch: string
  /** The last sequence number it says it has applied. */
  readonly applied: number
  /** When it was first heard to have come so far: the last ones, oldest first. */
  readonly steps: readonly { readonly seq: number; readonly atMs: number }[]
  /** As it said when it was seen last; absent when it never was fresh, or did not say. */
  readonly stalenessMs?: number
  readonly version: string
  readonly firstSeenMs: number
  readonly seenMs: number
}

/** What one node heard of one validator since it last wrote: `steps` are the new ones. */
export type FleetNote = Omit<ValidatorRecord, 'firstSeenMs'>

/** Who has applied `seq` of `epoch`? Whoever is in `headEpoch` has taken over all there was before it. */
export interface FleetPlace {
  readonly epoch: string
  readonly seq: number
  readonly headEpoch: string
  /** Who is there now is asked: whoever is silent is gone, though he had come to the place before. */
  readonly presentOnly?: true
}

export interface FleetCounts {
  readonly applied: number
  readonly lagging: number
  /** Has not applied it, and was not seen since `aliveSinceMs`. */
  readonly gone: number
}

export interface FleetPage {
  readonly after?: { readonly client: string; readonly validator: string }
  readonly limit: number
}

/** Each call is one work of its own, out of the way of those that people wait for. */
export interface Fleet {
  list(page: FleetPage): Promise<readonly ValidatorRecord[]>
  count(place: FleetPlace, aliveSinceMs: number): Promise<FleetCounts>
  /** Each validator once, at most 500. What was seen later than it stays as it is. */
  note(notes: readonly FleetNote[]): Promise<void>
  /** Those not seen since `beforeMs`, and those seen least lately when there are more than `most`; at most 1000 at a time. */
  forget(beforeMs: number, most: number): Promise<number>
}
