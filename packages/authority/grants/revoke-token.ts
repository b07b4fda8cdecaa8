/**
 * Revocation by the client that a token was issued to (RFC 7009). A refresh token ends its whole grant, as RFC 7009 §2.1 asks; an
 * access token or API key ends alone. What is no token of ours, or has ended anyway, is a success: there is nothing left to do.
 */
import type { TokenId } from '@signet/kernel/ids.ts'
import type { Revoker } from '../revocation/revoke.ts'
import type { Target } from '../revocation/target.ts'
import type { LeakedToken } from '../revocation/triggers.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import { type IdentifyParts, identifyToken } from './identify-token.ts'
import { refuse } from './refuse.ts'

export interface RevocationParts extends IdentifyParts {
  readonly revoker: Pick<Revoker, 'revoke'>
}

export async function revokeToken(token: string, client: ClientRecord, parts: RevocationParts): Promise<void> {
  const known = await identifyToken(token, parts)
  if (known === undefined) return
  // RFC 7009 §2.1: said plainly, since whoever holds the token could as well use it.
  if (known.client !== client.id) throw refuse('unauthorized_client', 'token_of_another_client')
  await parts.revoker.revoke(targetOf(known), { reason: 'revoked_by_client', actor: `client:${client.id}` })
}

function targetOf({ kind, token, grant }: LeakedToken): Target {
  return kind === 'refresh_token' ? { kind: 'grant', id: grant as string } : { kind: 'token', id: token as TokenId }
}
