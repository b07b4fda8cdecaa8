/** `POST /revoke` (RFC 7009), and `POST /leaks` for whoever finds a token where none should be. */

import { addressKey, takeOrRefuse } from '@signet/kernel/rate-limit.ts'
import type { FastifyInstance } from 'fastify'
import { useUp } from '../../clients/single-use.ts'
import type { GrantParts } from '../../grants/grant.ts'
import { type RevocationParts, revokeToken } from '../../grants/revoke-token.ts'
import type { Triggers } from '../../revocation/triggers.ts'
import { preflight } from '../cors.ts'
import { formOf } from '../form.ts'
import { type CallerParts, callerOf } from './caller.ts'
import { type ElsewhereParts, relay } from './elsewhere.ts'

export interface RevokeParts extends RevocationParts, CallerParts, ElsewhereParts {
  readonly store: GrantParts['store']
  readonly triggers: Pick<Triggers, 'leakedToken'>
}

export function revokeRoutes(app: FastifyInstance, parts: RevokeParts): void {
  app.post('/revoke', async (request, reply) => {
    const { form, client } = await callerOf(request, reply, parts)
    const token = form.need('token')
    const answer = await parts.elsewhere?.('/revoke', token, form, request, client)
    if (answer !== undefined) return relay(reply, answer)
    if (client.uses.length > 0) await parts.store.transact((tx) => useUp(tx, client.uses))
    await revokeToken(token, client.record, parts)
    return reply.code(200).header('cache-control', 'no-store').send()
  })
  preflight(app, 'POST', '/revoke')

  // To have the token is proof enough to end it. The answer is always the same, so that nothing can be learned by asking.
  app.post('/leaks', async (request, reply) => {
    await takeOrRefuse(parts.limits.stranger, addressKey(request.ip), 'address_rate')
    const form = formOf(request)
    const token = form.need('token')
    const answer = await parts.elsewhere?.('/leaks', token, form, request)
    if (answer !== undefined) return relay(reply, answer)
    await parts.triggers.leakedToken(token, 'system')
    return reply.code(202).header('cache-control', 'no-store').send()
  })
}
