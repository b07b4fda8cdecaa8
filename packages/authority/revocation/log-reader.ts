/**
 * Reads on in the revocation log and takes what is new into the registry's view: woken by the bus, by commits of this node's own, and by a
 * poll that needs neither. Knows up to where and since when everything was read. The loss of the store ends nothing: it looks again.
 */
import type { WokenBy } from '@signet/bus/bus.ts'
import type { BatchOutcome, Position, RevocationView } from '@signet/kernel/revocation-view.ts'
import { encodeRecords } from '@signet/kernel/snapshot.ts'
import { epochSeconds, type Timer } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { LearnedBy, RegistryFollower, RegistryParts } from './registry.ts'
import { poisonGuardMsOf, slackMsOf } from './rules.ts'
import { type IssuerStanding, issuerStanding } from './standing.ts'
import type { Moment, StoreClock } from './store-clock.ts'
import { createWitness, type Witness } from './witness.ts'

/** Entries read at once. */
const PAGE = 1000
/** Entries that wait for what comes before them; when there are more, they are read. */
const MAX_AHEAD = 1000
/** What is missing between what was told is waited for so long before it is looked for. */
const GAP_MS = 10
/** A look that takes longer is given up; its answer no longer counts. */
const PATIENCE_MS = 5000

export class LogReader {
  readonly witness: Witness
  /** How the whole issuer stood when it was last read. */
  standing: IssuerStanding = { status: 'active', cutoffMs: 0, revokedMs: 0, familiesEndedMs: 0 }
  /** As `Registry` says it: follows the largest cutoff applied once the issuer's standing is as new. */
  reachMs = 0
  /** When the last look began that found everything; undefined before that. */
  fresh: Moment | undefined
  readonly #view: RevocationView
  readonly #parts: RegistryParts
  readonly #storeClock: StoreClock
  readonly #pollMs: number
  readonly #followers = new Set<RegistryFollower>()
  #standingIsOld = true
  /** The largest cutoff applied. */
  #appliedMs = 0
  #looking: Promise<void> | undefined
  #wanted = false
  /** Raised with each look; an older look that is still under way has been given up. */
  #look = 0
  #lost = false
  /** What the look under way was begun by. */
  #by: LearnedBy = 'poll'
  /** Told of before what comes before it; of this epoch, and by number. */
  #ahead: { readonly epoch: string; readonly bySeq: Map<number, LogEntry> } = { epoch: '', bySeq: new Map() }
  /** When what is missing before it is looked for. */
  #gap: Timer | undefined
  #closed = false
  #timer: Timer | undefined
  readonly #subscriptions: readonly { stop(): void }[]

  constructor(view: RevocationView, storeClock: StoreClock, parts: RegistryParts) {
    this.#view = view
    this.#storeClock = storeClock
    this.#parts = parts
    // Four looks within the age that minting bears.
    this.#pollMs = Math.min(1000, Math.max(50, parts.settings.mintStalenessMilliseconds / 4))
    this.witness = createWitness(slackMsOf(parts.settings))
    this.#subscriptions = [
      parts.bus.subscribe('revocations', (by, along) => this.#wake(by, along)),
      parts.store.revocations.followCommits((entries) => this.#takeOwn(entries)),
    ]
  }

  /** The first look, which must succeed: throws what the store throws. */
  async start(): Promise<void> {
    const first = this.#readOn(++this.#look)
    this.#looking = first.catch(() => {}) // Whoever wakes us meanwhile waits for it.
    try {
      await first
    } finally {
      this.#looking = undefined
    }
    this.#scheduleNext()
  }

  /** As `Registry` says it. */
  follow(follower: RegistryFollower): { stop(): void } {
    const one = { applied: follower.applied.bind(follower), reset: follower.reset.bind(follower) }
    this.#followers.add(one)
    return { stop: () => void this.#followers.delete(one) }
  }

  /** As `Registry` says it. */
  async lookNow(until?: Position): Promise<void> {
    const isApplied = () => until !== undefined && this.#position(until.epoch) >= until.seq
    if (isApplied()) return
    if (this.#looking !== undefined) await this.#looking
    if (isApplied()) return
    if (!this.#closed) await this.#startLook(true)
  }

  close(): void {
    this.#closed = true
    this.#look++
    for (const subscription of this.#subscriptions) subscription.stop()
    this.#timer?.cancel()
    this.#gap?.cancel()
    this.#followers.clear()
  }

  // ── When to look ──

  #wake(by: WokenBy, along: readonly Uint8Array[]): void {
    // What this node commits it is told. A file on this machine is its alone: nobody else can have put anything there.
    if (this.#closed || by === 'own' || this.#parts.store.engine === 'sqlite') return
    const isTold = by === 'telling' && along.every((bytes) => this.#hear(this.#parts.tidings?.open(bytes) ?? []))
    if (isTold) this.#takeAhead('wake_up')
    else this.#lookSoon()
  }

  #lookSoon(): void {
    if (this.#looking === undefined) void this.#startLook(true)
    else this.#wanted = true
  }

  #startLook(woken: boolean): Promise<void> {
    this.#looking ??= this.#lookOnce(woken).finally(() => {
      this.#looking = undefined
      this.#scheduleNext()
    })
    return this.#looking
  }

  #scheduleNext(): void {
    this.#timer?.cancel()
    if (this.#closed) return
    const { timers } = this.#parts
    this.#timer = timers.after(this.#pollMs, () => void this.#startLook(false))
    if (this.#wanted) timers.soon(() => !this.#closed && void this.#startLook(true))
    this.#wanted = false
  }

  /** Ends within the patience, whatever the store does; never fails. */
  async #lookOnce(woken: boolean): Promise<void> {
    const look = ++this.#look
    this.#by = woken ? 'wake_up' : 'poll'
    const patience = Promise.withResolvers<never>()
    const timer = this.#parts.timers.after(PATIENCE_MS, () => patience.reject(new Error('the store did not answer in time')))
    try {
      await Promise.race([this.#readOn(look), patience.promise])
      if (this.#lost && !this.#closed) this.#parts.observe?.found?.()
      this.#lost = false
    } catch (cause) {
      this.#look++ // What is still under way is given up.
      if (!this.#lost && !this.#closed) this.#parts.observe?.lost?.(cause)
      this.#lost = true
    } finally {
      timer.cancel()
    }
  }

  // ── Looking ──

  async #readOn(look: number): Promise<void> {
    const { store, clock } = this.#parts
    const asked = { wall: clock.now(), monotonic: clock.monotonic() }
    const before = this.#view.position
    const [{ head, entries }] = await Promise.all([
      store.revocations.since(before?.seq ?? 0, PAGE),
      this.#storeClock.measure(asked),
    ])
    this.#assertCurrent(look)
    if (before?.epoch === head.epoch && before.seq > head.seq) {
      throw new Error(`the log went back from ${before.seq} to ${head.seq}: entries were lost, and a new epoch has to begin`)
    }
    if (before?.epoch !== head.epoch || before.seq < head.floor) await this.#readAnew(look)
    else if (entries.length > 0) await this.#apply(look, entries)
    for (let seq = -1; this.#position(head.epoch) < head.seq && this.#position(head.epoch) > seq; ) {
      seq = this.#position(head.epoch)
      const entries = await store.revocations.after(seq, PAGE)
      this.#assertCurrent(look)
      await this.#apply(look, entries)
    }
    if (this.#standingIsOld) await this.#readStanding(look)
    this.reachMs = this.#appliedMs
    if (this.#position(head.epoch) >= head.seq) this.fresh = asked
    this.#takeAhead('wake_up')
  }

  /** The last number applied in this epoch; -1 while we are in another. */
  #position(epoch: string): number {
    return this.#view.position?.epoch === epoch ? this.#view.position.seq : -1
  }

  async #apply(look: number, read: readonly LogEntry[]): Promise<void> {
    const { epoch, seq } = this.#view.position as Position
    // What we have committed ourselves since we asked is known already.
    const entries = read.filter((entry) => entry.epoch !== epoch || entry.seq > seq)
    if (entries.length === 0 && read.length > 0) return
    // They went, or the epoch did, between two questions.
    if (!this.#follows(entries)) return this.#readAnew(look)
    const outcome = this.#takeIn(entries, this.#by)
    if (outcome !== 'applied') throw new Error(`entries ${seq + 1} to ${seq + entries.length} of the log are ${outcome}`)
    this.#standingIsOld ||= entries.some((entry) => this.#isWide(entry))
  }

  // ── Being told ──

  /** A commit of this node, by its own word, which the others are told too. Nothing, when it began another epoch. */
  #takeOwn(entries: readonly LogEntry[]): void {
    const { bus, timers, tidings } = this.#parts
    if (this.#hear(entries)) {
      this.#takeAhead('commit')
      bus.publish('revocations', tidings && (() => tidings.seal(entries)))
    } else {
      // In a turn of its own: whoever waits for his commit is answered first.
      timers.soon(() => !this.#closed && this.#lookSoon())
      bus.publish('revocations')
    }
  }

  /** Keeps what was committed until it is its turn. False when a look is needed: another epoch, the whole issuer, too much. */
  #hear(entries: readonly LogEntry[]): boolean {
    const { position } = this.#view
    if (position === undefined || entries.length === 0) return false
    if (entries.some((entry) => entry.epoch !== position.epoch || this.#isWide(entry))) return false
    if (this.#ahead.epoch !== position.epoch) this.#ahead = { epoch: position.epoch, bySeq: new Map() }
    const { bySeq } = this.#ahead
    if (bySeq.size + entries.length > MAX_AHEAD) return false
    for (const entry of entries) if (entry.seq > position.seq) bySeq.set(entry.seq, entry)
    return true
  }

  /**
   * Takes in what follows on what is known; it need not be read again. What is missing before the rest is on its way, as a rule: others have
   * committed in between.
   */
  #takeAhead(by: LearnedBy): void {
    const { position } = this.#view
    if (position === undefined || this.#ahead.bySeq.size === 0) return
    const { bySeq } = this.#ahead
    if (this.#ahead.epoch !== position.epoch) bySeq.clear()
    for (const seq of bySeq.keys()) if (seq <= position.seq) bySeq.delete(seq)
    const next: LogEntry[] = []
    for (let entry = bySeq.get(position.seq + 1); entry !== undefined; entry = bySeq.get(entry.seq + 1)) next.push(entry)
    if (next.length > 0) {
      for (const { seq } of next) bySeq.delete(seq)
      if (this.#takeIn(next, by) !== 'applied') this.#lookSoon()
      else if (!this.#standingIsOld) this.reachMs = this.#appliedMs
    }
    if (bySeq.size > 0)
      this.#gap ??= this.#parts.timers.after(GAP_MS, () => {
        this.#gap = undefined
        if (!this.#closed && this.#ahead.bySeq.size > 0) this.#lookSoon()
      })
  }

  #follows(entries: readonly LogEntry[]): boolean {
    const { position } = this.#view
    if (position === undefined || entries.length === 0) return false
    return entries.every((entry, n) => entry.seq === position.seq + 1 + n && entry.epoch === position.epoch)
  }

  // ── Taking in ──

  /** On the issuer itself, or on a key, which may say that another region took over from us: then its standing is to be read. */
  #isWide({ kind, issuer }: LogEntry): boolean {
    return (kind === 'issuer' || kind === 'key') && issuer === this.#parts.issuer
  }

  /** Takes in what follows, and tells of it. */
  #takeIn(entries: readonly LogEntry[], by: LearnedBy): BatchOutcome {
    const first = entries[0] as LogEntry
    const { epoch, seq: from } = first
    const to = from + entries.length - 1
    const saltVersion = this.#view.salt?.version ?? 0
    const outcome = this.#view.applyBatch({ epoch, from, to, saltVersion, entries }, this.#limit())
    if (outcome !== 'applied') return outcome
    const storeNowMs = this.#storeClock.nowMs()
    this.witness.saw(entries, storeNowMs)
    for (const { cutoffMs } of entries) this.#appliedMs = Math.max(this.#appliedMs, cutoffMs)
    this.#parts.observe?.learned?.(by, Math.max(0, storeNowMs - first.atMs))
    for (const follower of this.#followers) follower.applied(epoch, entries)
    return outcome
  }

  async #readStanding(look: number): Promise<void> {
    const standing = await issuerStanding(this.#parts.store)
    this.#assertCurrent(look)
    this.standing = standing
    this.#standingIsOld = false
  }

  async #readAnew(look: number): Promise<void> {
    const { store, clock } = this.#parts
    const { head, entries } = await store.revocations.snapshot(epochSeconds(clock.now()))
    this.#assertCurrent(look)
    const snapshot = { epoch: head.epoch, seq: head.seq, salt: head.salt, records: encodeRecords(entries) }
    const outcome = this.#view.replace(snapshot, this.#limit())
    if (outcome === 'poisoned' || outcome === 'full') throw new Error(`the log's snapshot at ${head.seq} is ${outcome}`)
    this.#standingIsOld = true
    this.#appliedMs = head.cutoffMs
    // A commit of our own may have taken us further meanwhile.
    const position = this.#view.position as Position
    this.witness.begin(position)
    for (const follower of this.#followers) follower.reset(position)
  }

  #limit(): { nowMs: number; guardMs: number } {
    return { nowMs: this.#parts.clock.now(), guardMs: poisonGuardMsOf(this.#parts.settings) }
  }

  #assertCurrent(look: number): void {
    if (look !== this.#look) throw new Error('this look was given up')
  }
}
