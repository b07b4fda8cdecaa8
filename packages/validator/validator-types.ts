/** What a validator can be asked. */
import type { DenyReason, Freshness, Verdict } from '@signet/kernel/verdict.ts'
import type { Events, FeedSource, ValidatorEvents } from './events.ts'
import type { ProtectedResourceMetadata } from './metadata.ts'
import type { RequestLike, TokenContext } from './request.ts'
import type { TokenEnd } from './watches.ts'

export interface Validator {
  /**
   * The verdict on a token, or on a request that carries one. Never rejects because of a token. Waits for the network only where
   * the token names a key that is not known yet, and in the first seconds after start.
   *
   * ```ts
   * const verdict = await validator.validate(request, { needs: 'payments:write' })
   * if (!verdict.allowed) return reply.code(verdict.status).header('www-authenticate', verdict.challenge)
   * ```
   */
  validate(presented: string | RequestLike | undefined, context?: TokenContext): Promise<Verdict>
  /** The same without waiting: a key that is not known yet is `unknown_key`. */
  validateSync(presented: string | RequestLike | undefined, context?: TokenContext): Verdict
  /**
   * Resolves with the state of knowledge once it is fresh; after `timeoutMs` (10 s) with what there is, if anything can be
   * validated with it. Else rejects, and says what is missing.
   */
  ready(options?: { timeoutMs?: number }): Promise<Freshness>
  /**
   * Calls `onEnd` once, when the token of an allowing verdict is revoked, expires, or when knowledge of it grows older than what
   * `needs` (or else any of its permissions) bears. Returns the way to stop. Throws a RangeError beyond `maxWatches`.
   *
   * ```ts
   * const stop = validator.watch(verdict, (end) => socket.close(4401, end.reason))
   * socket.on('close', stop)
   * ```
   */
  watch(verdict: Verdict, onEnd: (end: TokenEnd) => void, options?: { needs?: string | readonly string[] }): () => void
  readonly events: Events<ValidatorEvents>
  stats(): ValidatorStats
  /** The nonce clients should use for their next proof (`DPoP-Nonce`, RFC 9449 §8.2); undefined where none is asked for. */
  dpopNonce(): string | undefined
  /** This service's metadata (RFC 9728), to be served at `PROTECTED_RESOURCE_PATH`. */
  metadata(about?: { name?: string; documentation?: string }): ProtectedResourceMetadata
  /** Throws a TypeError for a permission that no token could carry. Adapters call it when a route is set up. */
  checkNeeds(needs: string | readonly string[] | undefined): void
  /** Stops everything, and writes the cache file once more. */
  close(): Promise<void>
}

export interface ValidatorStats {
  readonly freshness: Freshness
  readonly stalenessMs: number
  /** What of the revocation log has been applied. */
  readonly position: { readonly epoch: string; readonly seq: number } | undefined
  readonly revocations: number
  readonly revocationBytes: number
  /** Delay of the last batch from its signing to here, milliseconds, by two machines' clocks. */
  readonly delayMs: number | undefined
  readonly cachedTokens: number
  readonly hits: number
  readonly misses: number
  readonly denied: Readonly<Partial<Record<DenyReason, number>>>
  readonly watched: number
  /** Streams opened, and times the place in the log was lost. */
  readonly streams: number
  readonly resyncs: number
  /** By what way revocations come at present, and how often NATS gave it up. */
  readonly source: FeedSource
  readonly fallbacks: number
}
