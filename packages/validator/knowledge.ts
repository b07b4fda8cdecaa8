/**
 * What a validator knows and how it comes to know it: the keys of its issuers and the registry of what was taken back. From the
 * network and the disk, or from the process it lives in.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { createRevocationView, type RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Surroundings, Timer } from '@signet/kernel/surroundings.ts'
import { createKeyer, isRevoked } from '@signet/kernel/token-keys.ts'
import { createDiscovery, type Discovery } from './discovery.ts'
import { readCacheFile, writeCacheFile } from './disk-cache.ts'
import type { Events, TroubleKind, ValidatorEvents } from './events.ts'
import { FeedClient, type FeedStats } from './feed-client.ts'
import { createFeedToken } from './feed-token.ts'
import { FreshnessProof } from './freshness.ts'
import { fetchTransport, nodeTransport, type Transport } from './http.ts'
import { type Algorithm, algorithm, SIGNET_ALGORITHMS, type VerifyingKey, verifyingKey } from './jwk.ts'
import { Jwks } from './jwks.ts'
import { mediaType } from './jws.ts'
import { KeySet, type KeysVersion } from './key-set.ts'
import type { ForeignSettings, KnowledgeSource, Settings, ValidatorOptions } from './options.ts'
import { sha256, sha256Text } from './surroundings.ts'
import { type KeyFinder, SIGNET_TYPES, type TrustedIssuer } from './token.ts'

export interface Knowledge {
  readonly view: RevocationView
  /** Moves whenever a key may have changed. */
  readonly keys: { readonly version: number }
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  stalenessMs(): number
  /** Whether there is a key to verify Signet's tokens with. */
  hasKeys(): boolean
  /** Looks for a key that is not known. */
  seek(issuer: string, kid: string | undefined, alg: Algorithm): Promise<'found' | 'absent' | 'unsure'>
  /** Calls back whenever more is known than before. */
  onProgress: () => void
  start(): Promise<void>
  close(): Promise<void>
  feedStats(): FeedStats
}

export interface KnowledgeParts {
  readonly options: ValidatorOptions
  readonly settings: Settings
  readonly surroundings: Surroundings
  readonly events: Events<ValidatorEvents>
  /** The tightest staleness bound, milliseconds. */
  readonly tightestMs: number
  trouble(what: TroubleKind, cause: unknown): void
}

export function createKnowledge(parts: KnowledgeParts): Knowledge {
  const { source } = parts.options
  return source === undefined ? new NetworkKnowledge(parts) : new SourceKnowledge(parts, source)
}

/** What network and process have in common: foreign issuers, whose keys always come over the network. */
abstract class Issuers {
  protected readonly parts: KnowledgeParts
  protected readonly abort = new AbortController()
  protected readonly transport: Transport
  protected readonly shared: KeysVersion = { version: 0 }
  protected readonly sets = new Map<string, { readonly keys: KeySet; readonly jwks: Jwks }>()
  readonly issuers = new Map<string, TrustedIssuer>()
  onProgress: () => void = () => {}

  constructor(parts: KnowledgeParts) {
    this.parts = parts
    this.transport = parts.options.fetch === undefined ? nodeTransport() : fetchTransport(parts.options.fetch)
    for (const foreign of parts.settings.foreign) this.addForeign(foreign)
  }

  async seek(issuer: string, kid: string | undefined, alg: Algorithm): Promise<'found' | 'absent' | 'unsure'> {
    return this.sets.get(issuer)?.jwks.seek(kid, alg) ?? 'absent'
  }

  protected addSignet(keys: KeyFinder): void {
    const { settings } = this.parts
    this.issuers.set(settings.issuer, {
      issuer: settings.issuer,
      audiences: settings.audiences,
      algorithms: new Set(SIGNET_ALGORITHMS),
      types: SIGNET_TYPES,
      keys,
      isSignet: true,
      maxLifeSeconds: Number.POSITIVE_INFINITY,
    })
  }

  private addForeign(foreign: ForeignSettings): void {
    const discovery = this.discoveryOf(foreign.issuer)
    const { jwksUri } = foreign
    const uri = jwksUri === undefined ? async () => (await discovery.metadata()).jwksUri : () => Promise.resolve(jwksUri)
    const keys = this.addSet(foreign.issuer, foreign.algorithms, uri)
    this.issuers.set(foreign.issuer, {
      issuer: foreign.issuer,
      audiences: foreign.audiences,
      algorithms: new Set(foreign.algorithms),
      types: new Set(foreign.types.map(mediaType)),
      keys,
      isSignet: false,
      maxLifeSeconds: foreign.maxTokenSeconds,
    })
  }

  protected discoveryOf(issuer: string): Discovery {
    return createDiscovery({
      issuer,
      transport: this.transport,
      surroundings: this.parts.surroundings,
      allowInsecureHttp: this.parts.settings.allowInsecureHttp,
      signal: this.abort.signal,
    })
  }

  protected addSet(issuer: string, algorithms: readonly Algorithm[], uri: () => Promise<string>): KeySet {
    const keys = new KeySet(algorithms, this.shared)
    const jwks = this.jwksOf(keys, uri, () => {
      this.parts.events.emit('keys', { issuer, kids: keys.kids })
      this.onProgress()
    })
    this.sets.set(issuer, { keys, jwks })
    return keys
  }

  protected jwksOf(keys: KeySet, uri: () => Promise<string>, onChange: () => void, cooldownMs?: number): Jwks {
    return new Jwks({
      keys,
      uri,
      transport: this.transport,
      surroundings: this.parts.surroundings,
      signal: this.abort.signal,
      onChange,
      onTrouble: (cause) => this.parts.trouble('keys', cause),
      ...(cooldownMs === undefined ? {} : { cooldownMs }),
    })
  }
}

/** Between two fetches of the feed's keys for one that is not known (docs/protocol/feed.md §3). */
const FEED_KEYS_COOLDOWN_MS = 10_000
const SAVE_LEAST_MS = 10_000
/** A large registry is written less often: so many entries a second. */
const SAVED_PER_SECOND = 30_000
/** What is read back from disk was taken in under a guard before; the largest that may be configured. */
const KEPT_GUARD_MS = 60_000

class NetworkKnowledge extends Issuers implements Knowledge {
  readonly view: RevocationView
  readonly keys: KeysVersion
  private readonly own: KeySet
  private readonly freshness: FreshnessProof
  private readonly feed: FeedClient
  private readonly feedJwks: Jwks
  private readonly keyer = createKeyer(sha256, sha256Text)
  private readonly fallen = new Set<string>()
  private saveTimer: Timer | undefined
  private saving: Promise<void> = Promise.resolve()
  private readonly restored: Promise<void>

  constructor(parts: KnowledgeParts) {
    super(parts)
    const { options, settings, surroundings } = parts
    const discovery = this.discoveryOf(settings.issuer)
    this.view = createRevocationView({ maxEntries: settings.maxRevocations })
    this.keys = this.shared
    this.freshness = new FreshnessProof(surroundings.clock)
    this.own = this.addSet(settings.issuer, SIGNET_ALGORITHMS, async () => (await discovery.metadata()).jwksUri)
    this.addSignet(this.own)

    const feedKeys = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
    const feedUri = async (): Promise<string> => {
      const { feed } = await discovery.metadata()
      if (feed === undefined) throw new Error('the issuer has no revocation feed: it is not Signet')
      return feed.jwksUri
    }
    this.feedJwks = this.jwksOf(feedKeys, feedUri, () => {}, FEED_KEYS_COOLDOWN_MS)
    const { feedCredentials: credentials } = options
    const tokenEndpoint = async (): Promise<string> => {
      const { tokenEndpoint: url } = await discovery.metadata()
      if (url === undefined) throw new Error('the issuer names no token_endpoint')
      return url
    }
    const { transport } = this
    const { signal } = this.abort
    this.feed = new FeedClient({
      discovery,
      token:
        credentials === undefined
          ? undefined
          : createFeedToken({ issuer: settings.issuer, credentials, tokenEndpoint, transport, surroundings, signal }),
      trust: { issuer: settings.issuer, keys: feedKeys, seek: (kid, alg) => this.feedJwks.seek(kid, alg) },
      transport,
      surroundings,
      view: this.view,
      freshness: this.freshness,
      skewMs: settings.skewMs,
      tightestMs: parts.tightestMs,
      validatorId: options.validatorId ?? toBase64Url(surroundings.chance.bytes(12)),
      maxEntries: settings.maxRevocations,
      nats: options.feed?.nats,
      onSource: (event) => parts.events.emit('source', event),
      onRevoked: (event) => parts.events.emit('revoked', event),
      onTrouble: parts.trouble,
      onProgress: () => this.onProgress(),
    })
    this.view.subscribe(() => this.hurryWhenKeyFalls())
    this.restored = options.cacheFile === undefined ? Promise.resolve() : this.restore(options.cacheFile)
  }

  stalenessMs(): number {
    return this.freshness.stalenessMs()
  }
  hasKeys(): boolean {
    return this.own.size > 0
  }
  feedStats(): FeedStats {
    return this.feed.stats()
  }

  override async seek(issuer: string, kid: string | undefined, alg: Algorithm): Promise<'found' | 'absent' | 'unsure'> {
    await this.restored
    if (this.issuers.get(issuer)?.keys.find(kid, alg) !== undefined) return 'found'
    return super.seek(issuer, kid, alg)
  }

  async start(): Promise<void> {
    await this.restored
    if (this.abort.signal.aborted) return
    this.onProgress()
    this.feed.start()
    const { cacheFile } = this.parts.options
    if (cacheFile !== undefined) this.saveLater(cacheFile)
    void this.feedJwks.start()
    await Promise.all([...this.sets.values()].map(({ jwks }) => jwks.start()))
    this.onProgress()
  }

  async close(): Promise<void> {
    if (this.abort.signal.aborted) return
    this.abort.abort()
    this.feed.close()
    this.feedJwks.close()
    for (const { jwks } of this.sets.values()) jwks.close()
    this.saveTimer?.cancel()
    await this.restored
    await this.saving
    if (this.parts.options.cacheFile !== undefined) await this.save(this.parts.options.cacheFile)
  }

  /** A signing key of ours was taken back, so another one signs already: its tokens must not have to wait. */
  private hurryWhenKeyFalls(): void {
    const { view, own, fallen, keyer } = this
    for (const kid of own.kids) {
      if (fallen.has(kid)) continue
      if (isRevoked(view, keyer, { issuer: this.parts.settings.issuer, key: kid }, Number.POSITIVE_INFINITY) !== 'key') continue
      fallen.add(kid)
      this.sets.get(this.parts.settings.issuer)?.jwks.hurry()
    }
    for (const kid of fallen) if (!own.kids.includes(kid)) fallen.delete(kid)
  }

  private async restore(path: string): Promise<void> {
    const { settings, surroundings } = this.parts
    try {
      const kept = await readCacheFile(path, settings.issuer)
      if (kept === undefined) return
      for (const [issuer, jwks] of Object.entries(kept.jwks)) this.sets.get(issuer)?.keys.replace({ keys: jwks })
      const { registry } = kept
      if (registry === undefined) return
      const limit = { nowMs: surroundings.clock.now(), guardMs: KEPT_GUARD_MS + settings.skewMs }
      const snapshot = { ...registry.position, salt: registry.salt, records: registry.records }
      const outcome = this.view.replace(snapshot, limit)
      if (outcome !== 'replaced') throw new Error(`its registry was refused: ${outcome}`)
      if (registry.freshAtMs !== undefined) this.freshness.restore(registry.position.epoch, registry.freshAtMs)
    } catch (cause) {
      this.parts.trouble('cache_file', cause)
    }
  }

  private saveLater(path: string): void {
    const waitMs = Math.max(SAVE_LEAST_MS, (this.view.size / SAVED_PER_SECOND) * 1000)
    this.saveTimer = this.parts.surroundings.timers.after(waitMs, () => {
      this.saving = this.save(path).then(() => {
        if (!this.abort.signal.aborted) this.saveLater(path)
      })
    })
  }

  private async save(path: string): Promise<void> {
    const jwks = Object.fromEntries([...this.sets].map(([issuer, { keys }]) => [issuer, keys.jwks]))
    const { view } = this
    try {
      await writeCacheFile(path, { issuer: this.parts.settings.issuer, jwks, view, freshAtMs: this.freshness.freshAtMs() })
    } catch (cause) {
      this.parts.trouble('cache_file', cause)
    }
  }
}

/** Keys and registry of the process itself. */
class SourceKnowledge extends Issuers implements Knowledge {
  readonly view: RevocationView
  readonly keys: { readonly version: number }
  private readonly source: KnowledgeSource
  private readonly known = new WeakMap<object, VerifyingKey>()

  constructor(parts: KnowledgeParts, source: KnowledgeSource) {
    super(parts)
    this.source = source
    this.view = source.view
    const { shared } = this
    this.keys = {
      get version() {
        return shared.version + (source.keys.version ?? 0)
      },
    }
    this.addSignet({ find: (kid, alg) => this.find(kid, alg) })
  }

  stalenessMs(): number {
    return this.source.stalenessMs()
  }
  hasKeys(): boolean {
    return true
  }
  feedStats(): FeedStats {
    return { streams: 0, resyncs: 0, source: 'process', fallbacks: 0 }
  }
  async start(): Promise<void> {
    await Promise.all([...this.sets.values()].map(({ jwks }) => jwks.start()))
    this.onProgress()
  }
  async close(): Promise<void> {
    this.abort.abort()
    for (const { jwks } of this.sets.values()) jwks.close()
  }

  private find(kid: string | undefined, alg: Algorithm): VerifyingKey | undefined {
    const found = kid === undefined ? undefined : this.source.keys.find(kid)
    if (found === undefined || algorithm(found.alg) !== alg) return undefined
    let key = this.known.get(found.key)
    if (key === undefined) {
      key = verifyingKey(found.key, alg)
      if (key !== undefined) this.known.set(found.key, key)
    }
    return key
  }
}
