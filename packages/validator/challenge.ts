/**
 * From a reason to an answer: status, `WWW-Authenticate` (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1) and what the
 * client should do. Nothing that came with the request is ever repeated in it.
 */
import type { ClientAction, Deny, DenyReason, Freshness } from '@signet/kernel/verdict.ts'
import type { Lack } from './permissions.ts'

interface Answer {
  readonly status: number
  /** The wire's `error`; undefined when the request carried no credentials (RFC 6750 §3.1). */
  readonly error: string | undefined
  readonly description: string
  readonly action: ClientAction
}

const ANSWERS: Readonly<Record<DenyReason, Answer>> = {
  missing: { status: 401, error: undefined, description: 'An access token is needed', action: 'reauthenticate' },
  malformed: invalid('The token cannot be read', 'none'),
  unsupported_algorithm: invalid('The algorithm of the token is not accepted', 'none'),
  unknown_key: invalid('The key that signed the token is not known', 'refresh'),
  bad_signature: invalid('The signature of the token is wrong', 'refresh'),
  wrong_type: invalid('The token is not an access token', 'none'),
  wrong_issuer: invalid('The issuer of the token is not trusted here', 'none'),
  wrong_audience: invalid('The token is meant for another audience', 'none'),
  expired: invalid('The token has expired', 'refresh'),
  not_yet_valid: invalid('The token is not valid yet', 'retry'),
  issue_time_mismatch: invalid('The issue times of the token disagree', 'refresh'),
  revoked: invalid('The token was revoked', 'refresh'),
  binding_missing: invalid('The token must be bound to a key and come with the proof of it', 'none'),
  binding_invalid: { status: 401, error: 'invalid_dpop_proof', description: 'The proof of the key is wrong', action: 'retry' },
  use_dpop_nonce: { status: 401, error: 'use_dpop_nonce', description: 'The proof must carry the given nonce', action: 'retry' },
  proof_replayed: { status: 401, error: 'invalid_dpop_proof', description: 'The proof was used before', action: 'retry' },
  stale: ours('Knowledge of revocations is too old to decide'),
  overloaded: ours('Too many proofs at once'),
  insufficient_scope: {
    status: 403,
    error: 'insufficient_scope',
    description: 'The token does not reach so far',
    action: 'step_up',
  },
  insufficient_user_authentication: {
    status: 401,
    error: 'insufficient_user_authentication',
    description: 'A stronger or more recent sign-in is needed',
    action: 'step_up',
  },
}

function invalid(description: string, action: ClientAction): Answer {
  return { status: 401, error: 'invalid_token', description, action }
}
/** Not the token's fault but ours: the client should ask again, not throw its token away. */
function ours(description: string): Answer {
  return { status: 503, error: undefined, description, action: 'retry' }
}

/** What surrounds a refusal. */
export interface Situation {
  readonly scheme: 'Bearer' | 'DPoP'
  readonly stalenessMs: number
  readonly freshness: Freshness
  readonly lack?: Lack
  /** A nonce for the client's next proof. */
  readonly dpopNonce?: string | undefined
  /** We could not find out, so it is no verdict on the token: 503. */
  readonly isOurFault?: boolean
  readonly retryAfterSeconds?: number
}

export interface ChallengeOptions {
  /** URL of the protected resource's metadata (RFC 9728 §5.1). */
  readonly resourceMetadata: string | undefined
  readonly requireDpop: boolean
  /** For the `algs` parameter (RFC 9449 §7.1). */
  readonly dpopAlgorithms: readonly string[]
}

/** Makes refusals. */
export function createRefuser(options: ChallengeOptions): (reason: DenyReason, situation: Situation) => Deny {
  return (reason, situation) => {
    const answer = ANSWERS[reason]
    const { stalenessMs, freshness, lack } = situation
    if (answer.status === 503 || situation.isOurFault === true) {
      const retryAfterSeconds = situation.retryAfterSeconds ?? 1
      return { allowed: false, reason, action: 'retry', status: 503, stalenessMs, freshness, retryAfterSeconds }
    }
    const challenge = challengeOf(reason, answer, situation.scheme, lack, options)
    const deny: Deny = { allowed: false, reason, action: answer.action, status: answer.status, challenge, stalenessMs, freshness }
    return situation.dpopNonce === undefined ? deny : { ...deny, dpopNonce: situation.dpopNonce }
  }
}

/** A request whose `Authorization` header is broken rather than its token: RFC 6750 §3.1 `invalid_request`. */
export function refuseHeader(options: ChallengeOptions, situation: Situation): Deny {
  const answer: Answer = {
    status: 400,
    error: 'invalid_request',
    description: 'The Authorization header cannot be read',
    action: 'none',
  }
  const challenge = challengeOf('malformed', answer, situation.scheme, undefined, options)
  const { stalenessMs, freshness } = situation
  return { allowed: false, reason: 'malformed', action: 'none', status: 400, challenge, stalenessMs, freshness }
}

/** The body of a refusal: stable words, nothing of the request. */
export function refusalBody(deny: Deny): { error: string; error_description: string; reason: DenyReason; action: ClientAction } {
  const answer = ANSWERS[deny.reason]
  const isBadRequest = deny.status === 400
  return {
    error: isBadRequest ? 'invalid_request' : deny.status === 503 ? 'temporarily_unavailable' : (answer.error ?? 'invalid_token'),
    error_description: isBadRequest ? 'The Authorization header cannot be read' : answer.description,
    reason: deny.reason,
    action: deny.action,
  }
}

const SENDER_REASONS: ReadonlySet<DenyReason> = new Set(['binding_missing', 'use_dpop_nonce', 'proof_replayed'])

function challengeOf(
  reason: DenyReason,
  answer: Answer,
  scheme: 'Bearer' | 'DPoP',
  lack: Lack | undefined,
  options: ChallengeOptions,
): string {
  const parameters: string[] = []
  // Without DPoP the binding is a certificate (RFC 8705 §3), and the fault is the token's.
  const error = reason === 'binding_invalid' && scheme === 'Bearer' ? 'invalid_token' : answer.error
  if (error !== undefined) parameters.push(`error="${error}"`, `error_description="${answer.description}"`)
  if (lack?.kind === 'scope' && lack.scopes.length > 0) parameters.push(`scope="${quotable(lack.scopes.join(' '))}"`)
  if (lack?.kind === 'authentication') {
    if (lack.acrValues !== undefined) parameters.push(`acr_values="${quotable(lack.acrValues.join(' '))}"`)
    if (lack.maxAgeSeconds !== undefined) parameters.push(`max_age="${lack.maxAgeSeconds}"`)
  }
  const tail = options.resourceMetadata === undefined ? [] : [`resource_metadata="${quotable(options.resourceMetadata)}"`]
  const withAlgs = [...parameters, `algs="${options.dpopAlgorithms.join(' ')}"`, ...tail]
  if (options.requireDpop || scheme === 'DPoP' || SENDER_REASONS.has(reason)) return join('DPoP', withAlgs)
  return join('Bearer', [...parameters, ...tail])
}

const join = (scheme: string, parameters: readonly string[]): string =>
  parameters.length === 0 ? scheme : `${scheme} ${parameters.join(', ')}`

/** Values come from the operator's options, yet a quote among them must not end the string. */
const quotable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '')
