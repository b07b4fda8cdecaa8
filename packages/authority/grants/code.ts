/** Authorization codes (RFC 6749 §4.1.2): 256 random bits that stand for what a person agreed to, for a minute and once. */

import { type ClientId, type DeviceId, type FamilyId, newId, type SessionId, type SubjectId } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { type Chance, type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { CodeRecord } from '../store/ports/handles.ts'
import type { Tx } from '../store/store.ts'
import type { Target } from './target.ts'

/** What a person agreed to: the authorization request, judged, and the sign-in that stands behind it. */
export interface CodeRequest extends Target {
  readonly client: ClientId
  readonly subject: SubjectId
  readonly session: SessionId
  readonly device: DeviceId
  /** As it came in the request: the token request must repeat it (RFC 6749 §4.1.3). */
  readonly redirectUri: string
  /** S256 (RFC 7636 §4.2). */
  readonly codeChallenge: string
  readonly nonce?: string | undefined
  readonly authAt: number
  readonly acr: string
  readonly amr: readonly string[]
  /** `dpop_jkt` (RFC 9449 §10): only a proof of this key redeems the code. */
  readonly jkt?: string | undefined
  /** The session lies past every cutoff that stood when it began, which may be a moment ahead; so must what is granted in it. */
  readonly sessionCreatedAtMs: number
}

/** What a code stands for until it is redeemed. */
export interface CodeGrant extends CodeRequest {
  /** The grant it will become; what its tokens carry as `gid` and what ends if the code is used twice. */
  readonly family: FamilyId
  /** What was revoked at or after this moment takes the code with it. */
  readonly issuedAtMs: number
}

interface CodeParts {
  readonly settings: PolicySettings
  readonly clock: Clock
  readonly chance: Chance
  readonly sha256: Sha256
}

/** Records the code in this transaction, with its audit event, and returns it: the only time it is seen. */
export async function issueCode(tx: Tx, parts: CodeParts, request: CodeRequest): Promise<string> {
  const { settings, clock, chance, sha256 } = parts
  const family = newId<FamilyId>(tx.nowMs, chance)
  const { revokedMs = 0 } = (await tx.clients.find(request.client)) ?? {}
  const grant: CodeGrant = { ...request, family, issuedAtMs: Math.max(tx.nowMs, request.sessionCreatedAtMs, revokedMs + 1) }
  const secret = chance.bytes(SECRET_BYTES)
  await tx.codes.create({
    hash: sha256(secret),
    purpose: 'authorization_code',
    payload: JSON.stringify(grant),
    family,
    expiresAt: epochSeconds(tx.nowMs) + settings.authorizationCodeSeconds,
  })
  const { client, subject, session, device, scope } = request
  tx.audit(audited(clock, chance, 'code.issued', `subject:${subject}`, { client, subject, session, device, family }, { scope }))
  return encodeOpaque('authorization_code', secret)
}

/** The hash a presented code is stored under, or undefined when it was never one of ours. */
export function codeHash(code: string, sha256: Sha256): Uint8Array | undefined {
  const secret = decodeOpaque('authorization_code', code)
  return secret?.length === SECRET_BYTES ? sha256(secret) : undefined
}

export const readGrant = (code: CodeRecord): CodeGrant => JSON.parse(code.payload) as CodeGrant

const SECRET_BYTES = 32
