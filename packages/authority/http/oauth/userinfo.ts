/** `GET` and `POST /userinfo` (OpenID Connect Core §5.3): who signed in, as far as the scopes of the access token go. */
import { refusal } from '@signet/kernel/errors.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { KnownClients } from '../../clients/authenticate-client.ts'
import { releasedClaims } from '../../grants/claims.ts'
import type { GrantParts } from '../../grants/grant.ts'
import { openToClient, preflight } from '../cors.ts'
import { type OwnValidator, requireToken } from '../protected.ts'

export interface UserinfoParts {
  readonly store: Pick<GrantParts['store'], 'subjects'>
  readonly clients: KnownClients
  readonly validator: OwnValidator
}

export function userinfoRoutes(app: FastifyInstance, parts: UserinfoParts): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const { claims } = await requireToken(request, reply, parts.validator, 'openid')
    const { value: client } = await parts.clients.find(claims.client_id)
    if (client !== undefined) openToClient(request, reply, client)
    const subject = await parts.store.subjects.find(claims.sub)
    if (subject === undefined) throw refusal('invalid_token', 'subject_revoked')
    return { ...releasedClaims(subject.claims, claims.scope?.split(' ') ?? []), sub: subject.id }
  }
  app.get('/userinfo', answer)
  app.post('/userinfo', answer)
  preflight(app, 'GET, POST', '/userinfo')
}
