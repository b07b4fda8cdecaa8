/**
 * A new epoch after a restore or a failover that may have lost entries: the old numbering cannot be vouched for, and nothing
 * issued until now can be told from what had been revoked in the gap. So the log goes over and a cutoff on the whole issuer
 * lies over the gap: every access token renews, every session and grant begins anew. Signing keys that were replaced with
 * it are in the new log from its first entry on, since who holds a stolen one writes any issue time he likes.
 */
import type { Tx } from '../store/store.ts'
import { type CarryParts, carryLogOver } from './carry-log.ts'
import { keyOf, logEntry } from './record.ts'
import { guardMsOf, longestTokenSeconds, type RevocationSettings } from './rules.ts'
import { moveStanding } from './standing.ts'
import { judgeSpan, type KnownTarget, type Span, type Why } from './target.ts'

export interface Restarted {
  readonly epoch: string
  /** Everything issued at or before it is dead, epoch milliseconds. */
  readonly cutoffMs: number
}

/** `also` adds to the same transaction, the audit event say, and names signing keys that end with it; it may run more than once. */
export async function restartLog(
  why: Pick<Why, 'reason' | 'actor'>,
  parts: CarryParts & { readonly issuer: string; readonly settings: RevocationSettings },
  also: (tx: Tx, restarted: Restarted) => Promise<readonly string[]> = async () => [],
): Promise<Restarted> {
  const { issuer, settings, sha256 } = parts
  const target = { kind: 'issuer', id: issuer, issuer, isOwn: true } as const
  return carryLogOver(parts, {
    keeps: () => true,
    async conclude(tx, next) {
      const cutoffMs = tx.nowMs + guardMsOf(settings)
      const longestSeconds = await longestTokenSeconds(tx.meta, settings)
      const entryFor = (target: KnownTarget) => {
        const span = judgeSpan(target, { cutoffMs, nowMs: tx.nowMs, longestSeconds }, settings) as Span
        return logEntry(target, keyOf(sha256, next.salt, target), span, why, 'revoke')
      }
      await moveStanding(tx, { target, act: 'revoke', cutoffMs, again: false })
      const answer = { epoch: next.epoch, cutoffMs }
      const keys = (await also(tx, answer)).map((id) => entryFor({ kind: 'key', id, issuer, isOwn: true }))
      return { adds: [entryFor(target), ...keys], answer }
    },
  })
}
