/**
 * The observer of several regions. Each has a history of its own log; what was promised to people, and what validators say, is one. A
 * validator belongs to the region whose epoch it is in, and is held to the logs of all of them by the staleness that it tells.
 */
import type { LogEntry } from '@signet/authority/store/ports/revocations.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import {
  type Act,
  covers,
  History,
  type Observation,
  type RevocationFact,
  ROUNDING_MS,
  TERMINAL,
  type TokenFact,
  type Violation,
} from './history.ts'
import { EPOCH_MS } from './machine.ts'
import type { VirtualTime } from './time.ts'

/** An entry as it stands in one region's log. */
interface Placed {
  readonly atMs: number
  readonly kind: KeyKind
  readonly id: string
  readonly cutoffMs: number
  readonly dropAfter: number
  readonly act: LogEntry['act']
  /** Made in this region, not copied. */
  readonly isOwn: boolean
  readonly epoch: string
  readonly seq: number
  /** The first epoch, by index, that has it no more: it was undone, or the copy that took the log's place had it not. */
  goneIn?: number
}

/** From the moment that a region took over from another until it says that the other has returned. */
interface Takeover {
  readonly lost: string
  readonly askedMs: number
  returnedMs: number
  /** It was answered whether it is so; until then nobody looks whether it has returned. */
  isSettled: boolean
}

/** What one region did and has in its log. What it tells and judges goes to the observer of all. */
export class RegionHistory extends History {
  readonly name: string
  override readonly tokens: TokenFact[]
  override readonly revocations: RevocationFact[]
  override readonly violations: Violation[]
  readonly #all: RegionsHistory
  readonly #time: VirtualTime
  readonly placed: Placed[] = []
  readonly takeovers: Takeover[] = []
  /** The ends of another region's keys. */
  readonly ofTakeovers: RevocationFact[] = []

  constructor(name: string, time: VirtualTime, all: RegionsHistory) {
    super(time)
    this.name = name
    this.#all = all
    this.#time = time
    this.tokens = all.tokens
    this.revocations = all.revocations
    this.violations = all.violations
  }

  override tell(sentence: string): void {
    // The constructor of the base has nothing to tell.
    this.#all.tell(`[${this.name}] ${sentence}`)
  }

  override violate(invariant: string, detail: string): void {
    this.#all.violate(invariant, detail)
  }

  override asked(kind: KeyKind, id: string, act: Act, name: string): RevocationFact {
    const fact = this.#all.asked(kind, id, act, `${name} in ${this.name}`)
    this.#all.regionOf.set(fact, this.name)
    return fact
  }

  override lifted(fact: Pick<RevocationFact, 'kind' | 'id'>, isDone: boolean): void {
    this.#all.lifted(fact, isDone)
  }

  override isOurs(fact: RevocationFact): boolean {
    return this.#all.regionOf.get(fact) === this.name
  }

  override undone(fact: RevocationFact): void {
    super.undone(fact)
    for (const one of this.placed)
      if (one.isOwn && one.kind === fact.kind && one.id === fact.id && one.act === 'renew') one.goneIn ??= this.nextIndex
  }

  override began(family: string): void {
    this.#all.began(family)
  }

  override signed(token: TokenFact): void {
    this.#all.regionOf.set(token, this.name)
    super.signed(token)
  }

  override refreshed(presented: string, successor: string, name: string): void {
    this.#all.refreshed(presented, successor, name)
  }

  override answered(family: string, generation: number, beganMs: number, graceMs: number): void {
    super.answered(family, generation, beganMs, graceMs)
    this.#all.answeredAt(this, family, beganMs)
  }

  override committed(entries: readonly LogEntry[]): void {
    super.committed(entries)
    for (const entry of entries) this.#place(entry)
  }

  override begunAnew(takenMs: number, head: Pick<LogEntry, 'epoch' | 'seq'>, entries: readonly LogEntry[]): void {
    super.begunAnew(takenMs, head, entries)
    const index = this.indexOf(head.epoch) as number
    for (const one of this.placed) if (one.atMs > takenMs) one.goneIn ??= index
    // One that it had not returned from then has not returned now.
    for (const one of this.takeovers)
      if (one.askedMs <= takenMs && one.returnedMs > takenMs) one.returnedMs = Number.POSITIVE_INFINITY
    // A takeover that came after the copy is to be said again.
    for (const fact of this.ofTakeovers) if ((fact.ackMs as number) > takenMs) fact.isUndone = true
    const has = (entry: LogEntry) =>
      this.placed.some(
        ({ kind, id, cutoffMs, goneIn }) =>
          goneIn === undefined && kind === entry.kind && id === entry.target && cutoffMs === entry.cutoffMs,
      )
    for (const entry of entries) if (!has(entry)) this.#place(entry)
  }

  #place({ kind, target: id, cutoffMs, dropAfter, act, origin, epoch, seq }: LogEntry): void {
    const isOwn = origin === undefined
    this.placed.push({ atMs: this.#time.nowMs, kind, id, cutoffMs, dropAfter, act, isOwn, epoch, seq })
  }

  override restored(takenMs: number): void {
    super.restored(takenMs, (fact) => this.isOurs(fact))
    this.#all.restored(takenMs, () => false)
  }

  /** When its log first had what another region did there. */
  knewAt({ kind, id, cutoffMs = 0, askedMs, act }: RevocationFact): number | undefined {
    return this.placed.find((one) => {
      if (one.kind !== kind || one.id !== id || one.cutoffMs < cutoffMs || one.goneIn !== undefined) return false
      const isSame = one.act === act && act !== 'suspend' && cutoffMs > 0
      return one.isOwn && one.act !== 'cover' ? isSame : one.atMs >= askedMs
    })?.atMs
  }

  /** Whether it made an entry of its own for it. */
  wrote({ kind, id, act, askedMs }: RevocationFact): boolean {
    return this.placed.some((one) => one.isOwn && one.kind === kind && one.id === id && one.act === act && one.atMs >= askedMs)
  }

  get nextIndex(): number {
    return (this.heads.at(-1)?.epochIndex ?? 0) + 1
  }

  indexOf(epoch: string): number | undefined {
    return this.heads.findLast((head) => head.epoch === epoch)?.epochIndex
  }

  /** Whether that region was taken over at any time since then: its age does not count in what was said meanwhile. */
  hadTakenOver(lost: string, sinceMs: number): boolean {
    return this.takeovers.some((one) => one.lost === lost && one.returnedMs > sinceMs)
  }
}

export class RegionsHistory extends History {
  readonly regionOf = new Map<RevocationFact | TokenFact, string>()
  readonly regions: RegionHistory[] = []
  readonly #time: VirtualTime
  /** Families. */
  readonly #madeMs = new Map<string, number>()

  constructor(time: VirtualTime) {
    super(time)
    this.#time = time
  }

  region(name: string): RegionHistory {
    const known = this.regions.find((one) => one.name === name)
    if (known !== undefined) return known
    const made = new RegionHistory(name, this.#time, this)
    this.regions.push(made)
    return made
  }

  /** Which region a validator is with. */
  ofEpoch(epoch: string | undefined): RegionHistory | undefined {
    return this.regions.find((one) => epoch !== undefined && one.indexOf(epoch) !== undefined)
  }

  override digest(): string {
    for (const one of this.regions) this.tell(one.heads.map(({ atMs, seq }) => `${atMs}:${seq}`).join())
    return super.digest()
  }

  override began(family: string): void {
    this.#madeMs.set(family, this.#time.nowMs)
  }

  /** Tokens were given for a family by its home. */
  answeredAt(home: RegionHistory, family: string, beganMs: number): void {
    const madeMs = this.#madeMs.get(family) ?? Number.POSITIVE_INFINITY
    const mark = home.placed.find(({ kind, id, atMs }) => kind === 'key' && id === `region:${home.name}` && atMs > madeMs)
    if (mark === undefined || beganMs <= mark.atMs + this.mintStalenessMs) return
    this.violate(
      'a family ends with its region',
      `${family.slice(-6)} of ${home.name} was answered although its end was known there for ${(beganMs - mark.atMs).toFixed(0)} ms`,
    )
  }

  override observe(token: TokenFact, seen: Observation): void {
    this.judged++
    this.observeStaleness(seen)
    const at = this.ofEpoch(seen.position?.epoch)
    if (at === undefined) return
    if (seen.allowed) {
      const knownMs = this.#time.nowMs - seen.stalenessMs - ROUNDING_MS
      for (const fact of this.revocations) {
        const dueMs = this.#deadFrom(token, fact, at, knownMs)
        if (dueMs === undefined || dueMs > knownMs) continue
        const ago = (this.#time.nowMs - dueMs).toFixed(1)
        this.violate(
          'no token outlives its revocation',
          `${seen.validator} in ${at.name}, ${seen.stalenessMs.toFixed(1)} ms stale, accepted ${token.name} of ${this.regionOf.get(token)} ${ago} ms after it had to be dead by ${fact.name}; ${this.timesOf(token, fact)}; known in ${this.regions.map((one) => `${one.name} ${((one.knewAt(fact) ?? Number.NaN) / 1000).toFixed(3)}`)}`,
        )
        break
      }
    } else if (seen.reason === 'revoked' && !this.#isCovered(token)) {
      this.violate('nothing dies without a revocation', `${seen.validator} refused ${token.name}, which no log covers`)
    }
    if (seen.allowed || seen.reason === 'revoked') this.observeAgreement(token, seen)
  }

  /**
   * From when on a validator of that region that knows everything until then must refuse the token; undefined: never, or not yet. What the
   * region that signs had not heard of dies when it has.
   */
  #deadFrom(token: TokenFact, fact: RevocationFact, at: RegionHistory, knownMs: number): number | undefined {
    if (fact.ackMs === undefined || token.ids[fact.kind] !== fact.id || fact.isUndone === true) return undefined
    const home = this.regionOf.get(fact) as string
    const dueMs = this.#dueMs(token, fact, { home, ackMs: fact.ackMs, at, knownMs })
    if (dueMs === undefined || at.name === home || !at.hadTakenOver(home, knownMs)) return dueMs
    // What a lost region took back in its last moments is not known here.
    const knewMs = at.knewAt(fact)
    return knewMs === undefined ? undefined : Math.max(dueMs, knewMs)
  }

  #dueMs(
    token: TokenFact,
    fact: RevocationFact,
    { home, ackMs, at, knownMs }: { home: string; ackMs: number; at: RegionHistory; knownMs: number },
  ): number | undefined {
    const signer = this.region(this.regionOf.get(token) as string)
    if (signer.name === home || token.forged === true) return covers(fact, token) ? ackMs : undefined
    if (token.signedMs < fact.askedMs || fact.kind === 'token' || fact.kind === 'key') return ackMs
    // Its cover is not heard of, nor is anything else.
    if (signer !== at && at.hadTakenOver(signer.name, knownMs)) return undefined
    // One that found it suspended already wrote nothing, and is not told on.
    if (fact.act === 'suspend' && !this.region(home).wrote(fact)) return undefined
    const knewMs = signer.knewAt(fact)
    if (knewMs === undefined) return undefined
    const isOfBefore = (fact.kind === 'client' ? token.agreedMs : token.grantMadeMs) < fact.askedMs
    if (fact.act === 'revoke' && (isOfBefore || TERMINAL.includes(fact.kind))) return Math.max(ackMs, knewMs)
    if (token.signedMs < knewMs && !token.lifted) return Math.max(ackMs, knewMs)
    const isHeld = token.beganMs > knewMs && token.signedMs < (fact.endedMs ?? Number.POSITIVE_INFINITY)
    return fact.act === 'suspend' && isHeld ? Math.max(ackMs, knewMs) : undefined
  }

  #isCovered(token: TokenFact): boolean {
    return Object.entries(token.ids).some(([kind, id]) =>
      this.regions.some(({ entries }) =>
        (entries.get(id) ?? []).some((entry) => entry.kind === kind && (kind === 'key' || entry.cutoffMs >= token.issuedAtMs)),
      ),
    )
  }

  override observeStaleness(seen: Pick<Observation, 'validator' | 'stalenessMs' | 'position'>): void {
    const { validator, stalenessMs, position } = seen
    if (!Number.isFinite(stalenessMs)) return
    const at = this.ofEpoch(position?.epoch)
    if (at === undefined || position === undefined) {
      this.violate('staleness is never under-reported', `${validator} says ${stalenessMs.toFixed(1)} ms, and is nowhere`)
      return
    }
    at.observeStaleness(seen)
    const nowMs = this.#time.nowMs
    const knownMs = nowMs - stalenessMs - ROUNDING_MS
    const index = at.indexOf(position.epoch) as number
    for (const peer of this.regions) {
      if (peer === at || at.hadTakenOver(peer.name, knownMs)) continue
      for (const entry of peer.placed) {
        if (entry.atMs > knownMs) break
        if (!entry.isOwn || entry.goneIn !== undefined || EPOCH_MS + nowMs > entry.dropAfter * 1000 - EXPIRY_MS) continue
        const isThere = at.placed.some(
          (one) =>
            one.kind === entry.kind &&
            one.id === entry.id &&
            one.cutoffMs >= entry.cutoffMs &&
            (((at.indexOf(one.epoch) as number) < index && (one.goneIn ?? Number.POSITIVE_INFINITY) > index) ||
              (one.epoch === position.epoch && one.seq <= position.seq)),
        )
        if (isThere) continue
        this.violate(
          'staleness is never under-reported',
          `${validator} in ${at.name} says ${stalenessMs.toFixed(1)} ms at ${position.seq}, where the entry on ${entry.kind} ${entry.id.slice(-6)} is not that ${peer.name} has had for ${(nowMs - entry.atMs).toFixed(0)} ms`,
        )
        return
      }
    }
  }
}

/** What is over, or nearly, another region need not take over any more. */
const EXPIRY_MS = 2000
