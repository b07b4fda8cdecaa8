/** Batches: jobs that take back, hold or let go on many at once. */
import type { BatchId } from '@signet/kernel/ids.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { Page } from './page.ts'

/** `planned` → `running` ⇄ `paused` → `done`, `cancelled` or `failed`. */
export const BATCH_STATES = ['planned', 'running', 'paused', 'done', 'cancelled', 'failed'] as const
export type BatchState = (typeof BATCH_STATES)[number]
export const BATCH_ACTIONS = ['revoke', 'suspend', 'resume'] as const
export type BatchAction = (typeof BATCH_ACTIONS)[number]

/** A job that takes back, holds or lets go on whatever a selector names, piece by piece. */
export interface BatchRecord {
  readonly id: BatchId
  readonly action: BatchAction
  readonly state: BatchState
  /** What is selected and how it is gone through: JSON, at most 1 MiB, never changed. Absent in listings. */
  readonly plan?: string
  /** What the dry run found, in short: JSON, at most 4 KiB, never changed. */
  readonly summary: string
  readonly reason: string
  /** Who planned it, and in whose name it acts once it is started. */
  readonly actor: string
  readonly perSecond: number
  /** Epoch milliseconds, by the store's clock. */
  readonly plannedAtMs: number
  readonly startedAtMs?: number
  readonly endedAtMs?: number
  /** How far it has come: everything up to here is done. */
  readonly cursor: string
  /** Targets that it moved; that it came to and that needed nothing any more. */
  readonly moved: number
  readonly unmoved: number
  /** JSON: targets of the last piece, whose entries nobody has yet seen to be in time. */
  readonly unsettled: string
  /** The node that works on it, and until when nobody else may. */
  readonly holder: string
  readonly leaseUntilMs: number
  /** Why it failed: a word. */
  readonly trouble?: string
  /** The batch that this one undoes, and the one that undoes this. */
  readonly undoes?: BatchId
  readonly undoneBy?: BatchId
}

/** What a batch holds suspended. */
export interface BatchHold {
  readonly kind: KeyKind
  readonly target: string
}

export interface BatchLookups {
  find(id: BatchId): Promise<BatchRecord | undefined>
  /** Newest first: those before `after`. */
  list(page: Page): Promise<readonly BatchRecord[]>
  /** How many there are in each state. */
  count(): Promise<Readonly<Record<BatchState, number>>>
  /** Those that run, oldest first, with their plans left out. */
  running(limit: number): Promise<readonly BatchRecord[]>
  /** What it holds, by target. */
  holds(id: BatchId, page: Page): Promise<readonly BatchHold[]>
}

export interface BatchTransitions {
  find(id: BatchId): Promise<BatchRecord | undefined>
  create(batch: BatchRecord): Promise<void>
  /**
   * False unless it is in one of `from`, and when it was undone, but that an undoing that was cancelled can be replaced. A batch that
   * is not running any more has no holder.
   */
  move(
    id: BatchId,
    from: readonly BatchState[],
    to: BatchState,
    more?: { trouble?: string; undoneBy?: BatchId },
  ): Promise<boolean>
  /** Takes or keeps the lease: false while it does not run, or another holds it. */
  hold(id: BatchId, holder: string, leaseUntilMs: number): Promise<boolean>
  /**
   * The one step of a piece that decides: the cursor moves on, and the caller may act on what lies between. False, and nothing
   * changed, unless the batch runs, is held by `holder` and stands at `from`.
   */
  advance(step: {
    id: BatchId
    holder: string
    leaseUntilMs: number
    from: string
    to: string
    unsettled: string
  }): Promise<boolean>
  /** Adds to the counts. */
  tally(id: BatchId, moved: number, unmoved: number): Promise<void>
  /** Notes that it was this batch that suspended the target. */
  addHold(id: BatchId, hold: BatchHold): Promise<void>
  /** Whoever held the target holds it no more: it goes on. */
  release(hold: BatchHold): Promise<void>
}
