/**
 * Keys that come over somebody who need not be believed: a document signed by a feed key that is trusted already. What was pinned
 * vouches for the first, each for the next, and none that is older than the last is taken.
 */
import { hash } from 'node:crypto'
import { KEYS_KEPT_MS, type KeysPayload } from '@signet/kernel/feed.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import { FeedMessageFault, readKeys } from './feed-messages.ts'
import type { KeySet } from './key-set.ts'

export interface SignedKeys {
  /** The JWKS with the token keys, or the feed's, out of a signed document. Throws when it does not count. */
  read(
    purpose: 'token' | 'feed',
    bytes: Uint8Array,
  ): Promise<{ readonly keys: readonly unknown[]; readonly epoch: string | undefined }>
}

/** Two nodes that made a document each, at two clocks. */
const GRACE_MS = 2 * KEYS_KEPT_MS

export function createSignedKeys(parts: {
  readonly issuer: string
  readonly feedKeys: KeySet
  readonly clock: Clock
  onKeys(jws: string): void
}): SignedKeys {
  const { issuer, feedKeys, clock } = parts
  // An unknown key is not sought: this is where it would be found.
  const trust = { issuer, keys: feedKeys, seek: async () => {} }
  let lastMs = 0
  return {
    async read(purpose, bytes) {
      const jws = Buffer.from(bytes).toString('latin1').trim()
      const payload: KeysPayload = await readKeys(jws, trust)
      if (payload.at < lastMs - GRACE_MS) throw new FeedMessageFault('old_keys')
      // Signed by a clock that ran ahead, it must not stand in the way of those that come after.
      lastMs = Math.max(lastMs, Math.min(payload.at, clock.now()))
      // Whichever half was asked for: the next set may be signed by a key that is in this one alone.
      feedKeys.replace({ keys: payload.feed_keys })
      parts.onKeys(jws)
      return { keys: purpose === 'token' ? payload.token_keys : payload.feed_keys, epoch: payload.epoch }
    },
  }
}

/** Names a set of pinned keys: what followed from other pins is not trusted under these. */
export const pinsDigest = (jwks: unknown): string => hash('sha256', JSON.stringify(jwks), 'base64url')
