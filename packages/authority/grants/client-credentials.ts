/**
 * `client_credentials` (RFC 6749 §4.4): a confidential client asks for itself. The subject is the client (RFC 9068 §2.2), there is no
 * session, no grant and no refresh token: it can ask again at any time.
 */
import type { SubjectId } from '@signet/kernel/ids.ts'
import { audited } from '../audit/events.ts'
import { useUp } from '../clients/single-use.ts'
import {
  accessTokenSeconds,
  actorOf,
  type Caller,
  confirmation,
  type GrantParts,
  issueFloor,
  knowIssuer,
  permitted,
  secondsUntil,
  type TokenSet,
  tokenFor,
  tokenType,
} from './grant.ts'
import { refuse } from './refuse.ts'
import { ownTarget, type TargetRequest } from './target.ts'

export async function clientCredentials(request: TargetRequest, caller: Caller, parts: GrantParts): Promise<TokenSet> {
  const { store, mint, catalog, settings, clock, chance } = parts
  const client = permitted(caller, 'client_credentials')
  if (client.authMethod === 'none') throw refuse('unauthorized_client', 'grant_not_allowed') // Nobody would have proved anything.
  const { resource, scope } = await ownTarget(request, client, catalog)
  const cnf = confirmation(caller, resource)
  const issued = mint.accessToken({
    subject: client.id as string as SubjectId,
    client: client.id,
    scope,
    audience: resource.uri,
    cnf,
    seconds: accessTokenSeconds(client, resource, settings),
    floorMs: issueFloor(knowIssuer(parts), [], scope, caller, parts),
    policy: parts.policyVersion,
  })
  const accessToken = tokenFor(resource, issued, parts)
  const event = audited(
    clock,
    chance,
    'token.issued',
    actorOf(caller),
    { client: client.id, token: issued.id, resource: resource.uri },
    { grant: 'client_credentials', scope, bound: cnf !== undefined, policy: parts.policyVersion },
  )
  await store.transact(async (tx) => {
    await useUp(tx, caller.uses)
    tx.audit(event)
  })
  return {
    accessToken,
    tokenType: tokenType(cnf),
    expiresInSeconds: secondsUntil(issued.expiresAt, clock),
    scope,
  }
}
