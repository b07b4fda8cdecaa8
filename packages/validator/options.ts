/** What a validator may be told, and its check: a mistake in the options is found at start, in words, not at the first token. */
import type { KeyObject } from 'node:crypto'
import { natsServersProblem } from '@signet/kernel/nats.ts'
import type { RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { Proof } from './dpop.ts'
import type { Mac } from './dpop-nonces.ts'
import type { FeedTap } from './feed-tap.ts'
import { assertionAlgorithm, type FeedCredentials } from './feed-token.ts'
import { isAllowedUrl } from './http.ts'
import { type Algorithm, algorithm, SIGNET_ALGORITHMS } from './jwk.ts'
import { KeySet } from './key-set.ts'
import type { PermissionMap } from './permissions.ts'
import type { ReplayAnswer } from './replay-cache.ts'

export interface ValidatorOptions {
  /** The authority, exactly as its tokens name it in `iss`. Keys and feed are found through its metadata. */
  readonly issuer: string
  /** Who this service is: a token must name it (or one of them) in `aud`. */
  readonly audience: string | readonly string[]
  /** How to read the revocation feed, unless the authority leaves it open: a client with the scope `signet:feed`. */
  readonly feedCredentials?: FeedCredentials
  /** Where the revocation feed comes from when it is not the issuer itself, and by what beside HTTP. */
  readonly feed?: FeedOptions
  /** Hears the feed as it comes: for a relay. */
  readonly feedTap?: FeedTap
  /**
   * Which scopes give which permission, and what each can bear. Unless given, every scope is a permission of its own name. With
   * a map, a scope it does not name gives nothing.
   */
  readonly permissions?: PermissionMap
  /** Bound of a permission that names none. Seconds; 30 unless given. */
  readonly defaultMaxStalenessSeconds?: number
  /** How far clocks may be apart, for `exp`, `nbf`, `iat` and proofs. Seconds; 30 unless given, 300 at most. */
  readonly clockSkewSeconds?: number
  /** Refuse every token that is not bound to a DPoP key. */
  readonly requireDpop?: boolean
  readonly dpop?: DpopOptions
  /**
   * Where clients reach this service: scheme, host, port, and a path if a proxy takes one off. Unless given, the origin of the first
   * audience that is an http(s) URL. Proofs are checked against it, never against what a request says of its own host.
   */
  readonly publicUrl?: string
  /** Other issuers whose JWTs are accepted, and can be taken back through Signet's feed like its own. */
  readonly foreignIssuers?: readonly ForeignIssuer[]
  /** Keep keys and registry in this file, to start while the authority is away. Its folder must exist. */
  readonly cacheFile?: string
  /** Tell refused clients where this service's metadata is (RFC 9728 §5.1). `true`: at the well-known place of `publicUrl`. */
  readonly resourceMetadata?: boolean | string
  /** Speak to an http issuer that is not on this machine. For closed test networks: whoever is on the way can put in keys. */
  readonly allowInsecureHttp?: boolean
  /** How many verified tokens to remember. 10 000 unless given. */
  readonly cacheSize?: number
  /** How many tokens may be watched at once. 100 000 unless given. */
  readonly maxWatches?: number
  /** How many revocations to hold at most; beyond, the validator goes stale rather than forget one. 16 million unless given. */
  readonly maxRevocations?: number
  /** Name in the authority's overview of who has applied what. Random unless given; 1 to 128 printable characters. */
  readonly validatorId?: string
  /** Go through this Fetch function instead of Node's client. */
  readonly fetch?: typeof fetch
  /** Clock, chance and timers; tests and simulations bring their own. */
  readonly surroundings?: Surroundings
  /** Instead of the network: knowledge that this process has anyway. For the authority and for gateways that share one feed. */
  readonly source?: KnowledgeSource
}

/** A set of public keys (RFC 7517). */
export interface PinnedKeys {
  readonly keys: readonly Readonly<Record<string, unknown>>[]
  /** When an authority's feed keys were these, epoch milliseconds, as its `jwks_uri` says: no older set takes their place. */
  readonly at?: number
}

export interface FeedOptions {
  /** The relay: scheme, host, port, and a path if it has one. The issuer itself unless given. */
  readonly url?: string
  /**
   * Whose word on freshness is taken: the relay's keys, or the URL where it publishes them. Needed with `url`. A relay may only say
   * how old its knowledge is; what was revoked is signed by the authority.
   */
  readonly relayKeys?: PinnedKeys | string
  /**
   * The authority's feed keys: the whole document as it was once fetched from its `jwks_uri`. With them all keys come over the relay, each set
   * vouched for by the one before, and this service needs no way to the authority. Without, the issuer is asked for keys.
   */
  readonly authorityKeys?: PinnedKeys
  /** By NATS, from where the authority's nodes carry it (docs/operating.md, "NATS"). Needs the package `@nats-io/transport-node`. */
  readonly nats?: NatsFeedOptions
}

export interface DpopOptions {
  /**
   * Whether proofs must carry a nonce of this validator (RFC 9449 §9). On unless false: then a captured or pre-made proof is of no
   * use, and one that was used here is of no use at another instance, whose nonces are others.
   */
  readonly nonces?: boolean
  /**
   * The key that nonces are made with, 32 bytes, or a function that gives MACs, newest first. Instances behind one load balancer need
   * the same, or a client is sent from nonce to nonce; give them a shared `replay` memory with it. Random unless given.
   */
  readonly nonceKey?: Uint8Array | (() => readonly Mac[])
  /** A memory of used proofs shared between instances: `fresh` for exactly one caller. Needs `validate`; `validateSync` throws. */
  readonly replay?: (proof: Proof) => Promise<ReplayAnswer>
  /** Proofs remembered by this instance. 500 000 unless given. */
  readonly replayCapacity?: number
  /** How old a proof may be, where nonces are off. Seconds; 60 unless given. */
  readonly maxAgeSeconds?: number
}

export interface NatsFeedOptions {
  /** `tls://HOST:PORT`, one or several; `nats://` on this machine only. */
  readonly servers: string | readonly string[]
  /** The text of a NATS credentials file, an nkey seed, or `USER:PASSWORD`; a function is asked at each connection. */
  readonly credentials?: string | (() => string)
  /** The certificate authority of the servers, in PEM; the machine's own unless given. */
  readonly ca?: string
  /** Speak plain `nats://` over a network. Whoever is on the way reads the credentials; batches are signed and say nothing. */
  readonly allowInsecureNats?: boolean
}

/** An issuer that is not Signet (Keycloak, Auth0, …): its tokens are judged by the same rule, from `iss`, `jti`, `sub`, `sid`, `azp`/`client_id` and `iat`. */
export interface ForeignIssuer {
  /** Exactly as in `iss`, trailing slash and all. */
  readonly issuer: string
  /** Its keys; found through its metadata unless given. */
  readonly jwksUri?: string
  /** What its tokens name as audience here; the validator's own audience unless given. */
  readonly audience?: string | readonly string[]
  /** Algorithms it signs with. Asymmetric ones only. */
  readonly algorithms: readonly string[]
  /** `typ` headers of its access tokens, such as `at+jwt` or `JWT`; '' admits a token without one. An ID token must not fit. */
  readonly types: readonly string[]
  /** A token that lives longer is refused, for its revocation would be forgotten before its end. Seconds; 30 days unless given, which is how long the authority remembers. */
  readonly maxTokenSeconds?: number
}

/** Keys, registry and age from within the process. Keys of foreign issuers still come over the network. */
export interface KnowledgeSource {
  readonly view: RevocationView
  readonly keys: {
    /** A token signing key that may be trusted now; undefined for unknown, retired and compromised ones. */
    find(kid: string): { readonly key: KeyObject; readonly alg: string } | undefined
    /** Moves when an answer of `find` may have changed; where it is absent, only revocation ends the tokens of a key. */
    readonly version?: number
  }
  /** Milliseconds since everything was known to be complete; Infinity when it never was. */
  stalenessMs(): number
}

/** Options with every choice made. */
export interface Settings {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly skewMs: number
  readonly defaultStalenessSeconds: number
  readonly publicUrl: string | undefined
  readonly resourceMetadata: string | undefined
  readonly foreign: readonly ForeignSettings[]
  readonly feed: FeedSettings
  readonly allowInsecureHttp: boolean
  readonly cacheSize: number
  readonly maxWatches: number
  readonly maxRevocations: number
}
export interface FeedSettings {
  readonly url: string | undefined
  readonly relayKeys: PinnedKeys | string | undefined
  readonly authorityKeys: PinnedKeys | undefined
}
export interface ForeignSettings {
  readonly issuer: string
  readonly jwksUri: string | undefined
  readonly audiences: readonly string[]
  readonly algorithms: readonly Algorithm[]
  readonly types: readonly string[]
  readonly maxTokenSeconds: number
}

/** The authority remembers revocations of foreign tokens for so long (docs/protocol/feed.md §9). Seconds. */
export const FOREIGN_TOKEN_MAX_SECONDS = 30 * 86_400

/** Checks the options. Throws a TypeError that names the one that is wrong. */
export function readOptions(options: ValidatorOptions): Settings {
  const allowInsecureHttp = options.allowInsecureHttp === true
  const url = (value: unknown, name: string): string => {
    if (typeof value !== 'string' || URL.parse(value) === null) throw new TypeError(`${name} must be a URL.`)
    if (isAllowedUrl(value, allowInsecureHttp)) return value
    throw new TypeError(`${name} must be https, or http on this machine; 'allowInsecureHttp: true' allows other http.`)
  }
  const issuer = url(options.issuer, 'issuer')
  const audiences = texts(options.audience, 'audience')
  const skewSeconds = options.clockSkewSeconds ?? 30
  if (!(skewSeconds >= 0 && skewSeconds <= 300)) throw new TypeError('clockSkewSeconds must be between 0 and 300.')
  if (options.feed?.nats !== undefined) checkNats(options.feed.nats)
  if (options.feedCredentials !== undefined) checkCredentials(options.feedCredentials)
  if (options.validatorId !== undefined && !/^[\x21-\x7e]{1,128}$/.test(options.validatorId)) {
    throw new TypeError('validatorId must be 1 to 128 printable characters without spaces.')
  }
  const publicUrl = options.publicUrl === undefined ? originOf(audiences) : stripSlash(httpUrl(options.publicUrl, 'publicUrl'))
  const foreign = (options.foreignIssuers ?? []).map((each, i) => readForeign(each, `foreignIssuers[${i}]`, audiences, url))
  const issuers = [issuer, ...foreign.map((each) => each.issuer)]
  if (new Set(issuers).size !== issuers.length) throw new TypeError('Each issuer may be named once.')
  return {
    issuer,
    audiences,
    skewMs: skewSeconds * 1000,
    defaultStalenessSeconds: options.defaultMaxStalenessSeconds ?? 30,
    publicUrl,
    resourceMetadata: resourceMetadataOf(options.resourceMetadata, publicUrl, audiences),
    foreign,
    feed: readFeed(options.feed ?? {}, url),
    allowInsecureHttp,
    cacheSize: count(options.cacheSize ?? 10_000, 'cacheSize'),
    maxWatches: count(options.maxWatches ?? 100_000, 'maxWatches'),
    maxRevocations: count(options.maxRevocations ?? 2 ** 24, 'maxRevocations'),
  }
}

function readForeign(
  foreign: ForeignIssuer,
  name: string,
  audiences: readonly string[],
  url: (value: unknown, name: string) => string,
): ForeignSettings {
  const algorithms = texts(foreign.algorithms, `${name}.algorithms`).map((each) => {
    const known = algorithm(each)
    if (known === undefined) throw new TypeError(`${name}.algorithms: '${each}' is not an algorithm that can be accepted.`)
    return known
  })
  if (!Array.isArray(foreign.types) || foreign.types.length === 0)
    throw new TypeError(`${name}.types must name at least one type.`)
  const maxTokenSeconds = foreign.maxTokenSeconds ?? FOREIGN_TOKEN_MAX_SECONDS
  if (!(maxTokenSeconds > 0 && maxTokenSeconds <= FOREIGN_TOKEN_MAX_SECONDS)) {
    throw new TypeError(`${name}.maxTokenSeconds must be at most ${FOREIGN_TOKEN_MAX_SECONDS}.`)
  }
  return {
    issuer: url(foreign.issuer, `${name}.issuer`),
    jwksUri: foreign.jwksUri === undefined ? undefined : url(foreign.jwksUri, `${name}.jwksUri`),
    audiences: foreign.audience === undefined ? audiences : texts(foreign.audience, `${name}.audience`),
    algorithms,
    types: foreign.types,
    maxTokenSeconds,
  }
}

function checkNats({ servers, credentials, ca, allowInsecureNats }: NatsFeedOptions): void {
  const problem = natsServersProblem(texts(servers, 'feed.nats.servers'), allowInsecureNats === true)
  if (problem !== undefined) {
    throw new TypeError(`feed.nats.servers ${problem}${/plain/.test(problem) ? "; 'allowInsecureNats: true' allows it" : ''}.`)
  }
  for (const [name, value] of Object.entries({ credentials, ca })) {
    const isRight =
      value === undefined ||
      (typeof value === 'string' && value !== '') ||
      (name === 'credentials' && typeof value === 'function')
    if (!isRight) throw new TypeError(`feed.nats.${name} must be a text.`)
  }
}

function readFeed(feed: FeedOptions, url: (value: unknown, name: string) => string): FeedSettings {
  const { relayKeys, authorityKeys } = feed
  if ((feed.url === undefined) !== (relayKeys === undefined)) throw new TypeError('feed.url and feed.relayKeys go together.')
  return {
    url: feed.url === undefined ? undefined : stripSlash(url(feed.url, 'feed.url')),
    relayKeys: typeof relayKeys === 'string' ? url(relayKeys, 'feed.relayKeys') : pins(relayKeys, 'feed.relayKeys'),
    authorityKeys: pins(authorityKeys, 'feed.authorityKeys'),
  }
}

function pins(jwks: PinnedKeys | undefined, name: string): PinnedKeys | undefined {
  if (jwks === undefined) return undefined
  const isUsable = new KeySet(SIGNET_ALGORITHMS, { version: 0 }).replace(jwks).taken
  if (!isUsable) throw new TypeError(`${name} must be a set of public keys, as { keys: [ … ] }.`)
  const { at = 0 } = jwks
  if (!Number.isSafeInteger(at) || at < 0) throw new TypeError(`${name}.at must be a time in epoch milliseconds.`)
  return jwks
}

function checkCredentials(credentials: FeedCredentials): void {
  if (typeof credentials.clientId !== 'string' || credentials.clientId === '')
    throw new TypeError('feedCredentials.clientId is missing.')
  if ('privateJwk' in credentials) assertionAlgorithm(credentials.privateJwk)
  else if (typeof credentials.clientSecret !== 'string' || credentials.clientSecret === '') {
    throw new TypeError('feedCredentials needs clientSecret or privateJwk.')
  }
}

function texts(value: unknown, name: string): readonly string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0 || !list.every((each) => typeof each === 'string' && each !== '')) {
    throw new TypeError(`${name} must be a text, or a list of them.`)
  }
  return list as string[]
}

function count(value: number, name: string): number {
  if (!Number.isInteger(value) || value < 1) throw new TypeError(`${name} must be a whole number above 0.`)
  return value
}

function httpUrl(value: string, name: string): string {
  const parsed = URL.parse(value)
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.search !== '' || parsed.hash !== '') {
    throw new TypeError(`${name} must be an http(s) URL without query.`)
  }
  return parsed.href
}
const stripSlash = (url: string): string => url.replace(/\/$/, '')

function originOf(audiences: readonly string[]): string | undefined {
  for (const audience of audiences) {
    const parsed = URL.parse(audience)
    if (parsed !== null && /^https?:$/.test(parsed.protocol)) return parsed.origin
  }
  return undefined
}

function resourceMetadataOf(
  option: boolean | string | undefined,
  publicUrl: string | undefined,
  audiences: readonly string[],
): string | undefined {
  if (option === undefined || option === false) return undefined
  if (typeof option === 'string') return httpUrl(option, 'resourceMetadata')
  if (publicUrl === undefined) throw new TypeError('resourceMetadata: true needs publicUrl, or an audience that is a URL.')
  return metadataUrl(audiences[0] as string, publicUrl)
}

/** RFC 9728 §3.1: the well-known path goes between the host and the path of the resource. */
export function metadataUrl(resource: string, publicUrl: string): string {
  const parsed = URL.parse(resource)
  const isUrl = parsed !== null && /^https?:$/.test(parsed.protocol)
  const path = isUrl ? parsed.pathname.replace(/\/$/, '') : ''
  return `${isUrl ? parsed.origin : new URL(publicUrl).origin}/.well-known/oauth-protected-resource${path}`
}
