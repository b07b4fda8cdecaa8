/** Whether the sender of a token is who it was given to: DPoP (RFC 9449 §7) and client certificates (RFC 8705 §3). */

import { equalBytes } from '@signet/kernel/bytes.ts'
import type { Confirmation } from '@signet/kernel/claims.ts'
import type { DenyReason } from '@signet/kernel/verdict.ts'
import { type Proof, verifyDpopProof } from './dpop.ts'
import type { DpopNonces } from './dpop-nonces.ts'
import type { TokenContext } from './request.ts'

export interface BindingParts {
  readonly requireDpop: boolean
  /** Absolute URL under which clients reach this service; undefined when nobody said. */
  readonly publicUrl: string | undefined
  readonly nonces: DpopNonces | undefined
  readonly maxAgeSeconds: number
  readonly skewSeconds: number
}

/** The proof that was shown and must now be remembered; `none` when none is needed; or why not. */
export type BindingRuling =
  | { readonly kind: 'proven'; readonly proof: Proof }
  | { readonly kind: 'none' }
  | { readonly kind: 'refused'; readonly reason: DenyReason }

const NONE: BindingRuling = { kind: 'none' }
const refused = (reason: DenyReason): BindingRuling => ({ kind: 'refused', reason })

export function judgeBinding(
  token: string,
  cnf: Confirmation | undefined,
  context: TokenContext,
  nowMs: number,
  parts: BindingParts,
): BindingRuling {
  const scheme = schemeOf(context)
  const jkt = typeof cnf?.jkt === 'string' ? cnf.jkt : undefined
  const certificate = typeof cnf?.['x5t#S256'] === 'string' ? cnf['x5t#S256'] : undefined
  // Bound to something we cannot check: as good as bound to somebody else.
  if (cnf !== undefined && jkt === undefined && certificate === undefined) return refused('binding_invalid')

  if (certificate !== undefined) {
    if (context.certificateThumbprint === undefined) return refused('binding_missing')
    if (!equalText(certificate, context.certificateThumbprint)) return refused('binding_invalid')
  }
  if (jkt === undefined) {
    // RFC 9449 §7.1: the DPoP scheme is for tokens bound to a key, or a proof would say more than was proven.
    return parts.requireDpop || scheme === 'DPoP' ? refused('binding_missing') : NONE
  }
  // RFC 9449 §7.2: a bound token shown as a bearer token was stolen, or sent by a client that does not know what it has.
  if (scheme !== 'DPoP') return refused('binding_missing')

  const url = requestUrl(context.url, parts.publicUrl)
  if (url === undefined || context.method === undefined) return refused('binding_invalid')
  const ruling = verifyDpopProof(context.dpop, {
    method: context.method,
    url,
    nowMs,
    accessToken: token,
    jkt,
    maxAgeSeconds: parts.maxAgeSeconds,
    skewSeconds: parts.skewSeconds,
    ...(parts.nonces === undefined ? {} : { nonces: parts.nonces }),
  })
  if (ruling.ok) return { kind: 'proven', proof: ruling.proof }
  if (ruling.fault === 'missing') return refused('binding_missing')
  return refused(ruling.fault === 'use_nonce' ? 'use_dpop_nonce' : 'binding_invalid')
}

export const schemeOf = (context: TokenContext): 'Bearer' | 'DPoP' =>
  context.scheme ?? (context.dpop === undefined ? 'Bearer' : 'DPoP')

const IS_ABSOLUTE = /^https?:\/\//i

/**
 * The URL a client must have meant. What is configured wins over what the request says of itself: a `Host` header or an
 * absolute request line is the sender's to choose, and with it he could pass on a proof made for another host.
 */
export function requestUrl(url: string | undefined, publicUrl: string | undefined): string | undefined {
  if (url === undefined) return undefined
  if (publicUrl === undefined) return IS_ABSOLUTE.test(url) ? url : undefined
  const path = IS_ABSOLUTE.test(url) ? pathOf(url) : url
  return path?.startsWith('/') ? publicUrl + path : undefined
}

function pathOf(url: string): string | undefined {
  const parsed = URL.parse(url)
  return parsed === null ? undefined : parsed.pathname + parsed.search
}

function equalText(a: string, b: string): boolean {
  return equalBytes(Buffer.from(a), Buffer.from(b))
}
