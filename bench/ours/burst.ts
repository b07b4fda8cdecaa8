/**
 * Revocations at a steady pace, made inside the authority's process: what is timed is the commit and the feed, not the way to the authority. For each, the moment
 * it was asked for and its number in the log.
 */
import type { Revoker } from '@signet/authority/revocation/revoke.ts'
import { newId } from '@signet/kernel/ids.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import { steadily } from '../pace.ts'
import { sharedMs } from '../shared-clock.ts'

export interface BurstQuestion {
  readonly perSecond: number
  readonly count: number
}

/** Moment asked for, sequence number. */
export type Burst = readonly (readonly [atMs: number, seq: number])[]

export function createBurst(revoker: Revoker, chance: Chance) {
  return ({ perSecond, count }: BurstQuestion): Promise<Burst> =>
    steadily(perSecond, count, async () => {
      const atMs = sharedMs()
      const id = newId<string>(Date.now(), chance)
      const { seq } = await revoker.revoke({ kind: 'token', id }, { reason: 'measured', actor: 'system' })
      return [atMs, seq] as const
    })
}
