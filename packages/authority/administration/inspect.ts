/** One token looked at: whether it lives, and if not, what ended it. Told to administrators only, so nothing is held back but the token. */
import { fromBase64Url } from '@signet/kernel/bytes.ts'
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import { idTimeMs } from '@signet/kernel/ids.ts'
import { opaqueKind } from '@signet/kernel/opaque-token.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import { parseScope } from '@signet/kernel/scope.ts'
import { type Clock, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import type { LivingTokens } from '../grants/living-token.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { PolicySettings } from '../policy/settings.ts'
import { keyOf } from '../revocation/record.ts'
import type { Registry } from '../revocation/registry.ts'
import type { Target } from '../revocation/target.ts'
import type { ApiKeyRecord } from '../store/ports/api-keys.ts'
import type { LogAct, LogEntry } from '../store/ports/revocations.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { Store } from '../store/store.ts'
import { parseApiKey, reachOfApiKey, verifiesApiKey } from '../tokens/api-key.ts'
import { judgeRefresh } from '../tokens/family.ts'
import { openAccessToken } from '../tokens/opaque-access-token.ts'
import { parseRefreshToken, verifiesTag } from '../tokens/refresh-token.ts'
import { refuse } from './reasons.ts'

export interface InspectParts {
  readonly store: Store
  readonly keys: KeyRing
  readonly registry: Pick<Registry, 'issuerStanding'>
  readonly livingTokens: LivingTokens
  readonly settings: PolicySettings
  readonly issuer: string
  readonly clock: Clock
  readonly sha256: Sha256
}

export interface Looked {
  readonly kind: 'access_token' | 'refresh_token' | 'api_key' | 'unknown' | 'other'
  readonly alive: boolean
  /** Why it is not alive; or, of one that is, what is particular about it. */
  readonly reason?: string
  /** The entry of the log that ended it, as long as the log remembers. */
  readonly revokedBy?: LogEntry
  /** Handles for revocation and lineage, by kind. */
  readonly ids: Partial<Record<KeyKind, string>>
  readonly expiresAt?: number
}

export async function look(token: string, parts: InspectParts): Promise<Looked> {
  switch (opaqueKind(token)) {
    case 'refresh_token':
      return lookAtRefreshToken(token, parts)
    case 'api_key':
      return lookAtApiKey(token, parts)
    case 'access_token': {
      const jwt = openAccessToken(token, parts.keys)
      return jwt === undefined ? NOT_GENUINE : lookAtSigned(jwt, parts)
    }
    case undefined:
      return lookAtSigned(token, parts)
    default:
      return { kind: 'other', alive: false, reason: 'not_inspectable', ids: {} }
  }
}

/**
 * What a token that somebody gives up names, without asking whether it is genuine: whoever may revoke may revoke any id. Tokens of
 * other issuers too, by what they say of themselves. An opaque access token must open, or it names nothing.
 */
export function targetOfToken(token: string, { issuer: ownIssuer, keys }: Pick<InspectParts, 'issuer' | 'keys'>): Target {
  const family = parseRefreshToken(token)?.family
  if (family !== undefined) return { kind: 'grant', id: family }
  const apiKey = parseApiKey(token)?.id
  if (apiKey !== undefined) return { kind: 'token', id: apiKey }
  const { iss, jti, exp } = decode(openAccessToken(token, keys) ?? token)?.payload ?? {}
  if (typeof iss !== 'string' || typeof jti !== 'string') throw refuse('invalid_request', 'not_a_token')
  if (iss === ownIssuer) return { kind: 'token', id: jti }
  return { kind: 'token', id: jti, issuer: iss, ...(typeof exp === 'number' ? { expiresAt: Math.floor(exp) } : {}) }
}

// ── Signed tokens ──────────────────────────────────────────────────────────────────────────────────────────────────

async function lookAtSigned(token: string, parts: InspectParts): Promise<Looked> {
  const { kid } = decode(token)?.header ?? {}
  const key = typeof kid === 'string' ? parts.keys.publicKey(kid) : undefined
  // Whoever stole the key writes what he likes, so nothing it says is repeated as if it were known.
  if (key?.state === 'compromised')
    return {
      kind: 'unknown',
      alive: false,
      reason: 'revoked',
      ids: { key: kid as string },
      ...(await endedBy({ key: kid as string }, 0, parts)),
    }
  const claims = parts.livingTokens.genuine(token)
  if (claims === undefined) return NOT_GENUINE
  const ids = idsOf(claims, kid as string)
  const seen = { kind: 'access_token' as const, ids, expiresAt: claims.exp }
  const life = parts.livingTokens.judge(token)
  if (life.alive) return { ...seen, alive: true }
  return {
    ...seen,
    alive: false,
    reason: life.reason,
    ...(await endedBy(ids, idTimeMs(claims.jti), parts, { further: furtherKeys(claims) })),
  }
}

const NOT_GENUINE: Looked = { kind: 'unknown', alive: false, reason: 'not_genuine', ids: {} }

function idsOf({ jti, gid, sid, did, sub, client_id }: AccessTokenClaims, key: string): Looked['ids'] {
  const subject = (sub as string) === client_id ? undefined : sub
  return present({ token: jti, grant: gid, session: sid, device: did, subject, client: client_id, key })
}

/** Header and payload as they stand, proven by nothing. */
function decode(
  token: string,
): { header: Readonly<Record<string, unknown>>; payload: Readonly<Record<string, unknown>> } | undefined {
  const [head, body, tail, ...more] = token.split('.')
  if (head === undefined || body === undefined || tail === undefined || more.length > 0) return undefined
  const header = objectOf(head)
  const payload = objectOf(body)
  return header === undefined || payload === undefined ? undefined : { header, payload }
}

function objectOf(part: string): Record<string, unknown> | undefined {
  const bytes = fromBase64Url(part)
  if (bytes === undefined) return undefined
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

// ── Refresh tokens, API keys ───────────────────────────────────────────────────────────────────────────────────────

async function lookAtRefreshToken(token: string, parts: InspectParts): Promise<Looked> {
  const { store, keys, registry, settings, clock } = parts
  const presented = parseRefreshToken(token)
  const standing = presented === undefined ? undefined : await store.families.find(presented.family)
  if (presented === undefined || standing === undefined)
    return { kind: 'refresh_token', alive: false, reason: 'unknown', ids: {} }
  const { family } = standing
  if (keys.isAhead(family.ring)) await keys.refresh()
  if (!verifiesTag(keys, presented, family)) return { kind: 'refresh_token', alive: false, reason: 'forged', ids: {} }
  const ids = present({
    grant: family.id,
    session: family.session,
    device: family.device,
    subject: family.subject,
    client: family.terms.client,
  })
  const seen = { kind: 'refresh_token' as const, ids, expiresAt: Math.min(family.idleExpiresAt, family.expiresAt) }
  const client = await store.clients.find(family.terms.client)
  if (client === undefined) return { ...seen, alive: false, reason: 'client_gone' }
  // Asked on behalf of the holder, whose key and network nobody has shown here.
  const holder = {
    client,
    jkt: family.jkt,
    seen: family.seen,
    nowMs: clock.now(),
    familiesEndedMs: registry.issuerStanding().familiesEndedMs,
  }
  const ruling = judgeRefresh(standing, presented, 'genuine', holder, settings)
  if (ruling.kind === 'rotate') return { ...seen, alive: true }
  if (ruling.kind === 'repeat') return { ...seen, alive: true, reason: 'spent_within_grace' }
  const reason = ruling.kind === 'reuse' ? 'spent' : ruling.reason
  return { ...seen, alive: false, reason, ...(await endedAs(reason, ids, family.createdAtMs, parts)) }
}

async function lookAtApiKey(token: string, parts: InspectParts): Promise<Looked> {
  const presented = parseApiKey(token)
  const key = presented === undefined ? undefined : await parts.store.apiKeys.find(presented.id)
  if (presented === undefined || key === undefined) return { kind: 'api_key', alive: false, reason: 'unknown', ids: {} }
  if (!verifiesApiKey(presented, key)) return { kind: 'api_key', alive: false, reason: 'forged', ids: {} }
  const ids = present({ token: key.id, client: key.client, subject: key.subject })
  const seen = { kind: 'api_key' as const, ids, ...(key.expiresAt === undefined ? {} : { expiresAt: key.expiresAt }) }
  const reason = await whyKeyIsDead(key, parts)
  if (reason === undefined) return { ...seen, alive: true }
  return { ...seen, alive: false, reason, ...(await endedAs(reason, ids, idTimeMs(key.id), parts)) }
}

async function whyKeyIsDead(key: ApiKeyRecord, { store, registry, clock }: InspectParts): Promise<string | undefined> {
  if (key.status !== 'active') return key.status
  if ((key.expiresAt ?? Number.POSITIVE_INFINITY) <= epochSeconds(clock.now())) return 'expired'
  const isOver = (standing: Standing | undefined) => standing?.status !== 'active' || standing.revokedMs >= idTimeMs(key.id)
  const client = await store.clients.find(key.client)
  if (client === undefined || isOver(client)) return 'client_over'
  if (isOver(registry.issuerStanding())) return 'revoked'
  if (key.subject !== undefined && isOver(await store.subjects.find(key.subject))) return 'subject_over'
  return reachOfApiKey(key, client, await store.resources.find(key.resource)) === undefined ? 'out_of_reach' : undefined
}

type Suspect = readonly [KeyKind, string]

/** Keys of which a token may have several. */
const furtherKeys = ({ anc = [], scope = '' }: AccessTokenClaims): readonly Suspect[] => [
  ...anc.map((id): Suspect => ['token', id]),
  ...(parseScope(scope) ?? []).map((name): Suspect => ['scope', name]),
]

/**
 * The revocation behind the reason for which a refresh token or an API key is dead, if it is one: what lives on through a claims epoch, or
 * through a suspension that was lifted, was not ended by it.
 */
function endedAs(
  reason: string,
  ids: Looked['ids'],
  issuedAtMs: number,
  parts: InspectParts,
): Promise<Pick<Looked, 'revokedBy'>> | undefined {
  if (reason === 'revoked') return endedBy(ids, issuedAtMs, parts, { acts: ['revoke', 'cover'] })
  const [, kind, how] = /^(\w+)_(revoked|suspended|over)$/.exec(reason) ?? []
  if (kind === undefined) return undefined
  const own = ids[kind as KeyKind]
  const acts: LogAct[] = [
    ...(how === 'suspended' ? [] : (['revoke', 'cover'] as const)),
    ...(how === 'revoked' ? [] : ['suspend' as const]),
  ]
  return endedBy(own === undefined ? {} : { [kind]: own }, issuedAtMs, parts, { acts })
}

interface Evidence {
  readonly further?: readonly Suspect[]
  /** Absent: every act, for each of them ends access tokens. */
  readonly acts?: readonly LogAct[]
}

/** The narrowest revocation that matches. */
async function endedBy(
  ids: Looked['ids'],
  issuedAtMs: number,
  { store, issuer, sha256 }: InspectParts,
  { further = [], acts }: Evidence = {},
): Promise<Pick<Looked, 'revokedBy'>> {
  const { salt } = await store.revocations.head()
  const own = Object.entries(ids) as [KeyKind, string][]
  const suspects: readonly Suspect[] = [...own, ...further, ['issuer', issuer]]
  for (const [kind, id] of suspects) {
    const entries = await store.revocations.ofKey(keyOf(sha256, salt, { kind, issuer, id }))
    const entry = entries.find(
      ({ cutoffMs, act }) =>
        (kind === 'key' || cutoffMs >= issuedAtMs) && (acts === undefined || act === undefined || acts.includes(act)),
    )
    if (entry !== undefined) return { revokedBy: entry }
  }
  return {}
}

const present = (ids: Partial<Record<KeyKind, string | undefined>>): Looked['ids'] =>
  Object.fromEntries(Object.entries(ids).filter(([, id]) => id !== undefined))
