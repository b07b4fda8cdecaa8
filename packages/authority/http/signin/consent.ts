/** /consent/:handle: shows what an app asks for; takes the answer, once. */
import type { FastifyInstance } from 'fastify'
import { describeAsk } from '../../signin/ask.ts'
import { agree, disagree, goOn } from '../../signin/authorize.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { consentPage } from './consent-page.ts'
import { visitInteraction, type WithHandle } from './door.ts'
import { ownForm, tokenField } from './forms.ts'
import { schemeOf } from './leave-page.ts'
import { sendPage } from './page.ts'
import { overPage } from './problem-page.ts'
import { follow } from './sign-in.ts'

export function consentRoutes(app: FastifyInstance, parts: SigninParts): void {
  app.get<WithHandle>('/consent/:handle', async (request, reply) => {
    const visit = await visitInteraction(request, reply, parts)
    if (visit === undefined) return reply
    const { interaction, visitor } = visit
    const { undertaking, handle } = interaction
    if (undertaking.kind !== 'authorize') return sendPage(reply, overPage('over', parts.issuer, request))
    const next = await goOn(interaction, undertaking.request, visitor, parts)
    if (next.kind !== 'consent') return follow(request, reply, next, undefined, parts)
    const { signedIn, client, why } = next
    return sendPage(
      reply,
      consentPage({
        handle,
        formToken: tokenField(visitor.browser, purposeOf(handle, signedIn.session.id), parts),
        why,
        app: client.name,
        redirectUri: undertaking.request.redirectUri,
        person: signedIn.subject.username,
        groups: await describeAsk(undertaking.request, parts),
        firstParty: client.firstParty,
        formScheme: schemeOf(undertaking.request.redirectUri),
      }),
    )
  })

  app.post<WithHandle>('/consent/:handle', async (request, reply) => {
    const visit = await visitInteraction(request, reply, parts)
    if (visit === undefined) return reply
    const { interaction, visitor } = visit
    const { undertaking, handle } = interaction
    if (undertaking.kind !== 'authorize') return sendPage(reply, overPage('over', parts.issuer, request))
    // The answer counts for the session whose page was shown; whoever has signed in since is asked anew.
    const { signedIn } = visitor
    const form = signedIn && ownForm(request, visitor.browser, purposeOf(handle, signedIn.session.id), parts)
    if (signedIn === undefined || form === undefined) return sendPage(reply, overPage('stale_form', parts.issuer, request))
    const { request: asked } = undertaking
    if (form.get('decision') !== 'allow')
      return follow(request, reply, await disagree(interaction, asked, signedIn, parts), undefined, parts)
    const next = await goOn(interaction, asked, visitor, parts)
    const done = next.kind === 'consent' ? await agree(interaction, asked, next.signedIn, parts) : next
    return follow(request, reply, done, undefined, parts)
  })
}

const purposeOf = (handle: string, session: string): string => `consent ${handle} ${session}`
