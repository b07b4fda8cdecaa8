/** Looking after API keys: made and shown once, rotated with overlap, revoked. */
import type { ClientId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import { isSubset } from '@signet/kernel/scope.ts'
import type { Secret } from '@signet/kernel/secret.ts'
import { type Chance, type Clock, epochSeconds } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { ApiKeyRecord } from '../store/ports/api-keys.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { Store } from '../store/store.ts'
import { mintApiKey } from '../tokens/api-key.ts'
import type { Administrator } from './actor.ts'
import { findClient } from './clients.ts'
import { invalid, refuse } from './reasons.ts'
import { findSubject } from './subjects.ts'

export interface ApiKeyParts {
  readonly store: Store
  readonly clock: Clock
  readonly chance: Chance
}
export type { ApiKeyRecord }

export interface ApiKeyDraft {
  readonly name: string
  readonly client: ClientId
  readonly subject: SubjectId | undefined
  readonly scopes: readonly string[]
  readonly resource: string
  /** Until revoked when undefined. */
  readonly seconds: number | undefined
}
/** `key` is seen this once. */
export interface NewApiKey {
  readonly record: ApiKeyRecord
  readonly key: Secret
}

export async function findApiKey(id: TokenId, { store }: Pick<ApiKeyParts, 'store'>): Promise<ApiKeyRecord> {
  const key = await store.apiKeys.find(id)
  if (key === undefined) throw refuse('not_found', 'unknown_api_key')
  return key
}

export async function createApiKey(draft: ApiKeyDraft, actor: Administrator, parts: ApiKeyParts): Promise<NewApiKey> {
  const { store, clock, chance } = parts
  const { name, client, subject, scopes, resource, seconds } = draft
  await check(draft, parts)
  const nowAt = epochSeconds(clock.now())
  const { id, key, secretHash } = mintApiKey(clock.now(), chance)
  const record: ApiKeyRecord = {
    id,
    secretHash,
    name,
    client,
    scopes,
    resource,
    status: 'active',
    createdAt: nowAt,
    ...(subject === undefined ? {} : { subject }),
    ...(seconds === undefined ? {} : { expiresAt: nowAt + seconds }),
  }
  await store.transact(async (tx) => {
    await tx.apiKeys.create(record)
    tx.audit(audited(clock, chance, 'apikey.issued', actor, { token: id, client, subject, resource }, { scope: scopes }))
  })
  return { record, key }
}

/** Makes the heir; the old key works on for the overlap, in seconds. The heir of a key that had an end lives as long again. */
export async function rotateApiKey(
  id: TokenId,
  overlapSeconds: number,
  actor: Administrator,
  parts: ApiKeyParts,
): Promise<NewApiKey> {
  const { store, clock, chance } = parts
  const old = await findApiKey(id, parts)
  const nowAt = epochSeconds(clock.now())
  if (old.replacedBy !== undefined || (old.expiresAt ?? Number.POSITIVE_INFINITY) <= nowAt)
    throw refuse('conflict', 'api_key_over')
  const { id: heirId, key, secretHash } = mintApiKey(clock.now(), chance)
  const { lastUsedAt: _, expiresAt, ...kept } = old
  const life = expiresAt === undefined ? {} : { expiresAt: nowAt + expiresAt - old.createdAt }
  const heir: ApiKeyRecord = { ...kept, id: heirId, secretHash, createdAt: nowAt, ...life }
  const endsAt = Math.min(nowAt + overlapSeconds, expiresAt ?? Number.POSITIVE_INFINITY)
  await store.transact(async (tx) => {
    if (!(await tx.apiKeys.replace(id, heirId, endsAt))) throw refuse('conflict', 'api_key_over') // Revoked, suspended, or replaced just now.
    await tx.apiKeys.create(heir)
    tx.audit(
      audited(clock, chance, 'apikey.replaced', actor, { token: id, heir: heirId, client: old.client }, { ends_at: endsAt }),
    )
  })
  return { record: heir, key }
}

/** Holds a key, or lets it go on. */
export async function suspendApiKey(
  id: TokenId,
  reason: string,
  actor: Administrator,
  parts: ApiKeyParts,
): Promise<ApiKeyRecord> {
  return moveApiKey(id, { from: 'active', to: 'suspended', type: 'suspension.made', reason }, actor, parts)
}
export async function resumeApiKey(id: TokenId, reason: string, actor: Administrator, parts: ApiKeyParts): Promise<ApiKeyRecord> {
  return moveApiKey(id, { from: 'suspended', to: 'active', type: 'suspension.lifted', reason }, actor, parts)
}

interface Move {
  readonly from: 'active' | 'suspended'
  readonly to: 'active' | 'suspended'
  readonly type: 'suspension.made' | 'suspension.lifted'
  readonly reason: string
}

/** Asked for twice it is done once. */
async function moveApiKey(
  id: TokenId,
  { from, to, type, reason }: Move,
  actor: Administrator,
  parts: ApiKeyParts,
): Promise<ApiKeyRecord> {
  const { store, clock, chance } = parts
  const { client } = await findApiKey(id, parts)
  await store.transact(async (tx) => {
    if (!(await tx.apiKeys.changeStatus(id, [from], to))) return
    tx.audit(audited(clock, chance, type, actor, { token: id, client }, { kind: 'token', reason }))
  })
  const after = await findApiKey(id, parts)
  if (after.status !== to) throw refuse('conflict', 'api_key_over')
  return after
}

/** Never more than its client and its resource have. The authority's own API takes no API keys. */
async function check(draft: ApiKeyDraft, parts: ApiKeyParts): Promise<void> {
  const client = await findClient(draft.client, parts)
  const resource: ResourceRecord | undefined = await parts.store.resources.find(draft.resource)
  if (resource === undefined || !client.resources.includes(resource.uri))
    throw invalid({ path: 'resource', message: 'is not one of the resources of the client' })
  const known = resource.scopes.map(({ name }) => name)
  if (!isSubset(draft.scopes, known)) throw invalid({ path: 'scopes', message: 'are not all scopes of the resource' })
  if (!isSubset(draft.scopes, client.scopes)) throw invalid({ path: 'scopes', message: 'are not all scopes of the client' })
  if (client.dpopBound || resource.dpopRequired)
    throw invalid({ path: 'resource', message: 'takes only tokens bound to a key, and an API key is bound to none' })
  if (draft.subject !== undefined) await findSubject(draft.subject, parts)
}
