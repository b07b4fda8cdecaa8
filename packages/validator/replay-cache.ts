/**
 * The memory of used proofs, bounded, and closed when full: it never forgets a proof that could still be used, it refuses
 * new ones instead. So that one sender cannot fill it for all others, each key may hold a share only; a validator asks it last,
 * after the token and the proof have been found good, so nobody without a valid token gets anything into it.
 */
import type { Clock } from '@signet/kernel/surroundings.ts'

export type ReplayAnswer = 'fresh' | 'replayed' | 'full'

interface Slice {
  readonly endsMs: number
  readonly seen: Set<string>
  readonly perKey: Map<string, number>
}

export class ReplayCache {
  private readonly clock: Clock
  private readonly capacity: number
  private readonly perKeyCapacity: number
  private readonly sliceMs: number
  /** By the end of the slice, which is when all in it are over. At most a few dozen: proofs live a minute or two. */
  private readonly slices = new Map<number, Slice>()
  private held = 0

  /**
   * `capacity` proofs in all (500 000 unless given: 7 000 a second at a life of 70 s, some 80 bytes each), `perKeyCapacity` of
   * one key (a quarter of it). Memory is given back in slices of `sliceSeconds` (10).
   */
  constructor(options: { clock: Clock; capacity?: number; perKeyCapacity?: number; sliceSeconds?: number }) {
    this.clock = options.clock
    this.capacity = options.capacity ?? 500_000
    this.perKeyCapacity = options.perKeyCapacity ?? Math.ceil(this.capacity / 4)
    this.sliceMs = (options.sliceSeconds ?? 10) * 1000
  }

  get size(): number {
    return this.held
  }

  /** Remembers a proof until `usableUntilMs`; `fresh` exactly once. `jkt` names the key whose share it takes. */
  remember(proof: { readonly replayKey: Uint8Array; readonly jkt: string; readonly usableUntilMs: number }): ReplayAnswer {
    this.dropPast()
    // latin1 makes a one-byte string of it: 16 of the 32 bytes are plenty against chance, and nobody gains by a collision.
    const id = Buffer.from(proof.replayKey.buffer, proof.replayKey.byteOffset, 16).toString('latin1')
    for (const slice of this.slices.values()) if (slice.seen.has(id)) return 'replayed'
    if (this.held >= this.capacity || this.heldBy(proof.jkt) >= this.perKeyCapacity) return 'full'
    const index = Math.floor(proof.usableUntilMs / this.sliceMs) + 1
    let slice = this.slices.get(index)
    if (slice === undefined) {
      slice = { endsMs: index * this.sliceMs, seen: new Set(), perKey: new Map() }
      this.slices.set(index, slice)
    }
    slice.seen.add(id)
    slice.perKey.set(proof.jkt, (slice.perKey.get(proof.jkt) ?? 0) + 1)
    this.held++
    return 'fresh'
  }

  private dropPast(): void {
    const nowMs = this.clock.now()
    for (const [index, slice] of this.slices) {
      if (slice.endsMs > nowMs) continue
      this.held -= slice.seen.size
      this.slices.delete(index)
    }
  }

  private heldBy(jkt: string): number {
    let count = 0
    for (const slice of this.slices.values()) count += slice.perKey.get(jkt) ?? 0
    return count
  }
}
