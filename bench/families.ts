/** Refresh families made straight in a store, and one rotation as a refresh commits it: the family's row and its audit event. */

import { audited } from '@signet/authority/audit/events.ts'
import type { FamilyRecord, Terms } from '@signet/authority/store/ports/families.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import type { AuditEvent } from '@signet/kernel/audit-entry.ts'
import type { ClientId, DeviceId, FamilyId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import { newId } from '@signet/kernel/ids.ts'
import { APP_CLIENT, RESOURCE, RESOURCE_SCOPES } from './http/server.ts'

const { clock, chance } = realSurroundings()
const DAY = 86_400

const TERMS: Terms = {
  client: APP_CLIENT.id as ClientId,
  platform: 'web',
  scope: RESOURCE_SCOPES,
  resources: [RESOURCE],
  acr: 'urn:signet:acr:password',
  amr: ['pwd'],
  policy: 'bench',
  idleSeconds: 14 * DAY,
}

export function newFamily(): FamilyRecord {
  const nowMs = clock.now()
  const nowAt = Math.floor(nowMs / 1000)
  return {
    id: newId<FamilyId>(nowMs, chance),
    terms: TERMS,
    subject: newId<SubjectId>(nowMs, chance),
    session: newId<SessionId>(nowMs, chance),
    device: newId<DeviceId>(nowMs, chance),
    status: 'active',
    cutoffMs: 0,
    createdAtMs: nowMs,
    authAt: nowAt,
    generation: 0,
    nonce: chance.bytes(16),
    ring: 1,
    previousRing: 1,
    rotatedAtMs: nowMs,
    graceCount: 0,
    graceForeign: false,
    graceRun: 0,
    foreignRun: 0,
    seen: chance.bytes(8),
    idleExpiresAt: nowAt + 14 * DAY,
    expiresAt: nowAt + 90 * DAY,
  }
}

/** Makes `count` families, many to a commit. */
export async function makeFamilies(store: Store, count: number): Promise<readonly FamilyId[]> {
  const families = Array.from({ length: count }, newFamily)
  for (let at = 0; at < count; at += PER_WAVE) {
    await Promise.all(families.slice(at, at + PER_WAVE).map((family) => store.transact((tx) => tx.families.create(family))))
  }
  return families.map(({ id }) => id)
}

const PER_WAVE = 1000

/** Rotates families in turn, each from the generation it stands at, which is the same for all in the beginning. */
export function createRotator(store: Store, ids: readonly FamilyId[], generation = 0): () => Promise<void> {
  const generations = new Map(ids.map((id) => [id, generation]))
  let at = 0
  return async () => {
    const id = ids[at++ % ids.length] as FamilyId
    const spent = generations.get(id) as number
    generations.set(id, spent + 1)
    const won = await store.transact(async (tx) => {
      tx.audit(refreshed(id, spent + 1))
      return tx.families.rotate({
        id,
        spent,
        ring: 1,
        rotatedAtMs: tx.nowMs,
        idleExpiresAt: Math.floor(tx.nowMs / 1000) + 14 * DAY,
        graceRun: 0,
        foreignRun: 0,
        seen: SEEN,
      })
    })
    if (!won) throw new Error('a rotation that nobody raced was lost')
  }
}

const SEEN = new Uint8Array(8)

function refreshed(family: FamilyId, generation: number): AuditEvent {
  return audited(clock, chance, 'token.refreshed', `client:${APP_CLIENT.id}`, { family, client: APP_CLIENT.id }, { generation })
}
