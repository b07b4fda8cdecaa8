/**
 * Demonstrating proof of possession (RFC 9449): whether a proof is good, as a pure judgement over the proof and what it must
 * match. Server nonces are in dpop-nonces.ts, the memory of used proofs in replay-cache.ts. The authority's token endpoint uses the
 * same code.
 */
import { hash } from 'node:crypto'
import { equalBytes } from '@signet/kernel/bytes.ts'
import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import {
  type Algorithm,
  isRecord,
  PRIVATE_MEMBERS,
  publicKeyOf,
  thumbprint,
  type VerifyingKey,
  verifies,
  verifyingKey,
} from './jwk.ts'
import { mediaType, parseHeader, parseJws } from './jws.ts'

export { DpopNonces, nonceMac } from './dpop-nonces.ts'
export { type ReplayAnswer, ReplayCache } from './replay-cache.ts'

/** Algorithms of proofs that are taken, for metadata and challenges. */
export const DPOP_ALGORITHMS: readonly Algorithm[] = ['ES256', 'EdDSA', 'RS256', 'PS256']
/** A longer proof is refused unread. */
export const MAX_PROOF_CHARS = 4096
const MAX_PROOF_RSA_BITS = 4096
const MAX_JTI = 256

/** Why a proof was refused. `missing` and `use_nonce` ask for another one; the rest are wrong. */
export type ProofFault =
  | 'missing'
  | 'malformed'
  | 'unsupported_algorithm'
  | 'wrong_type'
  | 'bad_key'
  | 'bad_signature'
  | 'wrong_method'
  | 'wrong_url'
  | 'too_old'
  | 'too_early'
  | 'wrong_token'
  | 'wrong_key'
  | 'use_nonce'

/** A proof that is good, apart from whether it was used before. */
export interface Proof {
  /** SHA-256 thumbprint (RFC 7638) of its key, base64url. */
  readonly jkt: string
  readonly jti: string
  readonly issuedAt: number
  readonly nonce: string | undefined
  /** 32 bytes that name this proof: remember them until `usableUntilMs` and refuse them meanwhile. */
  readonly replayKey: Uint8Array
  /** Epoch milliseconds from which the proof is refused by its age alone. */
  readonly usableUntilMs: number
}
export type ProofRuling = { readonly ok: true; readonly proof: Proof } | { readonly ok: false; readonly fault: ProofFault }

/** What a proof must match. */
export interface ProofExpectation {
  /** Method of the request. */
  readonly method: string
  /** Absolute URL of the request as the client sees it; query and fragment do not count. */
  readonly url: string
  readonly nowMs: number
  /** At a resource server: the token the proof goes with (`ath`). At a token endpoint there is none. */
  readonly accessToken?: string
  /** Thumbprint the key must have. */
  readonly jkt?: string
  /** Nonces of ours: a proof without a current one is refused with `use_nonce`. Unless given, no nonce is asked for. */
  readonly nonces?: { verify(nonce: string): { readonly usableUntilMs: number } | undefined }
  /** How old a proof may be, seconds; 60 unless given. With a nonce of ours its age is what the nonce says instead. */
  readonly maxAgeSeconds?: number
  /** How far a client's clock may be off, seconds; 30 unless given. */
  readonly skewSeconds?: number
}

/**
 * Judges a proof by all of RFC 9449 §4.3 except whether it was used before: that needs a memory, so remember
 * `proof.replayKey` next.
 *
 * ```ts
 * const ruling = verifyDpopProof(request.headers.dpop, { method: 'POST', url: 'https://id.example/token', nowMs: Date.now() })
 * if (!ruling.ok) throw refusal('invalid_dpop_proof', ruling.fault)
 * ```
 */
export function verifyDpopProof(header: string | readonly string[] | undefined, expected: ProofExpectation): ProofRuling {
  const text = typeof header === 'string' || header === undefined ? header : header.length === 1 ? header[0] : 'more than one'
  if (text === undefined || text === '') return refused('missing')
  const jws = parseJws(text, MAX_PROOF_CHARS)
  if (jws === 'unsupported_algorithm') return refused('unsupported_algorithm')
  if (jws === 'malformed') return refused('malformed')
  if (jws.header.typ !== 'dpop+jwt') return refused('wrong_type')
  if (!DPOP_ALGORITHMS.includes(jws.header.alg)) return refused('unsupported_algorithm')

  const { jti, htm, htu, iat, nonce, ath } = jws.payload
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI) return refused('malformed')
  if (typeof htm !== 'string' || typeof htu !== 'string' || typeof iat !== 'number') return refused('malformed')
  if (nonce !== undefined && typeof nonce !== 'string') return refused('malformed')
  if (htm !== expected.method) return refused('wrong_method')
  const target = normaliseHtu(htu)
  if (target === undefined || target !== normaliseHtu(expected.url)) return refused('wrong_url')
  if (expected.accessToken !== undefined && !isHashOf(ath, expected.accessToken)) return refused('wrong_token')

  const skewMs = (expected.skewSeconds ?? 30) * 1000
  const oldestMs = expected.nowMs - (expected.maxAgeSeconds ?? 60) * 1000 - skewMs
  let usableUntilMs = iat * 1000 + (expected.nowMs - oldestMs)
  if (expected.nonces !== undefined) {
    // RFC 9449 §4.3 item 11: a nonce of ours dates the proof better than a clock that may be wrong.
    const known = nonce === undefined ? undefined : expected.nonces.verify(nonce)
    if (known === undefined) return refused('use_nonce')
    usableUntilMs = known.usableUntilMs
  } else if (iat * 1000 <= oldestMs) return refused('too_old')
  else if (iat * 1000 > expected.nowMs + skewMs) return refused('too_early')

  const key = proofKey(text.slice(0, text.indexOf('.')))
  if (key === undefined) return refused('bad_key')
  if (expected.jkt !== undefined && key.jkt !== expected.jkt) return refused('wrong_key')
  if (!verifies(key, jws.signed, jws.signature)) return refused('bad_signature')
  const replayKey = hash('sha256', `${key.jkt}.${jti}`, 'buffer')
  return { ok: true, proof: { jkt: key.jkt, jti, issuedAt: iat, nonce, replayKey, usableUntilMs } }
}

const refused = (fault: ProofFault): ProofRuling => ({ ok: false, fault })

/**
 * `htu` in the one form in which two of them compare (RFC 9449 §4.3, RFC 3986 §6.2): without query and fragment, host in lower case,
 * no default port, no dot segments, percent-encoding only where needed. Undefined when it is no http(s) URL.
 */
export function normaliseHtu(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) return undefined
  if (url.username !== '' || url.password !== '') return undefined
  const path = url.pathname.includes('%') ? url.pathname.replace(/%[0-9a-f]{2}/gi, normaliseEscape) : url.pathname
  return url.origin + path
}

function normaliseEscape(encoded: string): string {
  const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
  return /[A-Za-z0-9\-._~]/.test(character) ? character : encoded.toUpperCase()
}

function isHashOf(ath: unknown, accessToken: string): boolean {
  if (typeof ath !== 'string') return false
  return equalBytes(Buffer.from(ath), Buffer.from(hash('sha256', accessToken, 'base64url')))
}

interface ProofKey extends VerifyingKey {
  readonly jkt: string
}

/** A client sends the same header with every proof, and reading a key out of it costs as much as verifying the proof. */
const KEYS_REMEMBERED = 2048
const proofKeys = new TwoGenerations<string, ProofKey>(KEYS_REMEMBERED)

function proofKey(encodedHeader: string): ProofKey | undefined {
  const known = proofKeys.get(encodedHeader)
  if (known !== undefined) return known
  const header = parseHeader(encodedHeader)
  if (typeof header === 'string' || mediaType(header.typ) !== 'dpop+jwt') return undefined
  const { jwk } = header.all
  // RFC 9449 §4.3 item 7: a private key in a proof is a key that everybody has.
  if (!isRecord(jwk) || PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member))) return undefined
  const jkt = thumbprint(jwk)
  const key = publicKeyOf(jwk)
  if (jkt === undefined || key === undefined) return undefined
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) > MAX_PROOF_RSA_BITS) return undefined
  const verifying = verifyingKey(key, header.alg)
  if (verifying === undefined) return undefined
  const proof = { ...verifying, jkt }
  proofKeys.set(encodedHeader, proof)
  return proof
}
