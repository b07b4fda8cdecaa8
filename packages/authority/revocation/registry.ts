/**
 * What this node knows of the revocation log: the registry. A reader follows the log (`log-reader.ts`); here is what can be asked, and how
 * old the answers are. It outlives the loss of the store; its age then grows, and minting stops by it.
 */
import type { Bus } from '@signet/bus/bus.ts'
import { fault } from '@signet/kernel/errors.ts'
import { type KeyKind, revocationKey, type Salt } from '@signet/kernel/revocation.ts'
import { createRevocationView, type Position, type RevocationView } from '@signet/kernel/revocation-view.ts'
import { type Clock, epochSeconds, type Sha256, type Timer, type Timers } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'
import { LogReader } from './log-reader.ts'
import type { RevocationSettings } from './rules.ts'
import type { IssuerStanding } from './standing.ts'
import { createStoreClock, type StoreClock } from './store-clock.ts'
import type { Tidings } from './tidings.ts'

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
  /** The store's clock is surely further from this node's than the policy bears. */
  isClockWrong(): boolean
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
  /** How other nodes are told what this one commits; without it they read it. */
  readonly tidings?: Tidings
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

/** Forgetting goes round the table in shares, so that it never takes long. */
const FORGET_MS = 1000
const FORGET_SHARE = 1 / 32
/** Digests of scopes remembered. */
const MAX_SCOPE_KEYS = 1024

/** Reads the log for the first time. Throws what the store throws: a node does not start without it. */
export async function openRegistry(parts: RegistryParts): Promise<Registry> {
  const view = createRevocationView()
  const storeClock = createStoreClock(parts.store, parts.clock)
  const log = new LogReader(view, storeClock, parts)
  try {
    await log.start()
  } catch (cause) {
    log.close()
    throw cause
  }
  return new LiveRegistry(view, log, storeClock, parts)
}

class LiveRegistry implements Registry {
  readonly view: RevocationView
  readonly #log: LogReader
  readonly #storeClock: StoreClock
  readonly #parts: RegistryParts
  #scopeKeys: { salt: Salt | undefined; byName: Map<string, Uint8Array> } = { salt: undefined, byName: new Map() }
  #forgetting: Timer | undefined

  constructor(view: RevocationView, log: LogReader, storeClock: StoreClock, parts: RegistryParts) {
    this.view = view
    this.#log = log
    this.#storeClock = storeClock
    this.#parts = parts
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
    return this.#log.standing
  }

  get reachMs(): number {
    return this.#log.reachMs
  }

  ageMs(): number {
    const { fresh } = this.#log
    if (fresh === undefined) return Number.POSITIVE_INFINITY
    const { clock } = this.#parts
    // The larger of the two: one clock stands still while the machine sleeps, the other jumps.
    return Math.max(0, clock.now() - fresh.wall, clock.monotonic() - fresh.monotonic)
  }

  clockOffsetMs(): number | undefined {
    return this.#storeClock.offsetMs()
  }

  isClockWrong(): boolean {
    return this.#surelyOffMs() > this.#parts.settings.clockOffsetMilliseconds
  }

  /** An answer of the store that took long tells its time that much less exactly. */
  #surelyOffMs(): number {
    return Math.abs(this.clockOffsetMs() ?? 0) - this.#storeClock.giveMs()
  }

  assertMayMint(): void {
    const { settings } = this.#parts
    const ageMs = this.ageMs()
    if (ageMs > settings.mintStalenessMilliseconds) {
      throw fault('store_unavailable', { because: `the log was last known whole ${Math.round(ageMs)} ms ago` })
    }
    if (this.isClockWrong()) {
      const because = `this node's clock and the store's are at least ${Math.round(this.#surelyOffMs())} ms apart`
      throw fault('clock_unsure', { because, retryAfterSeconds: 5 })
    }
  }

  sawInTime(epoch: string, seq: number): boolean {
    return this.#log.witness.sawInTime(epoch, seq)
  }

  foundLate(epoch: string, seq: number): void {
    this.#log.witness.foundLate(epoch, seq)
  }

  follow(follower: RegistryFollower): { stop(): void } {
    return this.#log.follow(follower)
  }

  lookNow(until?: Position): Promise<void> {
    return this.#log.lookNow(until)
  }

  close(): void {
    this.#log.close()
    this.#forgetting?.cancel()
  }

  #forgetLater(): void {
    this.#forgetting = this.#parts.timers.after(FORGET_MS, () => {
      // Validators' leeway is in every drop-after; one more second for this node's clock.
      this.view.forget(epochSeconds(this.#parts.clock.now()) - 1, FORGET_SHARE)
      this.#forgetLater()
    })
  }
}
