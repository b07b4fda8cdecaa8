/**
 * What this node knows of the revocation log: the registry. It follows the store, woken by the bus and by a poll
 * that needs no bus, and says how old its knowledge is. It outlives the loss of the store; its age then grows, and minting
 * stops by it.
 */
import type { Bus } from '@signet/bus/bus.ts'
import { fault } from '@signet/kernel/errors.ts'
import { type KeyKind, revocationKey, type Salt } from '@signet/kernel/revocation.ts'
import { type BatchOutcome, createRevocationView, type Position, type RevocationView } from '@signet/kernel/revocation-view.ts'
import { encodeRecords } from '@signet/kernel/snapshot.ts'
import { type Clock, epochSeconds, type Sha256, type Timer, type Timers } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'
import { poisonGuardMsOf, type RevocationSettings, slackMsOf } from './rules.ts'
import { type IssuerStanding, issuerStanding } from './standing.ts'
import { createWitness } from './witness.ts'

export interface Registry {
  readonly view: RevocationView
  /** Undefined until the store was read for the first time. */
  readonly position: Position | undefined
  /** Cutoff of one of our own ids, epoch milliseconds; 0 when there is none. What is issued now must be issued after it. */
  cutoffMs(kind: KeyKind, id: string): number
  /** The same of the largest of these scopes; cheap, since every token that is issued asks. */
  scopeCutoffMs(names: readonly string[]): number
  /** How the whole issuer stands: grants made at or before its `revokedMs` have ended. */
  issuerStanding(): IssuerStanding
  /**
   * The largest cutoff up to which this node has heard of everything, epoch milliseconds. Later commits have larger ones (revoke.ts), so
   * whoever meets a cutoff past it, in a record that was read just now, knows of something without what came before it.
   */
  readonly reachMs: number
  /** Milliseconds since everything was known for certain; Infinity before that. */
  ageMs(): number
  /** The store's clock minus this node's, milliseconds, as last measured; undefined before that. */
  clockOffsetMs(): number | undefined
  /** Throws a fault when this node's knowledge or clock is beyond what the guard covers: it must not mint. */
  assertMayMint(): void
  /** Whether this node saw the entry arrive while its cutoff still lay far enough ahead (ADR 5). */
  sawInTime(epoch: string, seq: number): boolean
  /** An entry of this node's own came too late to be acknowledged, although it was seen here in time: it is to count as late. */
  foundLate(epoch: string, seq: number): void
  /** `fn` hears of what was applied, in order, after it was. */
  follow(follower: RegistryFollower): { stop(): void }
  /** Looks at the store now; resolves when a look that began after the call has ended, well or not, or once `until` is applied. */
  lookNow(until?: Position): Promise<void>
  close(): void
}

export interface RegistryFollower {
  /** These entries, dense and in order, were applied; the first follows the last of the call before. */
  applied(epoch: string, entries: readonly LogEntry[]): void
  /** The registry was read anew: another epoch, or entries that had gone. */
  reset(position: Position): void
}

export interface RegistryParts {
  readonly store: Pick<Store, 'engine' | 'now' | 'revocations' | 'meta'>
  readonly settings: RevocationSettings
  readonly issuer: string
  readonly bus: Bus
  readonly clock: Clock
  readonly timers: Timers
  readonly sha256: Sha256
  readonly observe?: RegistryObserver
}

/** What happened, for log and metrics; all optional. */
export interface RegistryObserver {
  /** The log could not be followed; said once, until it could again. */
  lost?(cause: unknown): void
  found?(): void
  /**
   * Entries were learned `milliseconds` after the commit of the first: from this node's own commit, from a wake-up of the bus or, when
   * none came, by a poll.
   */
  learned?(by: LearnedBy, milliseconds: number): void
}

export type LearnedBy = 'commit' | 'wake_up' | 'poll'

/** Entries read at once. */
const PAGE = 1000
/** A look that takes longer is given up; its answer no longer counts. */
const PATIENCE_MS = 5000
/** Forgetting goes round the table in shares, so that it never takes long. */
const FORGET_MS = 1000
const FORGET_SHARE = 1 / 32
const CLOCK_MS = 5000
/** Digests of scopes remembered. */
const MAX_SCOPE_KEYS = 1024
/** A wall clock that moved by this against the monotonic one was set: it is measured again at once. */
const STEP_MS = 20

interface Moment {
  readonly wall: number
  readonly monotonic: number
}

/** Reads the log for the first time. Throws what the store throws: a node does not start without it. */
export async function openRegistry(parts: RegistryParts): Promise<Registry> {
  const registry = new LiveRegistry(parts)
  try {
    await registry.start()
  } catch (cause) {
    registry.close()
    throw cause
  }
  return registry
}

class LiveRegistry implements Registry {
  readonly view = createRevocationView()
  readonly #parts: RegistryParts
  readonly #pollMs: number
  readonly #followers = new Set<RegistryFollower>()
  readonly #witness: ReturnType<typeof createWitness>
  #standing: IssuerStanding = { status: 'active', cutoffMs: 0, revokedMs: 0, familiesEndedMs: 0 }
  #standingIsOld = true
  #scopeKeys: { salt: Salt | undefined; byName: Map<string, Uint8Array> } = { salt: undefined, byName: new Map() }
  /** The largest cutoff applied, and the one that `reachMs` says: it follows once the issuer's standing is as new. */
  #appliedMs = 0
  reachMs = 0
  #fresh: Moment | undefined
  /** As measured when this node's clocks showed `at`. */
  #offset: { readonly milliseconds: number; readonly give: number; readonly at: Moment } | undefined
  #looking: Promise<void> | undefined
  #wanted = false
  /** Raised with each look; an older look that is still under way has been given up. */
  #look = 0
  #lost = false
  /** What the look under way was begun by. */
  #by: LearnedBy = 'poll'
  /** A commit of our own was not taken in as it was told, so the next wake-up has something to find. */
  #leftOut = false
  #closed = false
  #timer: Timer | undefined
  #forgetting: Timer | undefined
  readonly #subscriptions: readonly { stop(): void }[]

  constructor(parts: RegistryParts) {
    this.#parts = parts
    // Four looks within the age that minting bears.
    this.#pollMs = Math.min(1000, Math.max(50, parts.settings.mintStalenessMilliseconds / 4))
    this.#witness = createWitness(slackMsOf(parts.settings))
    this.#subscriptions = [
      parts.bus.subscribe('revocations', () => this.#wake()),
      parts.store.revocations.followCommits((entries) => this.#takeOwn(entries)),
    ]
  }

  async start(): Promise<void> {
    const first = this.#readOn(++this.#look)
    this.#looking = first.catch(() => {}) // Whoever wakes us meanwhile waits for it.
    try {
      await first
    } finally {
      this.#looking = undefined
    }
    this.#scheduleNext()
    this.#forgetLater()
  }

  get position(): Position | undefined {
    return this.view.position
  }

  cutoffMs(kind: KeyKind, id: string): number {
    const { salt } = this.view
    return salt === undefined ? 0 : this.view.cutoff(revocationKey(this.#parts.sha256, salt, kind, this.#parts.issuer, id))
  }

  scopeCutoffMs(names: readonly string[]): number {
    const { salt } = this.view
    if (salt === undefined) return 0
    if (this.#scopeKeys.salt !== salt || this.#scopeKeys.byName.size > MAX_SCOPE_KEYS)
      this.#scopeKeys = { salt, byName: new Map() }
    const { byName } = this.#scopeKeys
    let largestMs = 0
    for (const name of names) {
      let key = byName.get(name)
      if (key === undefined) {
        key = revocationKey(this.#parts.sha256, salt, 'scope', this.#parts.issuer, name)
        byName.set(name, key)
      }
      largestMs = Math.max(largestMs, this.view.cutoff(key))
    }
    return largestMs
  }

  issuerStanding(): IssuerStanding {
    return this.#standing
  }

  ageMs(): number {
    if (this.#fresh === undefined) return Number.POSITIVE_INFINITY
    const { clock } = this.#parts
    // The larger of the two: one clock stands still while the machine sleeps, the other jumps.
    return Math.max(0, clock.now() - this.#fresh.wall, clock.monotonic() - this.#fresh.monotonic)
  }

  clockOffsetMs(): number | undefined {
    return this.#offset === undefined ? undefined : Math.round(this.#offset.milliseconds - this.#steppedMs())
  }

  assertMayMint(): void {
    const { settings } = this.#parts
    if (this.ageMs() > settings.mintStalenessMilliseconds) throw fault('store_unavailable')
    const give = this.#offset?.give ?? 0
    if (Math.abs(this.clockOffsetMs() ?? 0) - give > settings.clockOffsetMilliseconds)
      throw fault('clock_unsure', { retryAfterSeconds: 5 })
  }

  sawInTime(epoch: string, seq: number): boolean {
    return this.#witness.sawInTime(epoch, seq)
  }

  foundLate(epoch: string, seq: number): void {
    this.#witness.foundLate(epoch, seq)
  }

  follow(follower: RegistryFollower): { stop(): void } {
    const one = { applied: follower.applied.bind(follower), reset: follower.reset.bind(follower) }
    this.#followers.add(one)
    return { stop: () => void this.#followers.delete(one) }
  }

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
    this.#forgetting?.cancel()
    this.#followers.clear()
  }

  // ── When to look ──

  #wake(): void {
    if (this.#closed) return
    // A file on this machine is this node's alone: nobody else can have put anything there.
    if (this.#parts.store.engine === 'sqlite' && !this.#leftOut) return
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
      await Promise.race([this.#readOn(look, woken), patience.promise])
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

  /** `woken`: there probably is something new, so it is asked for along with the head. */
  async #readOn(look: number, woken = false): Promise<void> {
    const { store, clock } = this.#parts
    const asked = { wall: clock.now(), monotonic: clock.monotonic() }
    const before = this.view.position
    this.#leftOut = false
    const [head, ahead] = await Promise.all([
      store.revocations.head(),
      woken && before !== undefined ? store.revocations.after(before.seq, PAGE) : undefined,
      this.#measureClock(asked),
    ])
    this.#assertCurrent(look)
    if (before?.epoch === head.epoch && before.seq > head.seq) {
      throw new Error(`the log went back from ${before.seq} to ${head.seq}: entries were lost, and a new epoch has to begin`)
    }
    if (before?.epoch !== head.epoch || before.seq < head.floor) await this.#readAnew(look)
    else if (ahead !== undefined && ahead.length > 0) await this.#apply(look, ahead)
    for (let seq = -1; this.#position(head.epoch) < head.seq && this.#position(head.epoch) > seq; ) {
      seq = this.#position(head.epoch)
      const entries = await store.revocations.after(seq, PAGE)
      this.#assertCurrent(look)
      await this.#apply(look, entries)
    }
    if (this.#standingIsOld) await this.#readStanding(look)
    this.reachMs = this.#appliedMs
    if (this.#position(head.epoch) >= head.seq) this.#fresh = asked
  }

  /** The last number applied in this epoch; -1 while we are in another. */
  #position(epoch: string): number {
    return this.view.position?.epoch === epoch ? this.view.position.seq : -1
  }

  async #apply(look: number, read: readonly LogEntry[]): Promise<void> {
    const { epoch, seq } = this.view.position as Position
    // What we have committed ourselves since we asked is known already.
    const entries = read.filter((entry) => entry.epoch !== epoch || entry.seq > seq)
    if (entries.length === 0 && read.length > 0) return
    // They went, or the epoch did, between two questions.
    if (!this.#follows(entries)) return this.#readAnew(look)
    const outcome = this.#takeIn(entries, this.#by)
    if (outcome !== 'applied') throw new Error(`entries ${seq + 1} to ${seq + entries.length} of the log are ${outcome}`)
    this.#standingIsOld ||= entries.some((entry) => this.#isWide(entry))
  }

  /**
   * A commit of this node, by its own word: what follows on what is known need not be read again. Otherwise others have committed in
   * between, or another epoch has begun, and a look finds it all in order.
   */
  #takeOwn(entries: readonly LogEntry[]): void {
    const mayBeTaken = this.#follows(entries) && !entries.some((entry) => this.#isWide(entry))
    if (!mayBeTaken || this.#takeIn(entries, 'commit') !== 'applied') this.#leftOut = true
    else if (!this.#standingIsOld) this.reachMs = this.#appliedMs
  }

  #follows(entries: readonly LogEntry[]): boolean {
    const { position } = this.view
    if (position === undefined || entries.length === 0) return false
    return entries.every((entry, n) => entry.seq === position.seq + 1 + n && entry.epoch === position.epoch)
  }

  /** On the issuer itself, or on a key, which may say that another region took over from us: then its standing is to be read. */
  #isWide({ kind, issuer }: LogEntry): boolean {
    return (kind === 'issuer' || kind === 'key') && issuer === this.#parts.issuer
  }

  /** Takes in what follows, and tells of it. */
  #takeIn(entries: readonly LogEntry[], by: LearnedBy): BatchOutcome {
    const first = entries[0] as LogEntry
    const { epoch, seq: from } = first
    const to = from + entries.length - 1
    const saltVersion = this.view.salt?.version ?? 0
    const outcome = this.view.applyBatch({ epoch, from, to, saltVersion, entries }, this.#limit())
    if (outcome !== 'applied') return outcome
    const storeNowMs = this.#storeNowMs()
    this.#witness.saw(entries, storeNowMs)
    for (const { cutoffMs } of entries) this.#appliedMs = Math.max(this.#appliedMs, cutoffMs)
    this.#parts.observe?.learned?.(by, Math.max(0, storeNowMs - first.atMs))
    for (const follower of this.#followers) follower.applied(epoch, entries)
    return outcome
  }

  async #readStanding(look: number): Promise<void> {
    const standing = await issuerStanding(this.#parts.store)
    this.#assertCurrent(look)
    this.#standing = standing
    this.#standingIsOld = false
  }

  async #readAnew(look: number): Promise<void> {
    const { store, clock } = this.#parts
    const { head, entries } = await store.revocations.snapshot(epochSeconds(clock.now()))
    this.#assertCurrent(look)
    const snapshot = { epoch: head.epoch, seq: head.seq, salt: head.salt, records: encodeRecords(entries) }
    const outcome = this.view.replace(snapshot, this.#limit())
    if (outcome === 'poisoned' || outcome === 'full') throw new Error(`the log's snapshot at ${head.seq} is ${outcome}`)
    this.#standingIsOld = true
    this.#appliedMs = head.cutoffMs
    // A commit of our own may have taken us further meanwhile.
    const position = this.view.position as Position
    this.#witness.begin(position)
    for (const follower of this.#followers) follower.reset(position)
  }

  async #measureClock(asked: Moment): Promise<void> {
    const { store, clock } = this.#parts
    const isNew = this.#offset !== undefined && asked.monotonic - this.#offset.at.monotonic < CLOCK_MS
    if (isNew && Math.abs(this.#steppedMs()) < STEP_MS) return
    const storeMs = await store.now()
    // The store looked at its clock somewhere between question and answer: halfway, give or take half the time it took.
    const give = (clock.monotonic() - asked.monotonic) / 2
    this.#offset = { milliseconds: Math.round(storeMs - (asked.wall + give)), give, at: asked }
  }

  /**
   * How far this node's wall clock has been set ahead since it was measured. Nobody need tell us: the monotonic clock did not step with
   * it. After a sleep, in which only the wall clock went on, it is too much, until the next look measures again.
   */
  #steppedMs(): number {
    if (this.#offset === undefined) return 0
    const { clock } = this.#parts
    const { wall, monotonic } = this.#offset.at
    return clock.now() - wall - (clock.monotonic() - monotonic)
  }

  #storeNowMs(): number {
    return this.#parts.clock.now() + (this.clockOffsetMs() ?? 0)
  }

  #limit(): { nowMs: number; guardMs: number } {
    return { nowMs: this.#parts.clock.now(), guardMs: poisonGuardMsOf(this.#parts.settings) }
  }

  #assertCurrent(look: number): void {
    if (look !== this.#look) throw new Error('this look was given up')
  }

  #forgetLater(): void {
    if (this.#closed) return
    this.#forgetting = this.#parts.timers.after(FORGET_MS, () => {
      // Validators' leeway is in every drop-after; one more second for this node's clock.
      this.view.forget(epochSeconds(this.#parts.clock.now()) - 1, FORGET_SHARE)
      this.#forgetLater()
    })
  }
}
