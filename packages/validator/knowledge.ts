/**
 * What a validator knows and how it comes to know it: the keys of its issuers and the registry of what was taken back. From the
 * network and the disk, or from the process it lives in.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { revocationKey, type Salt } from '@signet/kernel/revocation.ts'
import { createRevocationView, type RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Timer } from '@signet/kernel/surroundings.ts'
import { createRelayDiscovery, type Discovery } from './discovery.ts'
import { readCacheFile, writeCacheFile } from './disk-cache.ts'
import { FeedClient, type FeedStats } from './feed-client.ts'
import type { FeedTrust } from './feed-messages.ts'
import type { FeedTap } from './feed-tap.ts'
import { createFeedToken } from './feed-token.ts'
import { FreshnessProof } from './freshness.ts'
import { Issuers, type KnowledgeParts } from './issuers.ts'
import { type Algorithm, algorithm, SIGNET_ALGORITHMS, type VerifyingKey, verifyingKey } from './jwk.ts'
import type { Jwks } from './jwks.ts'
import { KeySet, type KeysVersion } from './key-set.ts'
import type { KnowledgeSource } from './options.ts'
import { createSignedKeys, pinsDigest, type SignedKeys } from './signed-keys.ts'
import { sha256 } from './surroundings.ts'
import type { TrustedIssuer } from './token.ts'

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

export function createKnowledge(parts: KnowledgeParts): Knowledge {
  const { source } = parts.options
  return source === undefined ? new NetworkKnowledge(parts) : new SourceKnowledge(parts, source)
}

/** Between two fetches of the feed's keys for one that is not known (docs/protocol/feed.md §3). */
const FEED_KEYS_SEEK_MS = 10_000
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
  private readonly feedKeys = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
  private readonly feedJwks: Jwks
  private readonly relayJwks: Jwks | undefined
  private digested: { readonly salt: Salt; readonly kids: readonly string[]; readonly digests: readonly Uint8Array[] } | undefined
  private readonly fallen = new Set<string>()
  private saveTimer: Timer | undefined
  private saving: Promise<void> = Promise.resolve()
  private readonly restored: Promise<void>
  private readonly signedKeys: SignedKeys | undefined

  constructor(parts: KnowledgeParts) {
    super(parts)
    const { options, settings, surroundings } = parts
    const { feedKeys } = this
    const discovery = this.discoveryOf(settings.issuer)
    const relayed = this.feedDiscovery(discovery)
    this.view = createRevocationView({ maxEntries: settings.maxRevocations })
    this.keys = this.shared
    this.freshness = new FreshnessProof(surroundings.clock)
    const uris = keyUris(discovery, relayed)
    const { authorityKeys, relayKeys } = settings.feed
    if (authorityKeys === undefined) {
      this.own = this.addSet(settings.issuer, SIGNET_ALGORITHMS, uris.token)
      this.feedJwks = this.jwksOf(feedKeys, uris.feed, () => {}, { seekEveryMs: FEED_KEYS_SEEK_MS })
    } else {
      const onKeys = (jws: string): void => options.feedTap?.took({ kind: 'keys', jws })
      const { clock } = surroundings
      this.signedKeys = createSignedKeys({ issuer: settings.issuer, pins: authorityKeys, feedKeys, clock, onKeys })
      const read = (purpose: 'token' | 'feed') => (bytes: Uint8Array) => (this.signedKeys as SignedKeys).read(purpose, bytes)
      this.own = this.addSet(settings.issuer, SIGNET_ALGORITHMS, uris.signed, read('token'))
      const how = { seekEveryMs: FEED_KEYS_SEEK_MS, read: read('feed') }
      this.feedJwks = this.jwksOf(feedKeys, uris.signed, () => {}, how)
    }
    this.addSignet(this.own)
    const trust: FeedTrust = {
      issuer: settings.issuer,
      keys: feedKeys,
      seek: (kid, alg) => this.feedJwks.seek(kid, alg),
    }
    const headKeys = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
    if (typeof relayKeys === 'string') {
      const how = { seekEveryMs: FEED_KEYS_SEEK_MS }
      this.relayJwks = this.jwksOf(
        headKeys,
        () => Promise.resolve(relayKeys),
        () => {},
        how,
      )
    } else if (relayKeys !== undefined) headKeys.replace(relayKeys)
    const seekHead = async (kid: string | undefined, alg: Algorithm) => this.relayJwks?.seek(kid, alg)
    const { feedCredentials: credentials } = options
    const tokenEndpoint = async (): Promise<string> => {
      const { tokenEndpoint: url } = await discovery.metadata()
      if (url === undefined) throw new Error('the issuer names no token_endpoint')
      return url
    }
    const { transport } = this
    const { signal } = this.abort
    this.feed = new FeedClient({
      discovery: relayed,
      token:
        credentials === undefined
          ? undefined
          : createFeedToken({ issuer: settings.issuer, credentials, tokenEndpoint, transport, surroundings, signal }),
      trust,
      headTrust: relayKeys === undefined ? trust : { issuer: settings.issuer, keys: headKeys, seek: seekHead },
      isRelayed: settings.feed.url !== undefined,
      tap: options.feedTap,
      transport,
      surroundings,
      view: this.view,
      freshness: this.freshness,
      keysIn: (epoch) => this.keysIn(epoch),
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
    options.feedTap?.attach({
      takeSnapshot: () => this.feed.takeSnapshot(),
      feedKeys: () => this.signedKeys?.trusted() ?? { jwks: feedKeys.jwks, atMs: 0 },
      stalenessMs: () => this.freshness.stalenessMs(),
      freshAtMs: () => this.freshness.freshAtMs(),
    })
    this.restored = this.restoreAll()
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
    void this.relayJwks?.start()
    await Promise.all([...this.sets.values()].map(({ jwks }) => jwks.start()))
    this.onProgress()
  }

  async close(): Promise<void> {
    if (this.abort.signal.aborted) return
    this.abort.abort()
    this.feed.close()
    this.feedJwks.close()
    this.relayJwks?.close()
    for (const { jwks } of this.sets.values()) jwks.close()
    this.saveTimer?.cancel()
    await this.restored
    await this.saving
    if (this.parts.options.cacheFile !== undefined) await this.save(this.parts.options.cacheFile)
  }

  private async keysIn(epoch: string): Promise<void> {
    const jwks = this.sets.get(this.parts.settings.issuer)?.jwks
    if ((await jwks?.anew()) !== true) throw new Error('the keys could not be read anew, and another epoch may have others')
    // Whoever answered may not know of the epoch yet. An older authority does not say.
    if (jwks?.epoch !== undefined && jwks.epoch !== epoch) throw new Error('the keys are still those of another epoch')
  }

  /** A signing key of ours was taken back, so another one signs already: its tokens must not have to wait. */
  private hurryWhenKeyFalls(): void {
    const { view, own, fallen } = this
    const { kids } = own
    if (view.salt === undefined) return
    const digests = this.digestsOf(kids, view.salt)
    for (const [n, kid] of kids.entries()) {
      if (fallen.has(kid) || !view.has(digests[n] as Uint8Array)) continue
      fallen.add(kid)
      this.sets.get(this.parts.settings.issuer)?.jwks.hurry()
    }
    for (const kid of fallen) if (!kids.includes(kid)) fallen.delete(kid)
  }

  /** What the log knows these keys by. They are asked about with every batch, and change once a month. */
  private digestsOf(kids: readonly string[], salt: Salt): readonly Uint8Array[] {
    if (this.digested?.salt !== salt || this.digested.kids !== kids) {
      const digests = kids.map((kid) => revocationKey(sha256, salt, 'key', this.parts.settings.issuer, kid))
      this.digested = { salt, kids, digests }
    }
    return this.digested.digests
  }

  /** Where the feed is: at the issuer, or at a relay. */
  private feedDiscovery(atIssuer: Discovery): Discovery {
    const { settings, surroundings } = this.parts
    const { url } = settings.feed
    if (url === undefined) return atIssuer
    const { issuer, allowInsecureHttp } = settings
    const { transport } = this
    return createRelayDiscovery({ issuer, relay: url, transport, surroundings, allowInsecureHttp, signal: this.abort.signal })
  }

  private async restoreAll(): Promise<void> {
    const { cacheFile, feedTap } = this.parts.options
    if (cacheFile !== undefined) await this.restore(cacheFile)
    if (feedTap !== undefined) await this.restoreTapped(feedTap)
  }

  /** What a relay kept is verified anew: it is as it came from the authority. */
  private async restoreTapped(tap: FeedTap): Promise<void> {
    try {
      const kept = await tap.kept()
      if (kept === undefined) return
      this.signedKeys?.restore(kept.feedKeys)
      if (kept.keys !== undefined) this.own.replace(await this.signedKeys?.read('token', Buffer.from(kept.keys)))
      await this.feed.restore(kept, KEPT_GUARD_MS)
      const { position } = this.view
      if (position !== undefined && kept.freshAtMs !== undefined) this.freshness.restore(position.epoch, kept.freshAtMs)
    } catch (cause) {
      this.parts.trouble('cache_file', cause)
    }
  }

  private async restore(path: string): Promise<void> {
    const { settings, surroundings } = this.parts
    try {
      const kept = await readCacheFile(path, settings.issuer)
      if (kept === undefined) return
      const { registry, feed } = kept
      // What was vouched for by other keys than those that are pinned now is not taken: they may have been replaced as stolen.
      const isOurs = feed?.pins === this.pins()
      for (const [issuer, jwks] of Object.entries(kept.jwks))
        if (isOurs || issuer !== settings.issuer) this.sets.get(issuer)?.keys.replace({ keys: jwks })
      if (isOurs && feed !== undefined) this.signedKeys?.restore(feed)
      if (!isOurs || registry === undefined) return
      const limit = { nowMs: surroundings.clock.now(), guardMs: KEPT_GUARD_MS + settings.skewMs }
      const snapshot = { ...registry.position, salt: registry.salt, records: registry.records }
      const outcome = this.view.replace(snapshot, limit)
      if (outcome !== 'replaced') throw new Error(`its registry was refused: ${outcome}`)
      if (registry.freshAtMs !== undefined) this.freshness.restore(registry.position.epoch, registry.freshAtMs)
    } catch (cause) {
      this.parts.trouble('cache_file', cause)
    }
  }

  private pins(): string | undefined {
    const { authorityKeys } = this.parts.settings.feed
    return authorityKeys === undefined ? undefined : pinsDigest(authorityKeys)
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
    const { view, signedKeys } = this
    try {
      const { issuer } = this.parts.settings
      const pins = this.pins()
      const feed = pins === undefined || signedKeys === undefined ? undefined : { pins, ...signedKeys.trusted() }
      await writeCacheFile(path, { issuer, jwks, view, freshAtMs: this.freshness.freshAtMs(), feed })
    } catch (cause) {
      this.parts.trouble('cache_file', cause)
    }
  }
}

/** Where keys are: with the issuer, or as a signed document with whoever serves the feed. */
function keyUris(issuer: Discovery, feedPlace: Discovery) {
  const feedOf = async (discovery: Discovery) => {
    const { feed } = await discovery.metadata()
    if (feed === undefined) throw new Error('the issuer has no revocation feed: it is not Signet')
    return feed
  }
  return {
    token: async (): Promise<string> => (await issuer.metadata()).jwksUri,
    feed: async (): Promise<string> => (await feedOf(issuer)).jwksUri,
    async signed(): Promise<string> {
      const { keys } = await feedOf(feedPlace)
      if (keys === undefined) throw new Error('its metadata names no signed key set')
      return keys
    },
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
