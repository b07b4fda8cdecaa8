/**
 * A refresh retires the access tokens before it: a cutoff on the grant one millisecond before the new token, at once or
 * after the drain that policy names, so that requests under way may end. With a drain the cutoff is written down in
 * the refresh's own transaction and made when it is due, by whichever node gets there first: a node that dies loses none.
 */

import { toBase64Url } from '@signet/kernel/bytes.ts'
import type { FamilyId } from '@signet/kernel/ids.ts'
import type { Chance, Clock, Sha256, Timer, Timers } from '@signet/kernel/surroundings.ts'
import type { Store, Tx } from '../store/store.ts'
import { auditAct, keyOf, logEntry } from './record.ts'
import { longestTokenSeconds, type RevocationSettings } from './rules.ts'
import { judgeSpan, type KnownTarget } from './target.ts'

export interface Retirement {
  /**
   * Inside the transaction of a refresh that won its rotation. `issuedAtMs` is the issue time of the new access token; the
   * tokens of this grant issued before it retire.
   */
  retirePrior(tx: Tx, refresh: { readonly family: FamilyId; readonly issuedAtMs: number }): Promise<void>
  /** Makes the cutoffs that are due; how many. Runs by itself as long as it is open. */
  retireDue(): Promise<number>
  close(): void
}

export interface RetirementParts {
  readonly store: Store
  readonly settings: RevocationSettings
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly timers: Timers
  readonly sha256: Sha256
}

/** Drains are in seconds; a look so often keeps to them well. Without a drain only what an earlier policy left is looked for. */
const LOOK_MS = 250
const IDLE_LOOK_MS = 10_000
/** In one transaction, so that no other waits long behind it. */
const BATCH = 200
/** Of such transactions in a row, before others get their turn. */
const MAX_BATCHES = 25
const WHY = { reason: 'superseded_by_refresh', actor: 'system' } as const

export function openRetirement(parts: RetirementParts): Retirement {
  const { store, settings, issuer, timers, sha256 } = parts
  const drainSeconds = settings.retirePriorAccessTokenAfterSeconds
  let timer: Timer | undefined
  let closed = false
  look()

  return {
    async retirePrior(tx, { family, issuedAtMs }) {
      if (drainSeconds === undefined) return
      const cutoffMs = issuedAtMs - 1
      if (drainSeconds === 0) await cutOff(tx, family, cutoffMs)
      else await tx.revocations.defer({ dueMs: tx.nowMs + drainSeconds * 1000, family, cutoffMs })
    },
    retireDue,
    close() {
      closed = true
      timer?.cancel()
    },
  }

  async function retireDue(): Promise<number> {
    let retired = 0
    for (let batch = 0; batch < MAX_BATCHES; batch++) {
      const due = await store.revocations.nextDue()
      if (due === undefined || due > (await store.now())) break
      const taken = await store.transact(async (tx) => {
        const cutoffs = await tx.revocations.takeDue(tx.nowMs, BATCH)
        for (const { family, cutoffMs } of cutoffs) await cutOff(tx, family, cutoffMs)
        return cutoffs.length
      })
      retired += taken
      if (taken < BATCH) break
    }
    return retired
  }

  /** The cutoff lies in the past, or as little ahead as the new token does, so no guard is due: nobody issues behind it any more. */
  async function cutOff(tx: Tx, family: FamilyId, cutoffMs: number): Promise<{ readonly seq: number } | undefined> {
    const target: KnownTarget = { kind: 'grant', id: family, issuer, isOwn: true }
    // Of a family that ended meanwhile everything is cut off already.
    if (!(await tx.families.changeStanding(family, { from: ['active'], to: 'active', cutoffMs }))) return undefined
    const { salt } = await tx.revocations.head()
    const longestSeconds = await longestTokenSeconds(tx.meta, settings)
    const span = judgeSpan(target, { cutoffMs, nowMs: tx.nowMs, longestSeconds }, settings)
    if (span === undefined) return undefined // Left over from so long ago that those tokens have expired.
    const key = keyOf(sha256, salt, target)
    const place = tx.revocations.append(logEntry(target, key, span, WHY, 'renew'))
    auditAct(tx, 'revocation.made', target, WHY, parts, { key: toBase64Url(key), cutoff_ms: cutoffMs, keeps_grants: true })
    return place
  }

  function look(): void {
    if (closed) return
    timer = timers.after(drainSeconds === undefined || drainSeconds === 0 ? IDLE_LOOK_MS : LOOK_MS, () => {
      void retireDue()
        .catch(() => {}) // The store is away; what is due stays due.
        .then(look)
    })
  }
}
