/** Why a grant may be refused. `http/respond.ts` has an answer for each, so a new reason does not compile until it has one. */
import { Refusal, type RefusalCode } from '@signet/kernel/errors.ts'
import type { AuditIds } from '../audit/events.ts'
import type { RefreshRefusal } from '../tokens/family.ts'

export type GrantReason =
  | 'grant_not_allowed'
  | 'unknown_grant_type'
  | 'malformed_token'
  | 'unknown_code'
  | 'code_spent'
  | 'code_of_another_client'
  | 'redirect_uri_mismatch'
  | 'verifier_missing'
  | 'verifier_mismatch'
  | 'dpop_proof_missing'
  | 'dpop_key_mismatch'
  | 'grant_over'
  | 'client_suspended'
  | 'subject_suspended'
  | 'session_suspended'
  | 'device_suspended'
  | 'superseded'
  | 'refresh_token_reuse'
  | 'family_rate'
  | 'token_of_another_client'
  | 'introspection_not_allowed'

/** A refusal that knows what it is about: for the record, not for the wire. */
export class GrantRefusal extends Refusal {
  readonly ids: AuditIds
  constructor(code: RefusalCode, reason: GrantReason | RefreshRefusal, ids: AuditIds, retryAfterSeconds?: number) {
    super(code, reason, retryAfterSeconds)
    this.ids = ids
  }
}

export const refuse = (
  code: RefusalCode,
  reason: GrantReason | RefreshRefusal,
  ids: AuditIds = {},
  retryAfterSeconds?: number,
): Refusal => new GrantRefusal(code, reason, ids, retryAfterSeconds)
