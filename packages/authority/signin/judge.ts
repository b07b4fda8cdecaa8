/**
 * What has to happen next before an app gets its code: pure, from the request, the records and the time. Asked again after
 * every step, so there is one place that decides, and no order of clicks that goes around it.
 */
import type { SessionId } from '@signet/kernel/ids.ts'
import { isSubset } from '@signet/kernel/scope.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { ConsentRecord } from '../store/ports/consents.ts'
import { ACR_PASSWORD, type Acr, reaches } from './acr.ts'
import type { AuthorizationError, AuthorizationRequest } from './authorization-request.ts'
import { isClaimed } from './redirect-uri.ts'
import type { SignedIn } from './session.ts'

/** Why someone must prove who they are. */
export type SignInReason = 'nobody' | 'asked' | 'too_old' | 'too_weak' | 'someone_else'
/** Why someone must agree: new scopes, the app asks us to ask, any program could be the receiver, or there is an account to choose. */
export type ConsentReason = 'new' | 'asked' | 'unclaimed' | 'choose'

export type NextStep =
  | { readonly kind: 'sign_in'; readonly why: SignInReason; readonly atLeast: Acr }
  | { readonly kind: 'consent'; readonly why: ConsentReason }
  | { readonly kind: 'refuse'; readonly error: AuthorizationError; readonly reason: string }
  | { readonly kind: 'ready' }

export interface Situation {
  readonly signedIn: SignedIn | undefined
  /** The session that was proved on this interaction's own page. */
  readonly proved: SessionId | undefined
  readonly consent: ConsentRecord | undefined
  readonly nowMs: number
}

export function judgeNextStep(request: AuthorizationRequest, client: ClientRecord, situation: Situation): NextStep {
  const silent = request.prompt.includes('none')
  const { signedIn } = situation
  const provedHere = signedIn !== undefined && situation.proved === signedIn.session.id

  const why = judgeProof(request, signedIn, provedHere, situation.nowMs)
  if (why !== undefined || signedIn === undefined) {
    if (silent) return { kind: 'refuse', error: 'login_required', reason: why ?? 'nobody' }
    // They did sign in here, but as someone the app did not expect: asking again would go in circles (OIDC Core §3.1.2.1).
    if (why === 'someone_else' && provedHere) return { kind: 'refuse', error: 'login_required', reason: 'unexpected_subject' }
    return { kind: 'sign_in', why: why ?? 'nobody', atLeast: request.atLeast ?? ACR_PASSWORD }
  }

  const agree = judgeConsent(request, client, situation.consent, provedHere)
  if (agree === undefined) return { kind: 'ready' }
  if (!silent) return { kind: 'consent', why: agree }
  return { kind: 'refuse', error: agree === 'new' ? 'consent_required' : 'interaction_required', reason: agree }
}

/** Why the session is not proof enough; undefined when it is. */
function judgeProof(
  request: AuthorizationRequest,
  signedIn: SignedIn | undefined,
  provedHere: boolean,
  nowMs: number,
): SignInReason | undefined {
  if (signedIn === undefined) return 'nobody'
  if (request.expects !== undefined && request.expects !== signedIn.subject.id) return 'someone_else'
  if (request.atLeast !== undefined && !reaches(signedIn.session.acr, request.atLeast)) return 'too_weak'
  if (provedHere) return undefined // However old it may be asked to be, nothing is fresher than just now.
  if (request.prompt.includes('login')) return 'asked'
  return request.maxAge !== undefined && epochSeconds(nowMs) - signedIn.session.authAt > request.maxAge ? 'too_old' : undefined
}

function judgeConsent(
  request: AuthorizationRequest,
  client: ClientRecord,
  consent: ConsentRecord | undefined,
  provedHere: boolean,
): ConsentReason | undefined {
  if (request.prompt.includes('consent')) return 'asked'
  const agreed =
    client.firstParty ||
    (consent !== undefined && isSubset(request.scope, consent.scopes) && isSubset(request.resources, consent.resources))
  if (!agreed) return 'new'
  // RFC 8252 §8.6: any program may pose as this app, so it gets nothing without somebody seeing it.
  if (client.platform === 'native' && !isClaimed(request.redirectUri) && !provedHere) return 'unclaimed'
  return request.prompt.includes('select_account') && !provedHere ? 'choose' : undefined
}
