/**
 * Signing out, asked for by an app (OpenID Connect RP-Initiated Logout 1.0) or by the person. The session of this browser
 * ends, and with it everything its tokens are good for. Nobody is signed out by a mere link: without proof that the app
 * means this very session, the person is asked.
 */
import type { ClientId, SessionId } from '@signet/kernel/ids.ts'
import { audited } from '../audit/events.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import { verifyHint } from './id-token-hint.ts'
import type { SigninParts } from './parts.ts'
import { withParameters } from './redirect-uri.ts'
import type { SignedIn } from './session.ts'

export interface LogoutRequest {
  readonly idTokenHint: string | undefined
  readonly clientId: string | undefined
  readonly postLogoutRedirectUri: string | undefined
  readonly state: string | undefined
}

/** What an app may not ask for; shown to the person, since there is nowhere it could safely be sent. */
export type LogoutFlaw = 'client_unknown' | 'client_mismatch' | 'client_missing' | 'redirect_uri_mismatch'

export interface LogoutPlan {
  readonly client: ClientRecord | undefined
  /** Where the browser goes afterwards, with `state`. */
  readonly returnTo: string | undefined
  /** The session that the app proved to mean. */
  readonly means: SessionId | undefined
}

/** Judges the request; ends nothing. */
export async function planLogout(
  request: LogoutRequest,
  { store, keys, issuer }: Pick<SigninParts, 'store' | 'keys' | 'issuer'>,
): Promise<LogoutPlan | LogoutFlaw> {
  // A hint that can't be verified any more (its key has been forgotten) hints at nothing: then the person is asked.
  const hint = request.idTokenHint === undefined ? undefined : await verifyHint(request.idTokenHint, keys, issuer)
  if (request.clientId !== undefined && hint !== undefined && hint.client !== request.clientId) return 'client_mismatch'
  const id = (request.clientId ?? hint?.client) as ClientId | undefined
  const client = id === undefined ? undefined : await store.clients.find(id)
  if (id !== undefined && client === undefined) return 'client_unknown'
  const uri = request.postLogoutRedirectUri
  if (uri !== undefined && client === undefined) return 'client_missing'
  if (uri !== undefined && client?.postLogoutRedirectUris.includes(uri) !== true) return 'redirect_uri_mismatch'
  return {
    client,
    returnTo: uri === undefined ? undefined : withParameters(uri, { state: request.state }),
    means: hint?.session,
  }
}

/** Whether the person has to be asked first. */
export const mustAsk = (plan: LogoutPlan, signedIn: SignedIn): boolean => plan.means !== signedIn.session.id

/** Ends this browser's session, with its tokens and refresh families. */
export async function signOut(
  { session, subject }: SignedIn,
  client: ClientRecord | undefined,
  { store, triggers, clock, chance }: Pick<SigninParts, 'store' | 'triggers' | 'clock' | 'chance'>,
): Promise<void> {
  const actor = `subject:${subject.id}` as const
  const ids = { subject: subject.id, session: session.id, device: session.device, client: client?.id }
  const event = audited(clock, chance, 'signout', actor, ids)
  await store.transact(async (tx) => {
    await triggers.signedOut(tx, session.id, actor)
    tx.audit(event)
  })
}
