/**
 * A relay on a simulated machine: the real one but for its sockets (packages/gateway/relay.ts), which reads from nodes or from another relay
 * and serves validators. Its door takes values, and does what relay-door.ts does for a relay that is open to everyone.
 */
import { generateKeyPairSync } from 'node:crypto'
import { type Follower, followUpstream } from '@signet/gateway/relay.ts'
import { relayKey } from '@signet/gateway/relay-key.ts'
import type { RelayedFeed } from '@signet/gateway/relayed-feed.ts'
import { fault } from '@signet/kernel/errors.ts'
import { BATCH_TYPE, type BatchPayload, RELAY_PATH } from '@signet/kernel/feed.ts'
import type { FeedOptions, PinnedKeys } from '@signet/validator/index.ts'
import { createFeedFetch, type DoorParts, type FeedServer, type Middle } from './feed-door.ts'
import type { History } from './history.ts'
import type { Machine } from './machine.ts'
import { ISSUER } from './names.ts'
import type { Tampering } from './tampering.ts'

export interface RelayPlace {
  readonly machine: Machine
  /** Between it and its upstream. */
  readonly middle: Middle
  readonly url: string
  /** Its own keys, which its readers take its word on freshness by. */
  readonly jwks: PinnedKeys
  /** Where readers arrive; undefined while it is down. */
  readonly server: FeedServer | undefined
  readonly stalenessMs: number
  /** It has been taken over: whoever comes gets entries and snapshots of its own making as well. */
  forges: boolean
  /** Asks how fresh it says it is. */
  look(): void
  crash(): void
  /** Starts with the authority's keys as they are pinned now. */
  start(): void
  close(): void
}

export interface RelayPlaceParts extends Omit<DoorParts, 'middle' | 'lastHead'> {
  readonly history: History
  readonly tampering: Tampering
  readonly upstream: RelayPlace | undefined
  readonly probeMilliseconds: number
  pins(): PinnedKeys
}

export function createRelay(parts: RelayPlaceParts): RelayPlace {
  const { machine, history, tampering, upstream } = parts
  const middle: Middle = { frozen: false, slowMs: 0, replay: 0, twice: 0, lost: 0 }
  const fetcher = createFeedFetch({ ...parts, middle, lastHead: { tookMs: 0 } })
  const key = relayKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }) as never)
  const sign = tampering.relaySign?.(key.sign) ?? key.sign
  const opened: Follower[] = []
  let server: FeedServer | undefined

  const self: RelayPlace = {
    machine,
    middle,
    url: `https://${machine.name}.example`,
    jwks: key.jwks,
    forges: false,
    get server() {
      return server
    },
    get stalenessMs() {
      return opened.at(-1)?.feed.stats().stalenessMs ?? Number.POSITIVE_INFINITY
    },
    look() {
      const feed = machine.isUp && !machine.isPaused ? opened.at(-1)?.feed : undefined
      if (feed !== undefined) history.observeStaleness({ validator: machine.name, ...feed.stats() })
    },
    crash() {
      machine.crash()
      server = undefined
    },
    start() {
      machine.start()
      const follower = followUpstream(
        {
          issuer: ISSUER,
          stateDirectory: `/sim/${machine.name}`,
          upstream: upstream && { url: upstream.url, keys: upstream.jwks },
          authorityKeys: parts.pins(),
          credentials: undefined,
          validatorId: machine.name,
          probeMilliseconds: parts.probeMilliseconds,
          readySeconds: 10,
          allowInsecureHttp: false,
        },
        { surroundings: machine.surroundings, sign, fetch: fetcher, trouble() {} },
      )
      opened.push(follower)
      server = serverOf(follower.feed)
    },
    close() {
      for (const { feed, validator } of opened) {
        feed.close()
        void validator.close()
      }
    },
  }
  return self

  function serverOf(feed: RelayedFeed): FeedServer {
    const text = (body: string) => ({ status: 200, headers: { 'cache-control': 'public, max-age=60' }, body: Buffer.from(body) })
    return {
      async answer(url) {
        switch (url.pathname) {
          case RELAY_PATH: {
            const { guardMs, hops } = feed.stats()
            if (guardMs === undefined) throw fault('store_unavailable')
            return text(JSON.stringify({ issuer: ISSUER, hops, signet_feed: { ...PATHS, guard_ms: guardMs, open: true } }))
          }
          case PATHS.keys:
            return text(feed.keys())
          case PATHS.head:
            return text(feed.head(url.searchParams.get('probe') ?? ''))
          case PATHS.snapshot: {
            const { frame } = await feed.snapshot()
            return { status: 200, headers: {}, body: self.forges ? changed(frame) : frame }
          }
          default:
            return { status: 404, headers: {}, body: new Uint8Array(0) }
        }
      },
      join(reader, place) {
        feed.join(reader, place)
        if (self.forges) reader.write(batchOfItsOwn(place))
      },
      leave: (reader) => feed.leave(reader),
    }
  }

  /** The number that comes next, and nothing in it: whoever took it would pass over what is really there. */
  function batchOfItsOwn({ epoch, seq }: { readonly epoch: string; readonly seq: number }): Uint8Array {
    const at = machine.surroundings.clock.now()
    const payload: BatchPayload = { iss: ISSUER, epoch, from: seq + 1, to: seq + 1, salt_version: 1, at, entries: [] }
    return Buffer.from(`id: ${epoch}:${seq + 1}\nevent: batch\ndata: ${key.sign(BATCH_TYPE, payload)}\n\n`)
  }
}

/** How a validator is told to read from a relay. Without `pins` it asks the issuer itself for keys. */
export const readingFrom = ({ url, jwks }: RelayPlace, pins: PinnedKeys | undefined): FeedOptions => ({
  url,
  relayKeys: jwks,
  ...(pins === undefined ? {} : { authorityKeys: pins }),
})

const PATHS = {
  head: '/feed/head',
  stream: '/feed/stream',
  snapshot: '/feed/snapshot',
  keys: '/feed/keys',
  jwks_uri: '/feed/jwks',
} as const

/** With another last byte: in an entry, or in what is signed when there is none. */
function changed(frame: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(frame)
  copy[copy.length - 1] = (copy[copy.length - 1] as number) ^ 1
  return copy
}
