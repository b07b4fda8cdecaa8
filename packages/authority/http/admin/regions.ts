/** Other regions: how they are followed, taking over from one that is lost, beginning anew. */

import { refuse } from '../../administration/reasons.ts'
import type { AuditActor } from '../../audit/events.ts'
import type { AdminParts, Some } from './parts.ts'

export function regionHandlers({
  regions,
}: Pick<AdminParts, 'regions'>): Some<'listRegions' | 'takeOverRegion' | 'relinkRegion'> {
  return {
    async listRegions() {
      const items = (regions?.status() ?? []).map(({ name, url, ageMs, clockOffsetMs, place, problem, takenOver }) => ({
        name,
        url,
        age_ms: Number.isFinite(ageMs) ? Math.round(ageMs) : null,
        clock_offset_ms: clockOffsetMs,
        ...place,
        problem,
        taken_over: takenOver,
      }))
      const endedMs = (await regions?.familiesEndedMs()) ?? 0
      return { name: regions?.name ?? null, families_ended_ms: endedMs === 0 ? null : endedMs, items }
    },

    async takeOverRegion({ params: { name }, body: { reason } }, { actor }) {
      if (regions === undefined || !regions.peers.includes(name)) throw refuse('not_found', 'unknown_peer')
      if (regions.status().some((peer) => peer.name === name && peer.problem === undefined)) {
        throw refuse('conflict', 'region_answers')
      }
      const { keys, ageMs } = await regions.takeOver(name, { reason, actor: actor as AuditActor })
      return { name, keys, age_ms: ageMs === undefined ? null : Math.round(ageMs) }
    },

    async relinkRegion({ params: { name }, body: { reason } }, { actor }) {
      if (regions === undefined || !regions.peers.includes(name)) throw refuse('not_found', 'unknown_peer')
      if (!(await regions.relink(name, { reason, actor: actor as AuditActor }))) throw refuse('conflict', 'nothing_lost')
      return undefined
    },
  }
}
