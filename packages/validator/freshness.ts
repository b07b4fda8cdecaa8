/**
 * How old one's knowledge is. It is as fresh as the send time of the last question "what is your head?" whose answer has been
 * wholly applied; the answering party adds its own age. No other machine's clock is believed, and of one's own two the one
 * that says older: the monotonic one stops in a suspended machine, the wall clock jumps.
 */
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'

/** A moment by both clocks. */
export interface Moment {
  readonly wallMs: number
  readonly monotonicMs: number
}

/** A completed question. */
export interface Answer {
  readonly sent: Moment
  readonly epoch: string
  readonly seq: number
  readonly ageMs: number
}

/** Answers that wait for their batches; a later one that waits too is worth more than an old one that does. */
const MAX_WAITING = 16

export class FreshnessProof {
  private readonly clock: Clock
  private epoch: string | undefined
  private sentWallMs = 0
  private sentMonotonicMs = 0
  private ageMs = Number.POSITIVE_INFINITY
  private waiting: Answer[] = []

  constructor(clock: Clock) {
    this.clock = clock
  }

  moment(): Moment {
    return { wallMs: this.clock.now(), monotonicMs: this.clock.monotonic() }
  }

  /** Milliseconds since everything was known; Infinity when it never was. */
  stalenessMs(): number {
    if (this.ageMs === Number.POSITIVE_INFINITY) return this.ageMs
    const byMonotonic = this.clock.monotonic() - this.sentMonotonicMs
    const byWall = this.clock.now() - this.sentWallMs
    return Math.max(byMonotonic, byWall, 0) + this.ageMs
  }

  /** A question was answered. It counts once its `seq` has been applied. */
  answered(answer: Answer, applied: Position | undefined): void {
    this.waiting.push(answer)
    if (this.waiting.length > MAX_WAITING) this.waiting.shift()
    this.applied(applied)
  }

  /** The position moved, or the epoch changed: what was known of another epoch proves nothing about this one. */
  applied(position: Position | undefined): void {
    if (position === undefined) return
    if (this.epoch !== position.epoch) {
      this.epoch = position.epoch
      this.ageMs = Number.POSITIVE_INFINITY
    }
    let kept = 0
    for (const answer of this.waiting) {
      const counts = answer.epoch === position.epoch && answer.seq <= position.seq
      if (counts) this.prove(answer)
      else this.waiting[kept++] = answer
    }
    this.waiting.length = kept
  }

  /** How long the oldest answer of this epoch has been waiting for its batches, milliseconds; 0 when none is. */
  lagMs(epoch: string): number {
    const oldest = this.waiting.find((answer) => answer.epoch === epoch)
    return oldest === undefined ? 0 : this.clock.monotonic() - oldest.sent.monotonicMs
  }

  /** Wall time at which everything was known, to be kept with what is kept on disk; undefined when it never was. */
  freshAtMs(): number | undefined {
    const stalenessMs = this.stalenessMs()
    return stalenessMs === Number.POSITIVE_INFINITY ? undefined : this.clock.now() - stalenessMs
  }

  /** Goes on from what was kept on disk. A time that lies ahead proves that a clock was set: it counts for nothing. */
  restore(epoch: string, freshAtMs: number): void {
    const age = this.clock.now() - freshAtMs
    if (!(age >= 0)) return
    this.epoch = epoch
    this.sentWallMs = this.clock.now()
    this.sentMonotonicMs = this.clock.monotonic()
    this.ageMs = age
  }

  /** Answers may come out of order: only a fresher one replaces what is proven. */
  private prove(answer: Answer): void {
    const staleness =
      Math.max(this.clock.monotonic() - answer.sent.monotonicMs, this.clock.now() - answer.sent.wallMs) + answer.ageMs
    if (staleness > this.stalenessMs()) return
    this.sentWallMs = answer.sent.wallMs
    this.sentMonotonicMs = answer.sent.monotonicMs
    this.ageMs = answer.ageMs
  }
}
