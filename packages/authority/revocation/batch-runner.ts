/**
 * Carries batches out, on any node, a bounded piece at a time. A node takes a lease on a batch, so that one works on it and another takes over
 * when it dies. One piece is one transaction: the cursor moves on by compare-and-set together with what lies between, so a node
 * that is killed, or that lost its lease without knowing, neither repeats a piece nor skips one.
 */

import { Fault, Refusal } from '@signet/kernel/errors.ts'
import type { BatchId } from '@signet/kernel/ids.ts'
import type { Timer } from '@signet/kernel/surroundings.ts'
import { type AuditActor, audited } from '../audit/events.ts'
import type { BatchAction, BatchRecord } from '../store/ports/batches.ts'
import { BATCH_TARGETS_AT_ONCE, type Tx } from '../store/store.ts'
import { decodePlan } from './batch-selector.ts'
import { type Source, type Stretch, sourceOf } from './batch-source.ts'
import { MAX_RUNNING } from './batches.ts'
import { refuse } from './refuse.ts'
import type { PendingReceipt, Revoker, RevokerParts } from './revoke.ts'
import type { Act, Target } from './target.ts'

export interface BatchRunner {
  /** Something was started: look now rather than at the next turn. */
  wake(): void
  /** Stops after the piece under way. */
  close(): Promise<void>
}

export interface RunnerParts extends Pick<RevokerParts, 'store' | 'issuer' | 'clock' | 'chance' | 'timers'> {
  readonly revoker: Pick<Revoker, 'within' | 'resumeWithin' | 'settle' | 'recheck'>
  /** Names this process; never the same twice. */
  readonly holder: string
  readonly leaseMs?: number
  readonly observe?: {
    batched?(action: BatchAction, moved: number, unmoved: number): void
    failed?(batch: BatchId, cause: unknown): void
  }
}

/** How often a node looks for batches to take up: new ones, and those of a node that died. */
const LOOK_MS = 1000
/** Nobody else works on a batch for so long after its holder's last piece. Pieces are at most a second apart. */
const LEASE_MS = 5000
/** A store that is away is asked again so often; a piece that cannot be done is given up after so many tries. */
const RETRY_MS = 500
const MAX_BUGS = 5

export function openBatchRunner(parts: RunnerParts): BatchRunner {
  const { store, timers, holder, leaseMs = LEASE_MS } = parts
  const working = new Map<BatchId, Promise<void>>()
  const sleeping = new Set<() => void>()
  let looking: Promise<void> | undefined
  let timer: Timer | undefined
  let closed = false
  look()

  return {
    wake: () => void look(),
    async close() {
      closed = true
      timer?.cancel()
      for (const awake of [...sleeping]) awake()
      await looking
      await Promise.all(working.values())
    },
  }

  function look(): void {
    if (closed || looking !== undefined) return
    timer?.cancel()
    looking = takeUp()
      .catch(() => {}) // The store is away; what runs stays running.
      .then(() => {
        looking = undefined
        if (!closed) timer = timers.after(LOOK_MS, look)
      })
  }

  async function takeUp(): Promise<void> {
    for (const { id } of await store.batches.running(MAX_RUNNING)) {
      if (closed || working.has(id)) continue
      const isMine = await store.transact((tx) => tx.batches.hold(id, holder, tx.nowMs + leaseMs))
      if (isMine)
        working.set(
          id,
          workOn(id).finally(() => working.delete(id)),
        )
    }
  }

  async function workOn(id: BatchId): Promise<void> {
    for (let bugs = 0; !closed; ) {
      try {
        const batch = await store.batches.find(id)
        if (batch === undefined) return
        await recheckLast(batch)
        return await goThrough(batch)
      } catch (error) {
        if (!(error instanceof Fault) && ++bugs === MAX_BUGS) {
          parts.observe?.failed?.(id, error)
          return await giveUp(id, error).catch(() => {})
        }
        await sleep(RETRY_MS)
      }
    }
  }

  async function goThrough(batch: BatchRecord): Promise<void> {
    const next: Source = sourceOf(batch, parts)
    const most = Math.max(1, Math.min(BATCH_TARGETS_AT_ONCE, Math.floor(batch.perSecond / 2)))
    const plan = decodePlan(batch)
    const atMost = ('undoes' in plan ? undefined : plan.atMost) ?? Number.POSITIVE_INFINITY
    let { cursor, moved } = batch
    while (!closed) {
      const beganMs = parts.clock.monotonic()
      const stretch = await next(cursor, Math.max(1, Math.min(most, atMost - moved)))
      if (moved >= atMost && stretch.targets.length > 0) throw refuse('conflict', 'more_than_planned')
      const done = await doPiece(batch, cursor, stretch)
      if (done === undefined) return // Paused, cancelled, or another node's by now.
      moved += done
      cursor = stretch.cursor
      if (stretch.end) return void (await end(batch, cursor))
      await sleep((stretch.targets.length / batch.perSecond) * 1000 - (parts.clock.monotonic() - beganMs))
    }
  }

  /** How many it moved, when it was done and every entry of it is acknowledged. */
  async function doPiece(batch: BatchRecord, from: string, { targets, cursor }: Stretch): Promise<number | undefined> {
    const done = await store.transact(async (tx) => {
      const step = {
        id: batch.id,
        holder,
        leaseUntilMs: tx.nowMs + leaseMs,
        from,
        to: cursor,
        unsettled: JSON.stringify(targets),
      }
      if (!(await tx.batches.advance(step))) return undefined
      const acts = await Promise.all(targets.map((target) => act(tx, batch, target)))
      const pending = acts.filter((one) => typeof one === 'object')
      const moved = pending.length + acts.filter((one) => one === 'moved').length
      if (targets.length > 0) {
        await tx.batches.tally(batch.id, moved, targets.length - moved)
        const counts = { action: batch.action, moved, unmoved: targets.length - moved }
        tx.audit(audited(parts.clock, parts.chance, 'batch.piece', batch.actor as AuditActor, { batch: batch.id }, counts))
      }
      return { pending, moved }
    })
    if (done === undefined) return undefined
    await Promise.all(done.pending.map((pending) => parts.revoker.settle(pending)))
    parts.observe?.batched?.(batch.action, done.moved, targets.length - done.moved)
    return done.moved
  }

  async function act(tx: Tx, batch: BatchRecord, target: Target): Promise<PendingReceipt | 'moved' | 'unmoved'> {
    const { id, action, reason, actor } = batch
    const why = { reason, actor }
    if (action === 'resume') return (await parts.revoker.resumeWithin(tx, target, why)) ? 'moved' : 'unmoved'
    const pending = await parts.revoker.within(tx, target, why, action)
    if (pending.outcome.kind !== 'made') return 'unmoved'
    if (action === 'suspend') await tx.batches.addHold(id, { kind: target.kind, target: target.id })
    return pending
  }

  /**
   * The node before us may have died between the commit of its last piece and the look whether that was in time (ADR 5), so
   * we look; what came too late is made again with a later cutoff.
   */
  async function recheckLast({ action, reason, actor, unsettled, startedAtMs = 0 }: BatchRecord): Promise<void> {
    if (action === 'resume') return // Makes no entries.
    const targets = JSON.parse(unsettled) as readonly Target[]
    for (const target of targets) await parts.revoker.recheck(target, action satisfies Act, { reason, actor }, startedAtMs)
  }

  /** In a transaction of its own, after the last piece was acknowledged. */
  async function end({ id, action, actor }: BatchRecord, cursor: string): Promise<boolean> {
    return store.transact(async (tx) => {
      const mine = { id, holder, leaseUntilMs: tx.nowMs + leaseMs, from: cursor, to: cursor, unsettled: '[]' }
      if (!(await tx.batches.advance(mine)) || !(await tx.batches.move(id, ['running'], 'done'))) return false
      const { moved = 0, unmoved = 0 } = (await tx.batches.find(id)) ?? {}
      tx.audit(audited(parts.clock, parts.chance, 'batch.ended', actor as AuditActor, { batch: id }, { action, moved, unmoved }))
      return true
    })
  }

  async function giveUp(id: BatchId, error: unknown): Promise<void> {
    const trouble = error instanceof Refusal ? error.reason : 'bug'
    await store.transact(async (tx) => {
      if (!(await tx.batches.hold(id, holder, tx.nowMs + leaseMs))) return
      if (!(await tx.batches.move(id, ['running'], 'failed', { trouble }))) return
      tx.audit(audited(parts.clock, parts.chance, 'batch.failed', 'system', { batch: id }, { trouble }))
    })
  }

  function sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const awake = () => {
        wait.cancel()
        sleeping.delete(awake)
        resolve()
      }
      const wait = timers.after(Math.max(0, milliseconds), awake)
      sleeping.add(awake)
      if (closed) awake()
    })
  }
}
