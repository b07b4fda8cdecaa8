/** Looks into signed tokens, and checks their signatures against published keys, here and now. */
import { createPublicKey, type JsonWebKeyInput, verify } from 'node:crypto'

export interface Jws {
  readonly header: Readonly<Record<string, unknown>>
  readonly payload: Readonly<Record<string, unknown>>
  readonly signed: string
  readonly signature: Uint8Array
}

/** The parts of a compact JWS (RFC 7515 §7.1) with a JSON payload, or undefined for anything else. */
export function decodeJws(text: string): Jws | undefined {
  const parts = text.split('.')
  if (parts.length !== 3 || !parts.every((part) => /^[\w-]+$/.test(part))) return undefined
  const [head, body, tail] = parts as [string, string, string]
  try {
    const header: unknown = JSON.parse(Buffer.from(head, 'base64url').toString('utf8'))
    const payload: unknown = JSON.parse(Buffer.from(body, 'base64url').toString('utf8'))
    if (!isObject(header) || !isObject(payload)) return undefined
    return { header, payload, signed: `${head}.${body}`, signature: Buffer.from(tail, 'base64url') }
  } catch {
    return undefined
  }
}

export type SignatureFinding = 'good' | 'bad' | 'unknown_key' | 'unsupported_algorithm'

/** Only asymmetric algorithms; `none` and shared secrets prove nothing about the issuer (RFC 8725 §3.1, §3.2). */
const ALGORITHMS: Readonly<Record<string, { hash: string | null; kty: string; pss?: true }>> = {
  ES256: { hash: 'sha256', kty: 'EC' },
  ES384: { hash: 'sha384', kty: 'EC' },
  EdDSA: { hash: null, kty: 'OKP' },
  RS256: { hash: 'sha256', kty: 'RSA' },
  PS256: { hash: 'sha256', kty: 'RSA', pss: true },
}
/** RSA_PKCS1_PSS_PADDING; its salt is as long as the hash (RFC 7518 §3.5). */
const PSS = { padding: 6, saltLength: 32 }

export function checkSignature(
  jws: Jws,
  jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] },
): SignatureFinding {
  const algorithm = ALGORITHMS[String(jws.header.alg)]
  if (algorithm === undefined) return 'unsupported_algorithm'
  const jwk = jwks.keys.find(
    (key) => key.kid === jws.header.kid && key.kty === algorithm.kty && (key.alg ?? jws.header.alg) === jws.header.alg,
  )
  if (jwk === undefined) return 'unknown_key'
  const key = createPublicKey({ key: jwk, format: 'jwk' } as JsonWebKeyInput)
  const good = verify(
    algorithm.hash,
    Buffer.from(jws.signed),
    { key, dsaEncoding: 'ieee-p1363', ...(algorithm.pss ? PSS : {}) },
    jws.signature,
  )
  return good ? 'good' : 'bad'
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
