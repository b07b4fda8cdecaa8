/**
 * The three kinds of no. A *refusal* is expected: the protocol's answer to a request that may not pass. A *fault* is
 * ours: something we need is broken or cut off, and the answer is 503 with Retry-After. A *bug* is a failed
 * assertion and stays an ordinary Error.
 */

/** Error codes that go on the wire: RFC 6749 §4.1.2.1, §5.2, RFC 6750 §3.1, RFC 7009, RFC 8707, RFC 9449, OpenID Connect Core §3.1.2.6. */
export type RefusalCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'
  | 'unsupported_token_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'insufficient_user_authentication'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'access_denied'
  | 'login_required'
  | 'consent_required'
  | 'interaction_required'
  | 'slow_down'
  | 'not_found'
  | 'conflict'

/** One member of a request that will not do: which, and why. Never what it held. */
export interface RefusalDetail {
  readonly path: string
  readonly message: string
}

/** An expected no. `code` goes to the wire; `reason` to log, metric and audit, and as a stable `reason` member to the client. */
export class Refusal extends Error {
  readonly code: RefusalCode
  readonly reason: string
  /** Seconds after which trying again makes sense, for `slow_down`. */
  readonly retryAfterSeconds: number | undefined
  /** For requests of many members: which of them were wrong. Goes to the wire. */
  readonly details: readonly RefusalDetail[]
  constructor(code: RefusalCode, reason: string, retryAfterSeconds?: number, details: readonly RefusalDetail[] = []) {
    super(`${code}: ${reason}`)
    this.name = 'Refusal'
    this.code = code
    this.reason = reason
    this.retryAfterSeconds = retryAfterSeconds
    this.details = details
  }
}

export type FaultCode =
  | 'store_unavailable'
  | 'store_read_only'
  | 'keys_unavailable'
  | 'region_unavailable'
  | 'clock_unsure'
  | 'overloaded'
  | 'stopping'

/** `because` is for whoever reads the log: what was found. Never on the wire; nothing secret or personal. */
export interface FaultOptions {
  readonly because?: string
  readonly cause?: unknown
  readonly retryAfterSeconds?: number
}

/** Something of ours is broken or cut off: 503 with Retry-After, never `invalid_grant`. */
export class Fault extends Error {
  readonly code: FaultCode
  readonly retryAfterSeconds: number
  constructor(code: FaultCode, options: FaultOptions = {}) {
    super(options.because === undefined ? code : `${code}: ${options.because}`, { cause: options.cause })
    this.name = 'Fault'
    this.code = code
    this.retryAfterSeconds = options.retryAfterSeconds ?? 1
  }
}

export const refusal = (
  code: RefusalCode,
  reason: string,
  retryAfterSeconds?: number,
  details?: readonly RefusalDetail[],
): Refusal => new Refusal(code, reason, retryAfterSeconds, details)
export const fault = (code: FaultCode, options?: FaultOptions): Fault => new Fault(code, options)
