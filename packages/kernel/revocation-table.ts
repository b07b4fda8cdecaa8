/**
 * The memory of a revocation view: a hash table over typed arrays, made of segments that grow one at a time, so that
 * neither growing nor forgetting ever stops the process for long. An entry takes 32 to 39 bytes, 35 on average, whatever their
 * number; up to 50 where many were forgotten. Each slot has a tag of one byte: to find that a key is absent, as nearly all are, one cache line of tags is read.
 *
 * Keys are digests, so their own words serve as the hash: the first chooses the segment, the second the slot, the third the tag.
 */
import { RECORD_BYTES } from './feed.ts'

const SEGMENT_BITS = 6
export const SEGMENTS = 1 << SEGMENT_BITS
const SEGMENT_SHIFT = 32 - SEGMENT_BITS
const MAX_LOAD = 0.84
const GROWTH = 1.2
/** Of its limit: with less after forgetting, a segment is made smaller. */
const LEAST_FULL = 0.65
const SMALLEST = 16
/** Tag 1, key 16, cutoff 6, drop-after 4. */
const SLOT_BYTES = 27
const WORD = 2 ** 32

/** Key as four 32-bit words, read big-endian from 16 bytes. */
export type Words = Uint32Array

export interface RevocationTable {
  readonly size: number
  /** Bytes held by the arrays. */
  readonly bytes: number
  /** Cutoff of the key whose words begin at `at`; 0 when there is none. */
  cutoff(words: Words, at: number): number
  /** Whether any of the `count` keys in `words` may be there; false is certain. Costs one wait for memory, not one for each key. */
  mayHoldAny(words: Words, count: number): boolean
  /** Keeps the larger cutoff and the larger drop-after. True when the cutoff rose: a verdict may change. */
  raise(words: Words, at: number, cutoffMs: number, dropAfter: number): boolean
  /** Makes room for so many entries in all, so that none of the following inserts has to grow. */
  reserve(entries: number): void
  /** Takes in everything another table holds. True when a cutoff rose. */
  merge(other: RevocationTable): boolean
  /** Forgets entries of one segment whose drop-after is before `nowAt`. The number of entries forgotten. */
  forget(segment: number, nowAt: number): number
  /** The entries of one segment as snapshot records, copied at this moment. */
  records(segment: number): Uint8Array
}

export function createRevocationTable(): RevocationTable {
  return new Table()
}

/** Writes the four words of the 16-byte key at `at` into `words`. */
export function readWords(key: Uint8Array, at: number, words: Words, to = 0): void {
  for (let i = 0; i < 4; i++) {
    const from = at + i * 4
    words[to + i] =
      ((key[from] as number) << 24) |
      ((key[from + 1] as number) << 16) |
      ((key[from + 2] as number) << 8) |
      (key[from + 3] as number)
  }
}

class Table implements RevocationTable {
  size = 0
  readonly segments: Segment[] = Array.from({ length: SEGMENTS }, (_, index) => new Segment(index, 0))

  get bytes(): number {
    return this.segments.reduce((sum, segment) => sum + segment.capacity * SLOT_BYTES, 0)
  }
  cutoff(words: Words, at: number): number {
    return (this.segments[(words[at] as number) >>> SEGMENT_SHIFT] as Segment).cutoff(words, at)
  }
  mayHoldAny(words: Words, count: number): boolean {
    const { segments } = this
    // First all reads, none depending on another, so that they are under way together; then the answers.
    let warm = 0
    for (let i = 0; i < count; i++)
      warm += (segments[(words[i * 4] as number) >>> SEGMENT_SHIFT] as Segment).firstTag(words, i * 4)
    if (warm === 0) return false
    for (let i = 0; i < count; i++) {
      if ((segments[(words[i * 4] as number) >>> SEGMENT_SHIFT] as Segment).mayHold(words, i * 4)) return true
    }
    return false
  }
  raise(words: Words, at: number, cutoffMs: number, dropAfter: number): boolean {
    const index = (words[at] as number) >>> SEGMENT_SHIFT
    let segment = this.segments[index] as Segment
    if (segment.isFull()) {
      segment = segment.rebuilt(segment.used + 1)
      this.segments[index] = segment
    }
    const before = segment.used
    const rose = segment.raise(words, at, cutoffMs, dropAfter)
    this.size += segment.used - before
    return rose
  }
  reserve(entries: number): void {
    // Digests spread evenly; three standard deviations more than the mean, so that hardly a segment grows after all.
    const mean = entries / SEGMENTS
    const each = Math.ceil(mean + 3 * Math.sqrt(mean))
    this.segments.forEach((segment, index) => {
      if (!segment.holds(each)) this.segments[index] = segment.rebuilt(each)
    })
  }
  merge(other: RevocationTable): boolean {
    let rose = false
    ;(other as Table).segments.forEach((theirs, index) => {
      let ours = this.segments[index] as Segment
      // Entries come in slot order: into a table that has to grow on the way they would pile up at its low end.
      if (!ours.holds(ours.used + theirs.used)) {
        ours = ours.rebuilt(ours.used + theirs.used)
        this.segments[index] = ours
      }
      const before = ours.used
      rose = theirs.pourInto(ours) || rose
      this.size += ours.used - before
    })
    return rose
  }
  forget(index: number, nowAt: number): number {
    const segment = this.segments[index] as Segment
    const dead = segment.forget(nowAt)
    if (dead > 0 && segment.used < segment.limit * LEAST_FULL) this.segments[index] = segment.rebuilt(segment.used)
    this.size -= dead
    return dead
  }
  records(index: number): Uint8Array {
    return (this.segments[index] as Segment).records()
  }
}

class Segment {
  readonly index: number
  readonly capacity: number
  readonly limit: number
  used = 0
  private readonly scale: number
  /** 0 where the slot is empty. */
  private readonly tags: Uint8Array
  private readonly keys: Uint32Array
  private readonly cutoffLow: Uint32Array
  private readonly cutoffHigh: Uint16Array
  private readonly dropAfter: Uint32Array

  constructor(index: number, entries: number) {
    this.index = index
    this.capacity = capacityFor(index, entries)
    this.limit = Math.floor(this.capacity * MAX_LOAD)
    this.scale = this.capacity / WORD
    this.tags = new Uint8Array(this.capacity)
    this.keys = new Uint32Array(this.capacity * 4)
    this.cutoffLow = new Uint32Array(this.capacity)
    this.cutoffHigh = new Uint16Array(this.capacity)
    this.dropAfter = new Uint32Array(this.capacity)
  }

  isFull(): boolean {
    return this.used >= this.limit
  }
  holds(entries: number): boolean {
    return entries <= this.limit
  }

  cutoff(words: Words, at: number): number {
    const { tags, capacity } = this
    const tag = tagOf(words[at + 2] as number)
    let slot = ((words[at + 1] as number) * this.scale) | 0
    for (;;) {
      const found = tags[slot] as number
      if (found === 0) return 0
      if (found === tag && this.isAt(slot, words, at)) return this.cutoffAt(slot)
      if (++slot === capacity) slot = 0
    }
  }

  firstTag(words: Words, at: number): number {
    return this.tags[((words[at + 1] as number) * this.scale) | 0] as number
  }

  mayHold(words: Words, at: number): boolean {
    const { tags, capacity } = this
    const tag = tagOf(words[at + 2] as number)
    let slot = ((words[at + 1] as number) * this.scale) | 0
    for (;;) {
      const found = tags[slot] as number
      if (found === 0) return false
      if (found === tag) return true
      if (++slot === capacity) slot = 0
    }
  }

  raise(words: Words, at: number, cutoffMs: number, dropAfter: number): boolean {
    const { tags, capacity } = this
    const tag = tagOf(words[at + 2] as number)
    let slot = ((words[at + 1] as number) * this.scale) | 0
    for (;;) {
      const found = tags[slot] as number
      if (found === tag && this.isAt(slot, words, at)) break
      if (found === 0) {
        tags[slot] = tag
        for (let i = 0; i < 4; i++) this.keys[slot * 4 + i] = words[at + i] as number
        this.used++
        break
      }
      if (++slot === capacity) slot = 0
    }
    // Drop-after has 32 bits here, enough until 2106; what lies beyond is kept for ever.
    if (dropAfter > (this.dropAfter[slot] as number)) this.dropAfter[slot] = Math.min(dropAfter, WORD - 1)
    if (cutoffMs <= this.cutoffAt(slot)) return false
    this.cutoffHigh[slot] = Math.floor(cutoffMs / WORD)
    this.cutoffLow[slot] = cutoffMs % WORD
    return true
  }

  private isAt(slot: number, words: Words, at: number): boolean {
    const { keys } = this
    const k = slot * 4
    return (
      keys[k] === words[at] && keys[k + 1] === words[at + 1] && keys[k + 2] === words[at + 2] && keys[k + 3] === words[at + 3]
    )
  }

  private cutoffAt(slot: number): number {
    return (this.cutoffHigh[slot] as number) * WORD + (this.cutoffLow[slot] as number)
  }

  /**
   * In place: with a log that is written to steadily, this happens every second, and arrays made anew would be its garbage. What stands
   * behind an entry that goes moves up, as far as its own slot; nothing has to move beyond an empty one, so that is where it begins.
   */
  forget(nowAt: number): number {
    const { tags, capacity } = this
    let slot = tags.indexOf(0)
    let dead = 0
    let isLoose = false
    for (let seen = 1; seen < capacity; seen++) {
      if (++slot === capacity) slot = 0
      if (tags[slot] === 0) isLoose = false
      else if ((this.dropAfter[slot] as number) < nowAt) {
        this.empty(slot)
        isLoose = true
        dead++
      } else if (isLoose) this.moveUp(slot)
    }
    this.used -= dead
    return dead
  }

  private empty(slot: number): void {
    this.tags[slot] = 0
    this.cutoffHigh[slot] = 0
    this.cutoffLow[slot] = 0
    this.dropAfter[slot] = 0
  }

  private moveUp(from: number): void {
    const { tags, keys, capacity } = this
    let to = ((keys[from * 4 + 1] as number) * this.scale) | 0
    while (tags[to] !== 0) {
      if (to === from) return
      if (++to === capacity) to = 0
    }
    tags[to] = tags[from] as number
    for (let i = 0; i < 4; i++) keys[to * 4 + i] = keys[from * 4 + i] as number
    this.cutoffHigh[to] = this.cutoffHigh[from] as number
    this.cutoffLow[to] = this.cutoffLow[from] as number
    this.dropAfter[to] = this.dropAfter[from] as number
    this.empty(from)
  }

  /** A copy with room for `entries`. */
  rebuilt(entries: number): Segment {
    const copy = new Segment(this.index, entries)
    this.pourInto(copy)
    return copy
  }

  pourInto(other: Segment): boolean {
    let rose = false
    for (let slot = 0; slot < this.capacity; slot++) {
      if (this.tags[slot] === 0) continue
      rose = other.raise(this.keys, slot * 4, this.cutoffAt(slot), this.dropAfter[slot] as number) || rose
    }
    return rose
  }

  records(): Uint8Array {
    const records = new Uint8Array(this.used * RECORD_BYTES)
    const view = new DataView(records.buffer)
    let at = 0
    for (let slot = 0; slot < this.capacity; slot++) {
      if (this.tags[slot] === 0) continue
      for (let i = 0; i < 4; i++) view.setUint32(at + i * 4, this.keys[slot * 4 + i] as number)
      view.setUint16(at + 16, this.cutoffHigh[slot] as number)
      view.setUint32(at + 18, this.cutoffLow[slot] as number)
      view.setUint8(at + 22, 0)
      view.setUint32(at + 23, this.dropAfter[slot] as number)
      at += RECORD_BYTES
    }
    return records
  }
}

/** One byte of the third word, never 0. */
const tagOf = (word: number): number => word & 0xff || 1

/**
 * The smallest capacity on this segment's own ladder that holds so many entries. The ladders of the segments are shifted
 * against each other, so that they grow at different times and the table's load stays near its mean.
 */
function capacityFor(index: number, entries: number): number {
  const first = SMALLEST * GROWTH ** (index / SEGMENTS)
  let steps = Math.max(0, Math.floor(Math.log((entries + 1) / MAX_LOAD / first) / Math.log(GROWTH)))
  while (Math.floor(Math.ceil(first * GROWTH ** steps) * MAX_LOAD) < entries + 1) steps++
  return Math.ceil(first * GROWTH ** steps)
}
