/** What has to move before an entry may be written: the part of a revocation that differs from kind to kind. */
import { type FamilyId, idTimeMs, type KeyId, type TokenId } from '@signet/kernel/ids.ts'
import type { AuditActor } from '../audit/events.ts'
import type { Tx } from '../store/store.ts'
import { holdHereToo } from './held-in.ts'
import { claimOfTarget } from './record.ts'
import { LONGEST_ACCESS_TOKEN_SECONDS, longestTokenSeconds, type RevocationSettings } from './rules.ts'
import { changeStanding, type KeyEnder, moveStanding } from './standing.ts'
import { type Act, judgeSpan, type KnownTarget, type Span, type Why } from './target.ts'

export interface Taking {
  readonly target: KnownTarget
  readonly act: Act
  readonly why: Why
  readonly cutoffMs: number
  /** What the log knows the target by, in its present epoch. */
  readonly key: Uint8Array
}

export interface TakeParts {
  readonly settings: RevocationSettings
  readonly keys: KeyEnder
}

/** Moves the state; the span of the entry that is due now, or undefined when the target had ended before, or there is none. */
export async function take(tx: Tx, taking: Taking, parts: TakeParts): Promise<Span | undefined> {
  const { target, cutoffMs } = taking
  const longestSeconds = await longestTokenSeconds(tx.meta, parts.settings)
  const span = judgeSpan(target, { cutoffMs, nowMs: tx.nowMs, longestSeconds }, parts.settings)
  if (!target.isOwn) return target.kind === 'token' || target.kind === 'key' ? once(tx, taking, span) : span
  switch (target.kind) {
    case 'token': {
      const ofApiKey = judgeSpan(target, { cutoffMs, nowMs: tx.nowMs, longestSeconds, isApiKey: true }, parts.settings)
      const { isApiKey, isFirst } = await tx.apiKeys.endToken(target.id as TokenId, {
        key: claimOfTarget(target, taking.key),
        forApiKey: ofApiKey?.dropAfter,
        otherwise: span?.dropAfter,
      })
      return isApiKey ? ofApiKey : isFirst ? span : undefined
    }
    case 'key':
      return takeSigningKey(tx, taking, span, parts)
    case 'scope':
      return span // There is nothing behind it: what is issued with it looks at the log (issueFloor in grants/grant.ts).
    case 'grant':
      if (await moveStanding(tx, { ...taking, again: false })) return span
      return mayBeRowless(target, taking.act, tx.nowMs) && (await tx.families.status(target.id as FamilyId)) === undefined
        ? once(tx, taking, span)
        : undefined
    default:
      if (await moveStanding(tx, { ...taking, again: false })) return span
      return taking.act === 'suspend' && (await suspendHereToo(tx, taking)) ? span : undefined
  }
}

/** It is suspended, as another region said. False when it is not, or by us already. */
async function suspendHereToo(tx: Tx, { target, cutoffMs }: Taking): Promise<boolean> {
  if (!(await holdHereToo(tx, target))) return false
  return changeStanding(tx, target, { from: ['suspended'], to: 'suspended', cutoffMs })
}

/** For what ends once and has no row whose state would tell that it has: the first in an epoch of the log wins. */
async function once(tx: Tx, { target, key }: Taking, span: Span | undefined): Promise<Span | undefined> {
  if (span === undefined) return undefined
  return (await tx.replay.remember(claimOfTarget(target, key), span.dropAfter)) ? span : undefined
}

/** A retired key ends here too: a validator may still have it from an older key set. */
async function takeSigningKey(tx: Tx, taking: Taking, span: Span | undefined, parts: TakeParts): Promise<Span | undefined> {
  const id = taking.target.id as KeyId
  if (!(await tx.keys.all()).some((key) => key.id === id)) return undefined
  const isFirst = await once(tx, taking, span)
  if (isFirst !== undefined) await parts.keys.markCompromised(tx, id, taking.why.actor as AuditActor)
  return isFirst
}

/** ADR 2: the grant of a client that may not refresh has an id and no row, and its only access token is as old as the id. */
export function mayBeRowless({ kind, id }: KnownTarget, act: Act, nowMs: number): boolean {
  return kind === 'grant' && act !== 'suspend' && idTimeMs(id) + (LONGEST_ACCESS_TOKEN_SECONDS + 60) * 1000 > nowMs
}
