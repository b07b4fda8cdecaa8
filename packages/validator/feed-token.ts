/** The access token with which a validator reads the feed: client credentials (RFC 6749 §4.4), renewed before it ends. */
import { createPrivateKey, sign } from 'node:crypto'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { type Bounds, fetchJson, HttpTrouble, type Transport } from './http.ts'
import { type Algorithm, algorithm } from './jwk.ts'

/** Who the validator is to the authority: a confidential client with the scope `signet:feed`. */
export type FeedCredentials =
  | { readonly clientId: string; readonly clientSecret: string }
  | { readonly clientId: string; readonly privateJwk: Readonly<Record<string, unknown>> }

export interface FeedTokenParts {
  readonly issuer: string
  readonly credentials: FeedCredentials
  readonly tokenEndpoint: () => Promise<string>
  readonly transport: Transport
  readonly surroundings: Surroundings
  readonly signal: AbortSignal
}

export interface FeedToken {
  /** A token that is good for a while yet. One request at a time. */
  get(): Promise<string>
  /** The feed did not take it: get another one. */
  forget(): void
}

const BOUNDS: Bounds = { timeoutMs: 5000, maxBytes: 64 * 1024 }
const DEFAULT_SECONDS = 60
/** It is renewed when this share of its life is over. */
const SHARE = 0.8

export function createFeedToken(parts: FeedTokenParts): FeedToken {
  const { clock } = parts.surroundings
  let token = ''
  let renewAt = Number.NEGATIVE_INFINITY
  let endsAt = Number.NEGATIVE_INFINITY
  let asking: Promise<string> | undefined

  async function ask(): Promise<string> {
    const askedAt = clock.monotonic()
    try {
      const answer = await requestToken(parts)
      token = answer.token
      renewAt = askedAt + answer.seconds * 1000 * SHARE
      endsAt = askedAt + answer.seconds * 1000
      return token
    } finally {
      asking = undefined
    }
  }
  return {
    async get() {
      if (clock.monotonic() < renewAt) return token
      asking ??= ask()
      if (clock.monotonic() >= endsAt) return asking
      // Good for a while yet: nobody waits for the next one, nor for its failing.
      asking.catch(() => {})
      return token
    },
    forget() {
      renewAt = Number.NEGATIVE_INFINITY
      endsAt = Number.NEGATIVE_INFINITY
    },
  }
}

async function requestToken(parts: FeedTokenParts): Promise<{ token: string; seconds: number }> {
  const url = await parts.tokenEndpoint()
  const form = new URLSearchParams({ grant_type: 'client_credentials', scope: 'signet:feed', resource: parts.issuer })
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
  const { credentials } = parts
  if ('clientSecret' in credentials) headers.authorization = basic(credentials.clientId, credentials.clientSecret)
  else {
    form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
    form.set('client_assertion', clientAssertion(credentials, parts.issuer, parts.surroundings))
  }
  const { transport, signal } = parts
  const request = { url, method: 'POST', headers, body: form.toString() } as const
  const { value } = await fetchJson({ transport, timers: parts.surroundings.timers, signal }, request, BOUNDS)
  const { access_token, token_type, expires_in } = value
  if (typeof access_token !== 'string' || String(token_type).toLowerCase() !== 'bearer') {
    throw new HttpTrouble('content', url, { why: 'no bearer token in the answer' })
  }
  return { token: access_token, seconds: typeof expires_in === 'number' && expires_in > 0 ? expires_in : DEFAULT_SECONDS }
}

/** RFC 6749 §2.3.1: both parts form-encoded first. */
function basic(id: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`
}

const DIGESTS: Partial<Record<Algorithm, string>> = { ES256: 'sha256', ES384: 'sha384', RS256: 'sha256' }

/** RFC 7523 §2.2, for a minute. */
export function clientAssertion(
  credentials: { readonly clientId: string; readonly privateJwk: Readonly<Record<string, unknown>> },
  audience: string,
  surroundings: Pick<Surroundings, 'clock' | 'chance'>,
): string {
  const { clientId, privateJwk } = credentials
  const alg = assertionAlgorithm(privateJwk)
  const now = Math.floor(surroundings.clock.now() / 1000)
  const header = { alg, typ: 'client-authentication+jwt', ...(typeof privateJwk.kid === 'string' ? { kid: privateJwk.kid } : {}) }
  const jti = toBase64Url(surroundings.chance.bytes(16))
  const payload = { iss: clientId, sub: clientId, aud: audience, jti, iat: now, exp: now + 60 }
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode(header)}.${encode(payload)}`
  const key = createPrivateKey({ key: privateJwk, format: 'jwk' })
  const signature = sign(alg === 'EdDSA' ? null : (DIGESTS[alg] as string), Buffer.from(signed), {
    key,
    dsaEncoding: 'ieee-p1363',
  })
  return `${signed}.${signature.toString('base64url')}`
}

/** The algorithm that a private JWK names or, without a name, is made for. Throws a TypeError for one we cannot sign with. */
export function assertionAlgorithm(jwk: Readonly<Record<string, unknown>>): Algorithm {
  const byCurve: Readonly<Record<string, Algorithm>> = { 'P-256': 'ES256', 'P-384': 'ES384', Ed25519: 'EdDSA' }
  const fallback = jwk.kty === 'RSA' ? 'RS256' : byCurve[String(jwk.crv)]
  const alg = jwk.alg === undefined ? fallback : algorithm(jwk.alg)
  if (alg === undefined || (alg !== 'EdDSA' && DIGESTS[alg] === undefined)) {
    throw new TypeError('feedCredentials.privateJwk must be an EC P-256 or P-384, Ed25519 or RSA private key')
  }
  return alg
}
