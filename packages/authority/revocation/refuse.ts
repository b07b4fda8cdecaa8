/** Why something may not be taken back, held, lifted or undone. `http/respond.ts` has an answer for each. */
import { type Refusal, type RefusalCode, refusal } from '@signet/kernel/errors.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'

export type RevocationReason =
  | 'malformed_target'
  | 'malformed_reason'
  | 'malformed_idempotency_key'
  | 'not_suspendable'
  | 'grants_not_applicable'
  | `unknown_${KeyKind}`
  | 'unknown_revocation'
  | 'already_revoked'
  | 'not_suspended'
  | 'suspended'
  | 'not_undoable'
  | 'made_in_another_region'
  | 'epoch_changed'
  | 'idempotency_key_reused'
  | 'unknown_batch'
  | 'nothing_selected'
  | 'batch_state'
  | 'plan_too_old'
  | 'blast_radius_not_accepted'
  | 'too_many_batches'
  | 'more_than_planned'
  | 'busy'

export const refuse = (code: RefusalCode, reason: RevocationReason, retryAfterSeconds?: number): Refusal =>
  refusal(code, reason, retryAfterSeconds)

/** Another region did what is to be lifted or undone, and would go on with it. */
export const refuseElsewhere = (region: string): Refusal =>
  refusal('conflict', 'made_in_another_region' satisfies RevocationReason, undefined, [{ path: 'region', message: region }])
