/** What a relay hears of the feed that its validator follows: every message as it came, after it was believed and taken in. */
import type { TrustedFeedKeys } from './signed-keys.ts'

export type FeedMessage =
  | { readonly kind: 'snapshot'; readonly frame: Uint8Array; readonly epoch: string; readonly seq: number }
  | { readonly kind: 'batch'; readonly jws: string; readonly epoch: string; readonly from: number; readonly to: number }
  | { readonly kind: 'keys'; readonly jws: string }

/** The feed as it was kept by the last run: it is verified anew, and gives the same knowledge. */
export interface KeptFeed {
  readonly feedKeys: TrustedFeedKeys
  readonly keys: string | undefined
  readonly snapshot: Uint8Array
  readonly batches: readonly string[]
  /** Wall time at which all this was known to be complete; undefined when it never was. */
  readonly freshAtMs: number | undefined
}

/** What a tap may ask of the validator it listens at. */
export interface TappedFeed {
  /** Fetches and takes in a snapshot from upstream, which the tap then hears of. */
  takeSnapshot(): Promise<void>
  feedKeys(): TrustedFeedKeys
  /** How old everything up to the validator's position is; Infinity when it never was known. */
  stalenessMs(): number
  /** Wall time at which everything up to the validator's position was known. */
  freshAtMs(): number | undefined
}

export interface FeedTap {
  /** How often the upstream is asked for its head, milliseconds. Ages add up over relays, so more often than a validator would. */
  readonly probeEveryMs: number
  attach(feed: TappedFeed): void
  took(message: FeedMessage): void
  /** A probe was answered: by how many relays, and with what guard. */
  answered(about: { readonly hops: number; readonly guardMs: number }): void
  kept(): Promise<KeptFeed | undefined>
}
