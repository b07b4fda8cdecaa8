/**
 * oidc-provider on plain maps. Its own in-memory adapter keeps at most 1000 entries and evicts grants that are alive, so
 * that a run of any length would fail; this one keeps everything and does a little less work.
 */
import type { Adapter, AdapterPayload } from 'oidc-provider'

export function createMapAdapter(): (model: string) => Adapter {
  const byModel = new Map<string, Map<string, AdapterPayload>>()
  const byGrant = new Map<string, [entries: Map<string, AdapterPayload>, id: string][]>()
  return (model) => {
    const entries = byModel.get(model) ?? new Map<string, AdapterPayload>()
    byModel.set(model, entries)
    const find = async (id: string) => entries.get(id)
    return {
      find,
      findByUid: async (uid) => [...entries.values()].find((payload) => payload.uid === uid),
      findByUserCode: async (userCode) => [...entries.values()].find((payload) => payload.userCode === userCode),
      async upsert(id, payload) {
        entries.set(id, payload)
        if (payload.grantId === undefined) return
        const members = byGrant.get(payload.grantId)
        if (members === undefined) byGrant.set(payload.grantId, [[entries, id]])
        else members.push([entries, id])
      },
      async consume(id) {
        const payload = entries.get(id)
        if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000)
      },
      destroy: async (id) => void entries.delete(id),
      async revokeByGrantId(grantId) {
        for (const [members, id] of byGrant.get(grantId) ?? []) members.delete(id)
        byGrant.delete(grantId)
      },
    }
  }
}
