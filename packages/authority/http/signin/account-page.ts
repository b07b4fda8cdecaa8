/** A person's own page: devices, ways to sign in, apps; and the forms behind them. */
import type { PublicKeyCredentialCreationOptionsJSON } from '@simplewebauthn/server'
import type { Account, AccountApp, AccountDevice } from '../../signin/account.ts'
import type { CredentialFlaw } from '../../signin/credentials.ts'
import { type Html, html } from './html.ts'
import { alert, field, notice, type Page } from './page.ts'
import { FLAWS, newPasswordFields } from './setup-page.ts'
import { keyGlyph } from './sign-in-page.ts'

/** What has just been done, as the address says it; anything else is ignored. */
export const DONE = {
  set_up: 'You’re all set. This is your account page.',
  session: 'That session has ended.',
  device: 'That device was removed. Everything it was signed in to has ended.',
  app: 'That app has no access any more.',
  password: 'Your password is changed. You were signed out everywhere else.',
  passkey_added: 'Your passkey is ready to use.',
  passkey_removed: 'That passkey is gone. You were signed out everywhere else.',
} as const
export type Done = keyof typeof DONE

export interface AccountView {
  readonly account: Account
  readonly formToken: Html
  readonly signOutToken: Html
  readonly done: Done | undefined
  readonly canHavePasskeys: boolean
  /** Epoch seconds. */
  readonly nowAt: number
}

export function accountPage(view: AccountView): Page {
  const { account, done } = view
  const { subject } = account
  const name = typeof subject.claims.name === 'string' ? subject.claims.name : subject.username
  return {
    title: 'Your account',
    layout: 'wide',
    signedInAs: subject.username,
    body: html`<div class="heading"><h1>${name}</h1>
<form method="post" action="/logout/confirm">${view.signOutToken}<button type="submit" class="secondary small">Sign out</button></form></div>
${done !== undefined && notice(DONE[done])}
${waysSection(view)}
${devicesSection(view)}
${appsSection(view)}`,
  }
}

function waysSection({ account, canHavePasskeys, nowAt }: AccountView): Html {
  const { subject, passkeys } = account
  const hasPassword = subject.passwordHash !== undefined
  return html`<section class="panel" aria-labelledby="ways"><h2 id="ways">How you sign in</h2>
<ul class="rows">
<li><div class="what"><strong>Password</strong><span class="quiet">${hasPassword ? 'Set' : 'None. You sign in with a passkey.'}</span></div>
<a class="button secondary small" href="/account/password">${hasPassword ? 'Change' : 'Set a password'}</a></li>
${passkeys.map(
  (
    one,
  ) => html`<li><div class="what"><strong>${keyGlyph}${one.name}</strong><span class="quiet">Passkey, added ${when(one.createdAt, nowAt)}${one.lastUsedAt !== undefined && `, last used ${when(one.lastUsedAt, nowAt)}`}</span></div>
<a class="button secondary small" href="/account/passkeys/${one.id}/remove" aria-label="Remove passkey ${one.name}">Remove</a></li>`,
)}
${
  canHavePasskeys &&
  html`<li><div class="what">${passkeys.length === 0 ? html`<strong>Passkey</strong><span class="quiet">Sign in with your fingerprint, face or screen lock. It can’t be phished.</span>` : html`<span class="quiet">A second passkey gets you in when you lose the first.</span>`}</div>
<a class="button secondary small" href="/account/passkeys/new">Add a passkey</a></li>`
}
</ul></section>`
}

function devicesSection({ account, formToken, nowAt }: AccountView): Html {
  return html`<section class="panel" aria-labelledby="devices"><h2 id="devices">Where you’re signed in</h2>
<ul class="rows">${account.devices.map((one) => deviceRow(one, formToken, nowAt))}</ul></section>`
}

function deviceRow({ record, isThis, sessions }: AccountDevice, formToken: Html, nowAt: number): Html {
  const state = sessions.length > 0 ? `Signed in ${when(Math.max(...sessions.map(({ authAt }) => authAt)), nowAt)}` : 'Signed out'
  return html`<li><div class="what"><strong>${record.name}${isThis && html` <span class="tag">This browser</span>`}</strong>
<span class="quiet">${state}, last seen ${when(record.lastSeenAt, nowAt)}</span></div>
<div class="acts">${!isThis && sessions.map(({ id }) => act(`/account/sessions/${id}/end`, 'Sign out', `Sign out ${record.name}`, formToken))}
${act(`/account/devices/${record.id}/remove`, 'Remove', `Remove ${record.name} and everything it is signed in to`, formToken)}</div></li>`
}

function appsSection({ account, formToken, nowAt }: AccountView): Html {
  const rows = account.apps.map(
    (app: AccountApp) => html`<li><div class="what"><strong>${app.name}</strong>
<span class="quiet">Since ${when(app.since, nowAt)}, last used ${when(app.lastUsedAt, nowAt)}</span>
${app.items.length > 0 && html`<ul class="ticks small-ticks">${app.items.map(({ scope, description }) => html`<li>${description ?? html`<code>${scope}</code>`}</li>`)}</ul>`}</div>
${act(`/account/apps/${encodeURIComponent(app.client)}/remove`, 'Remove access', `Remove access of ${app.name}`, formToken)}</li>`,
  )
  return html`<section class="panel" aria-labelledby="apps"><h2 id="apps">Apps with access</h2>
${rows.length === 0 ? html`<p class="quiet">No app has access to anything of yours.</p>` : html`<ul class="rows">${rows}</ul>`}</section>`
}

const act = (to: string, label: string, full: string, formToken: Html): Html =>
  html`<form method="post" action="${to}">${formToken}<button type="submit" class="secondary small danger" aria-label="${full}">${label}</button></form>`

export function passwordPage(username: string, hasPassword: boolean, formToken: Html, flaw: CredentialFlaw | undefined): Page {
  const title = hasPassword ? 'Change your password' : 'Set a password'
  const at = flaw === undefined ? undefined : (CREDENTIAL_FLAWS[flaw] ?? undefined)
  return {
    title: flaw === undefined ? title : `Try again: ${title}`,
    status: flaw === undefined ? 200 : 400,
    signedInAs: username,
    body: html`<h1>${title}</h1>
<p class="lede">You’ll be signed out everywhere else, and your apps will ask you to sign in again.</p>
${at !== undefined && at.field === undefined && alert(at.text)}
<form method="post" action="/account/password" class="stack">
${formToken}
<input type="text" name="username" autocomplete="username" value="${username}" readonly hidden>
${newPasswordFields(at)}
<button type="submit" class="primary">Save</button>
<a class="button secondary" href="/account">Cancel</a>
</form>`,
  }
}

export function newPasskeyPage(
  username: string,
  handle: string,
  formToken: Html,
  options: PublicKeyCredentialCreationOptionsJSON,
  flaw: CredentialFlaw | undefined,
): Page {
  return {
    title: flaw === undefined ? 'Add a passkey' : 'Try again: Add a passkey',
    status: flaw === undefined ? 200 : 400,
    signedInAs: username,
    body: html`<h1>Add a passkey</h1>
<p class="lede">Your browser will ask for your fingerprint, face, screen lock or security key.</p>
${flaw !== undefined && alert(CREDENTIAL_FLAWS[flaw].text)}
<form method="post" action="/account/passkeys/${handle}" class="stack" data-passkey="create" data-options="${JSON.stringify(options)}">
${formToken}
<input type="hidden" name="passkey" value="">
${field({ id: 'name', name: 'name', label: 'Name', autocomplete: 'off', maxLength: 64, optional: true, hint: 'To tell it from others, such as “Work laptop”.' })}
<button type="submit" class="primary" data-use-passkey data-scripted hidden>${keyGlyph}Continue</button>
<p class="error" role="alert" data-passkey-error hidden></p>
<noscript><div class="alert">Passkeys need JavaScript. Switch it on for this site and reload the page.</div></noscript>
<a class="button secondary" href="/account">Cancel</a>
</form>`,
  }
}

export function removePasskeyPage(
  username: string,
  passkey: { readonly id: string; readonly name: string },
  formToken: Html,
  isLast: boolean,
): Page {
  return {
    title: 'Remove this passkey?',
    signedInAs: username,
    body: html`<h1>Remove “${passkey.name}”?</h1>
${
  isLast
    ? html`<p class="lede">It’s the only way you have to sign in. Set a password or add another passkey first.</p>
<div class="stack"><a class="button secondary" href="/account">Back</a></div>`
    : html`<p class="lede">It won’t sign you in any more, and you’ll be signed out everywhere else.</p>
<form method="post" action="/account/passkeys/${passkey.id}/remove" class="stack">
${formToken}
<button type="submit" class="primary danger">Remove</button>
<a class="button secondary" href="/account">Keep it</a>
</form>`
}`,
  }
}

const CREDENTIAL_FLAWS: Readonly<
  Record<CredentialFlaw, { readonly field?: 'username' | 'password' | 'repeated'; readonly text: string }>
> = {
  ...FLAWS,
  too_many_passkeys: { text: 'You have as many passkeys as an account can hold. Remove one first.' },
  last_way_in: { text: 'It’s the only way you have to sign in.' },
  gone: { text: 'That was done already, or your account has changed meanwhile. Go back to your account page.' },
}

const day = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' })

/** "just now", "3 hours ago", "on 4 May 2026". */
function when(at: number, nowAt: number): string {
  const seconds = nowAt - at
  if (seconds < 90) return 'just now'
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes ago`
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} hours ago`
  if (seconds < 14 * 86_400) return `${Math.round(seconds / 86_400)} days ago`
  return `on ${day.format(at * 1000)}`
}
