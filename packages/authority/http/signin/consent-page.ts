/** What an app wants, said plainly, and two buttons. */
import type { AskGroup } from '../../signin/ask.ts'
import type { ConsentReason } from '../../signin/judge.ts'
import { isWebUri } from '../../signin/redirect-uri.ts'
import { type Html, html } from './html.ts'
import type { Page } from './page.ts'

export interface ConsentView {
  readonly handle: string
  readonly formToken: Html
  readonly why: ConsentReason
  readonly app: string
  readonly redirectUri: string
  readonly person: string
  readonly groups: readonly AskGroup[]
  /** An app of this service's own: nothing is given away by going on. */
  readonly firstParty: boolean
  readonly formScheme: string | undefined
}

export function consentPage(view: ConsentView): Page {
  const { app, person, handle } = view
  const isContinue = view.firstParty || view.why === 'choose' || view.why === 'unclaimed'
  const title = isContinue ? `Continue to ${app}?` : `Allow ${app}?`
  return {
    title,
    formScheme: view.formScheme,
    body: html`<h1>${isContinue ? html`Continue to <span class="app">${app}</span>?` : html`<span class="app">${app}</span> would like access`}</h1>
<p class="lede">You’re signed in as <strong>${person}</strong>. <a href="/signin/${handle}?switch=1">Not you?</a></p>
${view.why === 'unclaimed' && html`<p class="quiet">Go on only if you have just started this app yourself.</p>`}
${view.groups.length > 0 && html`<section class="ask" aria-labelledby="ask"><h2 id="ask">It will be able to:</h2>${view.groups.map((one) => group(one, view.groups.length > 1))}</section>`}
<form method="post" action="/consent/${handle}" class="stack">
${view.formToken}
<button type="submit" name="decision" value="allow" class="primary">${isContinue ? 'Continue' : 'Allow'}</button>
<button type="submit" name="decision" value="deny" class="secondary">${isContinue ? 'Cancel' : 'Don’t allow'}</button>
</form>
<p class="fine">${destination(view.redirectUri)} You can take this back at any time on <a href="/account">your account page</a>.</p>`,
  }
}

function group({ service, items }: AskGroup, isOneOfMany: boolean): Html {
  const heading =
    service === undefined
      ? isOneOfMany && html`<h3>Your account</h3>`
      : html`<h3>${service.name} <code>${hostOf(service.uri)}</code></h3>`
  return html`${heading}
<ul class="ticks">${items.map(({ scope, description }) => html`<li>${description ?? html`<code>${scope}</code>`}</li>`)}</ul>`
}

/** Where the person ends up, for the one look that tells a wrong address. */
function destination(uri: string): Html {
  if (!isWebUri(uri)) return html`You’ll go back to the app on this device.`
  const host = hostOf(uri)
  return /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host)
    ? html`You’ll go back to an app on this device (<code>${host}</code>).`
    : html`You’ll go back to <code>${host}</code>.`
}

const hostOf = (uri: string): string => URL.parse(uri)?.host || uri
