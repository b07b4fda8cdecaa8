/** Why the admin API says no. `http/respond.ts` has an answer for each, so a new reason does not compile until it has one. */
import { type Refusal, type RefusalCode, type RefusalDetail, refusal } from '@signet/kernel/errors.ts'

export type AdminReason =
  | 'invalid_members'
  | 'not_an_administrator'
  | 'client_exists'
  | 'client_without_secret'
  | 'own_resource'
  | 'unknown_client'
  | 'unknown_subject'
  | 'unknown_passkey'
  | 'unknown_api_key'
  | 'unknown_id'
  | 'unknown_key'
  | 'unknown_peer'
  | 'region_answers'
  | 'nothing_lost'
  | 'username_taken'
  | 'api_key_over'
  | 'not_a_token'
  | 'backup_exists'
  | 'backup_not_here'
  | 'changed_meanwhile'
  | 'needs_wider_scope'
  | 'busy'

export const refuse = (code: RefusalCode, reason: AdminReason): Refusal => refusal(code, reason)

/** Some members of the request will not do; says which and why, never what they held. */
export const invalid = (...details: readonly RefusalDetail[]): Refusal =>
  refusal('invalid_request', 'invalid_members' satisfies AdminReason, undefined, details)
