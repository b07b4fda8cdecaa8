/**
 * How the door says no. One table ties every refusal to its status, its words and what a client should do; a reason without
 * an entry does not compile. Nothing a request contained is ever repeated in an answer.
 */
import { Fault, Refusal, type RefusalCode, type RefusalDetail } from '@signet/kernel/errors.ts'
import type { ClientAction, Deny } from '@signet/kernel/verdict.ts'
import { refusalBody } from '@signet/validator/challenge.ts'
import type { ProofFault } from '@signet/validator/dpop.ts'
import type { AdminReason } from '../administration/reasons.ts'
import type { ClientReason } from '../clients/authenticate-client.ts'
import type { GrantReason } from '../grants/refuse.ts'
import type { TargetReason } from '../grants/target.ts'
import type { RevocationReason } from '../revocation/refuse.ts'
import type { RefreshRefusal } from '../tokens/family.ts'
import type { FeedReason } from './feed.ts'
import type { FormProblem } from './form.ts'
import { Denied } from './protected.ts'
import type { RegionReason } from './region.ts'

/** What goes on the wire: RFC 6749 §5.2 with a stable reason and the action to take. */
export interface Problem {
  readonly error: string
  readonly error_description: string
  readonly reason: string
  readonly action: ClientAction
  /** Which members of the request were wrong, and why. */
  readonly details?: readonly RefusalDetail[]
}

export interface Answer {
  readonly status: number
  readonly problem: Problem
  /** Also among the headers. */
  readonly retryAfterSeconds?: number
  readonly headers: Readonly<Record<string, string>>
  /** True for what should not have happened: it is logged with everything we know. */
  readonly bug: boolean
}

/** Reasons that the door itself has. */
export type DoorReason =
  | FormProblem
  | 'form_missing'
  | 'parameter_missing'
  | 'several_client_credentials'
  | 'client_credentials_missing'
  | 'malformed_credentials'
  | 'unknown_assertion_type'
  | `dpop_${Exclude<ProofFault, 'missing' | 'use_nonce'>}`
  | 'dpop_nonce_required'
  | 'proof_replayed'
  | 'client_rate'
  | 'address_rate'
  | 'interaction_rate'

type Reason =
  | AdminReason
  | DoorReason
  | ClientReason
  | TargetReason
  | GrantReason
  | RefreshRefusal
  | RevocationReason
  | FeedReason
  | RegionReason

/** The answer to anything that was thrown. */
export function answerTo(error: unknown): Answer {
  if (error instanceof Refusal) return answerRefusal(error)
  if (error instanceof Denied) return answerDenied(error.deny)
  if (error instanceof Fault) {
    const { code, retryAfterSeconds } = error
    const told = problem('temporarily_unavailable', 'The authority cannot do this right now. Try again.', code, 'retry')
    return { status: 503, problem: told, ...retryAfter(retryAfterSeconds), bug: false }
  }
  return unfitRequest(error) ?? { ...internal, bug: true }
}

function answerRefusal({ code, reason, retryAfterSeconds, details }: Refusal): Answer {
  const { status, description, action } = CODES[code]
  const told: Told = Object.hasOwn(REASONS, reason) ? REASONS[reason as Reason] : {}
  const answer = problem(code, told.description ?? description, told.as ?? reason, told.action ?? action)
  const { headers, ...wait } = retryAfter(retryAfterSeconds)
  const challenge = code === 'invalid_token' ? { 'www-authenticate': 'Bearer error="invalid_token"' } : {} // RFC 6750 §3.
  return {
    status: told.status ?? status,
    problem: details.length === 0 ? answer : { ...answer, details },
    ...wait,
    headers: { ...headers, ...challenge },
    bug: false,
  }
}

function answerDenied(deny: Deny): Answer {
  const { headers, ...wait } = retryAfter(deny.retryAfterSeconds)
  const challenge = deny.challenge === undefined ? {} : { 'www-authenticate': deny.challenge }
  const nonce = deny.dpopNonce === undefined ? {} : { 'dpop-nonce': deny.dpopNonce }
  return { status: deny.status, problem: refusalBody(deny), ...wait, headers: { ...headers, ...challenge, ...nonce }, bug: false }
}

function retryAfter(seconds: number | undefined): Pick<Answer, 'headers' | 'retryAfterSeconds'> {
  if (seconds === undefined) return { headers: {} }
  const whole = Math.max(1, Math.ceil(seconds))
  return { headers: { 'retry-after': String(whole) }, retryAfterSeconds: whole }
}

/** What the framework refuses before a route sees it: too large, of another type, torn. */
function unfitRequest(error: unknown): Answer | undefined {
  const { statusCode } = error as { statusCode?: unknown }
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode > 499) return undefined
  const [reason, description] = UNFIT[statusCode] ?? ['malformed_request', 'The request could not be read.']
  return { status: statusCode, problem: problem('invalid_request', description, reason, 'none'), headers: {}, bug: false }
}

const UNFIT: Readonly<Record<number, readonly [string, string]>> = {
  405: ['method_not_allowed', 'This endpoint does not take that method.'],
  408: ['too_slow', 'The request took too long to arrive.'],
  413: ['body_too_large', 'The body is larger than this endpoint takes.'],
  415: ['unsupported_media_type', 'This endpoint does not take that content type.'],
}

const fixed = (status: number, ...told: Parameters<typeof problem>): Answer => ({
  status,
  problem: problem(...told),
  headers: {},
  bug: false,
})
export const noSuchEndpoint = fixed(404, 'not_found', 'There is nothing here.', 'no_such_endpoint', 'none')
export const methodNotAllowed = fixed(
  405,
  'invalid_request',
  'This endpoint does not take that method.',
  'method_not_allowed',
  'none',
)
const internal = fixed(500, 'server_error', 'Something went wrong in the authority.', 'bug', 'retry')

function problem(error: string, error_description: string, reason: string, action: ClientAction): Problem {
  return { error, error_description, reason, action }
}

// ── The table ──────────────────────────────────────────────────────────────────────────────────────────────────────

const CODES: Readonly<Record<RefusalCode, { status: number; description: string; action: ClientAction }>> = {
  invalid_request: { status: 400, description: 'The request is missing something or is malformed.', action: 'none' },
  invalid_client: { status: 401, description: 'The client could not be authenticated.', action: 'none' },
  invalid_grant: {
    status: 400,
    description: 'The grant is not valid, has ended, or is not for this client.',
    action: 'reauthenticate',
  },
  unauthorized_client: { status: 400, description: 'The client may not do this.', action: 'none' },
  unsupported_grant_type: { status: 400, description: 'This grant type is not supported.', action: 'none' },
  unsupported_response_type: { status: 400, description: 'This response type is not supported.', action: 'none' },
  unsupported_token_type: { status: 400, description: 'Tokens of this type cannot be revoked here.', action: 'none' },
  invalid_scope: { status: 400, description: 'The scope is malformed or more than may be had.', action: 'none' },
  invalid_target: { status: 400, description: 'The resource is unknown or not for this client.', action: 'none' },
  invalid_token: { status: 401, description: 'The access token is not valid.', action: 'refresh' },
  insufficient_scope: { status: 403, description: 'The access token does not carry the scope that is needed.', action: 'none' },
  insufficient_user_authentication: { status: 401, description: 'A stronger or newer sign-in is needed.', action: 'step_up' },
  invalid_dpop_proof: { status: 400, description: 'The DPoP proof is not valid.', action: 'retry' },
  use_dpop_nonce: { status: 400, description: 'The DPoP proof must carry the nonce in the DPoP-Nonce header.', action: 'retry' },
  access_denied: { status: 403, description: 'Access is denied.', action: 'none' },
  login_required: { status: 400, description: 'The person must sign in.', action: 'reauthenticate' },
  consent_required: { status: 400, description: 'The person must consent.', action: 'reauthenticate' },
  interaction_required: { status: 400, description: 'The person must take part.', action: 'reauthenticate' },
  slow_down: { status: 429, description: 'Too many requests. Try again after the time in Retry-After.', action: 'retry' },
  not_found: { status: 404, description: 'There is no such thing.', action: 'none' },
  conflict: { status: 409, description: 'This does not fit the present state.', action: 'none' },
}

/** What differs from the code's usual answer. `as`: the word on the wire, where the true one would tell a stranger too much. */
interface Told {
  readonly as?: string
  readonly status?: number
  readonly description?: string
  readonly action?: ClientAction
}

// Suspension is not the end: 403 with "retry" instead of invalid_grant, on which clients throw away tokens that will work again.
const suspended = (what: string): Told => ({ description: `The ${what} is suspended for now.`, action: 'retry' })

const REASONS: Readonly<Record<Reason, Told>> = {
  malformed_form: { description: 'The body is not a well-formed form.' },
  repeated_parameter: { description: 'A parameter is given more than once.' },
  control_character: { description: 'A parameter contains a control character.' },
  too_many_parameters: { description: 'There are too many parameters.' },
  query_too_long: { description: 'The request is too long.' },
  form_missing: { description: 'A form is expected (application/x-www-form-urlencoded).' },
  parameter_missing: { description: 'A required parameter is missing.' },
  several_client_credentials: { description: 'The client must authenticate by one method only.' },
  client_credentials_missing: { description: 'The client must say who it is.' },
  malformed_credentials: { description: 'The client credentials are malformed.' },
  unknown_assertion_type: { description: 'This type of client assertion is not supported.' },
  dpop_malformed: { description: 'The DPoP proof is malformed, or there is more than one.' },
  dpop_unsupported_algorithm: { description: 'The DPoP proof is signed with an algorithm that is not accepted.' },
  dpop_wrong_type: { description: 'The DPoP proof must have the type dpop+jwt.' },
  dpop_bad_key: { description: 'The DPoP proof must carry one public key that fits its algorithm.' },
  dpop_bad_signature: { description: 'The signature of the DPoP proof is wrong.' },
  dpop_wrong_method: { description: 'The DPoP proof is for another method (htm).' },
  dpop_wrong_url: { description: 'The DPoP proof is for another URL (htu).' },
  dpop_too_old: { description: 'The DPoP proof is too old.' },
  dpop_too_early: { description: 'The DPoP proof is from the future.' },
  dpop_wrong_token: { description: 'The DPoP proof is for another token (ath).' },
  dpop_wrong_key: { description: 'The DPoP proof is made with another key.' },
  dpop_nonce_required: {},
  proof_replayed: { description: 'The DPoP proof has been used before.' },
  client_rate: {},
  address_rate: {},
  interaction_rate: {},

  client_authentication_failed: {},
  assertion_expired: { description: 'The client assertion has expired.', action: 'retry' },
  assertion_invalid: { description: 'The client assertion has wrong or missing claims, or lives too long.' },
  assertion_replayed: { description: 'The client assertion has been used before.', action: 'retry' },
  client_suspended: suspended('client'),

  malformed_scope: { description: 'The scope is malformed.' },
  scope_not_allowed: { description: 'The client may not have this scope.' },
  scope_not_granted: { description: 'The scope is more than was granted.' },
  scope_not_of_resource: { description: 'The scope does not belong to the resource.' },
  unknown_resource: {},
  several_resources: { description: 'A token is for one resource. Ask for one at a time.' },
  resource_not_granted: { description: 'The grant is not for this resource.' },

  grant_not_allowed: { description: 'The client may not use this grant type.' },
  unknown_grant_type: {},
  malformed_token: { description: 'The token is malformed.' },
  unknown_code: { description: 'The authorization code is unknown or has expired.' },
  code_spent: { description: 'The authorization code has been used before.' },
  code_of_another_client: { as: 'unknown_code', description: 'The authorization code is unknown or has expired.' },
  redirect_uri_mismatch: { description: 'The redirect_uri is not the one the code was sent to.' },
  verifier_missing: { description: 'The code_verifier is missing or malformed (RFC 7636).' },
  verifier_mismatch: { description: 'The code_verifier does not fit the code.' },
  dpop_proof_missing: { description: 'A DPoP proof is required (RFC 9449).' },
  dpop_key_mismatch: { description: 'The DPoP proof is made with another key than the grant is bound to.' },
  grant_over: { description: 'The grant has ended.' },
  subject_suspended: suspended('account'),
  session_suspended: suspended('session'),
  device_suspended: suspended('device'),
  superseded: { description: 'The refresh token was replaced while this request was under way. Use the newest one.' },
  refresh_token_reuse: { description: 'The refresh token was used before. Everything it led to has been revoked.' },
  family_rate: {},
  // To a stranger a forged token looks like one that never was.
  refresh_token_unknown: { description: 'The refresh token is unknown.' },
  refresh_token_forged: { as: 'refresh_token_unknown', description: 'The refresh token is unknown.' },
  refresh_token_from_the_future: { description: 'The refresh token is newer than what the authority remembers.' },
  wrong_client: { description: 'The refresh token was issued to another client.' },
  wrong_platform: { description: 'The refresh token was issued to another kind of installation.' },
  wrong_key: { description: 'The refresh token is bound to another key.' },
  proof_missing: { description: 'The refresh token is bound to a key, and the DPoP proof of it is missing.' },
  grace_exhausted: { description: 'The refresh token was replaced, and its replacement was given out too often already.' },
  grant_expired: { description: 'The authorization has reached its end.' },
  grant_idle: { description: 'The refresh token was not used for too long.' },
  issuer_revoked: { description: 'All grants made before a certain moment were revoked.' },
  grant_revoked: { description: 'The grant was revoked.' },
  client_revoked: { description: 'The grants of the client were revoked.' },
  subject_revoked: { description: 'The grants of the account were revoked.' },
  session_revoked: { description: 'The session has ended.' },
  device_revoked: { description: 'The device was removed.' },
  grant_suspended: suspended('grant'),
  token_of_another_client: { description: 'The token was issued to another client.' },
  introspection_not_allowed: { description: 'The client may not introspect tokens.' },

  unknown_region: { description: 'This region does not know a region of that name.' },
  not_this_region: { description: 'The client is not the one of the region it names.' },
  malformed_question: { description: 'The forwarded request is malformed.' },
  malformed_region_place: { description: 'The place in the log is malformed.' },
  malformed_probe: { description: 'The probe must be 16 to 128 characters of base64url.' },
  malformed_validator: { description: 'The name of the validator is malformed.' },
  malformed_staleness: { description: 'The staleness is not a whole number of milliseconds.' },
  malformed_place: { description: 'The place in the log is malformed.' },

  invalid_members: { description: 'Some members of the request will not do; `details` says which and why.' },
  not_an_administrator: { description: 'Only administrators may do this.' },
  client_exists: { description: 'There is a client with this id already.' },
  client_without_secret: { description: 'This client does not use a secret.' },
  own_resource: { description: 'This resource is the authority itself, which cannot be changed.' },
  unknown_client: { description: 'There is no such client.' },
  unknown_subject: { description: 'There is no such person.' },
  unknown_passkey: { description: 'This person has no such passkey.' },
  unknown_api_key: { description: 'There is no such API key.' },
  unknown_id: { description: 'There is nothing with this id.' },
  region_answers: { description: 'That region answers, so it is not lost.' },
  nothing_lost: { description: 'Nothing of that region was lost, so the link goes on from where it is.' },
  unknown_peer: { description: 'There is no such region.' },
  unknown_key: { description: 'There is no such key.' },
  username_taken: { description: 'Somebody else has this username.' },
  api_key_over: { description: 'The API key has ended already.' },
  not_a_token: { description: 'This is not a token that can be revoked.' },
  backup_exists: { description: 'There is a backup with this name already.' },
  backup_not_here: { description: 'This database has its own tools for backups.' },
  changed_meanwhile: { description: 'Somebody else changed it meanwhile. Read it again.', action: 'retry' },
  needs_wider_scope: { description: 'This target needs a wider scope than others.' },
  malformed_target: { description: 'The target is not well-formed.' },
  malformed_reason: { description: 'The reason must be 1 to 128 printable ASCII characters.' },
  malformed_idempotency_key: { description: 'The idempotency key must be 1 to 128 printable characters.' },
  not_suspendable: { description: 'Only people, clients, sessions, devices and grants of this issuer can be suspended.' },
  grants_not_applicable: { description: 'This kind of target has no grants that could be kept.' },
  unknown_token: { description: 'There is no such token.' },
  unknown_grant: { description: 'There is no such grant.' },
  unknown_session: { description: 'There is no such session.' },
  unknown_device: { description: 'There is no such device.' },
  unknown_issuer: { description: 'There is no such issuer.' },
  unknown_scope: { description: 'There is no such scope.' },
  unknown_revocation: { description: 'The log has no revocation with this number, or it has been forgotten.' },
  already_revoked: { description: 'The target was revoked, which is the end of it.' },
  not_suspended: { description: 'The target is not suspended.' },
  suspended: { description: 'The target is suspended. Resume it first.' },
  not_undoable: { description: 'What was revoked here has ended for good.' },
  made_in_another_region: {
    description:
      'Another region did that, which goes on with it: ask that one first (`details` names it), then this one with `here`.',
  },
  epoch_changed: { description: 'The revocation log has been numbered anew. Look it up again.' },
  idempotency_key_reused: { description: 'The idempotency key was used for another request.' },
  unknown_batch: { description: 'There is no such batch.' },
  nothing_selected: { description: 'The selector is empty. Say `everything` if that is what you mean.' },
  batch_state: { description: 'The batch is not in a state in which this can be done.' },
  plan_too_old: { description: 'The plan is a day old, and its counts say nothing any more. Plan it again.' },
  blast_radius_not_accepted: {
    description: 'The plan touches more than policy lets pass unasked: `accept` must be the number that it `touches`.',
  },
  more_than_planned: { description: 'More grants are meant by now than the plan counted and policy lets pass. Plan it again.' },
  too_many_batches: { description: 'So many batches run already. Try again when one is done.', action: 'retry' },
  busy: { description: 'This is under way already. Try again when it is done.', action: 'retry' },
}
