/** How a program proves to the authority which client it is: a signed assertion (RFC 7523 §2.2), so no secret travels. */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { z } from 'zod'

/** What `cli.json` in the state directory holds. */
export const credentials = z.object({
  issuer: z.url({ protocol: /^https?$/ }),
  client_id: z.string().min(1),
  private_jwk: z.looseObject({ kty: z.enum(['EC', 'OKP', 'RSA']), d: z.string().min(1) }),
})
export type Credentials = z.output<typeof credentials>

/** For a client that has a secret instead. */
export interface SecretCredentials {
  readonly issuer: string
  readonly client_id: string
  readonly client_secret: string
}

/** What a request to the token endpoint carries so that the authority knows who asks. */
export async function authentication(
  from: Credentials | SecretCredentials,
  nowMs: number,
): Promise<{ readonly headers: Record<string, string>; readonly form: Record<string, string> }> {
  if ('client_secret' in from) {
    // RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
    const pair = `${formEncode(from.client_id)}:${formEncode(from.client_secret)}`
    return { headers: { authorization: `Basic ${btoa(pair)}` }, form: {} }
  }
  return {
    headers: {},
    form: {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await clientAssertion(from, nowMs),
    },
  }
}

const formEncode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)

/** The members of a private JWK (RFC 7517, RFC 7518 §6) that matter here. */
type PrivateJwk = Credentials['private_jwk'] & { crv?: string; alg?: string; kid?: string; use?: string; key_ops?: string[] }

const ASSERTION_SECONDS = 60

/** A fresh assertion that this client is asking this issuer. Throws when the key is of a kind we do not sign with. */
export async function clientAssertion(from: Credentials, nowMs: number): Promise<string> {
  const jwk = from.private_jwk as PrivateJwk
  const algorithm = algorithmOf(jwk)
  const key = await crypto.subtle.importKey('jwk', withoutHints(jwk), algorithm.import, false, ['sign'])
  const nowAt = Math.floor(nowMs / 1000)
  const header = { alg: algorithm.name, typ: 'client-authentication+jwt', ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) }
  const payload = {
    iss: from.client_id,
    sub: from.client_id,
    aud: from.issuer.replace(/\/+$/, ''),
    jti: toBase64Url(crypto.getRandomValues(new Uint8Array(16))),
    iat: nowAt,
    exp: nowAt + ASSERTION_SECONDS,
  }
  const signed = `${encode(header)}.${encode(payload)}`
  const signature = await crypto.subtle.sign(algorithm.sign, key, new TextEncoder().encode(signed))
  return `${signed}.${toBase64Url(new Uint8Array(signature))}`
}

const encode = (value: object): string => toBase64Url(new TextEncoder().encode(JSON.stringify(value)))

/** WebCrypto refuses a JWK whose hints differ from the use asked for; the key alone matters here. */
function withoutHints({ alg: _alg, use: _use, key_ops: _ops, ...key }: PrivateJwk) {
  return key
}

function algorithmOf(jwk: PrivateJwk) {
  if (jwk.kty === 'EC' && jwk.crv === 'P-256') {
    return { name: 'ES256', import: { name: 'ECDSA', namedCurve: 'P-256' }, sign: { name: 'ECDSA', hash: 'SHA-256' } }
  }
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
    return { name: 'EdDSA', import: { name: 'Ed25519' }, sign: { name: 'Ed25519' } }
  }
  if (jwk.kty === 'RSA') {
    return jwk.alg === 'RS256'
      ? { name: 'RS256', import: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, sign: { name: 'RSASSA-PKCS1-v1_5' } }
      : { name: 'PS256', import: { name: 'RSA-PSS', hash: 'SHA-256' }, sign: { name: 'RSA-PSS', saltLength: 32 } }
  }
  throw new Error(`keys of kind ${jwk.kty} ${jwk.crv ?? ''} are not supported; use EC P-256, Ed25519 or RSA`)
}
