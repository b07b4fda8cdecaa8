/**
 * What one party knows of what has been taken back: a map from key to cutoff that merges by the larger cutoff, and the
 * position in the log up to which it is known to be complete. Order, duplicates and overlap of what comes in do not matter;
 * a gap is told, never papered over.
 *
 * Merge by max has no undo, so a cutoff further ahead than now + guard is refused with everything that came with it.
 */

import { RECORD_BYTES } from './feed.ts'
import { KEY_BYTES, type Revocation, type Salt } from './revocation.ts'
import { createRevocationTable, type RevocationTable, readWords, SEGMENTS, type Words } from './revocation-table.ts'
import { recordCutoffMs, recordDropAfter } from './snapshot.ts'

/** Entries `1..seq` of the log of this epoch are known. */
export interface Position {
  readonly epoch: string
  readonly seq: number
}

/** Entries `from`..`to` of the log, whole: nothing between them is missing. */
export interface RevocationBatch {
  readonly epoch: string
  readonly from: number
  readonly to: number
  readonly saltVersion: number
  readonly entries: readonly Revocation[]
}

/** Everything that stood at `seq`, as records (snapshot.ts). */
export interface RevocationSnapshot {
  readonly epoch: string
  readonly seq: number
  readonly salt: Salt
  readonly records: Uint8Array
}

/**
 * - `applied`: the position moved on.
 * - `duplicate`: all of it was known already.
 * - `gap`: something before it is missing; nothing was taken in, ask for what comes after the position.
 * - `other_epoch`: another numbering or salt; nothing was taken in, take its snapshot.
 * - `poisoned`: a cutoff lies beyond now + guard, or an entry is malformed; nothing was taken in.
 * - `full`: more entries than this view may hold; nothing was taken in.
 */
export type BatchOutcome = 'applied' | 'duplicate' | 'gap' | 'other_epoch' | 'poisoned' | 'full'

/**
 * - `replaced`: it was the first, or of another epoch: the view is what the snapshot says.
 * - `merged`: same epoch; the larger cutoffs and the later position were kept.
 */
export type SnapshotOutcome = 'replaced' | 'merged' | 'poisoned' | 'full'

/** What a cutoff may not lie beyond: `nowMs + guardMs`. */
export interface PoisonLimit {
  readonly nowMs: number
  /** The authority's guard, plus the skew between its clock and the caller's. */
  readonly guardMs: number
}

/** What came in: these entries, or everything anew. */
export type ViewChange = { readonly kind: 'entries'; readonly entries: readonly Revocation[] } | { readonly kind: 'all' }

export interface RevocationView {
  /** Differs whenever an answer of `cutoff` may differ. A verdict reached under the same version still stands. */
  readonly version: number
  /** Undefined until the first snapshot, or the first batch after `begin`. */
  readonly position: Position | undefined
  readonly salt: Salt | undefined
  readonly size: number
  /** Memory of the table. */
  readonly bytes: number
  /** Starts an empty view at a position: everything before it is known to be nothing. For an authority on its own log. */
  begin(position: Position, salt: Salt): void
  /** Cutoff of a 16-byte key, epoch milliseconds; 0 when there is none. */
  cutoff(key: Uint8Array): number
  has(key: Uint8Array): boolean
  /** The same for a key as four words at `at`, without allocating: see token-keys.ts. */
  cutoffOfWords(words: Words, at: number): number
  /** Whether any of `count` keys in `words` may have a cutoff; false is certain. Faster than to ask for each. */
  mayHoldAny(words: Words, count: number): boolean
  applyBatch(batch: RevocationBatch, limit: PoisonLimit): BatchOutcome
  /** Takes a snapshot whose signature the caller has checked. All or nothing. */
  replace(snapshot: RevocationSnapshot, limit: PoisonLimit): SnapshotOutcome
  /** Moves the position on over entries the caller knows to concern nobody. Never back, never into another epoch. */
  advance(position: Position): boolean
  /** Forgets entries whose time is over, in `share` of the table (1: all), the next share at the next call. */
  forget(nowAt: number, share?: number): number
  /** Every entry, in no order. What comes in meanwhile may be missing. */
  entries(): Generator<Revocation>
  /** Every entry as snapshot records, in pieces: of the epoch at this call, and complete up to the position at this call. */
  records(): Generator<Uint8Array>
  /** Calls `listener` after each change, with what came in. Returns the way to stop it. */
  subscribe(listener: (change: ViewChange) => void): () => void
}

/** Entries a view may hold unless told otherwise: 600 MB of them. */
export const MAX_VIEW_ENTRIES = 2 ** 24

/**
 * An empty view.
 *
 * ```ts
 * const view = createRevocationView()
 * view.replace({ epoch, seq: 40, salt, records }, { nowMs: Date.now(), guardMs: 2000 }) // 'replaced'
 * view.applyBatch({ epoch, from: 41, to: 43, saltVersion: salt.version, entries }, { nowMs: Date.now(), guardMs: 2000 }) // 'applied'
 * ```
 */
export function createRevocationView(options: { maxEntries?: number } = {}): RevocationView {
  return new View(options.maxEntries ?? MAX_VIEW_ENTRIES)
}

class View implements RevocationView {
  version = 0
  position: Position | undefined = undefined
  salt: Salt | undefined = undefined
  private readonly maxEntries: number
  private table: RevocationTable = createRevocationTable()
  private readonly words: Words = new Uint32Array(4)
  private readonly listeners = new Set<(change: ViewChange) => void>()
  private nextSegment = 0

  constructor(maxEntries: number) {
    this.maxEntries = maxEntries
  }

  get size(): number {
    return this.table.size
  }
  get bytes(): number {
    return this.table.bytes
  }

  begin(position: Position, salt: Salt): void {
    this.table = createRevocationTable()
    this.position = { epoch: position.epoch, seq: position.seq }
    this.salt = salt
    this.changed({ kind: 'all' })
  }

  cutoff(key: Uint8Array): number {
    readWords(key, 0, this.words)
    return this.table.cutoff(this.words, 0)
  }
  has(key: Uint8Array): boolean {
    return this.cutoff(key) > 0
  }
  cutoffOfWords(words: Words, at: number): number {
    return this.table.cutoff(words, at)
  }

  mayHoldAny(words: Words, count: number): boolean {
    return this.table.mayHoldAny(words, count)
  }

  applyBatch(batch: RevocationBatch, limit: PoisonLimit): BatchOutcome {
    const { position, salt } = this
    if (position === undefined || batch.epoch !== position.epoch || batch.saltVersion !== salt?.version) return 'other_epoch'
    if (!isSpan(batch.from, batch.to)) return 'poisoned'
    if (batch.to <= position.seq) return 'duplicate'
    if (batch.from > position.seq + 1) return 'gap'
    if (!batch.entries.every((entry) => isSound(entry, limit))) return 'poisoned'
    if (this.table.size + batch.entries.length > this.maxEntries) return 'full'
    let rose = false
    for (const entry of batch.entries) {
      readWords(entry.key, 0, this.words)
      rose = this.table.raise(this.words, 0, entry.cutoffMs, entry.dropAfter) || rose
    }
    this.position = { epoch: position.epoch, seq: batch.to }
    if (rose) this.changed({ kind: 'entries', entries: batch.entries })
    return 'applied'
  }

  replace(snapshot: RevocationSnapshot, limit: PoisonLimit): SnapshotOutcome {
    const count = snapshot.records.length / RECORD_BYTES
    if (!Number.isInteger(count) || !Number.isSafeInteger(snapshot.seq) || snapshot.seq < 0) return 'poisoned'
    const isOfOurs = this.position?.epoch === snapshot.epoch && this.salt?.version === snapshot.salt.version
    if (count > this.maxEntries) return 'full'
    const table = createRevocationTable()
    table.reserve(count)
    if (!fill(table, snapshot.records, this.words, limit)) return 'poisoned'
    if (isOfOurs && this.position !== undefined) {
      // Most of it is known already, so the sum may be twice the bound before it is refused.
      if (this.table.size + table.size > 2 * this.maxEntries) return 'full'
      this.table.merge(table)
      if (snapshot.seq > this.position.seq) this.position = { epoch: snapshot.epoch, seq: snapshot.seq }
    } else {
      this.table = table
      this.position = { epoch: snapshot.epoch, seq: snapshot.seq }
      this.salt = { version: snapshot.salt.version, bytes: snapshot.salt.bytes.slice() }
    }
    this.changed({ kind: 'all' })
    return isOfOurs ? 'merged' : 'replaced'
  }

  advance(position: Position): boolean {
    if (this.position === undefined || this.position.epoch !== position.epoch || position.seq < this.position.seq) return false
    this.position = { epoch: position.epoch, seq: position.seq }
    return true
  }

  forget(nowAt: number, share = 1): number {
    let forgotten = 0
    const segments = Math.max(1, Math.min(SEGMENTS, Math.ceil(SEGMENTS * share)))
    for (let i = 0; i < segments; i++) {
      forgotten += this.table.forget(this.nextSegment, nowAt)
      this.nextSegment = (this.nextSegment + 1) % SEGMENTS
    }
    // No verdict changes: no token that these could match is alive. So the version stays.
    return forgotten
  }

  *entries(): Generator<Revocation> {
    for (const records of this.records()) {
      for (let at = 0; at < records.length; at += RECORD_BYTES) {
        yield {
          key: records.slice(at, at + KEY_BYTES),
          cutoffMs: recordCutoffMs(records, at),
          dropAfter: recordDropAfter(records, at),
        }
      }
    }
  }

  records(): Generator<Uint8Array> {
    return recordsOf(this.table)
  }

  subscribe(listener: (change: ViewChange) => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  private changed(change: ViewChange): void {
    this.version++
    for (const listener of this.listeners) listener(change)
  }
}

function* recordsOf(table: RevocationTable): Generator<Uint8Array> {
  for (let segment = 0; segment < SEGMENTS; segment++) yield table.records(segment)
}

const MAX_CUTOFF = 2 ** 48 - 1

function isSpan(from: number, to: number): boolean {
  return Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 1 && from <= to
}

function isSound(entry: Revocation, limit: PoisonLimit): boolean {
  const { key, cutoffMs, dropAfter } = entry
  if (key.length !== KEY_BYTES) return false
  if (!Number.isInteger(cutoffMs) || cutoffMs <= 0 || cutoffMs > MAX_CUTOFF) return false
  if (cutoffMs > limit.nowMs + limit.guardMs) return false
  return Number.isInteger(dropAfter) && dropAfter >= 0
}

/** False at the first record that is not sound; the table is then thrown away. */
function fill(table: RevocationTable, records: Uint8Array, words: Words, limit: PoisonLimit): boolean {
  const latest = Math.min(MAX_CUTOFF, limit.nowMs + limit.guardMs)
  for (let at = 0; at < records.length; at += RECORD_BYTES) {
    const cutoffMs = recordCutoffMs(records, at)
    readWords(records, at, words)
    if (cutoffMs <= 0 || cutoffMs > latest) return false
    table.raise(words, 0, cutoffMs, recordDropAfter(records, at))
  }
  return true
}
