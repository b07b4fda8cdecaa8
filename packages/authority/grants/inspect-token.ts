/**
 * What a token is worth at this moment (RFC 7662), told to whom it concerns: a resource server about tokens for the resources it is
 * registered to introspect, a client about its own. To everyone else every token is inactive.
 */
import type { Confirmation } from '@signet/kernel/claims.ts'
import { Fault, fault } from '@signet/kernel/errors.ts'
import { idTimeMs, type TokenId } from '@signet/kernel/ids.ts'
import { opaqueKind } from '@signet/kernel/opaque-token.ts'
import { formatScope } from '@signet/kernel/scope.ts'
import { type Clock, epochSeconds } from '@signet/kernel/surroundings.ts'
import type { KnownClients } from '../clients/authenticate-client.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { Registry } from '../revocation/registry.ts'
import type { ApiKeyRecord } from '../store/ports/api-keys.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { Store } from '../store/store.ts'
import { parseApiKey, reachOfApiKey, verifiesApiKey } from '../tokens/api-key.ts'
import { judgeRefresh } from '../tokens/family.ts'
import { parseRefreshToken, verifiesTag } from '../tokens/refresh-token.ts'
import type { LivingTokens } from './living-token.ts'

/** Members of RFC 7662 §2.2, with the ids by which the token can be revoked. */
export interface Inspection {
  readonly token_type?: 'Bearer' | 'DPoP'
  readonly iss: string
  readonly sub?: string
  readonly aud: string | readonly string[]
  readonly client_id: string
  readonly scope?: string
  readonly iat: number
  readonly exp?: number
  readonly jti?: string
  readonly gid?: string
  readonly sid?: string
  readonly did?: string
  readonly cnf?: Confirmation
  readonly acr?: string
  readonly amr?: readonly string[]
  readonly auth_time?: number
}

export interface InspectionParts {
  readonly store: Store
  readonly keys: Pick<KeyRing, 'ring' | 'isAhead' | 'refresh'>
  readonly clients: KnownClients
  readonly registry: Pick<Registry, 'issuerStanding' | 'ageMs'>
  readonly livingTokens: LivingTokens
  readonly settings: PolicySettings
  readonly issuer: string
  readonly clock: Clock
}

/** What may be told to `asker` about the token; undefined when that is only that it is not active. */
export async function inspectToken(token: string, asker: ClientRecord, parts: InspectionParts): Promise<Inspection | undefined> {
  switch (opaqueKind(token)) {
    case 'refresh_token':
      return inspectRefreshToken(token, asker, parts)
    case 'api_key':
      return inspectApiKey(token, asker, parts)
    case 'access_token':
    case undefined:
      return inspectAccessToken(token, asker, parts)
    default:
      return undefined
  }
}

/** Knowledge of revocations that is older says nothing for sure: what a permission bears that names no bound (`defaultMaxStalenessSeconds`). */
const MAX_AGE_MS = 30_000

function inspectAccessToken(token: string, asker: ClientRecord, parts: InspectionParts): Inspection | undefined {
  const { livingTokens, registry } = parts
  if (registry.ageMs() > MAX_AGE_MS) throw fault('store_unavailable', { because: 'the log was last known whole too long ago' })
  const life = livingTokens.judge(token)
  if (!life.alive) return undefined
  const { claims } = life
  const audiences = [claims.aud].flat()
  const isResource = audiences.some((audience) => asker.introspects.includes(audience))
  if (!isResource && claims.client_id !== asker.id) return undefined
  const { act: _act, anc: _anc, pv: _pv, ...shown } = claims
  const token_type = claims.cnf?.jkt === undefined ? 'Bearer' : 'DPoP'
  if (isResource || opaqueKind(token) === undefined) return { token_type, ...shown }
  // What is sealed from its client is not told to it here either, beyond what it was told when it got the token.
  const { iss, aud, client_id, scope, iat, exp, jti } = claims
  return { token_type, iss, aud, client_id, ...(scope !== undefined && { scope }), iat, exp, jti }
}

/** A client's own, and only the current one: one that was spent is worth nothing but a repeated answer. */
async function inspectRefreshToken(token: string, asker: ClientRecord, parts: InspectionParts): Promise<Inspection | undefined> {
  const { store, keys, registry, settings, clock, issuer } = parts
  const presented = parseRefreshToken(token)
  const standing = presented === undefined ? undefined : await store.families.find(presented.family)
  if (presented === undefined || standing === undefined || standing.family.terms.client !== asker.id) return undefined
  const { family } = standing
  if (keys.isAhead(family.ring)) await keys.refresh()
  // Asked on behalf of the holder, whose key and network nobody has shown here.
  const holder = {
    client: asker,
    jkt: family.jkt,
    seen: family.seen,
    nowMs: clock.now(),
    familiesEndedMs: registry.issuerStanding().familiesEndedMs,
  }
  const ruling = judgeRefresh(standing, presented, verifiesTag(keys, presented, family) ? 'genuine' : 'forged', holder, settings)
  if (ruling.kind !== 'rotate') return undefined
  return {
    iss: issuer,
    sub: family.subject,
    aud: family.terms.resources,
    client_id: family.terms.client,
    scope: formatScope(family.terms.scope),
    iat: Math.floor(family.createdAtMs / 1000),
    exp: Math.min(family.idleExpiresAt, family.expiresAt),
    gid: family.id,
    ...(family.session !== undefined && { sid: family.session }),
    ...(family.device !== undefined && { did: family.device }),
    ...(family.jkt !== undefined && { cnf: { jkt: family.jkt } }),
    acr: family.terms.acr,
    amr: family.terms.amr,
    auth_time: family.authAt,
  }
}

async function inspectApiKey(token: string, asker: ClientRecord, parts: InspectionParts): Promise<Inspection | undefined> {
  const { store, clock, issuer } = parts
  const presented = parseApiKey(token)
  const key = presented === undefined ? undefined : await store.apiKeys.find(presented.id)
  if (presented === undefined || key === undefined || !verifiesApiKey(presented, key)) return undefined
  if (key.client !== asker.id && !asker.introspects.includes(key.resource)) return undefined
  const scopes = await livingReach(key, parts)
  if (scopes === undefined) return undefined
  await touch(key, store, clock)
  return {
    token_type: 'Bearer',
    iss: issuer,
    sub: key.subject ?? key.client,
    aud: key.resource,
    client_id: key.client,
    scope: formatScope(scopes),
    iat: key.createdAt,
    ...(key.expiresAt !== undefined && { exp: key.expiresAt }),
    jti: key.id,
  }
}

/** The scopes that the key gives at this moment; undefined when it is worth nothing. */
async function livingReach(key: ApiKeyRecord, parts: InspectionParts): Promise<readonly string[] | undefined> {
  const { store, clients, registry, clock } = parts
  if (key.status !== 'active' || (key.expiresAt ?? Number.POSITIVE_INFINITY) <= epochSeconds(clock.now())) return undefined
  const madeAtMs = idTimeMs(key.id)
  const holds = (standing: Standing | undefined) => standing?.status === 'active' && standing.revokedMs < madeAtMs
  const { value: client } = await clients.find(key.client)
  if (client === undefined || !holds(client) || !holds(registry.issuerStanding())) return undefined
  if (key.subject !== undefined && !holds(await store.subjects.find(key.subject))) return undefined
  return reachOfApiKey(key, client, await store.resources.find(key.resource))
}

/** When a key was last used is written down once a minute at most. It is worth less than the answer, so a store that can't write doesn't matter. */
async function touch(key: ApiKeyRecord, store: Store, clock: Clock): Promise<void> {
  const nowAt = epochSeconds(clock.now())
  if (nowAt - (key.lastUsedAt ?? 0) < TOUCH_SECONDS) return
  await store
    .transact((tx) => tx.apiKeys.touch(key.id as TokenId, nowAt))
    .catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error
    })
}

const TOUCH_SECONDS = 60
