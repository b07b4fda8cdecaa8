/** `POST /introspect` (RFC 7662): active or not, with what the asker may know; as a signed answer on request (RFC 9701). */

import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { FastifyInstance } from 'fastify'
import { useUp } from '../../clients/single-use.ts'
import { type Inspection, type InspectionParts, inspectToken } from '../../grants/inspect-token.ts'
import { refuse } from '../../grants/refuse.ts'
import type { Mint } from '../../tokens/mint.ts'
import { type CallerParts, callerOf } from './caller.ts'
import { type ElsewhereParts, relay } from './elsewhere.ts'

const SIGNED_TYPE = 'application/token-introspection+jwt'

export interface IntrospectParts extends InspectionParts, CallerParts, ElsewhereParts {
  readonly mint: Pick<Mint, 'sign'>
}

export function introspectRoute(app: FastifyInstance, parts: IntrospectParts): void {
  app.post('/introspect', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const { form, client } = await callerOf(request, reply, parts)
    // RFC 7662 §2.1: who proves nothing could scan for tokens that work.
    if (client.record.authMethod === 'none') throw refuse('unauthorized_client', 'introspection_not_allowed')
    const token = form.need('token')
    const home = await parts.elsewhere?.('/introspect', token, form, request, client)
    if (home !== undefined) return relay(reply, home)
    if (client.uses.length > 0) await parts.store.transact((tx) => useUp(tx, client.uses))
    const known = await inspectToken(token, client.record, parts)
    const answer = form.get('mode') === 'minimal' ? { active: known !== undefined } : describe(known)
    if (request.headers.accept?.includes(SIGNED_TYPE) !== true) return reply.type('application/json; charset=utf-8').send(answer)
    const signed = { iss: parts.issuer, aud: client.record.id, iat: epochSeconds(parts.clock.now()), token_introspection: answer }
    return reply.type(SIGNED_TYPE).send(parts.mint.sign('token-introspection+jwt', signed))
  })
}

const describe = (known: Inspection | undefined): object => (known === undefined ? { active: false } : { active: true, ...known })
