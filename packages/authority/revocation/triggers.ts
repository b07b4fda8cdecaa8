/** What happens in the world, and which revocations follow from it. One place, so that the mapping can be read. */

import type { ClientId, DeviceId, FamilyId, SessionId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { Chance, Clock } from '@signet/kernel/surroundings.ts'
import { type AuditActor, type AuditIds, audited } from '../audit/events.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { Store, Tx } from '../store/store.ts'
import type { Revoker } from './revoke.ts'
import type { PendingReceipt, RevocationReceipt } from './settle.ts'
import type { Target } from './target.ts'

export interface Triggers {
  /** A credential was changed: every session, grant and token of before ends. Sign the person in again after it, in the same transaction. */
  credentialChanged(tx: Tx, subject: SubjectId, actor: AuditActor): Promise<PendingReceipt>
  /** Roles or other claims changed: access tokens die, clients renew them silently with the new claims (a claims epoch). */
  claimsChanged(tx: Tx, subject: SubjectId, actor: AuditActor): Promise<PendingReceipt>
  signedOut(tx: Tx, session: SessionId, actor: AuditActor): Promise<PendingReceipt>
  /** One device with all its sessions and tokens; the person's others stay. */
  deviceLost(tx: Tx, device: DeviceId, actor: AuditActor): Promise<PendingReceipt>
  /** A refresh token was used by someone who should not have it: the family ends (RFC 9700 §4.14). A transaction of its own. */
  refreshReuse(family: FamilyRecord, evidence: string): Promise<RevocationReceipt>
  /** Somebody found a token where it should not be. Who shows it has it, so nothing else has to prove his right to end it. */
  leakedToken(token: string, reporter: AuditActor): Promise<LeakOutcome>
}

/** `unknown`: no token of ours, or none that verifies; nothing happened, and nothing is recorded. */
export type LeakOutcome =
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'already'; readonly kind: LeakedToken['kind'] }
  | { readonly outcome: 'revoked'; readonly kind: LeakedToken['kind']; readonly receipts: readonly RevocationReceipt[] }

/** A token that was verified: signed by us, tagged with our ring key, or hashing to what the store has. Expired ones count too. */
export interface LeakedToken {
  readonly kind: 'access_token' | 'refresh_token' | 'api_key'
  /** The access token or API key itself. */
  readonly token?: TokenId
  /** What it was issued under; ends with it, for whoever has the one may have the other. */
  readonly grant?: FamilyId
  readonly subject?: SubjectId
  readonly client?: ClientId
}

export interface TriggerParts {
  readonly store: Pick<Store, 'transact'>
  readonly revoker: Revoker
  readonly clock: Clock
  readonly chance: Chance
  /** Verifies a token of any kind and says what it is; undefined for anything else. */
  identify(token: string): Promise<LeakedToken | undefined>
}

export function createTriggers(parts: TriggerParts): Triggers {
  const { store, revoker, clock, chance } = parts
  return {
    credentialChanged: (tx, id, actor) => revoker.within(tx, { kind: 'subject', id }, { reason: 'credential_changed', actor }),
    claimsChanged: (tx, id, actor) =>
      revoker.within(tx, { kind: 'subject', id }, { reason: 'claims_changed', actor, keepGrants: true }),
    signedOut: (tx, id, actor) => revoker.within(tx, { kind: 'session', id }, { reason: 'signed_out', actor }),
    deviceLost: (tx, id, actor) => revoker.within(tx, { kind: 'device', id }, { reason: 'device_lost', actor }),

    async refreshReuse(family, evidence) {
      const pending = await store.transact(async (tx) => {
        const ended = await revoker.within(
          tx,
          { kind: 'grant', id: family.id },
          { reason: 'refresh_token_reuse', actor: 'system' },
        )
        if (ended.outcome.kind === 'made') {
          const { id, subject, session, device, terms, generation } = family
          const ids: AuditIds = { family: id, subject, client: terms.client, session, device }
          tx.audit(audited(clock, chance, 'refresh.reuse_detected', 'system', ids, { evidence, generation }))
        }
        return ended
      })
      return revoker.settle(pending)
    },

    async leakedToken(token, reporter) {
      const leaked = await parts.identify(token)
      if (leaked === undefined) return { outcome: 'unknown' }
      const { kind } = leaked
      const pending = await store.transact(async (tx) => {
        const ended: PendingReceipt[] = []
        for (const target of targets(leaked)) ended.push(await revoker.within(tx, target, { reason: 'leaked', actor: reporter }))
        // Reported once more, it is as dead as before: a flood of reports writes nothing.
        if (ended.some(({ outcome }) => outcome.kind === 'made')) {
          const ids: AuditIds = { token: leaked.token, family: leaked.grant, subject: leaked.subject, client: leaked.client }
          tx.audit(audited(clock, chance, 'leak.reported', reporter, ids, { kind }))
        }
        return ended
      })
      const made = pending.filter(({ outcome }) => outcome.kind === 'made')
      if (made.length === 0) return { outcome: 'already', kind }
      return { outcome: 'revoked', kind, receipts: await Promise.all(made.map(revoker.settle)) }
    },
  }
}

function targets({ token, grant }: LeakedToken): Target[] {
  const both: Target[] = []
  if (token !== undefined) both.push({ kind: 'token', id: token })
  if (grant !== undefined) both.push({ kind: 'grant', id: grant })
  return both
}
