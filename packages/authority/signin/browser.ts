/**
 * The browser as such, before anyone has signed in: a random secret in a cookie. Interactions are bound to it, so a link
 * to a half-done sign-in is of no use in another browser, and the tokens in our forms are made from it, so no other site
 * can send them.
 */
import { equalBytes, fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import type { Chance, Sha256 } from '@signet/kernel/surroundings.ts'

const SECRET_BYTES = 32

export interface Browser {
  /** What its cookie holds. */
  readonly secret: Uint8Array
  /** Whether it came with the request, or was made for it and must be set. */
  readonly fresh: boolean
}

export function recognizeBrowser(cookie: string | undefined, chance: Chance): Browser {
  const sent = cookie === undefined ? undefined : decodeOpaque('interaction', cookie)
  return sent?.length === SECRET_BYTES ? { secret: sent, fresh: false } : { secret: chance.bytes(SECRET_BYTES), fresh: true }
}

export const browserCookie = (browser: Browser): string => encodeOpaque('interaction', browser.secret)

/** What the store keeps of it. */
export const browserHash = (browser: Browser, sha256: Sha256): Uint8Array => sha256(browser.secret)

/**
 * The token of a form: only this browser's pages carry it, and only for this purpose (an interaction's handle, or a page
 * and the session it was made for).
 */
export function formToken(browser: Browser, purpose: string, sha256: Sha256): string {
  return toBase64Url(formDigest(browser, purpose, sha256))
}

/** A browser that came without its cookie can't have been given a form. */
export function isFormToken(sent: string, browser: Browser, purpose: string, sha256: Sha256): boolean {
  const bytes = fromBase64Url(sent)
  return !browser.fresh && bytes !== undefined && equalBytes(bytes, formDigest(browser, purpose, sha256))
}

const formDigest = (browser: Browser, purpose: string, sha256: Sha256): Uint8Array =>
  sha256(`signet/form\u0000${toBase64Url(browser.secret)}\u0000${purpose}`)
