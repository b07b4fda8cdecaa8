/** Lifting a suspension: the target is active again, what hung on it goes on, and access tokens made before stay dead. */
import type { Tx } from '../store/store.ts'
import { forgetHolder, refuseHeldElsewhere } from './held-in.ts'
import { claimFor } from './idempotency.ts'
import { auditAct } from './record.ts'
import { refuse } from './refuse.ts'
import type { RevokerParts } from './settle.ts'
import { changeStanding, findStatus } from './standing.ts'
import { type KnownTarget, requestOf, type Why } from './target.ts'

/** A state that others keep changing under our hands is looked at again so often. */
const MAX_LOOKS = 4

/** Refusals: `not_found`; `conflict` with `not_suspended`, `already_revoked` or `made_in_another_region`. */
export async function resumeTarget(target: KnownTarget, why: Why, parts: RevokerParts): Promise<void> {
  const { store } = parts
  const claim = claimFor<'done'>(requestOf('resume', target), why, parts.sha256)
  await refuseHeldElsewhere(store.meta, target, why)
  for (let look = 0; look < MAX_LOOKS; look++) {
    const resumed = await store.transact(async (tx) => {
      if (claim && (await claim.find(tx)) !== undefined) return true
      if (!(await liftWithin(tx, target, why, parts))) return false
      if (claim !== undefined) await claim.keep(tx, 'done')
      return true
    })
    if (resumed) return
    const status = await findStatus(store, target)
    if (status === undefined) throw refuse('not_found', `unknown_${target.kind}`)
    if (status === 'revoked') throw refuse('conflict', 'already_revoked')
    // The same request, sent again because its answer was late, may have been done in between: then its key is there now.
    if (status === 'active' && (claim === undefined || look > 0)) throw refuse('conflict', 'not_suspended')
  }
  throw refuse('conflict', 'busy', 1)
}

/** In somebody's own transaction; false when it is not suspended. No batch holds it any more, so undoing one leaves a later suspension alone. */
export async function liftWithin(
  tx: Tx,
  target: KnownTarget,
  why: Why,
  parts: Pick<RevokerParts, 'clock' | 'chance'>,
): Promise<boolean> {
  await tx.batches.release({ kind: target.kind, target: target.id })
  if (!(await changeStanding(tx, target, { from: ['suspended'], to: 'active' }))) return false
  await forgetHolder(tx, target)
  auditAct(tx, 'suspension.lifted', target, why, parts, {})
  return true
}
