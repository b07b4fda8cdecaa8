/** /setup/:handle: a one-time link. Looking at it spends nothing; sending the form does, if all is well with it. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { SigninParts } from '../../signin/parts.ts'
import { creationOptions } from '../../signin/passkey.ts'
import { findSetup, type Setup, type SetupFlaw, setUp } from '../../signin/setup.ts'
import type { Visitor } from '../../signin/visitor.ts'
import { rememberBrowser, rememberSession } from './cookies.ts'
import { visit, type WithHandle } from './door.ts'
import { ownForm, tokenField } from './forms.ts'
import { sendPage } from './page.ts'
import { overPage, usedLinkPage } from './problem-page.ts'
import { setupPage } from './setup-page.ts'

export function setupRoutes(app: FastifyInstance, parts: SigninParts): void {
  app.get<WithHandle>('/setup/:handle', async (request, reply) => {
    const visitor = await visit(request, parts)
    const setup = await findSetup(request.params.handle, visitor.browser, parts)
    if (setup === 'over') return sendPage(reply, usedLinkPage(request))
    return show(reply, setup, visitor, { typed: '', flaw: undefined }, parts)
  })

  app.post<WithHandle>('/setup/:handle', async (request, reply) => {
    const visitor = await visit(request, parts)
    const setup = await findSetup(request.params.handle, visitor.browser, parts)
    if (setup === 'over') return sendPage(reply, usedLinkPage(request))
    const form = ownForm(request, visitor.browser, purposeOf(setup), parts)
    if (form === undefined)
      return sendPage(reply, overPage(visitor.browser.fresh ? 'no_cookie' : 'stale_form', parts.issuer, request))
    const typed = form.get('username') ?? ''
    const chosen = {
      username: typed,
      password: form.get('password') ?? '',
      repeated: form.get('repeated') ?? '',
      passkey: form.get('passkey'),
    }
    const outcome = await setUp(setup, chosen, visitor, parts)
    if (outcome.kind === 'over') return sendPage(reply, usedLinkPage(request))
    if (outcome.kind === 'flaw') return show(reply, setup, visitor, { typed, flaw: outcome.flaw }, parts)
    rememberSession(reply, outcome.established)
    return reply.header('cache-control', 'no-store').redirect('/account?done=set_up', 303)
  })
}

const purposeOf = (setup: Setup): string => `setup ${setup.handle}`

async function show(
  reply: FastifyReply,
  setup: Setup,
  visitor: Visitor,
  { typed, flaw }: { readonly typed: string; readonly flaw: SetupFlaw | undefined },
  parts: SigninParts,
): Promise<FastifyReply> {
  rememberBrowser(reply, visitor.browser)
  // The script puts the name that is typed into the credential.
  const person = { subject: setup.subject, username: setup.username ?? '', name: setup.username ?? '' }
  const passkeys = parts.site && (await creationOptions(parts.site, setup.challenge, person, []))
  return sendPage(
    reply,
    setupPage({ setup, formToken: tokenField(visitor.browser, purposeOf(setup), parts), passkeys, typed, flaw }),
  )
}
