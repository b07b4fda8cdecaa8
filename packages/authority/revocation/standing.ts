/** What a revocation changes in the state behind one of our own targets. Every change is a transition that says whether it won. */

import type { ClientId, DeviceId, FamilyId, KeyId, SessionId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { AuditActor } from '../audit/events.ts'
import type { Standing, StandingChange, Status } from '../store/ports/standing.ts'
import type { Store, Tx } from '../store/store.ts'
import { guardMsOf, type RevocationSettings } from './rules.ts'
import type { Act, KnownTarget } from './target.ts'

/** The key ring's part in it. */
export interface KeyEnder {
  /** Ends the key and puts another in its place. False when it is unknown or has ended already. */
  markCompromised(tx: Tx, kid: KeyId, actor?: AuditActor): Promise<boolean>
  /** Reads the keys again, after the commit. */
  refresh(): Promise<void>
}

/** Names in the store's meta table, next to `max_token_seconds`. */
export const ISSUER_CUTOFF = 'issuer_cutoff_ms'
export const ISSUER_REVOKED = 'issuer_revoked_ms'
/** Families made at or before it have ended; sessions and API keys go on. Another region had declared this one lost (regions/takeover.ts). */
const FAMILIES_ENDED = 'families_ended_ms'

export interface Move {
  readonly target: KnownTarget
  readonly act: Act
  readonly cutoffMs: number
  /** The act was done before and its cutoff is raised now. */
  readonly again: boolean
}

/** Kinds that are over for good once revoked; of the others what was made before ends, and they go on. */
const ENDS: readonly string[] = ['grant', 'session', 'device']

/** True when the standing moved. Tokens and signing keys have none: see revoke.ts. */
export async function moveStanding(tx: Tx, move: Move): Promise<boolean> {
  const { target, act, cutoffMs } = move
  const revokedMs = act === 'revoke' && WIDE.includes(target.kind) ? await pastEverything(tx, cutoffMs) : cutoffMs
  if (target.kind === 'issuer') {
    await tx.meta.raise(ISSUER_CUTOFF, cutoffMs)
    if (act === 'revoke') await tx.meta.raise(ISSUER_REVOKED, revokedMs)
    return true
  }
  for (const change of changes(move, revokedMs)) if (await changeStanding(tx, target, change)) return true
  return false
}

/**
 * What grants and sessions made until now must have been made at or before. Usually the cutoff; but when the clock was set back, those
 * made before the step bear later times, and it must lie past them too. Access tokens of before the step live out their minutes.
 */
async function pastEverything(tx: Tx, cutoffMs: number): Promise<number> {
  const aheadMs = (await tx.latestMs()) - tx.nowMs
  return aheadMs <= STEP_MS ? cutoffMs : cutoffMs + aheadMs
}
/** Commits overlap by less than this; clocks that were set back by less are covered by the guard. */
const STEP_MS = 500

/** What to try, in order: one of them wins if the target is in a state that the act may be done in. */
function changes({ target, act, cutoffMs, again }: Move, revokedMs: number): StandingChange[] {
  const ended = { cutoffMs, revokedMs }
  const staying = (raised: { cutoffMs: number; revokedMs?: number }): StandingChange[] => [
    { from: ['active'], to: 'active', ...raised },
    { from: ['suspended'], to: 'suspended', ...raised },
  ]
  if (act === 'renew') return staying({ cutoffMs })
  if (act === 'suspend') return again ? staying({ cutoffMs }) : [{ from: ['active'], to: 'suspended', cutoffMs }]
  if (!ENDS.includes(target.kind)) return staying(ended)
  return [{ from: again ? ['revoked'] : ['active', 'suspended'], to: 'revoked', ...ended }]
}

export async function changeStanding(tx: Tx, target: KnownTarget, change: StandingChange): Promise<boolean> {
  switch (target.kind) {
    case 'subject':
      return tx.subjects.changeStanding(target.id as SubjectId, change)
    case 'client':
      return tx.clients.changeStanding(target.id as ClientId, change)
    case 'session':
      return tx.sessions.changeStanding(target.id as SessionId, change)
    case 'device':
      return tx.devices.changeStanding(target.id as DeviceId, change)
    case 'grant':
      return tx.families.changeStanding(target.id as FamilyId, change)
    default:
      return false
  }
}

/** How an own target stands, or undefined when there is no such thing. Access tokens have no state, so theirs is unknown too. */
export async function findStatus(store: Store, { kind, id }: Pick<KnownTarget, 'kind' | 'id'>): Promise<Status | undefined> {
  switch (kind) {
    case 'subject':
      return (await store.subjects.find(id as SubjectId))?.status
    case 'client':
      return (await store.clients.find(id as ClientId))?.status
    case 'session':
      return (await store.sessions.find(id as SessionId))?.status
    case 'device':
      return (await store.devices.find(id as DeviceId))?.status
    case 'grant':
      return (await store.families.find(id as FamilyId))?.family.status
    case 'token':
      return (await store.apiKeys.find(id as TokenId))?.status
    case 'key':
      return (await store.keys.all()).some((key) => key.id === id) ? 'revoked' : undefined
    case 'issuer':
    case 'scope':
      return 'active'
  }
}

/** Since when the grants of a subject, a client or the issuer have ended, as this transaction sees it. */
export async function findRevokedMs(tx: Tx, { kind, id }: Pick<KnownTarget, 'kind' | 'id'>): Promise<number> {
  if (kind === 'subject') return (await tx.subjects.find(id as SubjectId))?.revokedMs ?? 0
  if (kind === 'client') return (await tx.clients.find(id as ClientId))?.revokedMs ?? 0
  return Number((await tx.meta.get(ISSUER_REVOKED)) ?? 0)
}

/** Takes it back from `madeMs` to `beforeMs`; false when another revocation was made since, which then stands. */
export async function withdrawRevokedMs(
  tx: Tx,
  { kind, id }: Pick<KnownTarget, 'kind' | 'id'>,
  madeMs: number,
  beforeMs: number,
): Promise<boolean> {
  if (kind === 'subject') return tx.subjects.withdraw(id as SubjectId, madeMs, beforeMs)
  if (kind === 'client') return tx.clients.withdraw(id as ClientId, madeMs, beforeMs)
  if (Number((await tx.meta.get(ISSUER_REVOKED)) ?? 0) !== madeMs) return false
  await tx.meta.put(ISSUER_REVOKED, String(beforeMs))
  return true
}

/** Kinds of our own whose grants only stand behind `revokedMs`, so that undoing a revocation brings them back. */
export const WIDE: readonly string[] = ['subject', 'client', 'issuer']

export interface IssuerStanding extends Standing {
  /** Families made at or before it have ended: `revokedMs`, or later. */
  readonly familiesEndedMs: number
}

/** How everything of this issuer stands: the largest cutoffs ever put on all of it. */
export async function issuerStanding(store: Pick<Store, 'meta'>): Promise<IssuerStanding> {
  const names = [ISSUER_CUTOFF, ISSUER_REVOKED, FAMILIES_ENDED]
  const [cutoffMs, revokedMs, endedMs] = (await Promise.all(names.map((name) => store.meta.get(name)))).map((v) => Number(v ?? 0))
  return {
    status: 'active',
    cutoffMs: cutoffMs as number,
    revokedMs: revokedMs as number,
    familiesEndedMs: Math.max(revokedMs as number, endedMs as number),
  }
}

export const familiesEndedMs = async (meta: Store['meta']): Promise<number> => Number((await meta.get(FAMILIES_ENDED)) ?? 0)

/** Ends every family made until now, by whichever node's clock, and however far it was carried past a cutoff; those made from now on lie past it. */
export async function endFamilies(tx: Tx, settings: RevocationSettings): Promise<number> {
  const { cutoffMs } = await tx.revocations.head()
  return tx.meta.raise(FAMILIES_ENDED, Math.max(tx.nowMs + guardMsOf(settings), cutoffMs + 1))
}
