/** Passes a request on to the region where its token lives, and that region's answer back. */

import { addressKey } from '@signet/kernel/rate-limit.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AuthenticatedClient } from '../../clients/authenticate-client.ts'
import type { SingleUse } from '../../clients/single-use.ts'
import type { FORWARDED_PATHS, Forward, HomeAnswer } from '../../regions/forward.ts'
import { FORWARDED_HEADERS } from '../../regions/forward.ts'
import type { Form } from '../form.ts'

/** The home's answer; undefined when the token is to be judged here. */
export type Elsewhere = (
  path: (typeof FORWARDED_PATHS)[number],
  token: string,
  form: Form,
  request: FastifyRequest,
  client?: AuthenticatedClient,
) => Promise<HomeAnswer | undefined>

export interface ElsewhereParts {
  /** Absent where there is one region only. */
  readonly elsewhere?: Elsewhere | undefined
}

export function createElsewhere(parts: {
  isHere(token: string): Promise<boolean>
  forward: Forward
  /** Uses up the client's assertion here, where it was checked. */
  useUp(uses: readonly SingleUse[]): Promise<void>
}): Elsewhere {
  return async (path, token, form, request, client) => {
    if (await parts.isHere(token)) return undefined
    if (client !== undefined && client.uses.length > 0) await parts.useUp(client.uses)
    const headers: Record<string, string> = {}
    for (const name of FORWARDED_HEADERS) {
      const value = request.headers[name]
      if (typeof value === 'string') headers[name] = value
    }
    const proven = client !== undefined && client.record.authMethod !== 'none'
    const about = { proven, ...(client !== undefined && { client: client.record.id }) }
    // As for rates: only who proves himself has something of his own.
    const caller = proven ? `client ${client.record.id}` : addressKey(request.ip)
    return parts.forward({ path, token, form: form.encoded(CREDENTIALS), headers, address: request.ip, ...about }, caller)
  }
}

/** What proves a client goes no further than where it is known. */
const CREDENTIALS = ['client_id', 'client_secret', 'client_assertion', 'client_assertion_type']

export function relay(reply: FastifyReply, answer: HomeAnswer): FastifyReply {
  return reply.code(answer.status).headers(answer.headers).send(answer.body)
}
