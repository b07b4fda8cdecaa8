/**
 * Ending trust: one function for every target. A revocation is one transaction of state change, log entry and audit event; it
 * is acknowledged once that is durable and its cutoff still lies far enough ahead (ADR 5). Asking twice gives the same
 * answer and one entry. Validators learn of it from the log (feed.ts); nothing here has to tell them.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import type { Tx } from '../store/store.ts'
import { createCommitWatch } from './commit-watch.ts'
import { claimFor } from './idempotency.ts'
import { notePrior } from './prior.ts'
import { auditAct, keyOf, logEntry } from './record.ts'
import { refuse } from './refuse.ts'
import { liftWithin, resumeTarget } from './resume.ts'
import { guardMsOf, MAX_AHEAD_MS } from './rules.ts'
import { type PendingReceipt, type RevocationReceipt, type RevokerParts, settleReceipt } from './settle.ts'
import { take } from './take.ts'
import { type Act, checkWhy, type KnownTarget, knowTarget, requestOf, type Target, type Why } from './target.ts'
import { type Undone, type UndoRequest, undoRevocations } from './undo.ts'

export type { PendingReceipt, RevocationReceipt, RevokerParts } from './settle.ts'

export interface Revoker {
  /** Takes something back. Refusals: `not_found`, `conflict`, `invalid_request`, each with its reason. */
  revoke(target: Target, why: Why): Promise<RevocationReceipt>
  /**
   * The same inside a flow's own transaction. Wake-ups and the check at the acknowledgment follow by themselves; a flow that
   * answers with a receipt awaits `settle` after its commit.
   */
  within(tx: Tx, target: Target, why: Why, act?: Act): Promise<PendingReceipt>
  settle(pending: PendingReceipt): Promise<RevocationReceipt>
  /** Holds a subject, client, session, device or grant: access tokens die, refreshing is refused, and it all goes on after `resume`. */
  suspend(target: Target, why: Why): Promise<RevocationReceipt>
  resume(target: Target, why: Why): Promise<void>
  /** The same inside a flow's own transaction; false when it is not suspended. */
  resumeWithin(tx: Tx, target: Target, why: Why): Promise<boolean>
  /**
   * Looks after an act, made at or after `sinceMs` by the store's clock, whose commit nobody may have seen return because its node
   * died: one that came too late is raised. An act that was not made is left at that.
   */
  recheck(target: Target, act: Act, why: Why, sinceMs: number): Promise<void>
  /** Undoes revocations by their numbers in the log: a new epoch without them, see undo.ts. */
  undo(request: UndoRequest, why: Why): Promise<Undone>
  close(): void
}

/** A state that others keep changing under our hands is looked at again so often. */
const MAX_LOOKS = 4

export function createRevoker(parts: RevokerParts): Revoker {
  const { store, settings, issuer, sha256 } = parts
  /** The largest cutoff whose commit has returned: tokens may have been issued just past it. */
  let settledMs = 0
  /** Entries of other regions are as far ahead as their clock is; what is issued past one must be within reach of the next of ours. */
  let takenOverMs = 0
  const following = parts.registry.follow({
    applied: (_epoch, entries) => {
      for (const { origin, cutoffMs } of entries) if (origin !== undefined) takenOverMs = Math.max(takenOverMs, cutoffMs)
    },
    reset: () => {},
  })
  const raising = new Map<string, Promise<RevocationReceipt>>()
  const watch = createCommitWatch<PendingReceipt>(parts.timers, (pending) => void settle(pending).catch(() => {}))

  return {
    revoke: (target, why) => act(target, actOf(target, why), why),
    async within(tx, target, why, kind = actOf(target, why)) {
      checkWhy(why)
      const pending = await make(tx, knowTarget(target, kind, issuer), kind, why)
      if (pending.outcome.kind === 'made') {
        // The flow may begin something just past it in this very transaction, which a later one of the same commit must reach.
        settledMs = Math.max(settledMs, pending.outcome.span.cutoffMs)
        watch.add(pending, pending.outcome.place)
      }
      return pending
    },
    settle,
    suspend: (target, why) => act(target, 'suspend', why),
    async resume(target, why) {
      checkWhy(why)
      await resumeTarget(knowTarget(target, 'suspend', issuer), why, parts)
    },
    async resumeWithin(tx, target, why) {
      checkWhy(why)
      return liftWithin(tx, knowTarget(target, 'suspend', issuer), why, parts)
    },
    async recheck(asked, kind, why, sinceMs) {
      const target = knowTarget(asked, kind, issuer)
      const { salt } = await store.revocations.head()
      const outcome = { kind: 'repeated', cutoffMs: sinceMs + guardMsOf(settings), atMs: sinceMs } as const
      await settleOrLook({ target, act: kind, why, key: keyOf(sha256, salt, target), outcome })
    },
    async undo(request, why) {
      checkWhy(why)
      const undone = await undoRevocations(request, why, parts)
      await parts.registry.lookNow({ epoch: undone.epoch, seq: 0 })
      return undone
    },
    close() {
      following.stop()
      watch.close()
    },
  }

  async function act(asked: Target, kind: Act, why: Why): Promise<RevocationReceipt> {
    const startedMs = parts.clock.monotonic()
    checkWhy(why)
    const target = knowTarget(asked, kind, issuer)
    for (let look = 0; look < MAX_LOOKS; look++) {
      const receipt = await settleOrLook(await store.transact((tx) => make(tx, target, kind, why)))
      if (receipt === 'look_again') continue // It was being moved by others meanwhile.
      await parts.registry.lookNow(receipt) // Whoever asks this node next finds it so; the others follow the log.
      parts.observe?.revoked?.(target.kind, parts.clock.monotonic() - startedMs)
      return receipt
    }
    throw refuse('conflict', 'busy', 1)
  }

  /** The whole act, inside the transaction. */
  async function make(tx: Tx, target: KnownTarget, act: Act, why: Why): Promise<PendingReceipt> {
    const { salt, cutoffMs: largestMs } = await tx.revocations.head()
    const key = keyOf(sha256, salt, target)
    const claim = claimFor<{ cutoffMs: number; atMs: number }>(requestOf(act, target), why, sha256)
    const before = claim && (await claim.find(tx))
    if (before !== undefined) return { target, act, why, key, outcome: { kind: 'repeated', ...before.made } }
    const prior = await notePrior(tx, target, act, sha256)
    const span = await take(tx, { target, act, why, key, cutoffMs: nextCutoffMs(tx.nowMs, largestMs) }, parts)
    if (span === undefined) return { target, act, why, key, outcome: { kind: 'unmoved' } }
    if (claim !== undefined) await claim.keep(tx, { cutoffMs: span.cutoffMs, atMs: tx.nowMs })
    await prior?.keep(span)
    const place = tx.revocations.append(logEntry(target, key, span, why, act))
    auditAct(tx, act === 'suspend' ? 'suspension.made' : 'revocation.made', target, why, parts, {
      key: toBase64Url(key),
      cutoff_ms: span.cutoffMs,
      ...(act === 'renew' ? { keeps_grants: true } : {}),
    })
    return { target, act, why, key, outcome: { kind: 'made', span, atMs: tx.nowMs, place } }
  }

  /**
   * Past the guard, and past every cutoff whose commit is known to have returned: a token issued right after that one, in the same
   * millisecond, must be within reach of this one. Commits that came in between are looked for at the acknowledgment (settle.ts).
   */
  function nextCutoffMs(nowMs: number, largestMs: number): number {
    const cutoffMs = nowMs + guardMsOf(settings)
    const knownMs = Math.max(settledMs, largestMs)
    return knownMs < cutoffMs ? cutoffMs : Math.min(knownMs + 1, cutoffMs + MAX_AHEAD_MS)
  }

  async function settle(pending: PendingReceipt): Promise<RevocationReceipt> {
    const receipt = await settleOrLook(pending)
    return receipt === 'look_again' ? act(pending.target, pending.act, pending.why) : receipt
  }

  async function settleOrLook(pending: PendingReceipt): Promise<RevocationReceipt | 'look_again'> {
    watch.remove(pending)
    if (pending.outcome.kind === 'made') settledMs = Math.max(settledMs, pending.outcome.span.cutoffMs)
    return settleReceipt(pending, { ...parts, nextCutoffMs, raising })
  }
}

/** A scope has no grants of its own: those that carry it go on without what was issued with it. */
const actOf = (target: Target, why: Why): Act => (why.keepGrants === true || target.kind === 'scope' ? 'renew' : 'revoke')
