/**
 * The public keys as one signed document. Whoever gets them from a relay need not believe the relay: a feed key that he knows
 * already vouches for the others, and the next feed key is published long before it signs.
 */
import { KEYS_KEPT_MS, KEYS_TYPE, type KeysPayload } from '@signet/kernel/feed.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import type { SignFeed } from './feed-frames.ts'

export interface SignedKeysParts {
  readonly issuer: string
  readonly keys: { jwks(purpose: 'token' | 'feed'): { readonly keys: readonly unknown[] } }
  /** The epoch of the log that the keys belong to; `-` while that is not known. */
  epoch(): string
  readonly sign: SignFeed
  readonly clock: Clock
}

/** Signs once for all who ask within a while: asking is free to everyone. */
export function createSignedKeys({ issuer, keys, epoch, sign, clock }: SignedKeysParts): () => string {
  let made: { readonly jws: string; readonly of: string; readonly atMs: number } | undefined
  return () => {
    const listed = { epoch: epoch(), token_keys: keys.jwks('token').keys, feed_keys: keys.jwks('feed').keys }
    const of = JSON.stringify(listed)
    const isOld = made === undefined || made.of !== of || clock.monotonic() - made.atMs >= KEYS_KEPT_MS
    if (made === undefined || isOld) {
      const payload: KeysPayload = { iss: issuer, at: clock.now(), ...listed }
      made = { jws: sign(KEYS_TYPE, payload), of, atMs: clock.monotonic() }
    }
    return made.jws
  }
}
