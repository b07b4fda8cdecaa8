/** /authorize: the authorization endpoint (RFC 6749 §3.1). */

import type { ClientId } from '@signet/kernel/ids.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type AuthorizationParameters, judgeRecipient } from '../../signin/authorization-request.ts'
import { beginAuthorization, errorAnswer } from '../../signin/authorize.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { type FormProblem, parseForm } from '../form.ts'
import { rememberBrowser } from './cookies.ts'
import { visit } from './door.ts'
import { MAX_QUERY } from './foreign-form.ts'
import { leave } from './leave-page.ts'
import { sendPage } from './page.ts'
import { problemPage } from './problem-page.ts'
import { follow } from './sign-in.ts'

export function authorizeRoutes(app: FastifyInstance, parts: SigninParts): void {
  app.get('/authorize', async (request, reply) => {
    const query = (request.raw.url ?? '').split('?').slice(1).join('?')
    const parameters = query.length > MAX_QUERY ? 'query_too_long' : parseForm(query)
    if (typeof parameters === 'string') return refuseUnread(request, reply, query, parameters, parts)
    const visitor = await visit(request, parts)
    const next = await beginAuthorization(parameters, visitor, parts)
    // A page of ours comes next, and it must find this browser again.
    if (next.kind === 'sign_in' || next.kind === 'consent') rememberBrowser(reply, visitor.browser)
    return follow(request, reply, next, undefined, parts)
  })
}

/**
 * A request that can't be read as a whole, most often because a parameter is repeated. If client and redirect URI are still
 * beyond doubt the app is told (RFC 6749 §4.1.2.1), else the person.
 */
async function refuseUnread(
  request: FastifyRequest,
  reply: FastifyReply,
  query: string,
  problem: FormProblem,
  parts: SigninParts,
): Promise<FastifyReply> {
  const all = new URLSearchParams(problem === 'repeated_parameter' ? query : '')
  const once: AuthorizationParameters = {
    get: (name) => (all.getAll(name).length === 1 ? all.get(name) || undefined : undefined),
    resources: [],
  }
  const id = once.get('client_id')
  const client = id === undefined ? undefined : await parts.store.clients.find(id as ClientId)
  const judged = judgeRecipient(once, client)
  if (judged.kind === 'nowhere') return sendPage(reply, problemPage(problem, request))
  return leave(request, reply, errorAnswer(judged.recipient, 'invalid_request', problem, parts.issuer))
}
