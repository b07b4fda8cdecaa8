/**
 * Opaque access tokens: `sga_` ‖ version 1 ‖ ring 2 ‖ salt 16 ‖ sealed JWT ‖ tag 16. Within is the signed token that any other
 * resource would get, so it is judged and revoked like any other, and nothing is stored: every node opens it with the ring key. It
 * stays closed once that key is retired or compromised. A client reads none of it, and neither does its resource, which introspects.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { concat } from '@signet/kernel/bytes.ts'
import { fault } from '@signet/kernel/errors.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { KeyRing, RingKey } from '../keys/key-ring.ts'

/** The JWT, sealed. Throws `fault('keys_unavailable')` when this node has no ring key. */
export function sealAccessToken(jwt: string, { keys, chance }: { keys: Pick<KeyRing, 'ring'>; chance: Chance }): string {
  const ring = keys.ring()
  if (ring === undefined) throw fault('keys_unavailable')
  if (ring.version > MAX_RING) throw new Error('an opaque access token has no room for this ring')
  const head = concat(new Uint8Array([VERSION, ring.version >>> 8, ring.version & 0xff]), chance.bytes(SALT_BYTES))
  const cipher = createCipheriv(CIPHER, sealingKey(ring, head), ONLY_IV, { authTagLength: TAG_BYTES }).setAAD(head)
  const sealed = concat(cipher.update(jwt, 'latin1'), cipher.final())
  return encodeOpaque('access_token', concat(head, sealed, cipher.getAuthTag()))
}

/** The JWT within, or undefined for what this authority did not seal, or with a key that no longer counts. Asks nobody. */
export function openAccessToken(token: string, keys: Pick<KeyRing, 'ring'>): string | undefined {
  const payload = decodeOpaque('access_token', token)
  if (payload === undefined || payload.length <= HEAD_BYTES + TAG_BYTES || payload[0] !== VERSION) return undefined
  const ring = keys.ring(((payload[1] as number) << 8) | (payload[2] as number))
  if (ring === undefined) return undefined
  const head = payload.subarray(0, HEAD_BYTES)
  const tagAt = payload.length - TAG_BYTES
  const decipher = createDecipheriv(CIPHER, sealingKey(ring, head), ONLY_IV, { authTagLength: TAG_BYTES }).setAAD(head)
  decipher.setAuthTag(payload.subarray(tagAt))
  const jwt = decipher.update(payload.subarray(HEAD_BYTES, tagAt))
  try {
    return Buffer.concat([jwt, decipher.final()]).toString('latin1')
  } catch {
    return undefined // The tag does not fit: altered, or sealed by somebody else.
  }
}

const VERSION = 1
const MAX_RING = 0xffff
const SALT_BYTES = 16
const HEAD_BYTES = 3 + SALT_BYTES
const TAG_BYTES = 16
const CIPHER = 'aes-256-gcm'
const PURPOSE = new TextEncoder().encode('signet/access-token/1')
// Each token has a key of its own, from its salt, which seals once: so no number of tokens wears a ring key out, as it would with
// random IVs under one key (NIST SP 800-38D §8.3: 2^32 at most).
const ONLY_IV = new Uint8Array(12)

const sealingKey = (ring: RingKey, head: Uint8Array): Uint8Array => ring.hmac(concat(PURPOSE, head))
