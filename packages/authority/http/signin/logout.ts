/** /logout: RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0), and the person's own "sign out". */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type LogoutPlan, mustAsk, planLogout, signOut } from '../../signin/logout.ts'
import type { SigninParts } from '../../signin/parts.ts'
import type { SignedIn } from '../../signin/session.ts'
import type { Visitor } from '../../signin/visitor.ts'
import { type Form, queryOf } from '../form.ts'
import { forgetSession, rememberBrowser } from './cookies.ts'
import { visit } from './door.ts'
import { ownForm, tokenField } from './forms.ts'
import { leave, schemeOf } from './leave-page.ts'
import { logoutPage, signedOutPage } from './logout-page.ts'
import { sendPage } from './page.ts'
import { overPage, problemPage } from './problem-page.ts'

export function logoutRoutes(app: FastifyInstance, parts: SigninParts): void {
  app.get('/logout', async (request, reply) => {
    const asked = queryOf(request)
    const plan = await planLogout(readLogout(asked), parts)
    if (typeof plan === 'string') return sendPage(reply, problemPage(plan, request))
    const visitor = await visit(request, parts)
    const { signedIn } = visitor
    if (signedIn === undefined) return farewell(request, reply, plan)
    if (mustAsk(plan, signedIn)) return ask(reply, asked, plan, visitor, signedIn, parts)
    await signOut(signedIn, plan.client, parts)
    return farewell(request, reply, plan)
  })

  // What the person confirms is judged again from the same words; the page is not believed.
  app.post('/logout/confirm', async (request, reply) => {
    const visitor = await visit(request, parts)
    const { signedIn } = visitor
    if (signedIn === undefined) return farewell(request, reply, undefined)
    const form = ownForm(request, visitor.browser, purposeOf(signedIn), parts)
    if (form === undefined) return sendPage(reply, overPage('stale_form', parts.issuer, request))
    const plan = await planLogout(readLogout(form), parts)
    await signOut(signedIn, typeof plan === 'string' ? undefined : plan.client, parts)
    return farewell(request, reply, typeof plan === 'string' ? undefined : plan)
  })
}

export const purposeOf = (signedIn: SignedIn): string => `logout ${signedIn.session.id}`

const readLogout = (form: Form) => ({
  idTokenHint: form.get('id_token_hint'),
  clientId: form.get('client_id'),
  postLogoutRedirectUri: form.get('post_logout_redirect_uri'),
  state: form.get('state'),
})

function ask(
  reply: FastifyReply,
  asked: Form,
  plan: LogoutPlan,
  visitor: Visitor,
  signedIn: SignedIn,
  parts: SigninParts,
): FastifyReply {
  rememberBrowser(reply, visitor.browser)
  return sendPage(
    reply,
    logoutPage({
      person: signedIn.subject.username,
      app: plan.client?.name,
      formToken: tokenField(visitor.browser, purposeOf(signedIn), parts),
      carried: {
        client_id: plan.client?.id,
        post_logout_redirect_uri: asked.get('post_logout_redirect_uri'),
        state: asked.get('state'),
      },
      formScheme: plan.returnTo === undefined ? undefined : schemeOf(plan.returnTo),
    }),
  )
}

/** Back to the app, if it said where and may; else a page. */
function farewell(request: FastifyRequest, reply: FastifyReply, plan: LogoutPlan | undefined): FastifyReply {
  forgetSession(reply)
  return plan?.returnTo === undefined ? sendPage(reply, signedOutPage) : leave(request, reply, plan.returnTo)
}
