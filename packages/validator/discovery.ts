/** What an issuer says about itself (RFC 8414, OpenID Connect Discovery), and where Signet's revocation feed is. */
import { RELAY_PATH } from '@signet/kernel/feed.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { type Bounds, fetchJson, HttpTrouble, isAllowedUrl, type Transport } from './http.ts'
import { isRecord } from './jwk.ts'

/** Where the feed is (docs/protocol/feed.md). */
export interface FeedEndpoints {
  readonly head: string
  readonly stream: string
  readonly snapshot: string
  readonly jwksUri: string
  /** All public keys as one signed document; undefined at an authority of before. */
  readonly keys: string | undefined
  /** How far past its commit a cutoff may lie, milliseconds. */
  readonly guardMs: number
  /** Served without a token. */
  readonly open: boolean
}

export interface IssuerMetadata {
  readonly issuer: string
  readonly jwksUri: string
  readonly tokenEndpoint: string | undefined
  /** Undefined at an issuer that is not Signet. */
  readonly feed: FeedEndpoints | undefined
}

export interface DiscoveryParts {
  readonly issuer: string
  readonly transport: Transport
  readonly surroundings: Surroundings
  readonly allowInsecureHttp: boolean
  /** Ends what is under way when the validator closes. */
  readonly signal: AbortSignal
}

const BOUNDS: Bounds = { timeoutMs: 5000, maxBytes: 256 * 1024 }
/** An authority may move its endpoints; nobody need wait longer than this to notice. */
const KEPT_MS = 600_000
/** When something it said did not work, it is asked again, but not more often than this. */
const DOUBT_MS = 10_000
/** A larger guard would let a stolen feed key revoke the future. */
const MAX_GUARD_MS = 60_000

export interface Discovery {
  /** What the issuer says. Once it is known nobody waits for it again: it is asked anew beside the work, and the old holds until then. */
  metadata(): Promise<IssuerMetadata>
  /** Something it said did not work: ask anew soon. */
  doubt(): void
}

export function createDiscovery(parts: DiscoveryParts): Discovery {
  return keeping(parts, () => discover(parts))
}

/**
 * What a relay says of the feed it relays. Where the authority's keys and tokens are is not for a relay to say.
 */
export function createRelayDiscovery(parts: DiscoveryParts & { readonly relay: string }): Discovery {
  return keeping(parts, () => discoverRelay(parts))
}

function keeping(parts: DiscoveryParts, discoverNow: () => Promise<IssuerMetadata>): Discovery {
  const { clock } = parts.surroundings
  let known: IssuerMetadata | undefined
  let askedAt = Number.NEGATIVE_INFINITY
  let keptMs = KEPT_MS
  let asking: Promise<IssuerMetadata> | undefined

  async function ask(): Promise<IssuerMetadata> {
    askedAt = clock.monotonic()
    try {
      known = await discoverNow()
      keptMs = KEPT_MS
      return known
    } catch (cause) {
      if (known !== undefined) return known
      throw cause
    } finally {
      asking = undefined
    }
  }
  return {
    metadata() {
      if (known === undefined || clock.monotonic() - askedAt >= keptMs) asking ??= ask()
      return known === undefined ? (asking as Promise<IssuerMetadata>) : Promise.resolve(known)
    },
    doubt() {
      keptMs = DOUBT_MS
    },
  }
}

/** Asks at both well-known places; the first that answers with this very issuer counts. */
async function discover(parts: DiscoveryParts): Promise<IssuerMetadata> {
  let trouble: unknown
  for (const url of wellKnown(parts.issuer)) {
    try {
      const { transport, signal } = parts
      const request = { url, method: 'GET', headers: { accept: 'application/json' } } as const
      const { value } = await fetchJson({ transport, timers: parts.surroundings.timers, signal }, request, BOUNDS)
      return readMetadata(value, url, parts)
    } catch (cause) {
      trouble ??= cause
      // Only "not here" makes it worth asking elsewhere.
      if (!(cause instanceof HttpTrouble && cause.kind === 'status' && cause.status === 404)) throw cause
    }
  }
  throw trouble
}

async function discoverRelay(parts: DiscoveryParts & { readonly relay: string }): Promise<IssuerMetadata> {
  const { transport, signal, surroundings, allowInsecureHttp, issuer } = parts
  const url = `${parts.relay}${RELAY_PATH}`
  const request = { url, method: 'GET', headers: { accept: 'application/json' } } as const
  const { value } = await fetchJson({ transport, timers: surroundings.timers, signal }, request, BOUNDS)
  const why = (text: string): HttpTrouble => new HttpTrouble('content', url, { why: text })
  if (value.issuer !== issuer) throw why('it relays another issuer than the one it was asked for')
  const isUrl = (text: unknown): text is string => typeof text === 'string' && isAllowedUrl(text, allowInsecureHttp)
  const listed = isRecord(value.signet_feed) ? value.signet_feed : {}
  // Its URLs may be given by path alone: a relay need not know under which name it is reached.
  const resolved = Object.entries(listed).map(([name, it]) => [name, typeof it === 'string' ? URL.parse(it, url)?.href : it])
  const feed = readFeed(Object.fromEntries(resolved), isUrl, why)
  if (feed?.keys === undefined) throw why('signet_feed lacks keys')
  // The reader's token goes there, and a relay is not who may say where else to.
  const isElsewhere = [feed.head, feed.stream, feed.snapshot, feed.keys].some((it) => new URL(it).origin !== new URL(url).origin)
  if (isElsewhere) throw why('signet_feed leads to another origin than the relay')
  return { issuer, jwksUri: feed.keys, tokenEndpoint: undefined, feed }
}

/** RFC 8414 §3.1 puts the path of the issuer last; OpenID Connect Discovery §4 puts it first. */
function wellKnown(issuer: string): readonly string[] {
  const url = new URL(issuer)
  const path = url.pathname.replace(/\/$/, '')
  return [`${url.origin}/.well-known/oauth-authorization-server${path}`, `${url.origin}${path}/.well-known/openid-configuration`]
}

function readMetadata(value: Readonly<Record<string, unknown>>, url: string, parts: DiscoveryParts): IssuerMetadata {
  const why = (text: string): HttpTrouble => new HttpTrouble('content', url, { why: text })
  // RFC 8414 §3.3: anything else is an impostor, or a mistake in the options that must not go unnoticed.
  if (value.issuer !== parts.issuer) throw why('it names another issuer than the one it was asked for')
  const isUrl = (text: unknown): text is string => typeof text === 'string' && isAllowedUrl(text, parts.allowInsecureHttp)
  if (!isUrl(value.jwks_uri)) throw why('jwks_uri is missing or not https')
  return {
    issuer: parts.issuer,
    jwksUri: value.jwks_uri,
    tokenEndpoint: isUrl(value.token_endpoint) ? value.token_endpoint : undefined,
    feed: readFeed(value.signet_feed, isUrl, why),
  }
}

function readFeed(
  value: unknown,
  isUrl: (text: unknown) => text is string,
  why: (text: string) => HttpTrouble,
): FeedEndpoints | undefined {
  if (value === undefined) return undefined
  if (!isRecord(value)) throw why('signet_feed is not an object')
  const { head, stream, snapshot, jwks_uri, keys, guard_ms, open } = value
  if (!isUrl(head) || !isUrl(stream) || !isUrl(snapshot) || !isUrl(jwks_uri)) throw why('signet_feed lacks an https URL')
  if (typeof guard_ms !== 'number' || !(guard_ms >= 0 && guard_ms <= MAX_GUARD_MS))
    throw why('signet_feed.guard_ms is out of bounds')
  return {
    head,
    stream,
    snapshot,
    jwksUri: jwks_uri,
    keys: isUrl(keys) ? keys : undefined,
    guardMs: guard_ms,
    open: open === true,
  }
}
