/** Asking whether to sign out, and saying that it is done. */
import { type Html, html } from './html.ts'
import type { Page } from './page.ts'

export interface LogoutView {
  readonly person: string
  readonly app: string | undefined
  readonly formToken: Html
  /** What the app sent along, for the answer. */
  readonly carried: Readonly<Record<string, string | undefined>>
  readonly formScheme: string | undefined
}

export function logoutPage({ person, app, formToken, carried, formScheme }: LogoutView): Page {
  return {
    title: 'Sign out?',
    signedInAs: person,
    formScheme,
    body: html`<h1>Sign out?</h1>
<p class="lede">${app !== undefined && html`<strong>${app}</strong> asks to sign you out. `}You’ll be signed out of this browser, and apps that you use here with this account lose their access.</p>
<form method="post" action="/logout/confirm" class="stack">
${formToken}
${Object.entries(carried).map(([name, value]) => value !== undefined && html`<input type="hidden" name="${name}" value="${value}">`)}
<button type="submit" class="primary">Sign out</button>
<a class="button secondary" href="/account">Stay signed in</a>
</form>`,
  }
}

export const signedOutPage: Page = {
  title: 'Signed out',
  body: html`<h1>You’re signed out</h1>
<p class="lede">On a shared computer, close the browser window too.</p>
<p><a class="button secondary" href="/account">Sign in again</a></p>`,
}
