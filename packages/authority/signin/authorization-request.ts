/**
 * What an app asks for at /authorize, judged before anybody is bothered with it (RFC 6749 §4.1.1, RFC 7636, RFC 8707,
 * RFC 9449 §10, OpenID Connect Core §3.1.2.1). Two steps: first to whom an answer may go, for until that is certain nothing
 * may be sent anywhere; then whether the request is one that can be granted.
 */
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import { type Acr, weakestOf } from './acr.ts'
import { isRegisteredRedirect } from './redirect-uri.ts'

/** The parameters, each once or not at all; only `resource` may come several times. */
export interface AuthorizationParameters {
  get(name: string): string | undefined
  readonly resources: readonly string[]
}

export const PROMPTS = ['none', 'login', 'consent', 'select_account'] as const
export type Prompt = (typeof PROMPTS)[number]

/** A request that can be granted, if the person wishes. Goes into the interaction's payload, so it is plain JSON. */
export interface AuthorizationRequest {
  readonly client: ClientId
  readonly redirectUri: string
  readonly state?: string
  readonly nonce?: string
  readonly codeChallenge: string
  /** As granted by the target's rules, not as asked. */
  readonly scope: readonly string[]
  readonly resources: readonly string[]
  readonly prompt: readonly Prompt[]
  /** Seconds that the last proof of who it is may be old. */
  readonly maxAge?: number
  /** The level that is asked for at the least. */
  readonly atLeast?: Acr
  readonly loginHint?: string
  /** Whom the app expects, from its `id_token_hint`. */
  readonly expects?: SubjectId
  /** RFC 9449 §10: the key that must be proved when the code is redeemed. */
  readonly jkt?: string
}

/** Errors that go back to the app (RFC 6749 §4.1.2.1, RFC 8707 §2, RFC 9470 §5, OpenID Connect Core §3.1.2.6). */
export type AuthorizationError =
  | 'invalid_request'
  | 'unauthorized_client'
  | 'unsupported_response_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'access_denied'
  | 'login_required'
  | 'consent_required'
  | 'interaction_required'
  | 'request_not_supported'
  | 'request_uri_not_supported'
  | 'registration_not_supported'
  | 'unmet_authentication_requirements'

/** Where an answer goes. */
export interface Recipient {
  readonly client: ClientRecord
  readonly redirectUri: string
  readonly state: string | undefined
}

/** Why the person is shown a page instead: there is no address that may be trusted. */
export type NoRecipient =
  | 'client_missing'
  | 'client_unknown'
  | 'client_unavailable'
  | 'redirect_uri_missing'
  | 'redirect_uri_mismatch'

export function judgeRecipient(
  parameters: AuthorizationParameters,
  client: ClientRecord | undefined,
): { readonly kind: 'recipient'; readonly recipient: Recipient } | { readonly kind: 'nowhere'; readonly reason: NoRecipient } {
  const nowhere = (reason: NoRecipient) => ({ kind: 'nowhere' as const, reason })
  if (parameters.get('client_id') === undefined) return nowhere('client_missing')
  if (client === undefined) return nowhere('client_unknown')
  if (client.status !== 'active') return nowhere('client_unavailable')
  const redirectUri = parameters.get('redirect_uri')
  if (redirectUri === undefined) return nowhere('redirect_uri_missing')
  if (!isRegisteredRedirect(redirectUri, client)) return nowhere('redirect_uri_mismatch')
  return { kind: 'recipient', recipient: { client, redirectUri, state: parameters.get('state') } }
}

/** What is asked for, before scopes and resources have been resolved. */
export interface Asked extends Omit<AuthorizationRequest, 'scope' | 'resources' | 'expects'> {
  /** As it came; undefined when the app named none. */
  readonly scope: string | undefined
  readonly resources: readonly string[]
  readonly idTokenHint?: string
}

export interface RefusedRequest {
  readonly kind: 'refuse'
  readonly error: AuthorizationError
  readonly reason: string
}

const MAX_STATE = 4096
const MAX_NONCE = 1024
const MAX_LOGIN_HINT = 256
// 256 bits in base64url: a SHA-256 (RFC 7636 §4.2) or a thumbprint of one (RFC 7638).
const DIGEST = /^[A-Za-z0-9_-]{43}$/

export function judgeRequest(
  parameters: AuthorizationParameters,
  { client, redirectUri, state }: Recipient,
): { readonly kind: 'asked'; readonly asked: Asked } | RefusedRequest {
  const refuse = (error: AuthorizationError, reason: string): RefusedRequest => ({ kind: 'refuse', error, reason })
  const get = (name: string): string | undefined => parameters.get(name)

  // Requests by value or reference would go around everything checked here (OpenID Connect Core §6, §7.2.1).
  if (get('request') !== undefined) return refuse('request_not_supported', 'request_object')
  if (get('request_uri') !== undefined) return refuse('request_uri_not_supported', 'request_uri')
  if (get('registration') !== undefined) return refuse('registration_not_supported', 'registration')

  const responseType = get('response_type')
  if (responseType === undefined) return refuse('invalid_request', 'response_type_missing')
  if (responseType !== 'code') return refuse('unsupported_response_type', 'response_type')
  if ((get('response_mode') ?? 'query') !== 'query') return refuse('invalid_request', 'response_mode')
  if (!client.grantTypes.includes('authorization_code')) return refuse('unauthorized_client', 'grant_not_allowed')

  // RFC 9700 §2.1.1: PKCE for everyone. Without a method RFC 7636 §4.3 means `plain`, which proves nothing.
  const codeChallenge = get('code_challenge')
  if (codeChallenge === undefined) return refuse('invalid_request', 'code_challenge_missing')
  if (get('code_challenge_method') !== 'S256') return refuse('invalid_request', 'code_challenge_method')
  if (!DIGEST.test(codeChallenge)) return refuse('invalid_request', 'code_challenge_malformed')

  const prompt = [...new Set((get('prompt') ?? '').split(' ').filter((word) => word !== ''))]
  if (!prompt.every((word) => (PROMPTS as readonly string[]).includes(word))) return refuse('invalid_request', 'prompt_unknown')
  if (prompt.includes('none') && prompt.length > 1) return refuse('invalid_request', 'prompt_none_with_others')

  const maxAge = get('max_age')
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge)) return refuse('invalid_request', 'max_age')
  const atLeast = weakestOf((get('acr_values') ?? '').split(' ').filter((word) => word !== ''))
  // RFC 9470 §5: none of what it insists on can be given, and a weaker answer would only be asked for again.
  if (atLeast === 'unknown') return refuse('unmet_authentication_requirements', 'acr_values_unknown')

  const jkt = get('dpop_jkt')
  if (jkt !== undefined && !DIGEST.test(jkt)) return refuse('invalid_request', 'dpop_jkt')
  if ((state?.length ?? 0) > MAX_STATE) return refuse('invalid_request', 'state_too_long')
  const nonce = get('nonce')
  if ((nonce?.length ?? 0) > MAX_NONCE) return refuse('invalid_request', 'nonce_too_long')
  const loginHint = get('login_hint')?.slice(0, MAX_LOGIN_HINT)
  const idTokenHint = get('id_token_hint')

  return {
    kind: 'asked',
    asked: {
      client: client.id,
      redirectUri,
      codeChallenge,
      scope: get('scope'),
      resources: parameters.resources,
      prompt: prompt as Prompt[],
      ...(state === undefined ? {} : { state }),
      ...(nonce === undefined ? {} : { nonce }),
      ...(maxAge === undefined ? {} : { maxAge: Number(maxAge) }),
      ...(atLeast === undefined ? {} : { atLeast }),
      ...(loginHint === undefined ? {} : { loginHint }),
      ...(jkt === undefined ? {} : { jkt }),
      ...(idTokenHint === undefined ? {} : { idTokenHint }),
    },
  }
}
