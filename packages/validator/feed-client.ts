/**
 * Follows an authority's revocation feed (docs/protocol/feed.md): snapshot (`feed-snapshot.ts`), then stream (`feed-stream.ts`) or NATS,
 * and all the while probes that prove how fresh it is (`feed-probes.ts`). Whatever breaks is told and tried again; until it works again
 * the view goes on being what it was, only older. No wait is without an end, and whoever knows better ends it early: a head that names
 * another epoch, or heads that go on being answered while what we wait for brings nothing.
 */

import { type HeadPayload, RECORD_BYTES } from '@signet/kernel/feed.ts'
import type { BatchOutcome, Position, RevocationView } from '@signet/kernel/revocation-view.ts'
import { epochSeconds, type Surroundings } from '@signet/kernel/surroundings.ts'
import type { Discovery, FeedEndpoints } from './discovery.ts'
import type { FeedSource, TroubleKind, ValidatorEvents } from './events.ts'
import { Attempt, CONNECT_MS, FeedExchange, MissingFeedCredentials } from './feed-exchange.ts'
import { FeedMessageFault, type FeedTrust, readBatch, readSnapshot } from './feed-messages.ts'
import { NATS_PROBE_MS, NatsFeed } from './feed-nats.ts'
import { FeedProbes, PROBE_MOST_MS } from './feed-probes.ts'
import { fetchSnapshot } from './feed-snapshot.ts'
import { readStream, type StreamEnd } from './feed-stream.ts'
import type { FeedTap, KeptFeed } from './feed-tap.ts'
import type { FeedToken } from './feed-token.ts'
import type { FreshnessProof, Moment } from './freshness.ts'
import type { Transport } from './http.ts'
import type { NatsFeedOptions } from './options.ts'
import { Backoff, Pause } from './pace.ts'

export interface FeedParts {
  readonly discovery: Discovery
  readonly token: FeedToken | undefined
  readonly trust: FeedTrust
  /** By whom heads must be signed: the same, or a relay. */
  readonly headTrust: FeedTrust
  /** An epoch that was left is not gone back to: a relay may be stuck in it, or pretend to be. */
  readonly isRelayed: boolean
  readonly tap: FeedTap | undefined
  readonly transport: Transport
  readonly surroundings: Surroundings
  readonly view: RevocationView
  readonly freshness: FreshnessProof
  /** Reads the keys of tokens anew, as they are in this epoch. Rejects when that cannot be. */
  keysIn(epoch: string): Promise<void>
  /** Tolerance between the authority's clock and ours, milliseconds. */
  readonly skewMs: number
  /** The tightest staleness bound, which probes must keep up with, milliseconds. */
  readonly tightestMs: number
  readonly validatorId: string
  readonly maxEntries: number
  /** Where the feed comes by NATS too; undefined where it does not. */
  readonly nats: NatsFeedOptions | undefined
  onSource(event: ValidatorEvents['source']): void
  onRevoked(event: { entries: number; seq: number; delayMs: number | undefined }): void
  onTrouble(what: TroubleKind, cause: unknown): void
  /** Something was proven or applied. */
  onProgress(): void
}

const BACKOFF_MOST_MS = 10_000
/** While heads say that there is more, what brings nothing is given up after so long or half the tightest bound; doubles each time. */
const PATIENCE_LEAST_MS = 1000
const FORGET_MS = 1000
/** A sixteenth of the table each second: an entry is forgotten within 16 s, and no call takes long. */
const FORGET_SHARE = 1 / 16
/** Epochs are rare; so many that were left are remembered. */
const MAX_LEFT = 64

export interface FeedStats {
  readonly streams: number
  readonly resyncs: number
  readonly source: FeedSource
  readonly fallbacks: number
}

export class FeedClient {
  private readonly parts: FeedParts
  private readonly abort = new AbortController()
  private readonly exchange: FeedExchange
  private readonly probes: FeedProbes
  private readonly pause: Pause
  private readonly backoff: Backoff
  private readonly nats: NatsFeed | undefined
  /** Epoch named by the last answered probe: the only one whose snapshot may replace ours. */
  private presentEpoch: string | undefined
  private wantsSnapshot = false
  /** Epochs that were replaced by later ones, the latest last. */
  private readonly left = new Set<string>()
  /** What is waited for: a snapshot, or a stream from before it is opened. */
  private snapshotAttempt: Attempt | undefined
  private streamAttempt: Attempt<StreamEnd> | undefined
  private patienceMs: number
  private stopForgetting: (() => void) | undefined
  private streams = 0
  private resyncs = 0

  constructor(parts: FeedParts) {
    this.parts = parts
    const { surroundings, view, freshness, validatorId, tightestMs, tap } = parts
    const { signal } = this.abort
    this.exchange = new FeedExchange(parts, signal)
    this.pause = new Pause(surroundings.timers, signal)
    this.backoff = new Backoff(surroundings.chance, BACKOFF_MOST_MS)
    this.patienceMs = this.leastPatienceMs
    this.probes = new FeedProbes({
      exchange: this.exchange,
      trust: parts.headTrust,
      surroundings,
      view,
      freshness,
      validatorId,
      tightestMs,
      mostMs: Math.min(tap?.probeEveryMs ?? PROBE_MOST_MS, parts.nats === undefined ? PROBE_MOST_MS : NATS_PROBE_MS),
      signal,
      onHead: (head, sent, feed) => this.heardHead(head, sent, feed),
      onRecovery: () => this.retryNow(),
      onTrouble: (cause) => this.trouble('feed_head', cause),
      onProgress: () => parts.onProgress(),
    })
    this.nats = parts.nats === undefined ? undefined : this.createNats(parts.nats)
  }

  start(): void {
    void this.probes.run()
    void this.followForEver()
    void this.nats?.start()
    this.forgetLater()
  }

  close(): void {
    this.abort.abort()
    this.nats?.close()
    this.stopForgetting?.()
  }

  stats(): FeedStats {
    const { streams, resyncs, nats } = this
    return { streams, resyncs, source: nats?.leads === true ? 'nats' : 'sse', fallbacks: nats?.fallbacks ?? 0 }
  }

  // ── Following ──────────────────────────────────────────────────────────────────────────────────────────────────

  private async followForEver(): Promise<void> {
    const { view } = this.parts
    while (!this.abort.signal.aborted) {
      let what: TroubleKind = 'feed_snapshot'
      try {
        if (view.position === undefined || this.wantsSnapshot) await this.takeSnapshot()
        what = 'feed_stream'
        const end = this.nats?.leads === true ? await this.nats.untilItFails() : await this.stream()
        if (end === 'reset' || end === 'other_epoch') {
          this.presentEpoch = undefined // Somebody says so; a probe of our own must.
          this.resync(end)
        }
        // What we refuse now, a corrected clock or a forgotten entry may let us take later.
        if (end === 'poisoned' || end === 'full') throw new Error(`the feed sent a batch that was refused: ${end}`)
      } catch (cause) {
        this.trouble(what, cause)
      }
      await this.pause.wait(this.backoff.nextMs())
    }
  }

  private async stream(): Promise<StreamEnd> {
    const feed = await this.exchange.endpoints()
    const { position } = this.parts.view
    if (position === undefined) return 'reset'
    const attempt = new Attempt<StreamEnd>(this.parts.surroundings.clock)
    this.streamAttempt = attempt
    // While we waited.
    if (this.nats?.leads === true) attempt.end('handed_over')
    const parts = {
      exchange: this.exchange,
      surroundings: this.parts.surroundings,
      onOpen: () => {
        this.streams++
      },
      onSteady: () => this.backoff.reset(),
      take: async (jws: string) => (await this.takeBatch(jws, feed.guardMs)).outcome,
    }
    try {
      return await readStream(parts, feed, position, attempt)
    } finally {
      this.streamAttempt = undefined
    }
  }

  async takeSnapshot(): Promise<void> {
    if (this.parts.view.position !== undefined && this.presentEpoch === undefined) await this.probes.probe()
    const feed = await this.exchange.endpoints()
    const { surroundings, maxEntries } = this.parts
    const attempt = new Attempt(surroundings.clock)
    this.snapshotAttempt = attempt
    try {
      const frame = await fetchSnapshot({ exchange: this.exchange, surroundings, maxEntries }, feed, attempt)
      await this.takeFrame(frame, feed.guardMs)
    } finally {
      // A relay may take one beside us.
      if (this.snapshotAttempt === attempt) this.snapshotAttempt = undefined
    }
    // A node that lags may serve one of the epoch before: then what we want is still to come.
    this.wantsSnapshot = this.presentEpoch !== undefined && this.parts.view.position?.epoch !== this.presentEpoch
  }

  /** Forget where we are in the log, but not what we know, until a snapshot says more. Ends a stream, and one that is not open yet. */
  private resync(why: StreamEnd): void {
    if (!this.wantsSnapshot) {
      this.resyncs++
      this.retryNow()
    }
    this.wantsSnapshot = true
    this.nats?.fall('resync')
    this.streamAttempt?.end(why)
    this.probes.hurry()
  }

  /** There is news: the next attempt need not wait out its pause. */
  private retryNow(): void {
    this.backoff.reset()
    this.pause.wake()
  }

  private heardHead(head: HeadPayload, sent: Moment, feed: FeedEndpoints): void {
    const { view, freshness, tap } = this.parts
    if (this.left.has(head.epoch)) throw new FeedMessageFault('left_epoch')
    tap?.answered({ hops: head.hops ?? 0, guardMs: feed.guardMs })
    this.presentEpoch = head.epoch
    freshness.answered({ sent, epoch: head.epoch, seq: head.seq, ageMs: head.age_ms }, view.position)
    if (view.position !== undefined && view.position.epoch !== head.epoch) this.resync('other_epoch')
    const lagMs = freshness.lagMs(head.epoch)
    if (lagMs > 0) this.nats?.expectMore(() => freshness.lagMs(head.epoch) > 0)
    this.losePatience(lagMs)
  }

  /**
   * The authority answers and has more, and what we wait for brings nothing: whatever sits between is stuck. Each time that leads to
   * nothing we wait longer for the next, since it may only be slow.
   */
  private losePatience(lagMs: number): void {
    const attempt = this.snapshotAttempt ?? this.streamAttempt
    if (attempt === undefined || lagMs <= this.patienceMs || attempt.idleMs() <= this.patienceMs) return
    this.patienceMs = Math.min(CONNECT_MS, this.patienceMs * 2)
    attempt.end('lagging')
  }

  private get leastPatienceMs(): number {
    return Math.max(PATIENCE_LEAST_MS, Math.min(CONNECT_MS, this.parts.tightestMs / 2))
  }

  // ── Taking in ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Goes through what a relay kept, as if it had come just now. */
  async restore(kept: Pick<KeptFeed, 'snapshot' | 'batches'>, guardMs: number): Promise<void> {
    await this.takeFrame(kept.snapshot, guardMs)
    for (const jws of kept.batches) {
      const { outcome } = await this.takeBatch(jws, guardMs)
      if (outcome !== 'applied' && outcome !== 'duplicate') throw new Error(`a batch that was kept was refused: ${outcome}`)
    }
  }

  private async takeFrame(frame: Uint8Array, guardMs: number): Promise<void> {
    const { view, trust, surroundings, skewMs, tap } = this.parts
    const snapshot = await readSnapshot(frame, trust)
    const before = view.position?.epoch
    const isOther = before !== undefined && snapshot.epoch !== before
    // Whoever kept an old snapshot could bring back what it did not contain yet: only a probe of our own says which epoch is now.
    if (isOther && snapshot.epoch !== this.presentEpoch) throw new Error('the snapshot is of an epoch that no probe has named')
    // A store that went back in time has other keys than we know, and nothing in the new log names those it does not know.
    if (isOther) await this.parts.keysIn(snapshot.epoch)
    const outcome = view.replace(snapshot, { nowMs: surroundings.clock.now(), guardMs: guardMs + skewMs })
    if (outcome === 'poisoned' || outcome === 'full') throw new Error(`the feed sent a snapshot that was refused: ${outcome}`)
    if (before !== undefined && before !== snapshot.epoch) this.leave(before)
    tap?.took({ kind: 'snapshot', frame, epoch: snapshot.epoch, seq: snapshot.seq })
    this.applied({ entries: snapshot.records.length / RECORD_BYTES, delayMs: undefined })
  }

  /** Whoever brought it. */
  private async takeBatch(jws: string, guardMs: number): Promise<{ outcome: BatchOutcome; end: Position }> {
    const { view, trust, surroundings, skewMs, tap } = this.parts
    const { batch, atMs } = await readBatch(jws, trust)
    const { epoch, from, to } = batch
    const nowMs = surroundings.clock.now()
    const outcome = view.applyBatch(batch, { nowMs, guardMs: guardMs + skewMs })
    if (outcome === 'applied') {
      tap?.took({ kind: 'batch', jws, epoch, from, to })
      this.applied({ entries: batch.entries.length, delayMs: atMs === undefined ? undefined : Math.max(0, nowMs - atMs) })
    }
    return { outcome, end: { epoch, seq: to } }
  }

  private leave(epoch: string): void {
    if (!this.parts.isRelayed) return
    this.left.add(epoch)
    if (this.left.size > MAX_LEFT) this.left.delete(this.left.values().next().value as string)
  }

  private applied(what: { entries: number; delayMs: number | undefined }): void {
    const { view, freshness, onRevoked, onProgress } = this.parts
    this.streamAttempt?.progressed()
    this.patienceMs = this.leastPatienceMs
    this.backoff.reset()
    freshness.applied(view.position)
    this.nats?.consider()
    if (what.entries > 0) onRevoked({ ...what, seq: view.position?.seq ?? 0 })
    if (what.entries > 0) this.probes.reportSoon()
    onProgress()
  }

  // ── NATS ───────────────────────────────────────────────────────────────────────────────────────────────────────

  private createNats(options: NatsFeedOptions): NatsFeed {
    const { trust, surroundings, view, onSource, onTrouble } = this.parts
    return new NatsFeed({
      options,
      issuer: trust.issuer,
      surroundings,
      view,
      take: async (jws) => this.takeBatch(jws, (await this.exchange.endpoints()).guardMs),
      onTrouble: (cause) => onTrouble('feed_nats', cause),
      onLead: (leads, why) => {
        if (leads) {
          this.streamAttempt?.end('handed_over')
          return onSource({ from: 'sse', to: 'nats' })
        }
        this.backoff.reset()
        onSource({ from: 'nats', to: 'sse', ...(why === undefined ? {} : { why }) })
      },
    })
  }

  private forgetLater(): void {
    const { clock, timers } = this.parts.surroundings
    if (this.abort.signal.aborted) return
    const timer = timers.after(FORGET_MS, () => {
      this.parts.view.forget(epochSeconds(clock.now() - this.parts.skewMs), FORGET_SHARE)
      this.forgetLater()
    })
    this.stopForgetting = () => timer.cancel()
  }

  private trouble(what: TroubleKind, cause: unknown): void {
    if (this.abort.signal.aborted) return
    this.parts.onTrouble(cause instanceof MissingFeedCredentials ? 'feed_credentials' : what, cause)
  }
}
