/** What the adapters share: a verdict as an HTTP answer, and the certificate of a connection. */
import { hash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Allow, Deny } from '@signet/kernel/verdict.ts'
import { refusalBody } from '../challenge.ts'
import type { Validator } from '../validator.ts'

export interface ProtectOptions {
  /** Permissions the route needs, all of them. Without it any valid token passes. */
  readonly needs?: string | readonly string[]
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON. */
  readonly body: string
}

/** A refusal as an answer: RFC 6750 §3, and a body that says what to do. */
export function answerOf(deny: Deny, validator: Validator, isDpop: boolean): Answer {
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    ...verdictHeaders(deny, validator, isDpop),
  }
  if (deny.challenge !== undefined) headers['www-authenticate'] = deny.challenge
  if (deny.retryAfterSeconds !== undefined) headers['retry-after'] = String(deny.retryAfterSeconds)
  return { status: deny.status, headers, body: JSON.stringify(refusalBody(deny)) }
}

/** Headers that go with any verdict: the next nonce for who uses proofs (RFC 9449 §8.2), and the state when it is not fresh. */
export function verdictHeaders(verdict: Allow | Deny, validator: Validator, isDpop: boolean): Record<string, string> {
  const headers: Record<string, string> = {}
  const nonce =
    !verdict.allowed && verdict.dpopNonce !== undefined ? verdict.dpopNonce : isDpop ? validator.dpopNonce() : undefined
  if (nonce !== undefined) headers['dpop-nonce'] = nonce
  if (verdict.freshness !== 'fresh') headers['signet-freshness'] = verdict.freshness
  return headers
}

export const isDpopRequest = (authorization: string | null | undefined): boolean => /^dpop /i.test(authorization ?? '')

const thumbprints = new WeakMap<Socket, string>()

/** RFC 8705 §3.1: of a certificate that this TLS connection has proven the key of. Once per connection. */
export function certificateThumbprint(socket: Socket | undefined): string | undefined {
  const tls = socket as TLSSocket | undefined
  if (typeof tls?.getPeerX509Certificate !== 'function') return undefined
  let thumbprint = thumbprints.get(tls)
  if (thumbprint === undefined) {
    const certificate = tls.getPeerX509Certificate()
    if (certificate === undefined) return undefined
    thumbprint = hash('sha256', certificate.raw, 'base64url')
    thumbprints.set(tls, thumbprint)
  }
  return thumbprint
}
