/**
 * An app's request, from its arrival to the code. `beginAuthorization` judges the request; `goOn` decides what comes next, as
 * often as it is asked; `giveCode` and `refuseAuthorization` end it. Only the two of them make an answer to the app.
 */
import { Refusal } from '@signet/kernel/errors.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { Tx } from '../store/store.ts'
import type { Acr } from './acr.ts'
import {
  type AuthorizationError,
  type AuthorizationParameters,
  type AuthorizationRequest,
  judgeRecipient,
  judgeRequest,
  type NoRecipient,
  type Recipient,
} from './authorization-request.ts'
import { verifyHint } from './id-token-hint.ts'
import { beginInteraction, finishInteraction, type Interaction } from './interaction.ts'
import { type ConsentReason, judgeNextStep, type SignInReason } from './judge.ts'
import type { SigninParts } from './parts.ts'
import { isRegisteredRedirect, withParameters } from './redirect-uri.ts'
import { nextIdle, type SignedIn } from './session.ts'
import type { Visitor } from './visitor.ts'

type Parts = Pick<
  SigninParts,
  'store' | 'settings' | 'issuer' | 'clock' | 'chance' | 'sha256' | 'keys' | 'grants' | 'admitInteraction'
>

/** What the browser is to be shown, or where to be sent, next. */
export type Next =
  /** Our sign-in page. */
  | {
      readonly kind: 'sign_in'
      readonly handle: string
      readonly why: SignInReason
      readonly atLeast: Acr
      readonly client: ClientRecord
    }
  /** Our consent page. */
  | {
      readonly kind: 'consent'
      readonly handle: string
      readonly why: ConsentReason
      readonly client: ClientRecord
      readonly signedIn: SignedIn
      readonly request: AuthorizationRequest
    }
  /** Back to the app: with a code, or with an error. */
  | { readonly kind: 'leave'; readonly to: string }
  /** Nowhere: the request names no address that may be trusted. */
  | { readonly kind: 'nowhere'; readonly reason: NoRecipient }
  | { readonly kind: 'over' }

export async function beginAuthorization(parameters: AuthorizationParameters, visitor: Visitor, parts: Parts): Promise<Next> {
  const clientId = parameters.get('client_id')
  const client = clientId === undefined ? undefined : await parts.store.clients.find(clientId as ClientId)
  const judged = judgeRecipient(parameters, client)
  if (judged.kind === 'nowhere') return judged
  const { recipient } = judged
  const request = await understand(parameters, recipient, parts)
  if ('error' in request) return { kind: 'leave', to: errorAnswer(recipient, request.error, request.reason, parts.issuer) }

  const step = await judge(request, recipient.client, visitor, undefined, parts)
  if (step.kind === 'refuse') return { kind: 'leave', to: errorAnswer(recipient, step.error, step.reason, parts.issuer) }
  if (step.kind === 'ready') {
    const to = await giveCode(request, step.signedIn, parts)
    if (to !== undefined) return { kind: 'leave', to }
    // The session ended this very moment; whoever is there signs in again.
  }
  const undertaking = { kind: 'authorize' as const, request }
  await parts.admitInteraction()
  const { handle, record } = beginInteraction(undertaking, visitor.browser, parts, parts.clock.now())
  await parts.store.transact((tx) => tx.interactions.create(record))
  if (step.kind === 'consent') return { ...step, handle, client: recipient.client, request }
  return step.kind === 'sign_in'
    ? { ...step, handle, client: recipient.client }
    : { kind: 'sign_in', handle, why: 'nobody', atLeast: 'urn:signet:acr:password', client: recipient.client }
}

/** The next step of an interaction that an app began. */
export async function goOn(
  interaction: Interaction,
  request: AuthorizationRequest,
  visitor: Visitor,
  parts: Parts,
): Promise<Next> {
  const client = await parts.store.clients.find(request.client)
  // Things may have changed since it began; what may be trusted is what is registered now.
  if (client?.status !== 'active' || !isRegisteredRedirect(request.redirectUri, client))
    return { kind: 'nowhere', reason: 'client_unavailable' }
  const { handle } = interaction
  const step = await judge(request, client, visitor, interaction, parts)
  if (step.kind === 'sign_in') return { ...step, handle, client }
  if (step.kind === 'consent') return { ...step, handle, client, request }
  if (step.kind === 'refuse') return refuseAuthorization(interaction, request, step.error, step.reason, parts)
  const to = await giveCode(request, step.signedIn, parts, (tx) => finishInteraction(tx, interaction, parts.sha256))
  return to === undefined ? { kind: 'over' } : { kind: 'leave', to }
}

/** The person looked at it and agreed: remembers that, and gives the code. */
export async function agree(
  interaction: Interaction,
  request: AuthorizationRequest,
  signedIn: SignedIn,
  parts: Parts,
): Promise<Next> {
  const { store, clock, chance, sha256 } = parts
  const subject = signedIn.subject.id
  const before = await store.consents.find(subject, request.client)
  const consent = {
    subject,
    client: request.client,
    scopes: [...new Set([...(before?.scopes ?? []), ...request.scope])],
    resources: [...new Set([...(before?.resources ?? []), ...request.resources])],
    grantedAt: epochSeconds(clock.now()),
  }
  const to = await giveCode(request, signedIn, parts, async (tx) => {
    if (!(await finishInteraction(tx, interaction, sha256))) return false
    await tx.consents.put(consent)
    const ids = { subject, client: request.client, session: signedIn.session.id }
    tx.audit(
      audited(clock, chance, 'consent.given', `subject:${subject}`, ids, { scope: request.scope, resources: request.resources }),
    )
    return true
  })
  return to === undefined ? { kind: 'over' } : { kind: 'leave', to }
}

/** The person looked at it and said no. */
export async function disagree(
  interaction: Interaction,
  request: AuthorizationRequest,
  signedIn: SignedIn,
  parts: Parts,
): Promise<Next> {
  const { clock, chance } = parts
  const subject = signedIn.subject.id
  const ids = { subject, client: request.client, session: signedIn.session.id }
  const event = audited(clock, chance, 'consent.refused', `subject:${subject}`, ids, { scope: request.scope })
  return refuseAuthorization(interaction, request, 'access_denied', 'consent_refused', parts, (tx) => tx.audit(event))
}

/** Ends the interaction without a code. One of any number of callers tells the app; the others find it over. */
export async function refuseAuthorization(
  interaction: Interaction,
  request: AuthorizationRequest,
  error: AuthorizationError,
  reason: string,
  parts: Parts,
  also: (tx: Tx) => void = () => {},
): Promise<Next> {
  const won = await parts.store.transact(async (tx) => {
    const finished = await finishInteraction(tx, interaction, parts.sha256)
    if (finished) also(tx)
    return finished
  })
  const { redirectUri, state } = request
  return won ? { kind: 'leave', to: errorAnswer({ redirectUri, state }, error, reason, parts.issuer) } : { kind: 'over' }
}

/** Where the browser is sent with the code, or undefined when the session has ended or `finish` says that another was first. */
async function giveCode(
  request: AuthorizationRequest,
  { session, subject, device }: SignedIn,
  parts: Parts,
  finish: (tx: Tx) => Promise<boolean> = async () => true,
): Promise<string | undefined> {
  const { store, settings, grants, issuer } = parts
  const { client, scope, resources, redirectUri, codeChallenge, nonce, jkt, state } = request
  const grant = {
    client,
    subject: subject.id,
    session: session.id,
    device: device.id,
    scope,
    resources,
    redirectUri,
    codeChallenge,
    authAt: session.authAt,
    acr: session.acr,
    amr: session.amr,
    sessionCreatedAtMs: session.createdAtMs,
    ...(nonce === undefined ? {} : { nonce }),
    ...(jkt === undefined ? {} : { jkt }),
  }
  const code = await store.transact(async (tx) => {
    const alive = await tx.sessions.touch(session.id, nextIdle(session, epochSeconds(tx.nowMs), settings.sessionIdleSeconds))
    const person = await tx.subjects.find(subject.id)
    if (!alive || person?.status !== 'active' || person.revokedMs >= session.createdAtMs) return undefined
    return (await finish(tx)) ? grants.issueCode(tx, grant) : undefined
  })
  return code === undefined ? undefined : withParameters(redirectUri, { code, state, iss: issuer }) // RFC 9207.
}

async function judge(
  request: AuthorizationRequest,
  client: ClientRecord,
  { signedIn }: Visitor,
  interaction: Interaction | undefined,
  parts: Parts,
): Promise<Exclude<ReturnType<typeof judgeNextStep>, { kind: 'ready' | 'consent' }> | ({ signedIn: SignedIn } & Agreeable)> {
  const consent = signedIn === undefined ? undefined : await parts.store.consents.find(signedIn.subject.id, client.id)
  const situation = { signedIn, proved: interaction?.proved, consent, nowMs: parts.clock.now() }
  const step = judgeNextStep(request, client, situation)
  return step.kind === 'ready' || step.kind === 'consent' ? { ...step, signedIn: signedIn as SignedIn } : step
}
type Agreeable = Extract<ReturnType<typeof judgeNextStep>, { kind: 'ready' | 'consent' }>

/** The request with its hint verified, and its scopes and resources as they may be granted. */
async function understand(
  parameters: AuthorizationParameters,
  recipient: Recipient,
  parts: Parts,
): Promise<AuthorizationRequest | { readonly error: AuthorizationError; readonly reason: string }> {
  const judged = judgeRequest(parameters, recipient)
  if (judged.kind === 'refuse') return judged
  const { idTokenHint, ...asked } = judged.asked
  const hint = idTokenHint === undefined ? undefined : await verifyHint(idTokenHint, parts.keys, parts.issuer)
  if (idTokenHint !== undefined && hint === undefined) return { error: 'invalid_request', reason: 'id_token_hint' }
  try {
    const target = await parts.grants.resolveTarget(asked, recipient.client)
    return {
      ...asked,
      scope: target.scope,
      resources: target.resources,
      ...(hint === undefined ? {} : { expects: hint.subject }),
    }
  } catch (error) {
    if (error instanceof Refusal && (error.code === 'invalid_scope' || error.code === 'invalid_target')) {
      return { error: error.code, reason: error.reason }
    }
    throw error
  }
}

/** The redirect for an error (RFC 6749 §4.1.2.1) with the issuer (RFC 9207 §2). */
export function errorAnswer(
  to: { readonly redirectUri: string; readonly state: string | undefined } | Pick<AuthorizationRequest, 'redirectUri' | 'state'>,
  error: AuthorizationError,
  reason: string,
  issuer: string,
): string {
  return withParameters(to.redirectUri, {
    error,
    error_description: `${DESCRIPTIONS[error]} (${reason})`,
    state: to.state,
    iss: issuer,
  })
}

// Fixed words: nothing a request contained is repeated.
const DESCRIPTIONS: Readonly<Record<AuthorizationError, string>> = {
  invalid_request: 'The request is missing something or is malformed',
  unauthorized_client: 'The client may not use this flow',
  unsupported_response_type: 'Only response_type=code is supported',
  invalid_scope: 'The scope is malformed or more than may be had',
  invalid_target: 'The resource is unknown or not for this client',
  access_denied: 'The person declined',
  login_required: 'The person must sign in',
  consent_required: 'The person must consent',
  interaction_required: 'The person must take part',
  request_not_supported: 'Request objects are not supported',
  request_uri_not_supported: 'Request references are not supported',
  registration_not_supported: 'Registration in the request is not supported',
  unmet_authentication_requirements: 'None of the requested acr_values can be given',
}
