/**
 * Follows an authority's revocation feed (docs/protocol/feed.md): snapshot, then stream, and all the while probes that prove how
 * fresh it is. Whatever breaks is told and tried again; until it works again the view goes on being what it was, only older.
 */

import { toBase64Url } from '@signet/kernel/bytes.ts'
import { RECORD_BYTES, SNAPSHOT_MEDIA_TYPE } from '@signet/kernel/feed.ts'
import type { BatchOutcome, Position, RevocationView } from '@signet/kernel/revocation-view.ts'
import { epochSeconds, type Surroundings } from '@signet/kernel/surroundings.ts'
import type { Discovery, FeedEndpoints } from './discovery.ts'
import type { FeedSource, TroubleKind, ValidatorEvents } from './events.ts'
import { FeedMessageFault, type FeedTrust, MAX_BATCH_CHARS, readBatch, readHead, readSnapshot } from './feed-messages.ts'
import { NATS_PROBE_MS, NatsFeed } from './feed-nats.ts'
import type { FeedTap, KeptFeed } from './feed-tap.ts'
import type { FeedToken } from './feed-token.ts'
import type { FreshnessProof } from './freshness.ts'
import { fetchWhole, type HttpResponse, HttpTrouble, type Transport } from './http.ts'
import type { NatsFeedOptions } from './options.ts'
import { Backoff, Pause, silenceWatch } from './pace.ts'
import { readEvents } from './sse.ts'
import { VERSION } from './version.ts'

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

/** Heartbeats come every 5 s; a stream silent for three of them is dead, however open it looks. */
const SILENCE_MS = 15_000
const CONNECT_MS = 10_000
/** A stream that held so long was a good one: after it, the next attempt comes at once. */
const STEADY_MS = 3000
const SNAPSHOT_IDLE_MS = 15_000
const BACKOFF_MOST_MS = 10_000
const PROBE_MOST_MS = 5000
const PROBE_LEAST_MS = 50
const PROBE_TIMEOUT_MOST_MS = 10_000
/** What was applied is reported with a probe of its own, soon: within so long of it, by chance, so that a fleet does not come as one … */
const REPORT_WITHIN_MS = 250
/** … but not sooner than this after the last probe, … */
const REPORT_GAP_MS = 200
/** … and for each probe that comes by itself, one. So many are saved up; with more revocations than that, reports come with the others. */
const MAX_SAVED_REPORTS = 5
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

/** What ended a stream: the next one begins at the position, after the snapshot if that is needed. */
type StreamEnd = 'ended' | 'reset' | 'gap' | 'other_epoch' | 'poisoned' | 'full' | 'silent' | 'lagging' | 'handed_over' | 'closed'

export class FeedClient {
  private readonly parts: FeedParts
  private readonly abort = new AbortController()
  private readonly probePause: Pause
  private readonly followPause: Pause
  private readonly backoff: Backoff
  private readonly probeEveryMs: number
  private probeTimeoutMs: number
  /** Epoch named by the last answered probe: the only one whose snapshot may replace ours. */
  private presentEpoch: string | undefined
  private wantsSnapshot = false
  /** Epochs that were replaced by later ones, the latest last. */
  private readonly left = new Set<string>()
  private areProbesFailing = false
  /** Monotonic time at which the stream last brought us on, or began. */
  private progressAt = 0
  private stopStream: ((why: StreamEnd) => void) | undefined
  private stopForgetting: (() => void) | undefined
  private probedAt = Number.NEGATIVE_INFINITY
  private savedReports = MAX_SAVED_REPORTS
  private stopReporting: (() => void) | undefined
  private readonly nats: NatsFeed | undefined
  private streams = 0
  private resyncs = 0

  constructor(parts: FeedParts) {
    this.parts = parts
    const { chance, timers } = parts.surroundings
    this.probePause = new Pause(timers, this.abort.signal)
    this.followPause = new Pause(timers, this.abort.signal)
    this.backoff = new Backoff(chance, BACKOFF_MOST_MS)
    const most = Math.min(parts.tap?.probeEveryMs ?? PROBE_MOST_MS, parts.nats === undefined ? PROBE_MOST_MS : NATS_PROBE_MS)
    this.probeEveryMs = Math.max(PROBE_LEAST_MS, Math.min(most, parts.tightestMs / 4))
    this.probeTimeoutMs = this.leastTimeoutMs
    this.nats = parts.nats === undefined ? undefined : this.createNats(parts.nats)
  }

  start(): void {
    void this.probeForEver()
    void this.followForEver()
    void this.nats?.start()
    this.forgetLater()
  }

  close(): void {
    this.abort.abort()
    this.nats?.close()
    this.stopForgetting?.()
    this.stopReporting?.()
  }

  stats(): FeedStats {
    const { streams, resyncs, nats } = this
    return { streams, resyncs, source: nats?.leads === true ? 'nats' : 'sse', fallbacks: nats?.fallbacks ?? 0 }
  }

  private get leastTimeoutMs(): number {
    return Math.max(250, Math.min(PROBE_MOST_MS, this.parts.tightestMs / 2))
  }

  // ── Probes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private async probeForEver(): Promise<void> {
    const { clock, chance } = this.parts.surroundings
    while (!this.abort.signal.aborted) {
      const began = clock.monotonic()
      this.probedAt = began
      try {
        await this.probe()
        this.probeTimeoutMs = this.leastTimeoutMs
        // The authority is back: the stream need not wait out its pause.
        if (this.areProbesFailing) this.followPause.wake()
        this.areProbesFailing = false
      } catch (cause) {
        this.areProbesFailing = true
        // A slow authority is better than none: wait longer for the next answer, for permissions that can bear it.
        if (cause instanceof HttpTrouble && cause.kind === 'timeout') {
          this.probeTimeoutMs = Math.min(PROBE_TIMEOUT_MOST_MS, this.probeTimeoutMs * 2)
        }
        this.trouble('feed_head', cause)
      }
      this.parts.onProgress()
      const jitter = 0.8 + ((chance.bytes(1)[0] as number) / 255) * 0.2
      const spent = clock.monotonic() - began
      await this.probePause.wait(Math.max(PROBE_LEAST_MS, this.probeEveryMs * jitter - spent))
      if (this.stopReporting === undefined) this.savedReports = Math.min(MAX_SAVED_REPORTS, this.savedReports + 1)
    }
  }

  /** Lets the authority know soon how far we are: somebody may wait for it. */
  private reportSoon(): void {
    if (this.stopReporting !== undefined || this.savedReports === 0) return
    const { clock, chance, timers } = this.parts.surroundings
    const byChance = ((chance.bytes(1)[0] as number) / 255) * REPORT_WITHIN_MS
    const timer = timers.after(Math.max(byChance, this.probedAt + REPORT_GAP_MS - clock.monotonic()), () => {
      this.stopReporting = undefined
      this.savedReports--
      this.probePause.wake()
    })
    this.stopReporting = () => timer.cancel()
  }

  private async probe(): Promise<void> {
    const { view, freshness, surroundings } = this.parts
    const feed = await this.endpoints()
    const probe = toBase64Url(surroundings.chance.bytes(16))
    const url = new URL(feed.head)
    url.searchParams.set('probe', probe)
    url.searchParams.set('validator', this.parts.validatorId)
    if (view.position !== undefined) {
      url.searchParams.set('applied', String(view.position.seq))
      url.searchParams.set('epoch', view.position.epoch)
      url.searchParams.set('version', VERSION)
      const stalenessMs = freshness.stalenessMs()
      // Behind a head that was never wholly known it is larger than any number that could be said.
      if (Number.isSafeInteger(Math.round(stalenessMs))) url.searchParams.set('staleness', String(Math.round(stalenessMs)))
    }
    let sent = freshness.moment()
    const { bytes } = await this.withToken(feed, 'application/jwt', (headers) => {
      sent = freshness.moment()
      return fetchWhole(
        { transport: this.parts.transport, timers: surroundings.timers, signal: this.abort.signal },
        { url: url.href, method: 'GET', headers },
        { timeoutMs: this.probeTimeoutMs, maxBytes: 16 * 1024 },
      )
    })
    const head = await readHead(Buffer.from(bytes).toString('latin1'), probe, this.parts.headTrust)
    if (this.left.has(head.epoch)) throw new FeedMessageFault('left_epoch')
    this.parts.tap?.answered({ hops: head.hops ?? 0, guardMs: feed.guardMs })
    this.presentEpoch = head.epoch
    freshness.answered({ sent, epoch: head.epoch, seq: head.seq, ageMs: head.age_ms }, view.position)
    if (view.position !== undefined && view.position.epoch !== head.epoch) this.resync('other_epoch')
    else this.suspectStream(head.epoch)
  }

  /** The authority has more, and the stream brings nothing: whatever sits between is stuck. */
  private suspectStream(epoch: string): void {
    const { freshness } = this.parts
    if (freshness.lagMs(epoch) > 0) this.nats?.expectMore(() => freshness.lagMs(epoch) > 0)
    const patienceMs = Math.max(1000, this.parts.tightestMs / 2)
    const idleMs = this.parts.surroundings.clock.monotonic() - this.progressAt
    if (idleMs > patienceMs && this.parts.freshness.lagMs(epoch) > patienceMs) this.stopStream?.('lagging')
  }

  // ── Snapshot and stream ────────────────────────────────────────────────────────────────────────────────────────

  private async followForEver(): Promise<void> {
    const { view } = this.parts
    while (!this.abort.signal.aborted) {
      let what: TroubleKind = 'feed_snapshot'
      try {
        if (view.position === undefined || this.wantsSnapshot) await this.takeSnapshot()
        what = 'feed_stream'
        const end = this.nats?.leads === true ? await this.nats.untilItFails() : await this.readStream()
        if (end === 'reset' || end === 'other_epoch') {
          this.presentEpoch = undefined // Somebody says so; a probe of our own must.
          this.resync(end)
        }
        // What we refuse now, a corrected clock or a forgotten entry may let us take later.
        if (end === 'poisoned' || end === 'full') throw new Error(`the feed sent a batch that was refused: ${end}`)
      } catch (cause) {
        this.trouble(what, cause)
      }
      await this.followPause.wait(this.backoff.nextMs())
    }
  }

  /** Forget where we are in the log, but not what we know, until a snapshot says more. */
  private resync(why: StreamEnd): void {
    if (!this.wantsSnapshot) this.resyncs++
    this.wantsSnapshot = true
    this.nats?.fall('resync')
    this.stopStream?.(why)
    this.probePause.wake()
  }

  async takeSnapshot(): Promise<void> {
    if (this.parts.view.position !== undefined && this.presentEpoch === undefined) await this.probe()
    const feed = await this.endpoints()
    const response = await this.withToken(feed, SNAPSHOT_MEDIA_TYPE, (headers) => this.request(feed.snapshot, headers))
    await this.takeFrame(await this.readFrame(response, feed.snapshot), feed.guardMs)
    // A node that lags may serve one of the epoch before: then what we want is still to come.
    this.wantsSnapshot = this.presentEpoch !== undefined && this.parts.view.position?.epoch !== this.presentEpoch
  }

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

  private async readStream(): Promise<StreamEnd> {
    const { view, surroundings } = this.parts
    const feed = await this.endpoints()
    const { position } = view
    if (position === undefined) return 'reset'
    const url = new URL(feed.stream)
    url.searchParams.set('after', String(position.seq))
    url.searchParams.set('epoch', position.epoch)
    const stop = new AbortController()
    let end: StreamEnd = 'ended'
    const stopWith = (why: StreamEnd): void => {
      end = why
      stop.abort()
    }
    const response = await this.withToken(feed, 'text/event-stream', (headers) => this.request(url.href, headers, stop.signal))
    if (!(response.header('content-type') ?? '').startsWith('text/event-stream')) {
      response.discard()
      throw new HttpTrouble('content', url.href, { why: 'not an event stream' })
    }
    this.streams++
    const openedAt = surroundings.clock.monotonic()
    this.progressAt = openedAt
    this.stopStream = stopWith
    if (this.nats?.leads === true) stopWith('handed_over') // While we connected.
    const watch = silenceWatch(surroundings, () => stopWith('silent'), SILENCE_MS)
    try {
      await readEvents(response.body, MAX_BATCH_CHARS, {
        onBytes: () => {
          watch.heard()
          if (surroundings.clock.monotonic() - openedAt > STEADY_MS) this.backoff.reset()
        },
        onEvent: async (event) => {
          if (event.name === 'reset') return stopWith('reset')
          if (event.name !== 'batch' || end !== 'ended') return
          const { outcome } = await this.takeBatch(event.data, feed.guardMs)
          if (outcome !== 'applied' && outcome !== 'duplicate') stopWith(outcome)
        },
      })
    } catch (cause) {
      if (!stop.signal.aborted) throw cause
    } finally {
      this.stopStream = undefined
      watch.stop()
      response.discard()
    }
    return end
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

  // ── NATS ───────────────────────────────────────────────────────────────────────────────────────────────────────

  private createNats(options: NatsFeedOptions): NatsFeed {
    const { trust, surroundings, view, onSource, onTrouble } = this.parts
    return new NatsFeed({
      options,
      issuer: trust.issuer,
      surroundings,
      view,
      take: async (jws) => this.takeBatch(jws, (await this.endpoints()).guardMs),
      onTrouble: (cause) => onTrouble('feed_nats', cause),
      onLead: (leads, why) => {
        if (leads) {
          this.stopStream?.('handed_over')
          return onSource({ from: 'sse', to: 'nats' })
        }
        this.backoff.reset()
        onSource({ from: 'nats', to: 'sse', ...(why === undefined ? {} : { why }) })
      },
    })
  }

  private applied(what: { entries: number; delayMs: number | undefined }): void {
    const { view, freshness, surroundings, onRevoked, onProgress } = this.parts
    this.progressAt = surroundings.clock.monotonic()
    this.backoff.reset()
    freshness.applied(view.position)
    this.nats?.consider()
    if (what.entries > 0) onRevoked({ ...what, seq: view.position?.seq ?? 0 })
    if (what.entries > 0) this.reportSoon()
    onProgress()
  }

  // ── Exchanges ──────────────────────────────────────────────────────────────────────────────────────────────────

  private async endpoints(): Promise<FeedEndpoints> {
    const { feed } = await this.parts.discovery.metadata()
    if (feed === undefined) throw new HttpTrouble('content', this.parts.trust.issuer, { why: 'its metadata has no signet_feed' })
    return feed
  }

  /**
   * An exchange with the token that the feed asks for. One that is not taken is replaced at once, since it may have died with the
   * very revocation that we are about to hear of; metadata that led nowhere is asked for again.
   */
  private async withToken<T>(
    feed: FeedEndpoints,
    accept: string,
    exchange: (headers: Record<string, string>) => Promise<T>,
  ): Promise<T> {
    const { token, discovery } = this.parts
    if (token === undefined && !feed.open) throw new MissingFeedCredentials()
    const attempt = async (): Promise<T> => {
      return exchange(token === undefined ? { accept } : { accept, authorization: `Bearer ${await token.get()}` })
    }
    try {
      return await attempt()
    } catch (cause) {
      if (!(cause instanceof HttpTrouble) || (cause.status !== 401 && cause.status !== 403)) {
        discovery.doubt()
        throw cause
      }
      token?.forget()
      if (token === undefined || cause.status === 403) throw cause
      return await attempt()
    }
  }

  /** An answer with status 200 whose body is still to come. Waits for its head only so long. */
  private async request(url: string, headers: Record<string, string>, stop?: AbortSignal): Promise<HttpResponse> {
    const { transport, surroundings } = this.parts
    const late = new AbortController()
    const timer = surroundings.timers.after(CONNECT_MS, () => late.abort(new HttpTrouble('timeout', url)))
    const signals = [late.signal, this.abort.signal, ...(stop === undefined ? [] : [stop])]
    try {
      const response = await transport({ url, method: 'GET', headers, signal: AbortSignal.any(signals) })
      if (response.status === 200) return response
      response.discard()
      throw new HttpTrouble('status', url, { status: response.status })
    } catch (cause) {
      throw cause instanceof HttpTrouble
        ? cause
        : new HttpTrouble(late.signal.aborted ? 'timeout' : 'unreachable', url, { cause })
    } finally {
      timer.cancel()
    }
  }

  private async readFrame(response: HttpResponse, url: string): Promise<Uint8Array> {
    const most = this.parts.maxEntries * RECORD_BYTES + 16 * 1024
    const chunks: Uint8Array[] = []
    let length = 0
    const watch = silenceWatch(this.parts.surroundings, () => response.discard(), SNAPSHOT_IDLE_MS)
    try {
      for await (const chunk of response.body) {
        watch.heard()
        length += chunk.length
        if (length > most) throw new HttpTrouble('too_large', url)
        chunks.push(chunk)
      }
    } finally {
      watch.stop()
    }
    return Buffer.concat(chunks, length)
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

/** The feed wants to know who asks, and nobody said. */
export class MissingFeedCredentials extends Error {
  constructor() {
    super(
      "The issuer's revocation feed is not open to everyone: pass feedCredentials of a client that has the scope signet:feed, " +
        'or open the feed at the authority (policy setting feedOpen).',
    )
    this.name = 'MissingFeedCredentials'
  }
}
