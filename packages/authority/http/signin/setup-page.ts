/** Setting up how one signs in, from a one-time link. */
import type { PublicKeyCredentialCreationOptionsJSON } from '@simplewebauthn/server'
import type { Setup, SetupFlaw } from '../../signin/setup.ts'
import { USERNAME_MAX } from '../../signin/username.ts'
import { type Html, html } from './html.ts'
import { alert, field, type Page } from './page.ts'
import { keyGlyph } from './sign-in-page.ts'

export interface SetupView {
  readonly setup: Setup
  readonly formToken: Html
  readonly passkeys: PublicKeyCredentialCreationOptionsJSON | undefined
  readonly typed: string
  readonly flaw: SetupFlaw | undefined
}

export function setupPage({ setup, formToken, passkeys, typed, flaw }: SetupView): Page {
  const { kind, handle, username } = setup
  const title = TITLES[kind]
  const at = flaw === undefined ? undefined : FLAWS[flaw]
  return {
    title: flaw === undefined ? title : `Try again: ${title}`,
    status: flaw === undefined ? 200 : 400,
    body: html`<h1>${title}</h1>
<p class="lede">${LEDES[kind]}</p>
${at !== undefined && at.field === undefined && alert(at.text)}
<form method="post" action="/setup/${handle}" class="stack" data-passkey="create"${passkeys !== undefined && html` data-options="${JSON.stringify(passkeys)}"`}>
${formToken}
<input type="hidden" name="passkey" value="">
${field({ id: 'username', name: 'username', label: 'Username or e-mail', autocomplete: 'username', maxLength: USERNAME_MAX, value: username ?? typed, readonly: username !== undefined, focus: username === undefined && (at === undefined || at.field === 'username'), error: at?.field === 'username' ? at.text : undefined })}
${newPasswordFields(at)}
<button type="submit" class="primary">${BUTTONS[kind]}</button>
${
  passkeys !== undefined &&
  html`<div class="or" data-scripted hidden><span>or, without a password</span></div>
<button type="submit" class="secondary" data-use-passkey formnovalidate data-scripted hidden>${keyGlyph}Set up with a passkey</button>
<p class="error" role="alert" data-passkey-error hidden></p>`
}
</form>`,
  }
}

/** More than a password may have, so that what is too long is refused and not cut. */
const TYPED_MAX = 1024

/** Also on the page that changes the password. */
export const newPasswordFields = (at: { readonly field?: string; readonly text: string } | undefined): Html => html`
${field({ id: 'password', name: 'password', label: 'New password', type: 'password', autocomplete: 'new-password', maxLength: TYPED_MAX, hint: 'At least 10 characters. A few words you’ll remember work well.', error: at?.field === 'password' ? at.text : undefined })}
${field({ id: 'repeated', name: 'repeated', label: 'The same once more', type: 'password', autocomplete: 'new-password', maxLength: TYPED_MAX, error: at?.field === 'repeated' ? at.text : undefined })}`

const TITLES = { first: 'Set up the administrator', invitation: 'Set up your account', recovery: 'Get back into your account' }
const LEDES = {
  first: 'You’ll be the one who can register apps, invite people and take access back.',
  invitation: 'You’ve been invited. Choose how you’ll sign in.',
  recovery:
    'Choose how you’ll sign in from now on. Your old password and passkeys stop working, and you’re signed out everywhere else.',
}
const BUTTONS = { first: 'Create administrator', invitation: 'Create account', recovery: 'Save and sign in' }

/** Where each flaw is shown: at its field, or above the form. */
export const FLAWS: Readonly<
  Record<SetupFlaw, { readonly field?: 'username' | 'password' | 'repeated'; readonly text: string }>
> = {
  username_malformed: { field: 'username', text: 'Use letters, digits and . _ + - @, beginning with a letter or digit.' },
  username_taken: { field: 'username', text: 'Someone has that name already. Choose another.' },
  too_short: { field: 'password', text: 'That’s too short. Use at least 10 characters.' },
  too_long: { field: 'password', text: 'That’s too long. Use at most 256 characters.' },
  too_common: { field: 'password', text: 'That’s one of the first that anyone would try. Choose something less usual.' },
  contains_username: { field: 'password', text: 'Don’t use your name in the password.' },
  passwords_differ: { field: 'repeated', text: 'The two passwords aren’t the same.' },
  nothing_chosen: { field: 'password', text: 'Choose a password, or set up a passkey.' },
  passkey_failed: { text: 'The passkey couldn’t be set up. Try again, or choose a password.' },
}
