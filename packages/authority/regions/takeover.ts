/**
 * A region is lost, says an operator of another. Its families end, and their owners sign in anew where they are. Nobody else can rotate
 * them, now or later, and their home ends them when it hears of it, so there are never two living chains of one. What that region signed
 * is cut off, since what it took back in its last moments is not known here.
 *
 * It hears of it from our log, as of everything else: an entry for each of its token keys, and its *mark*, a name in place of a key's
 * that no token bears. Whether it comes back from the dead or lived on beyond a cut network, with the mark it ends all families made
 * there until then and replaces those keys. It has returned when it answers and says that it has the mark.
 */
import type { Chance, Sha256 } from '@signet/kernel/surroundings.ts'
import { type AuditActor, audited } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import { keyOf, logEntry } from '../revocation/record.ts'
import { guardMsOf } from '../revocation/rules.ts'
import { endFamilies } from '../revocation/standing.ts'
import { judgeSpan, type KnownTarget } from '../revocation/target.ts'
import type { Store, Tx } from '../store/store.ts'
import { readKeys } from './link-messages.ts'

export interface TakeoverParts {
  readonly store: Store
  readonly issuer: string
  readonly settings: PolicySettings
  readonly sha256: Sha256
  readonly chance: Chance
}

export interface Takeover {
  /** Keys of that region that were cut off. */
  readonly keys: number
  /** How old our knowledge of it was: what it took back within that time is not known here. Undefined: never had. */
  readonly ageMs: number | undefined
}

export interface OperatorWhy {
  readonly reason: string
  readonly actor: AuditActor
}

const nameOf = (peer: string): string => `region_taken_over:${peer}`

export const isTakenOver = async (meta: { get(name: string): Promise<string | undefined> }, peer: string): Promise<boolean> =>
  ((await meta.get(nameOf(peer))) ?? '') !== ''

/** Key ids are base64url, so this is none. */
export const markOf = (region: string): string => `region:${region}`

/** Done twice it does no more than once. */
export async function takeOverRegion(peer: string, why: OperatorWhy, parts: TakeoverParts): Promise<Takeover> {
  const { settings, issuer, sha256, chance } = parts
  return parts.store.transact(async (tx) => {
    const record = (await tx.peers.all()).find(({ name }) => name === peer)
    const ageMs = record === undefined || record.freshAtMs === 0 ? undefined : Math.max(0, tx.nowMs - record.freshAtMs)
    const { salt } = await tx.revocations.head()
    const cutOff = async (id: string, again: boolean): Promise<boolean> => {
      const target: KnownTarget = { kind: 'key', id, issuer, isOwn: true }
      const key = keyOf(sha256, salt, target)
      if (!again && (await tx.revocations.ofKey(key)).length > 0) return false
      const span = judgeSpan(target, { cutoffMs: tx.nowMs + guardMsOf(settings), nowMs: tx.nowMs, longestSeconds: 0 }, settings)
      if (span !== undefined) tx.revocations.append(logEntry(target, key, span, why, 'revoke'))
      return true
    }
    let cut = 0
    for (const { id, purpose } of readKeys(record?.keys ?? '[]')) if (purpose === 'token' && (await cutOff(id, false))) cut++
    // Last, so that whoever has it has the others. A region may be lost more than once.
    if (!(await isTakenOver(tx.meta, peer))) await cutOff(markOf(peer), true)
    await tx.meta.put(nameOf(peer), String(tx.nowMs))
    const detail = { region: peer, reason: why.reason, keys: cut, age_ms: ageMs }
    tx.audit(audited({ now: () => tx.nowMs }, chance, 'region.taken_over', why.actor, {}, detail))
    return { keys: cut, ageMs }
  })
}

/** It answers. True unless it was taken over and has not heard of it yet. */
export async function regionReturned(
  tx: Tx,
  peer: string,
  { issuer, sha256, chance }: Pick<TakeoverParts, 'issuer' | 'sha256' | 'chance'>,
): Promise<boolean> {
  if (!(await isTakenOver(tx.meta, peer))) return true
  const { salt } = await tx.revocations.head()
  const marks = await tx.revocations.ofKey(keyOf(sha256, salt, { kind: 'key', issuer, id: markOf(peer) }))
  const told = (await tx.peers.all()).find(({ name }) => name === peer)
  const ours = marks.filter(({ origin }) => origin === undefined)
  if (!ours.every(({ epoch, seq }) => told?.toldEpoch === epoch && told.toldSeq >= seq)) return false
  await tx.meta.put(nameOf(peer), '')
  tx.audit(audited({ now: () => tx.nowMs }, chance, 'region.returned', 'system', {}, { region: peer }))
  return true
}

/** Another region had declared this one lost, and we hear of it. */
export async function endLostFamilies(
  tx: Tx,
  by: string,
  reason: string,
  { settings, chance }: Pick<TakeoverParts, 'settings' | 'chance'>,
): Promise<void> {
  const endedMs = await endFamilies(tx, settings)
  const detail = { region: by, reason, ended_ms: endedMs }
  tx.audit(audited({ now: () => tx.nowMs }, chance, 'region.families_ended', 'system', {}, detail))
}
