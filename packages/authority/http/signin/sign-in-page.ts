/** The sign-in page: password and passkey, or only what is strong enough. Works without a script, but for passkeys. */
import type { PublicKeyCredentialRequestOptionsJSON } from '@simplewebauthn/server'
import { ACR_PASSKEY, type Acr } from '../../signin/acr.ts'
import type { SignInReason } from '../../signin/judge.ts'
import type { SignInRefusal } from '../../signin/sign-in.ts'
import { USERNAME_MAX } from '../../signin/username.ts'
import { type Html, html } from './html.ts'
import { alert, field, inWords, type Page } from './page.ts'

export interface SignInView {
  readonly handle: string
  readonly formToken: Html
  readonly why: SignInReason
  readonly atLeast: Acr
  /** Name of the app, absent for the account's own pages. */
  readonly app: string | undefined
  /** Who is to confirm that it is them; absent when anyone may sign in. */
  readonly person: string | undefined
  /** What to fill in for the username. */
  readonly hint: string | undefined
  readonly passkeys: PublicKeyCredentialRequestOptionsJSON | undefined
  readonly refusal: Exclude<SignInRefusal, { kind: 'over' }> | undefined
  readonly formScheme: string | undefined
}

export function signInPage(view: SignInView): Page {
  const { refusal, person, passkeys } = view
  const onlyPasskey = view.atLeast === ACR_PASSKEY
  const title =
    person === undefined ? 'Sign in' : onlyPasskey && view.why === 'too_weak' ? 'Use your passkey' : 'Confirm it’s you'
  return {
    title: refusal === undefined ? title : `Try again: ${title}`,
    status: refusal === undefined ? 200 : refusal.reason === 'throttled' ? 429 : 400,
    ...(refusal?.reason === 'throttled' ? { retryAfterSeconds: refusal.retryAfterSeconds } : {}),
    formScheme: view.formScheme,
    body: html`<h1>${title}</h1>
<p class="lede">${lede(view, onlyPasskey)}</p>
${refusal !== undefined && alert(words(refusal, passkeys !== undefined))}
${!onlyPasskey && passwordForm(view)}
${passkeys !== undefined && passkeyForm(view, passkeys, onlyPasskey)}
${onlyPasskey && passkeys === undefined && alert('Passkeys don’t work at this address, because it has no host name. Ask whoever runs this service.')}
${person !== undefined && html`<p class="aside">Not ${person}? <a href="/signin/${view.handle}?switch=1">Use another account</a></p>`}`,
  }
}

function lede({ app, why }: SignInView, onlyPasskey: boolean): Html {
  const to = app === undefined ? html`to <strong>your account</strong>` : html`to continue to <strong>${app}</strong>`
  if (onlyPasskey) {
    return app === undefined
      ? html`This change needs your passkey, since it decides who gets into your account.`
      : html`<strong>${app}</strong> asks for a passkey for what you are about to do.`
  }
  if (why === 'too_old') return html`It’s been a while. Sign in again ${to}.`
  if (why === 'asked') return html`Sign in again ${to}.`
  return html`${to}`
}

function passwordForm({ handle, formToken, person, hint }: SignInView): Html {
  return html`<form method="post" action="/signin/${handle}" class="stack">
${formToken}
${field({ id: 'username', name: 'username', label: 'Username or e-mail', autocomplete: 'username webauthn', maxLength: USERNAME_MAX, value: person ?? hint ?? '', readonly: person !== undefined, focus: person === undefined && hint === undefined })}
${field({ id: 'password', name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password', maxLength: 1024, focus: person !== undefined || hint !== undefined })}
<button type="submit" class="primary">Sign in</button>
</form>`
}

function passkeyForm({ handle, formToken }: SignInView, options: PublicKeyCredentialRequestOptionsJSON, alone: boolean): Html {
  return html`<form method="post" action="/signin/${handle}" class="stack" data-passkey="get" data-options="${JSON.stringify(options)}">
${formToken}
<input type="hidden" name="passkey" value="">
${!alone && html`<div class="or" data-scripted hidden><span>or</span></div>`}
<button type="submit" class="${alone ? 'primary' : 'secondary'}" data-scripted hidden>${keyGlyph}${alone ? 'Use your passkey' : 'Sign in with a passkey'}</button>
<p class="error" role="alert" data-passkey-error hidden></p>
${alone && html`<noscript><div class="alert">Passkeys need JavaScript. Switch it on for this site and reload the page.</div></noscript>`}
</form>`
}

export const keyGlyph = html`<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false"><circle cx="7" cy="7" r="4" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="m10 10 6.5 6.5M13 13l-1.8 1.8M15.4 15.4l-1.6 1.6" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/></svg>`

function words(refusal: Exclude<SignInRefusal, { kind: 'over' }>, hasPasskeys: boolean): string {
  switch (refusal.reason) {
    case 'no_match':
      return 'That username and password don’t match. Check both and try again.'
    case 'passkey_failed':
      return 'That passkey didn’t work here. Try again, or use another way to sign in.'
    case 'suspended':
      return 'This account is suspended. Ask your administrator.'
    case 'device_suspended':
      return 'This account is suspended in this browser. Ask your administrator.'
    case 'throttled':
      return `There have been too many tries. Wait ${inWords(refusal.retryAfterSeconds)}, then try again${hasPasskeys ? ', or use a passkey' : ''}.`
  }
}
