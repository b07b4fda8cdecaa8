/**
 * The feed of one node: what its registry applies goes, signed once per batch, to everybody who reads. The log is the truth and
 * the reader says where it stands, so nothing here has to be remembered: whoever falls behind is let go and comes back.
 */
import { fault } from '@signet/kernel/errors.ts'
import { HEAD_TYPE, type HeadPayload } from '@signet/kernel/feed.ts'
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { Clock, Timer, Timers } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'
import { frameBatch, HEARTBEAT, MAX_BATCH, OPENING, RESET, type SignFeed } from './feed-frames.ts'
import { createHeadReader } from './feed-head.ts'
import { createFeedPast } from './feed-past.ts'
import { createSnapshotMaker, type FeedSnapshot } from './feed-snapshot.ts'
import type { Registry } from './registry.ts'

/** One open stream, whatever carries it. */
export interface FeedReader {
  /** Whose place it takes: a client, or an address. */
  readonly owner: string
  /** Called once, before the first write, when it has its place. */
  open(): void
  write(bytes: Uint8Array): void
  /** Bytes written that have not left yet. */
  pending(): number
  /** Resolves when nothing is pending any more, or the reader has gone. */
  drained(): Promise<void>
  /** Ends the stream after what is pending. */
  end(): void
  /** Ends it at once. */
  destroy(): void
  readonly gone: boolean
}

export interface FeedHub {
  /** Sends everything after `place`, then everything new. Throws `fault('overloaded')` when all places are taken. */
  join(reader: FeedReader, place: Position): void
  leave(reader: FeedReader): void
  /** A signed head that echoes the probe; read from the store for it. */
  head(probe: string): Promise<string>
  snapshot(): Promise<FeedSnapshot>
  readonly readers: number
  /** Ends all streams; readers come back to another node from where they stand. */
  close(): void
}

export interface FeedParts {
  readonly store: Pick<Store, 'engine' | 'revocations'>
  readonly registry: Registry
  readonly issuer: string
  readonly sign: SignFeed
  readonly clock: Clock
  readonly timers: Timers
  /** Streams open at once, at most; half of them for one owner. */
  readonly maxReaders?: number
  /** Milliseconds that our log's knowledge of other regions is old; absent where there are none. */
  readonly peersAgeMs?: (() => number) | undefined
  readonly observe?: FeedObserver
}

/** What happened, for log and metrics; all optional. */
export interface FeedObserver {
  /** A batch left for all readers, `milliseconds` after the commit of its first entry. */
  fed?(entries: number, milliseconds: number): void
  /** A reader was let go: too slow, or the feed could not be signed for long. */
  dropped?(why: 'slow' | 'unsigned'): void
  /** The feed could not be signed; said once, until it could again. */
  unsigned?(cause: unknown): void
}

/**
 * A group costs one write per reader, some 10 µs. As much again in between leaves half of the time for everything else: with one reader
 * groups come as the commits do, with two hundred every 5 ms, with a thousand every 20 ms. With none this node still
 * judges tokens itself, and whoever changed something here asks here next.
 */
const GROUP_MS_PER_READER = 0.0125
const MAX_GROUP_MS = 20
/** Where several nodes share a store: a validator of the slowest of three is then told within 20 ms as a rule. */
const SHARED_GROUP_MS = 17
/** Timers are no finer. */
const TIMER_MS = 1
/** Behind by more than this a reader is let go. */
const MAX_PENDING_BYTES = 1024 * 1024
const HEARTBEAT_MS = 5000
const MAX_READERS = 2000
/** A reader that catches up gets the next part when this much is still pending, and is let go when that takes too long. */
const CATCH_UP_PENDING_BYTES = MAX_PENDING_BYTES / 4
const DRAIN_MS = 30_000
/** Entries that wait for a key to sign with; when there are more, readers come back for them later. */
const MAX_UNSIGNED = 10_000
const SIGN_AGAIN_MS = 250
/** Never known; JSON has no infinity. */
const MAX_AGE_MS = Number.MAX_SAFE_INTEGER

export function openFeed(parts: FeedParts): FeedHub {
  return new Feed(parts)
}

class Feed implements FeedHub {
  readonly #parts: FeedParts
  readonly #past: ReturnType<typeof createFeedPast>
  readonly #heads: ReturnType<typeof createHeadReader>
  readonly #snapshots: ReturnType<typeof createSnapshotMaker>
  /** Readers that have everything so far, and those still catching up. */
  readonly #live = new Set<FeedReader>()
  readonly #behind = new Set<FeedReader>()
  readonly #owned = new Map<string, number>()
  readonly #following: { stop(): void }
  /** What has left, or what a reader that joins now starts from. */
  #position: Position | undefined
  #unsigned: LogEntry[] = []
  /** When the last group had left; the next is due at once, or as long after it as a group costs. */
  #sentAtMs = Number.NEGATIVE_INFINITY
  #isDue = false
  #signTimer: Timer | undefined
  #heartbeat: Timer | undefined
  #closed = false

  constructor(parts: FeedParts) {
    this.#parts = parts
    const { registry, issuer, sign, clock, timers, store } = parts
    this.#position = registry.position
    this.#heads = createHeadReader({ store, timers })
    this.#past = createFeedPast({ store, clock, frame: (entries) => this.#frame(entries) })
    const canResume = (epoch: string, seq: number): boolean =>
      this.#position?.epoch === epoch && this.#past.covers(seq, this.#position.seq)
    this.#snapshots = createSnapshotMaker({ view: registry.view, issuer, sign, clock, timers, canResume })
    this.#following = registry.follow({
      applied: (_epoch, entries) => this.#feed(entries),
      reset: (position) => this.#reset(position),
    })
    this.#beatLater()
  }

  get readers(): number {
    return this.#live.size + this.#behind.size
  }

  // ── Readers ──

  join(reader: FeedReader, place: Position): void {
    const most = this.#parts.maxReaders ?? MAX_READERS
    const owned = this.#owned.get(reader.owner) ?? 0
    if (this.#closed) throw fault('stopping')
    if (this.readers >= most || owned >= Math.max(1, most / 2))
      throw fault('overloaded', { because: 'all places for readers of the feed are taken', retryAfterSeconds: 5 })
    reader.open()
    this.#owned.set(reader.owner, owned + 1)
    this.#behind.add(reader)
    reader.write(OPENING)
    void this.#catchUp(reader, place).catch(() => this.#drop(reader)) // The store is away: it comes back from where it stands.
  }

  leave(reader: FeedReader): void {
    if (!this.#live.delete(reader) && !this.#behind.delete(reader)) return
    const owned = (this.#owned.get(reader.owner) ?? 1) - 1
    if (owned > 0) this.#owned.set(reader.owner, owned)
    else this.#owned.delete(reader.owner)
  }

  async #catchUp(reader: FeedReader, place: Position): Promise<void> {
    let { seq } = place
    if (this.#isAhead(place)) await this.#parts.registry.lookNow() // It was with a node that was faster.
    if (this.#isAhead(place)) return this.#turnAway(reader)
    while (this.#behind.has(reader) && !reader.gone) {
      const position = this.#position
      if (position?.epoch !== place.epoch) return this.#turnAway(reader)
      if (seq >= position.seq) {
        this.#behind.delete(reader)
        this.#live.add(reader)
        return
      }
      const frame = await this.#past.after(place.epoch, seq)
      if (frame === 'gone') return this.#turnAway(reader)
      reader.write(frame.bytes)
      seq = frame.to
      if (reader.pending() > CATCH_UP_PENDING_BYTES && !(await this.#drained(reader))) return this.#drop(reader, 'slow')
    }
  }

  #isAhead({ epoch, seq }: Position): boolean {
    const { position } = this.#parts.registry
    return position?.epoch !== epoch || position.seq < seq
  }

  async #drained(reader: FeedReader): Promise<boolean> {
    const late = Promise.withResolvers<false>()
    const timer = this.#parts.timers.after(DRAIN_MS, () => late.resolve(false))
    const drained = await Promise.race([reader.drained().then(() => true), late.promise])
    timer.cancel()
    return drained
  }

  /** Its place is gone: it takes the snapshot and comes back. */
  #turnAway(reader: FeedReader): void {
    if (reader.gone) return
    this.leave(reader)
    reader.write(RESET)
    reader.end()
  }

  #drop(reader: FeedReader, why?: 'slow' | 'unsigned'): void {
    this.leave(reader)
    reader.destroy()
    if (why !== undefined) this.#parts.observe?.dropped?.(why)
  }

  // ── What goes out ──

  #feed(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#unsigned.push(entry)
    if (this.#isDue || this.#signTimer !== undefined) return
    const waitMs = this.#sentAtMs + this.#groupMs - this.#parts.clock.monotonic()
    if (waitMs >= TIMER_MS) {
      this.#signTimer = this.#parts.timers.after(waitMs, () => this.#signAll())
      return
    }
    // In a turn of its own: whoever waits for his commit is answered first.
    this.#isDue = true
    this.#parts.timers.soon(() => this.#signAll())
  }

  /**
   * Where several nodes share a store, what each commits comes to all of them one by one, and would leave so: every validator then verifies
   * a signature for each revocation of the whole cluster.
   */
  get #groupMs(): number {
    if (this.#live.size > 0 && this.#parts.store.engine !== 'sqlite') return SHARED_GROUP_MS
    return Math.min(MAX_GROUP_MS, this.#live.size * GROUP_MS_PER_READER)
  }

  #signAll(): void {
    this.#signTimer?.cancel()
    this.#signTimer = undefined
    this.#isDue = false
    if (this.#closed) return
    while (this.#unsigned.length > 0) {
      const entries = this.#unsigned.slice(0, MAX_BATCH)
      try {
        this.#send(entries)
      } catch (cause) {
        this.#waitForKey(cause)
        return
      }
      this.#unsigned = this.#unsigned.slice(entries.length)
    }
    this.#sentAtMs = this.#parts.clock.monotonic()
  }

  #send(entries: readonly LogEntry[]): void {
    const frame = this.#frame(entries)
    const first = entries[0] as LogEntry
    this.#past.add(frame)
    this.#position = { epoch: first.epoch, seq: frame.to }
    for (const reader of this.#live) {
      reader.write(frame.bytes)
      if (reader.pending() > MAX_PENDING_BYTES) this.#drop(reader, 'slow')
    }
    this.#parts.observe?.fed?.(entries.length, Math.max(0, this.#parts.clock.now() - first.atMs))
  }

  #frame(entries: readonly LogEntry[]) {
    const { issuer, sign, clock, registry } = this.#parts
    return frameBatch(entries, { issuer, saltVersion: registry.view.salt?.version ?? 0, nowMs: clock.now() }, sign)
  }

  #waitForKey(cause: unknown): void {
    this.#parts.observe?.unsigned?.(cause)
    if (this.#unsigned.length > MAX_UNSIGNED) {
      const last = this.#unsigned.at(-1) as LogEntry
      for (const reader of [...this.#live, ...this.#behind]) this.#drop(reader, 'unsigned')
      this.#unsigned = []
      this.#past.clear()
      this.#position = { epoch: last.epoch, seq: last.seq }
      return
    }
    if (!this.#closed) this.#signTimer = this.#parts.timers.after(SIGN_AGAIN_MS, () => this.#signAll())
  }

  #reset(position: Position): void {
    this.#unsigned = []
    this.#past.clear()
    this.#position = position
    for (const reader of [...this.#live]) this.#turnAway(reader) // Those behind find out by themselves.
  }

  #beatLater(): void {
    if (this.#closed) return
    this.#heartbeat = this.#parts.timers.after(HEARTBEAT_MS, () => {
      for (const reader of this.#live) {
        reader.write(HEARTBEAT)
        if (reader.pending() > MAX_PENDING_BYTES) this.#drop(reader, 'slow')
      }
      this.#beatLater()
    })
  }

  // ── Answers ──

  async head(probe: string): Promise<string> {
    const { registry, issuer, peersAgeMs } = this.#parts
    // Asked before the log is read: what is taken over in between may not be below this head.
    const [ageMs, known] = [peersAgeMs?.(), registry.position?.epoch]
    const { epoch, seq } = await this.#heads.read()
    // An epoch that was not read here yet may be of a store that went back in time, and has not what was taken over since.
    const isKnown = ageMs === undefined || epoch === known
    const age_ms = isKnown ? Math.min(MAX_AGE_MS, Math.ceil(ageMs ?? 0)) : MAX_AGE_MS
    const payload: HeadPayload = { iss: issuer, epoch, seq, probe, age_ms }
    return this.#parts.sign(HEAD_TYPE, payload)
  }

  snapshot(): Promise<FeedSnapshot> {
    return this.#snapshots.get()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#following.stop()
    this.#heartbeat?.cancel()
    this.#signTimer?.cancel()
    for (const reader of [...this.#live, ...this.#behind]) {
      this.leave(reader)
      reader.end()
    }
  }
}
