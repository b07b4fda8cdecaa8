/**
 * The rule of revocation, whole. A revocation is `(key, cutoff, dropAfter)`. A token has a handful of keys: itself, its
 * grant, session, device, subject, client, signing key, issuer, each of its scopes and each ancestor. It is dead iff one of its keys has a
 * cutoff at or after its issue time. Maps of revocations merge by the larger cutoff, so order, duplicates and
 * overlap do not matter.
 */
import { concat } from './bytes.ts'
import type { Sha256 } from './surroundings.ts'

/** What can be taken back. `grant` covers a refresh family; `key` is a signing key; `scope` is one name of a token's scope. Stores keep the place in this list. */
export const KEY_KINDS = ['token', 'grant', 'session', 'device', 'subject', 'client', 'key', 'issuer', 'scope'] as const
export type KeyKind = (typeof KEY_KINDS)[number]

/**
 * Kinds whose ids are never used again, so that any entry at all is the end of them, whatever its cutoff. For a
 * compromised signing key this matters: whoever holds it writes any issue time he likes.
 */
export const isFinalKind = (kind: KeyKind): boolean => kind === 'key'

/** 128 bits: enough that a collision (which could only refuse a good token) never happens. */
export const KEY_BYTES = 16

/** Under which salt digests are made. Changes with the feed's epoch; carried by the feed. */
export interface Salt {
  readonly version: number
  /** 16 bytes. */
  readonly bytes: Uint8Array
}

export interface Revocation {
  /** `KEY_BYTES` bytes, see `revocationKey`. */
  readonly key: Uint8Array
  /** Epoch milliseconds: tokens issued at or before it are dead. */
  readonly cutoffMs: number
  /** Epoch seconds: after it no token that this could match is alive, so the entry may be forgotten. */
  readonly dropAfter: number
}

const SEPARATOR = '\u0000'

/**
 * The digest a revocation is known by: SHA-256(salt ‖ kind ‖ issuer ‖ id), cut to 128 bits. It names nobody to whom the id
 * is not known already.
 */
export function revocationKey(sha256: Sha256, salt: Salt, kind: KeyKind, issuer: string, id: string): Uint8Array {
  const text = new TextEncoder().encode(kind + SEPARATOR + issuer + SEPARATOR + id)
  return sha256(concat(salt.bytes, text)).subarray(0, KEY_BYTES)
}

/** The ids of a token by kind, for any issuer's token; what is absent is undefined. */
export interface TokenKeys {
  readonly issuer: string
  readonly token?: string | undefined
  readonly grant?: string | undefined
  readonly session?: string | undefined
  readonly device?: string | undefined
  readonly subject?: string | undefined
  readonly client?: string | undefined
  readonly key?: string | undefined
  /** As the claim has them, with spaces between; at most `MAX_TOKEN_SCOPES`. */
  readonly scope?: string | undefined
  readonly ancestors?: readonly string[] | undefined
}
