/**
 * A relay: follows the revocation feed as a validator does, and serves it on. It is trusted by its readers for one thing, how old
 * its knowledge is; everything else is signed by the authority (docs/relays.md).
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { createValidator, type FeedCredentials, type PinnedKeys, type Validator } from '@signet/validator/index.ts'
import { makeDirectory } from '@signet/validator/private-file.ts'
import { pinsDigest } from '@signet/validator/signed-keys.ts'
import { realSurroundings } from '@signet/validator/surroundings.ts'
import { anchorKeys } from './anchor.ts'
import { relayMetrics } from './metrics.ts'
import { createRelayCache } from './relay-cache.ts'
import { createRelayDoor, FEED_PERMISSION } from './relay-door.ts'
import { openRelayKey, type RelayKey } from './relay-key.ts'
import { createRelayedFeed, type RelayedFeed, type RelayStats } from './relayed-feed.ts'

export interface RelayConfig {
  readonly issuer: string
  readonly host: string
  readonly port: number
  /** Health and metrics. */
  readonly operations: { readonly host: string; readonly port: number } | undefined
  readonly stateDirectory: string
  /** Another relay to read from, and its keys or where it publishes them; the authority itself when undefined. */
  readonly upstream: { readonly url: string; readonly keys: PinnedKeys | string } | undefined
  /** The authority's feed keys. When undefined, they are asked for once, at the issuer, and kept. */
  readonly authorityKeys: PinnedKeys | undefined
  /** How to read the upstream, unless it is open. */
  readonly credentials: FeedCredentials | undefined
  /** Serve the feed without asking for a token. */
  readonly open: boolean
  readonly validatorId: string | undefined
  readonly probeMilliseconds: number
  /** Older than this, it is not ready. */
  readonly readySeconds: number
  readonly allowInsecureHttp: boolean
}

export interface Relay {
  readonly port: number
  readonly operationsPort: number | undefined
  /** What its readers are told to trust. */
  readonly jwks: PinnedKeys
  readonly validator: Validator
  stats(): RelayStats
  /** Drains: ends streams, whose readers come back elsewhere from where they stand, and keeps what it knows. */
  close(): Promise<void>
}

export interface RelayOutside {
  readonly surroundings?: Surroundings
  trouble(what: string, cause: unknown): void
}

export async function startRelay(config: RelayConfig, outside: RelayOutside): Promise<Relay> {
  const { issuer, stateDirectory, allowInsecureHttp } = config
  const surroundings = outside.surroundings ?? realSurroundings()
  const { clock, timers } = surroundings
  makeDirectory(stateDirectory)
  const key = await openRelayKey(join(stateDirectory, 'relay-key.json'))
  const authorityKeys =
    config.authorityKeys ??
    (await anchorKeys({ issuer, file: join(stateDirectory, 'authority-keys.json'), surroundings, allowInsecureHttp }))
  const follower = followUpstream({ ...config, authorityKeys }, { ...outside, surroundings, sign: key.sign })
  const { feed, validator } = follower
  const ready = (): boolean => feed.stats().stalenessMs <= config.readySeconds * 1000
  const door = createRelayDoor({ issuer, feed, validator, open: config.open, jwks: key.jwks, clock, timers, ready })
  const server = createServer({ keepAlive: true, noDelay: true }, door)
  const operations =
    config.operations === undefined ? undefined : createServer(relayMetrics({ stats: () => feed.stats(), validator, ready }))

  async function close(): Promise<void> {
    feed.close() // First of all: streams would keep the server open.
    await Promise.all([server, operations].map(async (each) => each && closeServer(each)))
    await follower.close()
  }
  try {
    await listen(server, config)
    if (operations !== undefined && config.operations !== undefined) await listen(operations, config.operations)
  } catch (cause) {
    await close()
    throw cause
  }
  return {
    port: (server.address() as AddressInfo).port,
    operationsPort: (operations?.address() as AddressInfo | null | undefined)?.port,
    jwks: key.jwks,
    validator,
    stats: () => feed.stats(),
    close,
  }
}

export interface Follower {
  readonly feed: RelayedFeed
  readonly validator: Validator
  /** Keeps what it knows, and ends. */
  close(): Promise<void>
}

type FollowerConfig = Pick<
  RelayConfig,
  | 'issuer'
  | 'stateDirectory'
  | 'upstream'
  | 'credentials'
  | 'validatorId'
  | 'probeMilliseconds'
  | 'readySeconds'
  | 'allowInsecureHttp'
> & { readonly authorityKeys: PinnedKeys }

/** A relay without its doors: it follows its upstream, keeps what it knows, and has it ready to be served. */
export function followUpstream(
  config: FollowerConfig,
  outside: RelayOutside & {
    readonly surroundings: Surroundings
    readonly sign: RelayKey['sign']
    /** Instead of Node's client. */
    readonly fetch?: typeof fetch
  },
): Follower {
  const { issuer, stateDirectory, authorityKeys, allowInsecureHttp, upstream } = config
  const { surroundings, sign } = outside
  const { clock, timers } = surroundings
  const cache = createRelayCache({ directory: stateDirectory, issuer, pins: pinsDigest(authorityKeys), timers })
  const feed = createRelayedFeed({
    issuer,
    sign,
    clock,
    timers,
    probeEveryMs: config.probeMilliseconds,
    kept: () => cache.read(),
  })
  const validator = createValidator({
    issuer,
    audience: issuer,
    permissions: {
      // However old a relay's knowledge is, it is better passed on than not: its readers know how old it is.
      [FEED_PERMISSION]: { scopes: [FEED_PERMISSION, 'signet:admin'], maxStalenessSeconds: Number.POSITIVE_INFINITY },
      ready: { maxStalenessSeconds: config.readySeconds },
    },
    feed: { authorityKeys, ...(upstream === undefined ? {} : { url: upstream.url, relayKeys: upstream.keys }) },
    feedTap: feed.tap,
    allowInsecureHttp,
    surroundings,
    ...(config.credentials === undefined ? {} : { feedCredentials: config.credentials }),
    ...(config.validatorId === undefined ? {} : { validatorId: config.validatorId }),
    ...(outside.fetch === undefined ? {} : { fetch: outside.fetch }),
  })
  validator.events.on('trouble', ({ what, cause }) => outside.trouble(what, cause))
  const saving = cache.start(feed, (cause) => outside.trouble('cache_file', cause))
  return {
    feed,
    validator,
    async close() {
      saving.stop()
      await cache.write(feed).catch((cause: unknown) => outside.trouble('cache_file', cause))
      await validator.close()
    },
  }
}

function listen(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** What is under way ends by itself or after a moment. */
const CLOSE_MS = 2000

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const force = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
  await closed
  clearTimeout(force)
}
