/** The records a revocation leaves beside the state: log entry, audit event, and the claim of what ends once. */
import { concat } from '@signet/kernel/bytes.ts'
import { idToBytes, isUuidV7 } from '@signet/kernel/ids.ts'
import { revocationKey, type Salt } from '@signet/kernel/revocation.ts'
import type { Chance, Clock, Sha256 } from '@signet/kernel/surroundings.ts'
import { type AuditActor, type AuditDetail, type AuditIdRole, audited } from '../audit/events.ts'
import type { LogAct, LogEntry } from '../store/ports/revocations.ts'
import type { Tx } from '../store/store.ts'
import type { KnownTarget, Span, Why } from './target.ts'

/** The new entry as the log takes it. */
export const logEntry = (
  target: KnownTarget,
  key: Uint8Array,
  span: Span,
  why: Why,
  act: LogAct,
): Omit<LogEntry, 'seq' | 'epoch' | 'atMs'> => ({
  key,
  ...span,
  kind: target.kind,
  issuer: target.issuer,
  target: target.id,
  reason: why.reason,
  actor: why.actor,
  act,
})

export const keyOf = (sha256: Sha256, salt: Salt, target: Pick<KnownTarget, 'kind' | 'issuer' | 'id'>): Uint8Array =>
  revocationKey(sha256, salt, target.kind, target.issuer, target.id)

export const AUDIT_ROLES: Readonly<Record<KnownTarget['kind'], AuditIdRole>> = {
  token: 'token',
  grant: 'family',
  session: 'session',
  device: 'device',
  subject: 'subject',
  client: 'client',
  key: 'key',
  issuer: 'issuer',
  scope: 'scope',
}

/** Ids of our own only: what another issuer calls its subjects may be a person's name or address, so `detail.key`, a digest, stands for it. */
export function auditAct(
  tx: Tx,
  type: 'revocation.made' | 'suspension.made' | 'suspension.lifted',
  target: KnownTarget,
  why: Why,
  parts: { clock: Clock; chance: Chance },
  detail: AuditDetail,
): void {
  const ids = target.isOwn ? { [AUDIT_ROLES[target.kind]]: target.id } : { issuer: target.issuer }
  const { key, ...rest } = detail
  const about = { kind: target.kind, reason: why.reason, ...rest, ...(target.isOwn ? {} : { key }) }
  tx.audit(audited(parts.clock, parts.chance, type, why.actor as AuditActor, ids, about))
}

/**
 * Of a target that ends once and has no row whose state would tell: made once in each epoch of the log, whose salt is in `key`.
 * It begins with the id where that is a UUIDv7, so that what is claimed about the same time lies together in the store.
 */
export const claimOfTarget = (target: KnownTarget, key: Uint8Array): Uint8Array =>
  concat(isUuidV7(target.id) ? idToBytes(target.id) : new Uint8Array(16), key)
