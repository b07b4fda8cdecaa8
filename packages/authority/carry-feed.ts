/** Puts the carrier of the feed together: with the key ring that says which batches are this authority's. */
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { readBatch } from '@signet/validator/feed-messages.ts'
import { SIGNET_ALGORITHMS } from '@signet/validator/jwk.ts'
import { KeySet } from '@signet/validator/key-set.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { FeedHub } from './revocation/feed.ts'
import { type CarrierStream, openFeedCarrier } from './revocation/feed-carrier.ts'
import type { Registry } from './revocation/registry.ts'

export function carryFeed(parts: {
  readonly stream: CarrierStream
  readonly hub: FeedHub
  readonly registry: Registry
  readonly keys: Pick<KeyRing, 'jwks'>
  readonly issuer: string
  readonly surroundings: Surroundings
  readonly carried: (how: string) => void
}): { close(): void } {
  const { stream, hub, registry, keys, issuer, surroundings } = parts
  const feedKeys = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
  const trust = { issuer, keys: feedKeys, seek: async () => {} }
  return openFeedCarrier({
    stream,
    hub,
    position: () => registry.position,
    async read(jws) {
      feedKeys.replace(keys.jwks('feed')) // Another node may have rotated them.
      return (await readBatch(jws, trust).catch(() => undefined))?.batch
    },
    ...surroundings,
    observe: { carried: parts.carried },
  })
}
