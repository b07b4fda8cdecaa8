/**
 * Batches as people handle them: planned, started, paused, resumed, cancelled, undone. Each act is one transition of the batch's row; the
 * work itself is batch-runner.ts, on whichever node takes it up.
 */
import { type BatchId, newId } from '@signet/kernel/ids.ts'
import type { Sha256 } from '@signet/kernel/surroundings.ts'
import { type AuditActor, type AuditEventType, audited } from '../audit/events.ts'
import type { BatchRecord, BatchState } from '../store/ports/batches.ts'
import type { Tx } from '../store/store.ts'
import { type PlanParts, type PlanRequest, planBatch, type Summary } from './batch-plan.ts'
import { encodePlan } from './batch-selector.ts'
import { claimFor } from './idempotency.ts'
import { refuse } from './refuse.ts'
import { checkWhy } from './target.ts'

export interface Batches {
  /** The dry run: yields how far it has looked, returns the plan. */
  plan(request: PlanRequest, actor: AuditActor): AsyncGenerator<{ readonly looked: number; readonly grants: number }, BatchRecord>
  find(id: BatchId): Promise<BatchRecord>
  /** Refusals: `conflict` with `batch_state`, `plan_too_old`, `blast_radius_not_accepted`, `too_many_batches`. */
  start(id: BatchId, start: Start, actor: AuditActor): Promise<BatchRecord>
  pause(id: BatchId, actor: AuditActor): Promise<BatchRecord>
  /** Goes on where it stopped: one that was paused, or that failed and was not undone. */
  resume(id: BatchId, actor: AuditActor): Promise<BatchRecord>
  /** What is done stays done. */
  cancel(id: BatchId, actor: AuditActor): Promise<BatchRecord>
  /** Another batch that resumes exactly what this one suspended; the same one when asked again, unless that was cancelled. */
  undo(id: BatchId, reason: string, actor: AuditActor): Promise<BatchRecord>
}

export interface Start {
  /** What the plan touches, by somebody who has read it: needed where the plan warns. */
  readonly accept?: number
  readonly idempotencyKey?: string
}

export interface BatchParts extends PlanParts {
  readonly sha256: Sha256
  /** Something runs now that did not. */
  started(): void
}

/** A plan's counts are of the moment it was made: later they say nothing. */
const PLAN_LIFE_MS = 86_400_000
/** At once, on all nodes: each pages through the store by itself. */
export const MAX_RUNNING = 16

export const summaryOf = (batch: BatchRecord): Partial<Summary> => JSON.parse(batch.summary) as Partial<Summary>

export function createBatches(parts: BatchParts): Batches {
  const { store, clock, chance } = parts
  return {
    plan: (request, actor) => planBatch(request, actor, parts),
    find: known,

    async start(id, { accept, idempotencyKey }, actor) {
      checkWhy({ reason: 'start', actor, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) })
      const claim = claimFor<'done'>(['signet/batch/start', id], { actor, idempotencyKey }, parts.sha256)
      if ((await store.batches.running(MAX_RUNNING)).length === MAX_RUNNING) throw refuse('conflict', 'too_many_batches', 10)
      const wasAsked = async (tx: Tx) => claim !== undefined && (await claim.find(tx)) !== undefined
      const isMine = await store.transact(async (tx) => {
        if (await wasAsked(tx)) return true
        const batch = await knownIn(tx, id)
        if (batch.state !== 'planned') return false
        judgeStart(batch, accept, tx.nowMs)
        if (!(await tx.batches.move(id, ['planned'], 'running'))) return false
        if (claim !== undefined) await claim.keep(tx, 'done')
        note(tx, 'batch.started', actor, batch, { accepted: accept })
        return true
      })
      // Whoever was first may have been this very request, asked twice at once.
      if (!isMine && !(await store.transact(wasAsked))) throw refuse('conflict', 'batch_state')
      parts.started()
      return known(id)
    },

    pause: (id, actor) => move(id, ['running'], 'paused', 'batch.paused', actor),
    async resume(id, actor) {
      const batch = await move(id, ['paused', 'failed'], 'running', 'batch.resumed', actor)
      parts.started()
      return batch
    },
    cancel: (id, actor) => move(id, ['planned', 'running', 'paused', 'failed'], 'cancelled', 'batch.cancelled', actor),

    async undo(id, reason, actor) {
      checkWhy({ reason, actor })
      const undoing = newId<BatchId>(clock.now(), chance)
      const made = await store.transact(async (tx) => {
        const batch = await knownIn(tx, id)
        const former = batch.undoneBy === undefined ? undefined : await tx.batches.find(batch.undoneBy)
        if (former !== undefined && former.state !== 'cancelled') return former.id
        if (batch.action !== 'suspend') throw refuse('conflict', 'not_undoable')
        if (!ENDED.includes(batch.state)) throw refuse('conflict', 'batch_state')
        // Two at once: the store lets one win, and the other finds it.
        if (!(await tx.batches.move(id, [batch.state], batch.state, { undoneBy: undoing }))) {
          return (await knownIn(tx, id)).undoneBy ?? Promise.reject(refuse('conflict', 'busy', 1))
        }
        const { perSecond, moved } = batch
        const summary: Partial<Summary> = { method: 'grants', entries: moved, selector: { held_by: id } }
        await tx.batches.create({
          ...{
            id: undoing,
            action: 'resume',
            state: 'running',
            plan: encodePlan({ undoes: id }),
            summary: JSON.stringify(summary),
          },
          ...{ reason, actor, perSecond, plannedAtMs: tx.nowMs, startedAtMs: tx.nowMs, cursor: '', moved: 0, unmoved: 0 },
          ...{ unsettled: '[]', holder: '', leaseUntilMs: 0, undoes: id },
        })
        note(tx, 'batch.undone', actor, batch, { reason, by_batch: undoing })
        return undoing
      })
      parts.started()
      return known(made)
    },
  }

  async function known(id: BatchId): Promise<BatchRecord> {
    return (await store.batches.find(id)) ?? Promise.reject(refuse('not_found', 'unknown_batch'))
  }

  async function knownIn(tx: Tx, id: BatchId): Promise<BatchRecord> {
    return (await tx.batches.find(id)) ?? Promise.reject(refuse('not_found', 'unknown_batch'))
  }

  /** Asked twice it is done once, and the second time is no error. */
  async function move(
    id: BatchId,
    from: readonly BatchState[],
    to: BatchState,
    type: AuditEventType,
    actor: AuditActor,
  ): Promise<BatchRecord> {
    await store.transact(async (tx) => {
      if (await tx.batches.move(id, from, to)) return note(tx, type, actor, await knownIn(tx, id), {})
      if ((await knownIn(tx, id)).state !== to) throw refuse('conflict', 'batch_state')
    })
    return known(id)
  }

  function note(
    tx: Tx,
    type: AuditEventType,
    actor: AuditActor,
    batch: BatchRecord,
    detail: Record<string, string | number | undefined>,
  ) {
    const { id, action, moved, unmoved } = batch
    tx.audit(audited(clock, chance, type, actor, { batch: id }, { action, moved, unmoved, ...detail }))
  }
}

/** Plans of before know grants alone. */
export const touchedBy = ({ touches, grants }: Partial<Summary>): number | undefined => touches ?? grants

function judgeStart(batch: BatchRecord, accept: number | undefined, nowMs: number): void {
  if (nowMs - batch.plannedAtMs > PLAN_LIFE_MS) throw refuse('conflict', 'plan_too_old')
  const summary = summaryOf(batch)
  const isAccepted = accept === undefined ? summary.warning !== true : accept === touchedBy(summary)
  if (!isAccepted) throw refuse('conflict', 'blast_radius_not_accepted')
}

const ENDED: readonly BatchState[] = ['done', 'cancelled', 'failed']
