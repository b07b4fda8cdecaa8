/** A validator's answer. "Deny" is an ordinary answer, so it is a value, not an exception. */
import type { AccessTokenClaims } from './claims.ts'

/** Which step said no. Stable: metrics, audit and clients may rely on them. */
export type DenyReason =
  | 'missing'
  | 'malformed'
  | 'unsupported_algorithm'
  | 'unknown_key'
  | 'bad_signature'
  | 'wrong_type'
  | 'wrong_issuer'
  | 'wrong_audience'
  | 'expired'
  | 'not_yet_valid'
  | 'issue_time_mismatch'
  | 'revoked'
  | 'binding_missing'
  | 'binding_invalid'
  | 'use_dpop_nonce'
  | 'proof_replayed'
  | 'stale'
  | 'overloaded'
  | 'insufficient_scope'
  | 'insufficient_user_authentication'

/** What the client should do about it. */
export type ClientAction = 'refresh' | 'reauthenticate' | 'retry' | 'step_up' | 'none'

/** How well the validator knows what has been revoked. `blind`: never learned, or older than every bound. */
export type Freshness = 'fresh' | 'degraded' | 'blind'

export interface Allow {
  readonly allowed: true
  readonly claims: AccessTokenClaims
  /** The permissions this token carries that the present staleness can bear. */
  readonly permissions: readonly string[]
  /** Milliseconds since this validator is known to have had everything; Infinity when it never had. */
  readonly stalenessMs: number
  readonly freshness: Freshness
}

export interface Deny {
  readonly allowed: false
  readonly reason: DenyReason
  readonly action: ClientAction
  /** 400, 401, 403 or 503. */
  readonly status: number
  /** Value of the `WWW-Authenticate` header (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3); absent for 503. */
  readonly challenge?: string
  readonly stalenessMs: number
  readonly freshness: Freshness
  /** A server nonce that the client must use next (RFC 9449 §8). */
  readonly dpopNonce?: string
  /** Seconds, with status 503. */
  readonly retryAfterSeconds?: number
}

export type Verdict = Allow | Deny
