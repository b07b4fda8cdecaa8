/**
 * A region is lost, says an operator of another. Nobody else can rotate its families, now or later: they end, and their owners sign in anew
 * where they are, so there are never two living chains of one. What that region signed is cut off, since what it took back in its last
 * moments is not known here; should it live on beyond a cut network, it hears of that when the network heals, replaces those keys, and its
 * clients renew silently. It counts as returned with its first whole answer.
 */
import type { Bus } from '@signet/bus/bus.ts'
import type { Chance, Sha256 } from '@signet/kernel/surroundings.ts'
import { type AuditActor, audited } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import { keyOf, logEntry } from '../revocation/record.ts'
import { guardMsOf } from '../revocation/rules.ts'
import { judgeSpan, type KnownTarget } from '../revocation/target.ts'
import type { Store, Tx } from '../store/store.ts'
import { readKeys } from './link-messages.ts'

export interface TakeoverParts {
  readonly store: Store
  readonly issuer: string
  readonly settings: PolicySettings
  readonly sha256: Sha256
  readonly chance: Chance
  readonly bus: Pick<Bus, 'publish'>
}

export interface Takeover {
  /** Keys of that region that were cut off. */
  readonly keys: number
  /** How old our knowledge of it was: what it took back within that time is not known here. Undefined: never had. */
  readonly ageMs: number | undefined
}

const markOf = (peer: string): string => `region_taken_over:${peer}`

export const isTakenOver = async (meta: { get(name: string): Promise<string | undefined> }, peer: string): Promise<boolean> =>
  ((await meta.get(markOf(peer))) ?? '') !== ''

/** Done twice it does no more than once. */
export async function takeOverRegion(
  peer: string,
  why: { readonly reason: string; readonly actor: AuditActor },
  parts: TakeoverParts,
): Promise<Takeover> {
  const { settings, issuer, sha256, chance } = parts
  const done = await parts.store.transact(async (tx) => {
    const record = (await tx.peers.all()).find(({ name }) => name === peer)
    const ageMs = record === undefined || record.freshAtMs === 0 ? undefined : Math.max(0, tx.nowMs - record.freshAtMs)
    const { salt } = await tx.revocations.head()
    let cut = 0
    for (const { id, purpose } of readKeys(record?.keys ?? '[]')) {
      if (purpose !== 'token') continue
      const target: KnownTarget = { kind: 'key', id, issuer, isOwn: true }
      const key = keyOf(sha256, salt, target)
      if ((await tx.revocations.ofKey(key)).length > 0) continue
      const span = judgeSpan(target, { cutoffMs: tx.nowMs + guardMsOf(settings), nowMs: tx.nowMs, longestSeconds: 0 }, settings)
      if (span !== undefined) tx.revocations.append(logEntry(target, key, span, why, 'revoke'))
      cut++
    }
    await tx.meta.put(markOf(peer), String(tx.nowMs))
    const detail = { region: peer, reason: why.reason, keys: cut, age_ms: ageMs }
    tx.audit(audited({ now: () => tx.nowMs }, chance, 'region.taken_over', why.actor, {}, detail))
    return { keys: cut, ageMs }
  })
  parts.bus.publish('revocations')
  return done
}

/** It answers again. Its families that nobody missed go on there. */
export async function regionReturned(tx: Tx, peer: string, chance: Chance): Promise<void> {
  if (!(await isTakenOver(tx.meta, peer))) return
  await tx.meta.put(markOf(peer), '')
  tx.audit(audited({ now: () => tx.nowMs }, chance, 'region.returned', 'system', {}, { region: peer }))
}
