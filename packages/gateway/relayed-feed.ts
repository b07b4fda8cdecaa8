/**
 * The feed as a relay serves it on: messages as they came from the authority, byte for byte, and heads of its own that say how old its
 * knowledge is. It listens at a validator (feed-tap.ts), which has believed and taken in everything before it is heard here, so that
 * what a validator refuses goes no further.
 */
import { fault } from '@signet/kernel/errors.ts'
import { HEAD_TYPE, type HeadPayload, MAX_HOPS } from '@signet/kernel/feed.ts'
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import type { FeedMessage, FeedTap, KeptFeed, TappedFeed } from '@signet/validator/index.ts'

/** One open stream. */
export interface RelayReader {
  /** Whose place it takes: a client, or an address. */
  readonly owner: string
  readonly gone: boolean
  open(): void
  write(bytes: Uint8Array): void
  /** Bytes written that have not left yet. */
  pending(): number
  /** Resolves when nothing is pending any more, or the reader has gone. */
  drained(): Promise<void>
  end(): void
  destroy(): void
}

/** A snapshot as it came. */
export interface RelayedSnapshot extends Position {
  readonly frame: Uint8Array
}

export interface RelayedFeed {
  readonly tap: FeedTap
  /** Sends everything after `place`, then everything new. Throws a fault when all places are taken. */
  join(reader: RelayReader, place: Position): void
  leave(reader: RelayReader): void
  /** A head of this relay's own. Throws a fault as long as it has nothing to vouch for. */
  head(probe: string): string
  /** One from which the stream can be taken up. Fetched anew when the one at hand has grown too old for that. */
  snapshot(): Promise<RelayedSnapshot>
  /** The authority's signed key set, as it came. */
  keys(): string
  /** What to keep on disk, all of one moment; undefined as long as there is nothing. */
  toKeep(): (Omit<KeptFeed, 'keys'> & Position & { readonly keys: string | undefined }) | undefined
  stats(): RelayStats
  /** Ends all streams; readers come back to another relay from where they stand. */
  close(): void
}

export interface RelayStats {
  readonly position: Position | undefined
  readonly stalenessMs: number
  readonly hops: number
  readonly guardMs: number | undefined
  readonly readers: number
  /** Readers that were let go because they were too slow. */
  readonly dropped: number
}

export interface RelayedFeedParts {
  readonly issuer: string
  /** Signs a payload as a compact JWS of this `typ`, with the relay's own key. */
  readonly sign: (typ: string, payload: object) => string
  readonly clock: Clock
  readonly timers: Timers
  readonly probeEveryMs: number
  readonly maxReaders?: number
  kept(): Promise<KeptFeed | undefined>
}

interface Frame {
  readonly from: number
  readonly to: number
  readonly jws: string
  readonly bytes: Uint8Array
}

/** Batches kept for readers that come back, at most. When half of it lies after the snapshot, a newer one is fetched. */
const MAX_PAST_BYTES = 16 * 1024 * 1024
const MAX_PAST_FRAMES = 16_384
const MAX_READERS = 2000
const MAX_PENDING_BYTES = 1024 * 1024
/** A reader that catches up gets the next part when this much is still pending, and is let go when that takes too long. */
const CATCH_UP_PENDING_BYTES = MAX_PENDING_BYTES / 4
const DRAIN_MS = 30_000
const HEARTBEAT_MS = 5000
/** Between two snapshots that nobody waits for. */
const RENEW_MS = 5000

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const OPENING = encode('retry: 1000\n\n')
const HEARTBEAT = encode(':\n\n')
const RESET = encode('event: reset\ndata: {}\n\n')

export function createRelayedFeed(parts: RelayedFeedParts): RelayedFeed {
  return new Relayed(parts)
}

class Relayed implements RelayedFeed {
  readonly tap: FeedTap
  readonly #parts: RelayedFeedParts
  #source: TappedFeed | undefined
  #position: Position | undefined
  #snapshot: RelayedSnapshot | undefined
  /** Of the position's epoch, each following the one before, up to the position. */
  #past: Frame[] = []
  #pastBytes = 0
  #keys: string | undefined
  #hops = 0
  #guardMs: number | undefined
  #dropped = 0
  #fetching: Promise<void> | undefined
  #renewedAtMs = Number.NEGATIVE_INFINITY
  #closed = false
  readonly #live = new Set<RelayReader>()
  readonly #behind = new Set<RelayReader>()
  readonly #owned = new Map<string, number>()

  constructor(parts: RelayedFeedParts) {
    this.#parts = parts
    this.tap = {
      probeEveryMs: parts.probeEveryMs,
      attach: (source) => {
        this.#source = source
      },
      took: (message) => this.#took(message),
      answered: ({ hops, guardMs }) => {
        this.#hops = hops
        this.#guardMs = guardMs
      },
      kept: parts.kept,
    }
    this.#beatLater()
  }

  // ── What comes in ──

  #took(message: FeedMessage): void {
    if (message.kind === 'keys') this.#keys = message.jws
    else if (message.kind === 'batch') this.#tookBatch(message)
    else this.#tookSnapshot(message)
  }

  #tookBatch({ jws, epoch, from, to }: FeedMessage & { kind: 'batch' }): void {
    const bytes = encode(`id: ${epoch}:${to}\nevent: batch\ndata: ${jws}\n\n`)
    this.#past.push({ from, to, jws, bytes })
    this.#pastBytes += bytes.length
    this.#position = { epoch, seq: to }
    // A quarter goes at once, so that the rest need not be moved each time.
    if (this.#pastBytes > MAX_PAST_BYTES || this.#past.length > MAX_PAST_FRAMES) this.#forget(Math.ceil(this.#past.length / 4))
    for (const reader of this.#live) this.#send(reader, bytes)
    this.#renewWhenOld()
  }

  #tookSnapshot({ frame, epoch, seq }: FeedMessage & { kind: 'snapshot' }): void {
    const before = this.#position
    const isNewer = this.#snapshot?.epoch !== epoch || seq >= this.#snapshot.seq
    if (isNewer) this.#snapshot = { frame, epoch, seq }
    if (before?.epoch === epoch && seq <= before.seq) return
    // What lies between is in the snapshot alone: whoever stood before it has to take it.
    this.#position = { epoch, seq }
    this.#forget(this.#past.length)
    for (const reader of [...this.#live]) this.#turnAway(reader) // Those behind find out by themselves.
  }

  #forget(count: number): void {
    this.#pastBytes -= this.#past.slice(0, count).reduce((sum, { bytes }) => sum + bytes.length, 0)
    this.#past = this.#past.slice(count)
  }

  /** Whether everything after `seq` is at hand. */
  #covers({ epoch, seq }: Position): boolean {
    if (this.#position?.epoch !== epoch) return false
    return seq >= this.#position.seq || (this.#past[0] !== undefined && this.#past[0].from <= seq + 1)
  }

  /** So that the snapshot never falls out of what the past covers; if it does, the next who asks waits for another. */
  #renewWhenOld(): void {
    const half = this.#past[this.#past.length >> 1]
    if (half === undefined || this.#snapshot === undefined || this.#snapshot.seq >= half.from) return
    if (this.#pastBytes < MAX_PAST_BYTES / 2 && this.#past.length < MAX_PAST_FRAMES / 2) return
    const nowMs = this.#parts.clock.monotonic()
    if (nowMs - this.#renewedAtMs < RENEW_MS) return
    this.#renewedAtMs = nowMs
    this.#fetch().catch(() => {}) // The validator tells of its troubles.
  }

  #fetch(): Promise<void> {
    if (this.#source === undefined) throw fault('stopping')
    this.#fetching ??= this.#source.takeSnapshot().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  // ── Readers ──

  join(reader: RelayReader, place: Position): void {
    const most = this.#parts.maxReaders ?? MAX_READERS
    const owned = this.#owned.get(reader.owner) ?? 0
    if (this.#closed) throw fault('stopping')
    if (this.#position === undefined) throw fault('store_unavailable')
    if (this.#live.size + this.#behind.size >= most || owned >= Math.max(1, most / 2)) {
      throw fault('overloaded', { retryAfterSeconds: 5 })
    }
    reader.open()
    this.#owned.set(reader.owner, owned + 1)
    this.#behind.add(reader)
    reader.write(OPENING)
    void this.#catchUp(reader, place)
  }

  leave(reader: RelayReader): void {
    if (!this.#live.delete(reader) && !this.#behind.delete(reader)) return
    const owned = (this.#owned.get(reader.owner) ?? 1) - 1
    if (owned > 0) this.#owned.set(reader.owner, owned)
    else this.#owned.delete(reader.owner)
  }

  async #catchUp(reader: RelayReader, place: Position): Promise<void> {
    let { seq } = place
    while (this.#behind.has(reader) && !reader.gone) {
      if (!this.#covers({ epoch: place.epoch, seq })) return this.#turnAway(reader)
      // A reader that was with somebody faster is ahead of us: it knows what comes next, and says so by doing nothing.
      if (seq >= (this.#position as Position).seq) {
        this.#behind.delete(reader)
        this.#live.add(reader)
        return
      }
      const frame = this.#after(seq)
      reader.write(frame.bytes)
      seq = frame.to
      if (reader.pending() > CATCH_UP_PENDING_BYTES && !(await this.#drained(reader))) return this.#drop(reader)
    }
  }

  /** The frame that holds the entry after `seq`, by bisection; the caller knows that there is one. */
  #after(seq: number): Frame {
    let low = 0
    let high = this.#past.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#past[middle] as Frame).to > seq) high = middle
      else low = middle + 1
    }
    return this.#past[low] as Frame
  }

  async #drained(reader: RelayReader): Promise<boolean> {
    const late = Promise.withResolvers<false>()
    const timer = this.#parts.timers.after(DRAIN_MS, () => late.resolve(false))
    const drained = await Promise.race([reader.drained().then(() => true), late.promise])
    timer.cancel()
    return drained
  }

  #send(reader: RelayReader, bytes: Uint8Array): void {
    reader.write(bytes)
    if (reader.pending() > MAX_PENDING_BYTES) this.#drop(reader)
  }

  /** Its place is gone: it takes the snapshot and comes back. */
  #turnAway(reader: RelayReader): void {
    if (reader.gone) return
    this.leave(reader)
    reader.write(RESET)
    reader.end()
  }

  #drop(reader: RelayReader): void {
    this.leave(reader)
    reader.destroy()
    this.#dropped++
  }

  #beatLater(): void {
    this.#parts.timers.after(HEARTBEAT_MS, () => {
      if (this.#closed) return
      for (const reader of this.#live) this.#send(reader, HEARTBEAT)
      this.#beatLater()
    })
  }

  // ── Answers ──

  head(probe: string): string {
    const hops = this.#hops + 1
    const stalenessMs = this.#stalenessMs()
    if (this.#position === undefined || stalenessMs === Number.POSITIVE_INFINITY) throw fault('store_unavailable')
    if (hops > MAX_HOPS) throw fault('store_unavailable', { retryAfterSeconds: 30 })
    const { issuer, sign } = this.#parts
    // Position and age are of one moment: the validator has just proven the one for the other.
    const payload: HeadPayload = { iss: issuer, ...this.#position, probe, age_ms: Math.ceil(stalenessMs), hops }
    return sign(HEAD_TYPE, payload)
  }

  async snapshot(): Promise<RelayedSnapshot> {
    if (this.#snapshot === undefined) throw fault('store_unavailable')
    if (!this.#covers(this.#snapshot)) {
      await this.#fetch().catch((cause: unknown) => {
        throw fault('store_unavailable', { cause })
      })
    }
    return this.#snapshot
  }

  keys(): string {
    if (this.#keys === undefined) throw fault('keys_unavailable')
    return this.#keys
  }

  toKeep(): ReturnType<RelayedFeed['toKeep']> {
    const snapshot = this.#snapshot
    if (snapshot === undefined || this.#source === undefined || !this.#covers(snapshot)) return undefined
    return {
      epoch: snapshot.epoch,
      seq: snapshot.seq,
      snapshot: snapshot.frame,
      batches: this.#past.filter(({ to }) => to > snapshot.seq).map(({ jws }) => jws),
      keys: this.#keys,
      feedKeys: this.#source.feedKeys(),
      freshAtMs: this.#source.freshAtMs(),
    }
  }

  stats(): RelayStats {
    return {
      position: this.#position,
      stalenessMs: this.#stalenessMs(),
      hops: this.#hops + 1,
      guardMs: this.#guardMs,
      readers: this.#live.size + this.#behind.size,
      dropped: this.#dropped,
    }
  }

  #stalenessMs(): number {
    return this.#source?.stalenessMs() ?? Number.POSITIVE_INFINITY
  }

  close(): void {
    this.#closed = true
    for (const reader of [...this.#live, ...this.#behind]) {
      this.leave(reader)
      reader.end()
    }
  }
}
