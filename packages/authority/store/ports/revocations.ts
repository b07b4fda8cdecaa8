/** The revocation log, and the cutoffs that wait for their time. */
import type { FamilyId } from '@signet/kernel/ids.ts'
import type { KeyKind, Revocation, Salt } from '@signet/kernel/revocation.ts'

export interface LogEntry extends Revocation {
  readonly seq: number
  readonly epoch: string
  readonly atMs: number
  readonly kind: KeyKind
  readonly issuer: string
  readonly target: string
  readonly reason: string
  readonly actor: string
  /** Absent in entries of before there were regions. */
  readonly act?: LogAct
  /** The region whose log it was copied from; absent for our own. */
  readonly origin?: string
}

/**
 * What was done: everything made before ends; only access tokens do (a claims epoch, a retirement); it is held. `cover` stands for a
 * revocation of another region that came so late that tokens may have been issued here meanwhile.
 */
export type LogAct = 'revoke' | 'renew' | 'suspend' | 'cover'

/** Where the log stands. */
export interface LogPlace {
  readonly epoch: string
  /** The last sequence number; 0 when nothing was ever revoked in this epoch. */
  readonly seq: number
  /** Entries at or before it may have been purged: a reader behind it needs the snapshot. */
  readonly floor: number
}

export interface LogHead extends LogPlace {
  readonly salt: Salt
  /** The largest cutoff of any entry so far. */
  readonly cutoffMs: number
}

export interface RevocationLookups {
  /** From the truth, not from memory: one read of the store. Creates the first epoch when there is none. */
  head(): Promise<LogHead>
  /** How the log stands, and what is in it after `seq`, in order and at most `limit`: read at one moment, or the head first. */
  since(seq: number, limit: number): Promise<{ readonly head: LogPlace; readonly entries: readonly LogEntry[] }>
  /** Entries after `seq` in order, at most `limit`. */
  after(seq: number, limit: number): Promise<readonly LogEntry[]>
  /** Of the `within` entries before `seq`, those whose cutoff is at least `fromMs` and below `toMs`, the latest first. */
  before(seq: number, within: number, fromMs: number, toMs: number): Promise<readonly LogEntry[]>
  /** Every entry still needed at `nowAt`, with the head they are complete up to, read at one moment. */
  snapshot(nowAt: number): Promise<{ head: LogHead; entries: readonly Revocation[] }>
  /** Entries for one key, newest first, at most 100. */
  ofKey(key: Uint8Array): Promise<readonly LogEntry[]>
  /** When the earliest deferred cutoff is due, epoch milliseconds; undefined when there is none. */
  nextDue(): Promise<number | undefined>
  /**
   * Calls `told` with what each commit through this very store appended, in order, when it is durable and before its callers hear of it;
   * with nothing when the commit began another epoch. Of commits of other nodes it tells nothing: they may come between. Must not throw.
   */
  followCommits(told: (entries: readonly LogEntry[]) => void): { stop(): void }
}

export interface RevocationTransitions {
  head(): Promise<LogHead>
  /** Appends. The returned object is filled when the commit is acknowledged; `beforeMs` is the largest cutoff of all commits before it. */
  append(entry: Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>): { seq: number; epoch: string; beforeMs: number }
  ofKey(key: Uint8Array): Promise<readonly LogEntry[]>
  /**
   * Lays entries (≤ 1000) beside the log, where nobody sees them, for a new epoch to begin with: behind those that `staged` counts, or as
   * the first. What no epoch has taken within an hour is forgotten.
   */
  stage(entries: readonly Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>[], staged?: Staged): Promise<Staged>
  /**
   * Starts a new numbering with a new salt; the log so far is dropped, and what was staged and then the given entries begin the new one,
   * whose floor is where its numbers begin. Held to the head that `head` gave to this work: when it has moved since, the work
   * runs again, so that whoever carries a log over can look whether something came meanwhile. False when what was staged has gone.
   */
  newEpoch(
    epoch: string,
    salt: Salt,
    entries: readonly Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>[],
    staged?: Staged,
  ): Promise<boolean>
  /** Remembers a cutoff to be made later. Once per `dueMs` and family; the larger cutoff is kept. */
  defer(cutoff: DeferredCutoff): Promise<void>
  /** Takes out at most `limit` (≤ 500) that are due at `nowMs`, earliest first. No two transactions get the same one. */
  takeDue(nowMs: number, limit: number): Promise<readonly DeferredCutoff[]>
}

/** Entries that wait for their epoch: their numbers go from `base + 1` to `base + count`. */
export interface Staged {
  readonly base: number
  readonly count: number
}

/** A cutoff on a family that is to be made when its drain is over. */
export interface DeferredCutoff {
  readonly dueMs: number
  readonly family: FamilyId
  readonly cutoffMs: number
}
