/**
 * Looking after OAuth clients: registering, changing and removing them, and their secrets. Each act is one transaction of change, audit
 * event and, where a client loses something, the revocation that makes it true everywhere.
 */
import { type ClientId, newId, type SubjectId, type TokenId } from '@signet/kernel/ids.ts'
import { encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { type Chance, type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import { keyOf } from '../revocation/record.ts'
import type { Revoker } from '../revocation/revoke.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { Store, Tx } from '../store/store.ts'
import type { Administrator, Asker } from './actor.ts'
import { judgeClient } from './client-rules.ts'
import { once } from './once.ts'
import { invalid, refuse } from './reasons.ts'

export interface ClientParts {
  readonly store: Store
  readonly revoker: Pick<Revoker, 'revoke' | 'within'>
  readonly settings: PolicySettings
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly sha256: Sha256
}

/** What an administrator decides about a client; the rest is ours. */
export type ClientDraft = Omit<ClientRecord, 'id' | 'secrets' | 'status' | 'cutoffMs' | 'revokedMs' | 'createdAt'>
/** Only what is there changes; null takes an own lifetime away. */
export type ClientChange = {
  readonly [M in keyof Omit<ClientDraft, 'platform' | 'authMethod'>]?: M extends `${string}Seconds`
    ? ClientDraft[M] | null | undefined
    : ClientDraft[M] | undefined
}

export type { ClientRecord }

export async function findClient(id: ClientId, { store }: Pick<ClientParts, 'store'>): Promise<ClientRecord> {
  const client = await store.clients.find(id)
  if (client === undefined) throw refuse('not_found', 'unknown_client')
  return client
}

/** The secret is there for clients that use one; this is the only time it is seen. */
export async function registerClient(
  draft: ClientDraft & { readonly id: ClientId | undefined },
  actor: Administrator,
  parts: ClientParts,
): Promise<{ readonly client: ClientRecord; readonly secret: Secret | undefined }> {
  const { store, clock, chance } = parts
  const nowAt = epochSeconds(clock.now())
  const secret = usesSecret(draft) ? newSecret(parts) : undefined
  const client: ClientRecord = {
    ...draft,
    id: draft.id ?? newId<ClientId>(clock.now(), chance),
    secrets: secret === undefined ? [] : [{ sha256: secret.sha256, createdAt: nowAt }],
    status: 'active',
    cutoffMs: 0,
    revokedMs: 0,
    createdAt: nowAt,
  }
  await check(client, parts)
  const made = await store.transact(async (tx) => {
    // RFC 9700 §4.15: a client's own tokens carry its id as `sub`, and must not read as somebody's.
    if ((await tx.subjects.find(client.id as string as SubjectId)) !== undefined) throw refuse('conflict', 'client_exists')
    const whole = { ...client, ...(await standingOfNew(tx, client.id, parts)) }
    if (!(await tx.clients.create(whole))) throw refuse('conflict', 'client_exists')
    tx.audit(audited(clock, chance, 'client.created', actor, { client: client.id }, facts(client)))
    return whole
  })
  return { client: made, secret: secret?.text }
}

export async function changeClient(
  id: ClientId,
  change: ClientChange,
  actor: Administrator,
  parts: ClientParts,
): Promise<ClientRecord> {
  const { store, revoker, clock, chance } = parts
  await check(changed(await findClient(id, parts), change), parts)
  return store.transact(async (tx) => {
    const before = await tx.clients.find(id)
    if (before === undefined) throw refuse('not_found', 'unknown_client')
    const after = changed(before, change)
    if (!(await tx.clients.update(after, before))) throw refuse('conflict', 'changed_meanwhile')
    tx.audit(audited(clock, chance, 'client.updated', actor, { client: id }, { changed: Object.keys(change), ...facts(after) }))
    // What it has lost, tokens that are out must not go on carrying.
    if (isNarrower(before, after))
      await revoker.within(tx, { kind: 'client', id }, { reason: 'client_narrowed', actor, keepGrants: true })
    return after
  })
}

/** Ends everything it holds, then forgets it. */
export async function removeClient(id: ClientId, asker: Asker, parts: ClientParts): Promise<void> {
  const { store, revoker, clock, chance, sha256 } = parts
  const { actor } = asker
  const removal = once(['client.delete', id], asker, sha256)
  // Before anything is revoked: another client may have the id by now.
  if (await store.transact((tx) => removal.wasDone(tx))) return
  await revokeApiKeys(id, actor, parts)
  await store.transact(async (tx) => {
    if (await removal.wasDoneElseClaim(tx)) return
    if ((await tx.clients.find(id)) === undefined) throw refuse('not_found', 'unknown_client')
    await revoker.within(tx, { kind: 'client', id }, { reason: 'client_deleted', actor })
    if (!(await tx.clients.delete(id))) throw refuse('not_found', 'unknown_client')
    tx.audit(audited(clock, chance, 'client.deleted', actor, { client: id }))
  })
}

/** The newest secret so far goes on working for the overlap, in seconds; all others end now. */
export async function rotateClientSecret(
  id: ClientId,
  overlapSeconds: number,
  actor: Administrator,
  parts: ClientParts,
): Promise<{ readonly secret: Secret; readonly previousExpiresAt: number | undefined }> {
  const { store, clock, chance } = parts
  const secret = newSecret(parts)
  const previousExpiresAt = await store.transact(async (tx) => {
    const client = await tx.clients.find(id)
    if (client === undefined) throw refuse('not_found', 'unknown_client')
    if (!usesSecret(client)) throw refuse('conflict', 'client_without_secret')
    const nowAt = epochSeconds(tx.nowMs)
    const overlapping = keepOne(client.secrets, nowAt, nowAt + overlapSeconds)
    const secrets = [...overlapping, { sha256: secret.sha256, createdAt: nowAt }]
    if (!(await tx.clients.update({ ...client, secrets }, client))) throw refuse('conflict', 'changed_meanwhile')
    tx.audit(audited(clock, chance, 'admin.client_secret_rotated', actor, { client: id }, { overlap_seconds: overlapSeconds }))
    return overlapping[0]?.expiresAt
  })
  return { secret: secret.text, previousExpiresAt }
}

async function check(client: ClientRecord, { store, issuer, settings }: ClientParts): Promise<void> {
  const uris = [...new Set([...client.resources, ...client.introspects])]
  const found = await Promise.all(uris.map((uri) => store.resources.find(uri)))
  const known = found.filter((resource): resource is ResourceRecord => resource !== undefined)
  const wrong = judgeClient(client, known, issuer, settings)
  if (wrong.length > 0) throw invalid(...wrong)
}

/** A client that takes the id of one that was removed must not inherit its grants, nor get tokens that are dead already. */
async function standingOfNew(
  tx: Tx,
  id: ClientId,
  { issuer, sha256 }: ClientParts,
): Promise<{ cutoffMs: number; revokedMs: number }> {
  const { salt } = await tx.revocations.head()
  const entries = await tx.revocations.ofKey(keyOf(sha256, salt, { kind: 'client', issuer, id }))
  const cutoffMs = Math.max(0, ...entries.map((entry) => entry.cutoffMs))
  return { cutoffMs, revokedMs: Math.max(tx.nowMs, cutoffMs) }
}

const PAGE = 500

/** One by one before the client goes: if it stops half-way the client is still there and it can be done again. */
async function revokeApiKeys(client: ClientId, actor: Administrator, { store, revoker }: ClientParts): Promise<void> {
  for (let after: TokenId | undefined, more = true; more; ) {
    const keys = await store.apiKeys.ofClient(client, { ...(after === undefined ? {} : { after }), limit: PAGE })
    for (const key of keys) {
      if (key.status !== 'revoked') await revoker.revoke({ kind: 'token', id: key.id }, { reason: 'client_deleted', actor })
    }
    after = keys.at(-1)?.id
    more = keys.length === PAGE
  }
}

const SECRET_BYTES = 32

const usesSecret = ({ authMethod }: Pick<ClientRecord, 'authMethod'>): boolean =>
  authMethod === 'client_secret_basic' || authMethod === 'client_secret_post'

function newSecret({ chance, sha256 }: Pick<ClientParts, 'chance' | 'sha256'>): {
  readonly text: Secret
  readonly sha256: Uint8Array
} {
  const text = encodeOpaque('client_secret', chance.bytes(SECRET_BYTES))
  return { text: new Secret(text), sha256: sha256(text) }
}

/** The newest that works now, until the overlap is over: never more than two secrets at once. */
function keepOne(secrets: ClientRecord['secrets'], nowAt: number, until: number): ClientRecord['secrets'] {
  const newest = secrets.filter(({ expiresAt }) => expiresAt === undefined || expiresAt > nowAt).at(-1)
  return newest === undefined || until <= nowAt ? [] : [{ ...newest, expiresAt: Math.min(until, newest.expiresAt ?? until) }]
}

/** The record with what is given in place of what was. */
function changed(before: ClientRecord, change: ClientChange): ClientRecord {
  const given = Object.entries(change).filter(([, value]) => value !== undefined)
  const whole = { ...before, ...Object.fromEntries(given) }
  return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== null)) as unknown as ClientRecord
}

function isNarrower(before: ClientRecord, after: ClientRecord): boolean {
  const lost = (was: readonly string[], is: readonly string[]) => was.some((item) => !is.includes(item))
  const reach = (['scopes', 'resources', 'grantTypes'] as const).some((member) => lost(before[member], after[member]))
  return reach || (!before.dpopBound && after.dpopBound)
}

/** For the record of who may do what. */
const facts = (client: ClientRecord) => ({
  platform: client.platform,
  auth_method: client.authMethod,
  grant_types: client.grantTypes,
  scopes: client.scopes,
  resources: client.resources,
})
