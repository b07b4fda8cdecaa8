/**
 * The way out to an app. After a form, browsers that enforce `form-action` check every redirect of the chain against it, also
 * those that the app makes on its own account afterwards, which nobody can list. So a form that ends at a website answers with
 * a page of ours that goes on by itself; that is a new navigation, and the person sees at most a flicker. An app's own scheme
 * gets a real redirect, since phones open apps only straight from the person's click.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isWebUri } from '../../signin/redirect-uri.ts'
import { html } from './html.ts'
import { sendPage } from './page.ts'

export function leave(request: FastifyRequest, reply: FastifyReply, to: string): FastifyReply {
  // Only browsers enforce the policy, and all that do say when a request is a navigation.
  const isForm = request.method === 'POST' && request.headers['sec-fetch-mode'] === 'navigate'
  // RFC 9700 §4.12: 303, so that a form with a password is not sent on.
  if (!isForm || !isWebUri(to)) return reply.header('cache-control', 'no-store').redirect(to, 303)
  return sendPage(reply, {
    title: 'One moment',
    refreshTo: to,
    body: html`<h1>Taking you back…</h1>
<p class="lede">If nothing happens, <a href="${to}">continue here</a>.</p>`,
  })
}

/** The scheme that a form's page has to name, if the form may end at an app's own. */
export const schemeOf = (uri: string): string | undefined =>
  isWebUri(uri) ? undefined : /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase()
