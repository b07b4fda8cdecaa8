/**
 * Begins a link anew whose other end has forgotten what it had not told: its log is read from its beginning, as at the first time. What was
 * lost stays lost, so an operator has ended before what it may have been.
 */
import { audited } from '../audit/events.ts'
import type { LogPlace } from '../store/ports/peers.ts'
import type { OperatorWhy, TakeoverParts } from './takeover.ts'

/** Its keys, and how far it has taken over ours, stay known. False when the link has begun anew since `from`. */
export function relinkRegion(
  peer: string,
  from: LogPlace,
  why: OperatorWhy,
  { store, chance }: Pick<TakeoverParts, 'store' | 'chance'>,
): Promise<boolean> {
  return store.transact(async (tx) => {
    if (!(await tx.peers.advance(peer, from, { epoch: '', seq: 0 }))) return false
    const detail = { region: peer, reason: why.reason, epoch: from.epoch, seq: from.seq }
    tx.audit(audited({ now: () => tx.nowMs }, chance, 'region.relinked', why.actor, {}, detail))
    return true
  })
}
