/**
 * Refresh tokens: `sgr_` ‖ version 1 ‖ family 16 ‖ generation 4 ‖ ring 2 ‖ tag 32. Nothing of them is stored. The tag is an HMAC
 * of a ring key over family, generation and the family's own nonce, so neither the store alone nor the key ring alone
 * yields a token, and the same generation always has the same token: what a lost answer contained can be said again.
 */
import { timingSafeEqual } from 'node:crypto'
import { fault } from '@signet/kernel/errors.ts'
import { type FamilyId, idFromBytes, idToBytes, isUuidV7 } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { FamilyRecord } from '../store/ports/families.ts'

/** What a presented refresh token says of itself. Nothing of it is to be believed before its tag is verified. */
export interface PresentedRefreshToken {
  readonly family: FamilyId
  readonly generation: number
  /** Version of the ring key its tag claims to be made with. */
  readonly ring: number
  readonly tag: Uint8Array
}

const VERSION = 1
const TAG_AT = 23
const PAYLOAD_BYTES = TAG_AT + 32
const MAX_GENERATION = 0xffffffff
const MAX_RING = 0xffff

/** The refresh token of a family's generation. Throws `fault('keys_unavailable')` when this node lacks its ring key. */
export function encodeRefreshToken(
  keys: Pick<KeyRing, 'ring'>,
  of: { readonly id: FamilyId; readonly generation: number; readonly nonce: Uint8Array; readonly ring: number },
): string {
  const key = keys.ring(of.ring)
  if (key === undefined) throw fault('keys_unavailable')
  if (of.generation > MAX_GENERATION || of.ring > MAX_RING)
    throw new Error('a refresh token has no room for this generation or ring')
  const payload = new Uint8Array(PAYLOAD_BYTES)
  payload[0] = VERSION
  payload.set(idToBytes(of.id), 1)
  const numbers = new DataView(payload.buffer)
  numbers.setUint32(17, of.generation)
  numbers.setUint16(21, of.ring)
  payload.set(key.hmac(tagged(of.id, of.generation, of.nonce)), TAG_AT)
  return encodeOpaque('refresh_token', payload)
}

/** What the text says, or undefined for what was never a refresh token of ours: torn, mistyped, another kind. Asks nobody. */
export function parseRefreshToken(text: string): PresentedRefreshToken | undefined {
  const payload = decodeOpaque('refresh_token', text)
  if (payload === undefined || payload.length !== PAYLOAD_BYTES || payload[0] !== VERSION) return undefined
  const family = idFromBytes<FamilyId>(payload.subarray(1, 17))
  if (!isUuidV7(family)) return undefined
  const numbers = new DataView(payload.buffer, payload.byteOffset)
  return { family, generation: numbers.getUint32(17), ring: numbers.getUint16(21), tag: payload.slice(TAG_AT) }
}

/**
 * Whether the authority itself made this token for this family. Compares in constant time. The current and the previous
 * generation must be tagged with the ring key the family says they were tagged with, so that an older ring key, should
 * it leak, makes no token that is worth anything. Throws `fault('keys_unavailable')` when the family was rotated under a
 * key so new that this node has not read it: the client shall try again, not throw its token away.
 */
export function verifiesTag(
  keys: Pick<KeyRing, 'ring' | 'isAhead'>,
  presented: PresentedRefreshToken,
  family: Pick<FamilyRecord, 'id' | 'generation' | 'nonce' | 'ring' | 'previousRing'>,
): boolean {
  if (presented.family !== family.id) return false
  const expected = ringOf(presented.generation, family)
  if (expected !== undefined && expected !== presented.ring) return false
  const key = keys.ring(presented.ring)
  if (key === undefined) {
    if (expected !== undefined && keys.isAhead(expected)) throw fault('keys_unavailable')
    return false
  }
  return timingSafeEqual(key.hmac(tagged(family.id, presented.generation, family.nonce)), presented.tag)
}

/** Which ring key a generation was tagged with; undefined when the family does not remember. */
function ringOf(generation: number, family: Pick<FamilyRecord, 'generation' | 'ring' | 'previousRing'>): number | undefined {
  if (generation === family.generation) return family.ring
  if (generation === family.generation - 1) return family.previousRing
  return undefined
}

const PURPOSE = new TextEncoder().encode('signet/refresh/1')

function tagged(id: FamilyId, generation: number, nonce: Uint8Array): Uint8Array {
  const data = new Uint8Array(PURPOSE.length + 20 + nonce.length)
  data.set(PURPOSE)
  data.set(idToBytes(id), PURPOSE.length)
  new DataView(data.buffer).setUint32(PURPOSE.length + 16, generation)
  data.set(nonce, PURPOSE.length + 20)
  return data
}
