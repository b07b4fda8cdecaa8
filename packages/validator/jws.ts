/** Compact JWS (RFC 7515 §7.1), read strictly: canonical base64url, JSON objects, no extension we do not know. */

import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import { type Algorithm, algorithm, isRecord } from './jwk.ts'

export interface JwsHeader {
  readonly alg: Algorithm
  readonly kid: string | undefined
  /** Lower case, without `application/`; empty when absent (RFC 7515 §4.1.9). */
  readonly typ: string
  readonly all: Readonly<Record<string, unknown>>
}

export type HeaderFault = 'malformed' | 'unsupported_algorithm'

/** A JWS taken apart; nothing about it is verified. */
export interface Jws {
  readonly header: JwsHeader
  /** What the signature is over. */
  readonly signed: Uint8Array
  readonly payload: Readonly<Record<string, unknown>>
  readonly signature: Uint8Array
}

const MAX_HEADER = 4096
const MAX_KID = 256

/** Headers as they were read before: one issuer's tokens share theirs, letter by letter. */
export type HeaderMemory = TwoGenerations<string, JwsHeader | HeaderFault>
export const createHeaderMemory = (): HeaderMemory => new TwoGenerations(512)

/** Takes a compact JWS apart. `maxChars` bounds its length. */
export function parseJws(text: string, maxChars: number, memory?: HeaderMemory): Jws | HeaderFault {
  const jws = parse(text, maxChars, memory)
  if (typeof jws === 'string') return jws
  const { header, payload, signature } = jws
  return { header, payload, signature, signed: Buffer.from(jws.signed, 'latin1') }
}

const BRIEF_BYTES = 8192
const brief = Buffer.allocUnsafeSlow(BRIEF_BYTES)

/** The same, but `signed` is good only until the next call: for who verifies at once. */
export function parseJwsBriefly(text: string, maxChars: number, memory?: HeaderMemory): Jws | HeaderFault {
  const jws = parse(text, Math.min(maxChars, BRIEF_BYTES), memory)
  if (typeof jws === 'string') return jws
  const { header, payload, signature } = jws
  return { header, payload, signature, signed: brief.subarray(0, brief.write(jws.signed, 0, 'latin1')) }
}

function parse(
  text: string,
  maxChars: number,
  memory: HeaderMemory | undefined,
): (Omit<Jws, 'signed'> & { signed: string }) | HeaderFault {
  if (text.length > maxChars) return 'malformed'
  const first = text.indexOf('.')
  const second = text.indexOf('.', first + 1)
  if (first <= 0 || second <= first + 1 || second === text.length - 1) return 'malformed'
  const encoded = text.slice(0, first)
  let header = memory?.get(encoded)
  if (header === undefined) {
    header = parseHeader(encoded)
    memory?.set(encoded, header)
  }
  if (typeof header === 'string') return header
  const signature = decodeSegment(text.slice(second + 1))
  const payload = parseSegment(text.slice(first + 1, second))
  if (signature === undefined || payload === undefined) return 'malformed'
  return { header, signed: text.slice(0, second), payload, signature }
}

export function parseHeader(encoded: string): JwsHeader | HeaderFault {
  if (encoded.length > MAX_HEADER) return 'malformed'
  const all = parseSegment(encoded)
  if (all === undefined) return 'malformed'
  // RFC 7515 §4.1.11: what must be understood and is not, makes the JWS invalid. We understand no extension.
  if (Object.hasOwn(all, 'crit')) return 'malformed'
  if (all.kid !== undefined && (typeof all.kid !== 'string' || all.kid.length > MAX_KID)) return 'malformed'
  if (all.typ !== undefined && typeof all.typ !== 'string') return 'malformed'
  if (typeof all.alg !== 'string') return 'malformed'
  const alg = algorithm(all.alg)
  if (alg === undefined) return 'unsupported_algorithm'
  return { alg, kid: all.kid, typ: mediaType(all.typ ?? ''), all }
}

/** RFC 7515 §4.1.9: compared without case, and `application/` may be left out. */
export function mediaType(typ: string): string {
  const lower = typ.toLowerCase()
  return lower.startsWith('application/') ? lower.slice(12) : lower
}

/** A segment that is a JSON object. */
export function parseSegment(encoded: string): Record<string, unknown> | undefined {
  const bytes = decodeSegment(encoded)
  if (bytes === undefined) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Characters whose low 4 or 2 bits are zero: they may end a segment with 2 or 3 characters over. */
const ENDS_AFTER_2 = 'AQgw'
const ENDS_AFTER_3 = 'AEIMQUYcgkosw048'

/** The bytes of canonical base64url without padding (RFC 7515 §2); undefined for anything else. */
export function decodeSegment(encoded: string): Buffer | undefined {
  const over = encoded.length & 3
  if (over === 1) return undefined
  // Four times as fast as Uint8Array.fromBase64, but lenient: it also takes the other alphabet, and skips what it does not know.
  const bytes = Buffer.from(encoded, 'base64url')
  if (bytes.length !== (encoded.length * 3) >> 2 || encoded.includes('+') || encoded.includes('/')) return undefined
  if (over === 2 && !ENDS_AFTER_2.includes(encoded.charAt(encoded.length - 1))) return undefined
  if (over === 3 && !ENDS_AFTER_3.includes(encoded.charAt(encoded.length - 1))) return undefined
  return bytes
}
