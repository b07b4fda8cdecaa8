/** What every handler here begins with. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { findInteraction, type Interaction } from '../../signin/interaction.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { recognizeVisitor, type Visitor } from '../../signin/visitor.ts'
import { readCookies } from './cookies.ts'
import { sendPage } from './page.ts'
import { overPage } from './problem-page.ts'

export type WithHandle = { Params: { handle: string } }

export function visit(request: FastifyRequest, parts: SigninParts): Promise<Visitor> {
  const from = { address: request.ip, userAgent: request.headers['user-agent'] }
  return recognizeVisitor(readCookies(request), from, parts)
}

/** The interaction in the address, if this browser may go on with it; else the page that says why not has been sent. */
export async function visitInteraction(
  request: FastifyRequest<WithHandle>,
  reply: FastifyReply,
  parts: SigninParts,
): Promise<{ readonly visitor: Visitor; readonly interaction: Interaction } | undefined> {
  const visitor = await visit(request, parts)
  const nowAt = Math.floor(parts.clock.now() / 1000)
  const interaction = await findInteraction(request.params.handle, visitor.browser, parts.store.interactions, nowAt, parts.sha256)
  if (typeof interaction !== 'string') return { visitor, interaction }
  sendPage(reply, overPage(interaction, parts.issuer, request))
  return undefined
}
