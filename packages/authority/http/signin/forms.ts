/** Whether a form that arrives was really sent from one of our pages, by this browser (CSRF). Two checks, either would do. */
import type { FastifyRequest } from 'fastify'
import { type Browser, formToken, isFormToken } from '../../signin/browser.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { type Form, formOf } from '../form.ts'
import { type Html, html } from './html.ts'

const NAME = 'form_token'

export const tokenField = (browser: Browser, purpose: string, { sha256 }: Pick<SigninParts, 'sha256'>): Html =>
  html`<input type="hidden" name="${NAME}" value="${formToken(browser, purpose, sha256)}">`

/** The form, or undefined when it did not come from the page that was made for this purpose. */
export function ownForm(
  request: FastifyRequest,
  browser: Browser,
  purpose: string,
  { sha256, issuer }: Pick<SigninParts, 'sha256' | 'issuer'>,
): Form | undefined {
  const form = formOf(request)
  return isOwnOrigin(request, issuer) && isFormToken(form.get(NAME) ?? '', browser, purpose, sha256) ? form : undefined
}

/** What the browser itself says about where the request comes from; one that says nothing is judged by the token alone. */
function isOwnOrigin({ headers }: FastifyRequest, issuer: string): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin'
  return headers.origin === undefined || headers.origin === new URL(issuer).origin
}
