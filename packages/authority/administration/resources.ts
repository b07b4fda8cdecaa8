/** Looking after resources: the APIs that tokens are for. The authority itself is one that nobody can change. */
import { type Chance, type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import { OWN_SCOPES } from '../grants/target.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { Store } from '../store/store.ts'
import type { Administrator, Asker } from './actor.ts'
import { once } from './once.ts'
import { invalid, refuse } from './reasons.ts'

export interface ResourceParts {
  readonly store: Store
  readonly settings: Pick<PolicySettings, 'accessTokenSeconds'>
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly sha256: Sha256
}
export type { ResourceRecord }

export async function findResource(
  uri: string,
  { store, issuer }: Pick<ResourceParts, 'store' | 'issuer'>,
): Promise<ResourceRecord> {
  if (uri === issuer) return { uri: issuer, name: 'Signet', scopes: OWN_SCOPES, dpopRequired: false, createdAt: 0 }
  const resource = await store.resources.find(uri)
  if (resource === undefined) throw refuse('not_found', 'unknown_id')
  return resource
}

/** Creates or replaces. */
export async function putResource(
  draft: Omit<ResourceRecord, 'createdAt'>,
  actor: Administrator,
  parts: ResourceParts,
): Promise<ResourceRecord> {
  const { store, settings, issuer, clock, chance } = parts
  const { uri, scopes } = draft
  if (uri === issuer) throw refuse('conflict', 'own_resource')
  // A token for such a resource would read as one for the authority.
  const reserved = scopes.findIndex(({ name }) => OWN_SCOPES.some((own) => own.name === name))
  if (reserved >= 0) throw invalid({ path: `scopes.${reserved}.name`, message: "is one of the authority's own" })
  if ((draft.accessTokenSeconds ?? 0) > settings.accessTokenSeconds) {
    throw invalid({
      path: 'access_token_seconds',
      message: `must be at most ${settings.accessTokenSeconds}, which policy allows`,
    })
  }
  const before = await store.resources.find(uri)
  const resource = { ...draft, createdAt: before?.createdAt ?? epochSeconds(clock.now()) }
  await store.transact(async (tx) => {
    await tx.resources.put(resource)
    const detail = {
      scopes: scopes.map(({ name }) => name),
      dpop_required: draft.dpopRequired,
      token_format: draft.tokenFormat ?? 'jwt',
    }
    tx.audit(audited(clock, chance, 'resource.put', actor, { resource: uri }, detail))
  })
  return resource
}

/** No new tokens for it; those that are out live out their time. */
export async function removeResource(
  uri: string,
  asker: Asker,
  { store, issuer, clock, chance, sha256 }: ResourceParts,
): Promise<void> {
  if (uri === issuer) throw refuse('conflict', 'own_resource')
  const { actor } = asker
  const removal = once(['resource.delete', uri], asker, sha256)
  await store.transact(async (tx) => {
    if (await removal.wasDoneElseClaim(tx)) return
    if (!(await tx.resources.delete(uri))) throw refuse('not_found', 'unknown_id')
    tx.audit(audited(clock, chance, 'resource.deleted', actor, { resource: uri }))
  })
}
