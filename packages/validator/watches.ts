/**
 * Who wants to know when a token dies: an application that holds a WebSocket, a stream or a cache for it. Watches are found by the
 * keys of their tokens, so a batch of revocations costs its own length, however many are watched; expiry and staleness cost a
 * look at one list a second.
 */

import type { KeyKind } from '@signet/kernel/revocation.ts'
import { readWords } from '@signet/kernel/revocation-table.ts'
import type { RevocationView, ViewChange } from '@signet/kernel/revocation-view.ts'
import type { Clock, Timer, Timers } from '@signet/kernel/surroundings.ts'
import { createKeyer, type Keyer } from '@signet/kernel/token-keys.ts'
import { sha256, sha256Text } from './surroundings.ts'
import { keysOf, type SeenToken } from './token.ts'

/** Why a watched token is no good any more. `stale`: we no longer know well enough; it may be good. */
export type TokenEnd =
  | { readonly reason: 'revoked'; readonly kind: KeyKind }
  | { readonly reason: 'expired' }
  | { readonly reason: 'stale'; readonly stalenessMs: number }

interface Watch {
  readonly seen: SeenToken
  readonly boundMs: number
  readonly onEnd: (end: TokenEnd) => void
  /** Second in whose list it stands: the one after its token has died. */
  readonly second: number
  places: readonly number[]
  isOver: boolean
}

export interface WatchesParts {
  readonly view: RevocationView
  readonly clock: Clock
  readonly timers: Timers
  readonly capacity: number
  revocationOf(seen: SeenToken): KeyKind | undefined
  stalenessMs(): number
  /** `onEnd` of an application threw. */
  onTrouble(cause: unknown): void
}

const TICK_MS = 1000

export class Watches {
  private readonly parts: WatchesParts
  private readonly keyer: Keyer = createKeyer(sha256, sha256Text)
  private readonly all = new Set<Watch>()
  /** By a number cut from the key's digest: two keys that share it cost a second look, never a wrong answer. */
  private readonly byPlace = new Map<number, Set<Watch>>()
  private readonly bySecond = new Map<number, Set<Watch>>()
  private readonly byBound = new Map<number, Set<Watch>>()
  private lastSecond: number
  private timer: Timer | undefined
  private readonly unsubscribe: () => void

  constructor(parts: WatchesParts) {
    this.parts = parts
    this.lastSecond = this.second(parts.clock.now())
    this.unsubscribe = parts.view.subscribe((change) => this.changed(change))
  }

  get size(): number {
    return this.all.size
  }

  /**
   * Calls `onEnd` once, when the token dies or knowledge of it grows older than `boundMs`; returns the way to stop. Throws a
   * RangeError beyond the capacity: then do not accept the connection.
   */
  add(seen: SeenToken, boundMs: number, onEnd: (end: TokenEnd) => void): () => void {
    if (this.all.size >= this.parts.capacity) throw new RangeError(`more than ${this.parts.capacity} watched tokens`)
    // A clock that was set back must not put it in a second that was already looked at.
    const second = Math.max(this.lastSecond + 1, this.second(seen.deadAtMs) + 1)
    const watch: Watch = { seen, boundMs, onEnd, second, places: [], isOver: false }
    this.all.add(watch)
    this.place(watch)
    put(this.bySecond, second, watch)
    if (boundMs !== Number.POSITIVE_INFINITY) put(this.byBound, boundMs, watch)
    this.timer ??= this.parts.timers.after(TICK_MS, () => this.tick())
    // It may have died between the verdict and now.
    this.parts.timers.soon(() => this.look(watch))
    return () => this.remove(watch)
  }

  /** Lets go of all without telling: the validator closes. */
  close(): void {
    this.unsubscribe()
    this.timer?.cancel()
    this.timer = undefined
    for (const watch of [...this.all]) this.remove(watch)
  }

  private second(ms: number): number {
    return Math.floor(ms / 1000)
  }

  private look(watch: Watch): void {
    if (watch.isOver) return
    const kind = this.parts.revocationOf(watch.seen)
    if (kind !== undefined) this.end(watch, { reason: 'revoked', kind })
    else if (this.parts.clock.now() >= watch.seen.deadAtMs) this.end(watch, { reason: 'expired' })
  }

  private changed(change: ViewChange): void {
    if (this.all.size === 0) return
    if (change.kind === 'all') {
      // Perhaps another salt: every place is anew.
      this.byPlace.clear()
      for (const watch of [...this.all]) {
        this.place(watch)
        this.look(watch)
      }
      return
    }
    for (const { key } of change.entries) {
      const found = this.byPlace.get(placeOfBytes(key))
      if (found !== undefined) for (const watch of [...found]) this.look(watch)
    }
  }

  private tick(): void {
    const { clock, timers } = this.parts
    const now = this.second(clock.now())
    if (now - this.lastSecond > this.bySecond.size) {
      // The clock jumped: rather all the lists there are than all the seconds there were.
      for (const second of [...this.bySecond.keys()]) if (second <= now) this.expire(second)
    } else for (let second = this.lastSecond + 1; second <= now; second++) this.expire(second)
    this.lastSecond = Math.max(this.lastSecond, now)

    const stalenessMs = this.parts.stalenessMs()
    for (const [boundMs, watches] of this.byBound) {
      if (stalenessMs > boundMs) for (const watch of [...watches]) this.end(watch, { reason: 'stale', stalenessMs })
    }
    this.timer = this.all.size === 0 ? undefined : timers.after(TICK_MS, () => this.tick())
  }

  private expire(second: number): void {
    for (const watch of [...(this.bySecond.get(second) ?? [])]) this.end(watch, { reason: 'expired' })
    this.bySecond.delete(second)
  }

  private end(watch: Watch, end: TokenEnd): void {
    if (watch.isOver) return
    this.remove(watch)
    try {
      watch.onEnd(end)
    } catch (cause) {
      this.parts.onTrouble(cause)
    }
  }

  private place(watch: Watch): void {
    const { salt } = this.parts.view
    if (salt === undefined) return
    const { words, kinds } = this.keyer.passing(salt, keysOf(watch.seen))
    const places: number[] = []
    for (let at = 0; at < kinds.length * 4; at += 4) places.push(placeOf(words[at] as number, words[at + 1] as number))
    watch.places = places
    for (const place of places) put(this.byPlace, place, watch)
  }

  private remove(watch: Watch): void {
    if (watch.isOver) return
    watch.isOver = true
    this.all.delete(watch)
    for (const place of watch.places) take(this.byPlace, place, watch)
    take(this.byBound, watch.boundMs, watch)
    take(this.bySecond, watch.second, watch)
  }
}

/** 53 bits of the digest, which is what a number holds. */
const placeOf = (w0: number, w1: number): number => w0 * 2 ** 21 + (w1 >>> 11)
const keyWords = new Uint32Array(4)
function placeOfBytes(key: Uint8Array): number {
  readWords(key, 0, keyWords)
  return placeOf(keyWords[0] as number, keyWords[1] as number)
}

function put(map: Map<number, Set<Watch>>, at: number, watch: Watch): void {
  const set = map.get(at)
  if (set === undefined) map.set(at, new Set([watch]))
  else set.add(watch)
}

function take(map: Map<number, Set<Watch>>, at: number, watch: Watch): void {
  const set = map.get(at)
  if (set?.delete(watch) && set.size === 0) map.delete(at)
}
