/** `private_key_jwt` (OpenID Connect Core §9, RFC 7523 §3): a short-lived JWT, signed with a key the client registered, that works once. */

import { toBase64Url } from '@signet/kernel/bytes.ts'
import { type Refusal, refusal } from '@signet/kernel/errors.ts'
import type { Secret } from '@signet/kernel/secret.ts'
import { decodeJwt, decodeProtectedHeader, errors, type JWK, type JWTPayload, jwtVerify } from 'jose'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { ClientParts, ClientReason } from './authenticate-client.ts'
import type { SingleUse } from './single-use.ts'

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
/** Signatures that client assertions may have. Never `none`, never a shared secret. */
export const ASSERTION_ALGORITHMS = ['ES256', 'EdDSA', 'PS256', 'RS256'] as const
type AssertionAlgorithm = (typeof ASSERTION_ALGORITHMS)[number]

/** An assertion may not be good for longer, or its use would have to be remembered for longer. */
const MAX_LIFE_SECONDS = 300
const MAX_ASSERTION = 8192
const MAX_JTI = 256
/** Keys tried when the assertion names none. */
const MAX_KEYS = 4

/** The client an assertion claims to be from, before anything is verified; undefined when it is no assertion at all. */
export function assertedClient(credentials: { clientId: string | undefined; assertion: Secret }): string | undefined {
  const payload = readPayload(credentials.assertion.reveal())
  const { sub } = payload ?? {}
  if (typeof sub !== 'string' || payload?.iss !== sub) return undefined
  // RFC 7521 §4.2: a client_id beside it must name the same client.
  return credentials.clientId === undefined || credentials.clientId === sub ? sub : undefined
}

/**
 * What the assertion uses up. Undefined when no registered key made it; once one did, what else is wrong with it may be said, and
 * is thrown as a refusal. For no client the work is done with a key that nobody has.
 */
export async function verifyAssertion(
  assertion: Secret,
  client: ClientRecord | undefined,
  parts: ClientParts,
): Promise<SingleUse | undefined> {
  const text = assertion.reveal()
  const header = readHeader(text)
  if (header === undefined) return undefined
  const keys = client === undefined ? [] : fittingKeys(header, client)
  if (client === undefined || keys.length === 0) return takeAsLong(text, header)
  for (const key of keys) {
    const payload = await verified(text, key, header.alg, parts)
    if (payload !== undefined) return judgeClaims(payload, client, parts)
  }
  return undefined
}

/** Verifies for nothing: the outcome is thrown away, so that only the time is the same. */
async function takeAsLong(text: string, { alg }: AssertionHeader): Promise<undefined> {
  await jwtVerify(text, NOBODYS_KEY[KEY_TYPE[alg]], { algorithms: [alg] }).catch(() => undefined)
}

async function verified(text: string, key: JWK, alg: string, { clock, settings }: ClientParts): Promise<JWTPayload | undefined> {
  try {
    const options = { algorithms: [alg], currentDate: new Date(clock.now()), clockTolerance: settings.leewaySeconds }
    return (await jwtVerify(text, key, options)).payload
  } catch (error) {
    // jose looks at the times only after the signature.
    if (error instanceof errors.JWTExpired) throw bad('assertion_expired')
    if (error instanceof errors.JWTClaimValidationFailed) throw bad('assertion_invalid')
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException) return undefined
    throw error
  }
}

function judgeClaims(payload: JWTPayload, client: ClientRecord, parts: ClientParts): SingleUse {
  const { issuer, clock, settings, sha256 } = parts
  const { iss, sub, aud, exp, jti } = payload
  const latest = Math.floor(clock.now() / 1000) + MAX_LIFE_SECONDS + settings.leewaySeconds
  // draft-ietf-oauth-rfc7523bis §4: our issuer identifier alone, as a string. One made for several could be passed on by one of the others; one
  // made for a token endpoint is had by whoever gets a client to believe that ours is his, for what a client believes of endpoints he may say.
  if (iss !== client.id || sub !== client.id || aud !== issuer) throw bad('assertion_invalid')
  if (exp === undefined || exp > latest || typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI)
    throw bad('assertion_invalid')
  const key = sha256(`signet/assertion\u0000${client.id}\u0000${jti}`)
  return { key, expiresAt: Math.ceil(exp) + settings.leewaySeconds, again: 'assertion_replayed' }
}

const bad = (reason: ClientReason): Refusal => refusal('invalid_client', reason)

interface AssertionHeader {
  readonly alg: AssertionAlgorithm
  readonly kid: string | undefined
}

function fittingKeys(header: AssertionHeader, client: ClientRecord): readonly JWK[] {
  const fits = (key: JWK) =>
    key.kty === KEY_TYPE[header.alg] &&
    (key.alg === undefined || key.alg === header.alg) &&
    (header.kid === undefined || key.kid === undefined || key.kid === header.kid)
  return (client.jwks as readonly JWK[]).filter(fits).slice(0, MAX_KEYS)
}

function readHeader(text: string): AssertionHeader | undefined {
  if (text.length > MAX_ASSERTION) return undefined
  try {
    const { alg, kid, typ } = decodeProtectedHeader(text)
    const known = ASSERTION_ALGORITHMS.find((name) => name === alg)
    return known === undefined || !isAssertionType(typ) ? undefined : { alg: known, kid }
  } catch {
    return undefined
  }
}

/** RFC 8725 §3.11: what a client signs for another purpose, a request or a proof, is no assertion. Many give no type of their own yet. */
const isAssertionType = (typ: string | undefined): boolean =>
  typ === undefined || ['jwt', 'client-authentication+jwt'].includes(typ.toLowerCase().replace(/^application\//, ''))

function readPayload(text: string): JWTPayload | undefined {
  if (text.length > MAX_ASSERTION) return undefined
  try {
    return decodeJwt(text)
  } catch {
    return undefined
  }
}

const KEY_TYPE = { ES256: 'EC', EdDSA: 'OKP', PS256: 'RSA', RS256: 'RSA' } as const

// The base points of the curves and an all-ones modulus: good enough to spend the time of a verification on, and no more than that.
const NOBODYS_KEY: Readonly<Record<'EC' | 'OKP' | 'RSA', JWK>> = {
  EC: {
    kty: 'EC',
    crv: 'P-256',
    x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY',
    y: 'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU',
  },
  OKP: { kty: 'OKP', crv: 'Ed25519', x: 'WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY' },
  RSA: { kty: 'RSA', e: 'AQAB', n: toBase64Url(new Uint8Array(256).fill(0xff)) },
}
