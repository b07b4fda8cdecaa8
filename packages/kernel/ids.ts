/**
 * Identifiers. Every id that Signet makes is a UUIDv7 (RFC 9562 §5.7): its first 48 bits are the
 * millisecond it was made, which keeps indexes local and *is* the issue time that cutoffs compare with.
 */
import type { Chance } from './surroundings.ts'

declare const brand: unique symbol
type Id<Name extends string> = string & { readonly [brand]: Name }

/** A person or other principal: the `sub` of its tokens. */
export type SubjectId = Id<'subject'>
/** An OAuth client: the `client_id` of its tokens. Chosen by the operator, so not a UUID. */
export type ClientId = Id<'client'>
/** All refresh tokens of one sign-in on one device; the `gid` (grant) of their access tokens. */
export type FamilyId = Id<'family'>
/** One sign-in in one browser: the `sid` of its tokens. */
export type SessionId = Id<'session'>
/** One browser or installation a subject signs in from: the `did` of its tokens. */
export type DeviceId = Id<'device'>
/** One access token, API key or other token: its `jti`. */
export type TokenId = Id<'token'>
/** One signing key: the `kid` of the JWS header. */
export type KeyId = Id<'key'>
/** One batch: a revocation or suspension of everything that a selector names. */
export type BatchId = Id<'batch'>

/** The largest millisecond that fits the 48 bits of a UUIDv7. */
export const MAX_MILLISECONDS = 2 ** 48 - 1

/** Makes a UUIDv7 for the given millisecond; the other 74 bits are chance. */
export function newId<T extends string>(atMs: number, chance: Chance): T {
  const bytes = chance.bytes(16)
  bytes[0] = Math.floor(atMs / 2 ** 40) & 0xff
  bytes[1] = Math.floor(atMs / 2 ** 32) & 0xff
  bytes[2] = (atMs >>> 24) & 0xff
  bytes[3] = (atMs >>> 16) & 0xff
  bytes[4] = (atMs >>> 8) & 0xff
  bytes[5] = atMs & 0xff
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f)
  return idFromBytes(bytes)
}

const HEX = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'))

/** The canonical text (RFC 9562 §4) of 16 bytes, of which the first is at `from`. */
export function idFromBytes<T extends string>(bytes: Uint8Array, from = 0): T {
  let text = ''
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += '-'
    text += HEX[bytes[from + i] as number]
  }
  return text as T
}

/** The 16 bytes of a canonical UUID; the caller has checked it with `isUuid`. */
export function idToBytes(id: string): Uint8Array {
  const bytes = new Uint8Array(16)
  let at = 0
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) at++
    bytes[i] = (nibble(id.charCodeAt(at)) << 4) | nibble(id.charCodeAt(at + 1))
    at += 2
  }
  return bytes
}

function nibble(code: number): number {
  return code <= 57 ? code - 48 : code - 87
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Whether the text is a UUID in the lower-case form we write. */
export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** Whether the text is a UUIDv7 in the lower-case form we write. */
export function isUuidV7(text: string): boolean {
  return UUID_V7.test(text)
}

/** The millisecond a UUIDv7 was made at; the caller has checked it with `isUuidV7`. */
export function idTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16) * 65536 + Number.parseInt(id.slice(9, 13), 16)
}

/**
 * Both at once, in one pass: the millisecond of a UUIDv7 in the form we write, or -1 for any other text. For the validator's first
 * sight of a token, where each microsecond counts.
 */
export function uuidV7TimeMs(text: string): number {
  if (text.length !== 36) return -1
  let timeMs = 0
  for (let i = 0; i < 36; i++) {
    const code = text.charCodeAt(i)
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (code !== HYPHEN) return -1
      continue
    }
    const value = code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : -1
    if (value < 0) return -1
    if (i < 13) timeMs = timeMs * 16 + value
    else if (i === 14 && value !== 7) return -1
    else if (i === 19 && (value & 0xc) !== 0x8) return -1
  }
  return timeMs
}

const HYPHEN = 45
