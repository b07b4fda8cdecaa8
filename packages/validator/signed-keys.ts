/**
 * Keys that come over somebody who need not be believed: a document signed by a feed key that is trusted already. What was pinned
 * vouches for the first, each for the next, and none that is older than the last is taken (docs/protocol/feed.md §3).
 */
import { hash } from 'node:crypto'
import { KEYS_KEPT_MS, type KeysPayload } from '@signet/kernel/feed.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'
import { FeedMessageFault, readKeys } from './feed-messages.ts'
import type { KeySet } from './key-set.ts'
import type { PinnedKeys } from './options.ts'

/** The feed keys that are trusted, to be kept on disk. */
export interface TrustedFeedKeys {
  readonly jwks: readonly unknown[]
  /** Of the last set that was taken; 0 when there was none. Epoch milliseconds. */
  readonly atMs: number
}

export interface SignedKeys {
  /** The JWKS with the token keys of a signed document, or the feed keys that are trusted after it. Throws when it does not count. */
  read(
    purpose: 'token' | 'feed',
    bytes: Uint8Array,
  ): Promise<{ readonly keys: readonly unknown[]; readonly epoch: string | undefined }>
  trusted(): TrustedFeedKeys
  /** Goes on from what was trusted under these pins before. */
  restore(kept: TrustedFeedKeys): void
}

/** Two nodes that made a document each, at two clocks, and one of which has yet to read that a key was added. */
const GRACE_MS = 2 * KEYS_KEPT_MS

export function createSignedKeys(parts: {
  readonly issuer: string
  readonly pins: PinnedKeys
  /** Holds what is trusted; empty as yet. */
  readonly feedKeys: KeySet
  readonly clock: Clock
  onKeys(jws: string): void
}): SignedKeys {
  const { issuer, pins, feedKeys, clock } = parts
  // An unknown key is not sought: this is where it would be found.
  const trust = { issuer, keys: feedKeys, seek: async () => {} }
  /** A time by a clock that ran ahead must not stand in the way of what comes after. */
  const past = (atMs: number): number => Math.min(atMs, clock.now())
  const pinnedUntilMs = pins.at === undefined ? 0 : past(pins.at) + GRACE_MS
  let lastMs = 0
  feedKeys.replace(pins)

  /**
   * A set that may be from before the pins does not take their place: it can lack the keys that vouch from now on, and have one that is
   * pinned no more because it was stolen.
   */
  function trustThoseOf(atMs: number, jwks: readonly unknown[]): void {
    if (atMs >= pinnedUntilMs) feedKeys.replace({ keys: jwks })
    lastMs = Math.max(lastMs, past(atMs))
  }

  return {
    async read(purpose, bytes) {
      const jws = Buffer.from(bytes).toString('latin1').trim()
      const payload: KeysPayload = await readKeys(jws, trust)
      if (payload.at < lastMs - GRACE_MS) throw new FeedMessageFault('old_keys')
      // Whichever half was asked for: the next set may be signed by a key that is in this one alone.
      trustThoseOf(payload.at, payload.feed_keys)
      parts.onKeys(jws)
      return { keys: purpose === 'token' ? payload.token_keys : feedKeys.jwks, epoch: payload.epoch }
    },
    trusted: () => ({ jwks: feedKeys.jwks, atMs: lastMs }),
    restore: ({ jwks, atMs }) => trustThoseOf(atMs, jwks),
  }
}

/** Names a set of pinned keys, whenever they were asked for: what followed from other pins is not trusted under these. */
export const pinsDigest = ({ keys }: PinnedKeys): string => hash('sha256', JSON.stringify({ keys }), 'base64url')
