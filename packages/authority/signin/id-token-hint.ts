/** ID tokens that come back to us as a hint (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2): ours, and perhaps long expired. */
import type { ClientId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import { compactVerify, decodeProtectedHeader } from 'jose'
import type { HintKeys } from './parts.ts'

export interface Hint {
  readonly subject: SubjectId
  readonly client: ClientId
  readonly session?: SessionId
}

const MAX_HINT = 8192

/** What it says, or undefined unless one of our keys signed it. Its expiry doesn't matter: it only says who was meant. */
export async function verifyHint(token: string, keys: HintKeys, issuer: string): Promise<Hint | undefined> {
  if (token.length > MAX_HINT) return undefined
  let claims: Record<string, unknown>
  try {
    const { kid, alg, typ } = decodeProtectedHeader(token)
    const known = kid === undefined ? undefined : keys.publicKey(kid)
    // An access token is signed with the same keys but is no hint: it may be in the hands of any service.
    if (known === undefined || known.purpose !== 'token' || known.state === 'compromised' || alg !== known.alg || typ !== 'JWT')
      return undefined
    const { payload } = await compactVerify(token, known.key, { algorithms: [known.alg] })
    claims = JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>
  } catch {
    return undefined // Whatever is wrong with it, it hints at nothing.
  }
  const { iss, sub, aud, sid } = claims
  if (iss !== issuer || typeof sub !== 'string' || typeof aud !== 'string') return undefined
  return {
    subject: sub as SubjectId,
    client: aud as ClientId,
    ...(typeof sid === 'string' ? { session: sid as SessionId } : {}),
  }
}
