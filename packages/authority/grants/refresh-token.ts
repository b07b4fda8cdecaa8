/**
 * `refresh_token` (RFC 6749 §6) with rotation (docs/architecture.md). What shall happen is judged by `judgeRefresh`, purely; here it is done.
 * Tokens are signed before the commit, so no commit is followed by an answer that cannot be given.
 */
import { fault, type Refusal } from '@signet/kernel/errors.ts'
import type { FamilyId } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { type AuditEventType, type AuditIds, audited } from '../audit/events.ts'
import { useUp } from '../clients/single-use.ts'
import type { Retirement } from '../revocation/retire.ts'
import type { Triggers } from '../revocation/triggers.ts'
import type { FamilyRecord, FamilyStanding } from '../store/ports/families.ts'
import { judgeRefresh, type RefreshRefusal, type Ruling } from '../tokens/family.ts'
import type { Minted } from '../tokens/mint.ts'
import { encodeRefreshToken, type PresentedRefreshToken, parseRefreshToken, verifiesTag } from '../tokens/refresh-token.ts'
import {
  accessTokenSeconds,
  actorOf,
  type Caller,
  confirmation,
  type GrantParts,
  issueFloor,
  type KnownIssuer,
  knowIssuer,
  newestRing,
  permitted,
  secondsUntil,
  secondsWithin,
  type TokenSet,
  tokenFor,
  tokenType,
} from './grant.ts'
import { refuse } from './refuse.ts'
import { narrowTarget } from './target.ts'

interface RefreshRequest {
  readonly refreshToken: string
  readonly scope: string | undefined
  readonly resources: readonly string[]
}

export interface RefreshParts extends GrantParts {
  readonly triggers: Pick<Triggers, 'refreshReuse'>
  readonly retirement: Pick<Retirement, 'retirePrior'>
  /** Takes one refresh from the budget of a family: 0, or the milliseconds until there is one. */
  readonly pace: (family: FamilyId) => number | Promise<number>
  /** Counts how a refresh ended. */
  readonly refreshed: (outcome: 'rotated' | 'repeated' | 'refused' | 'reuse') => void
}

export async function refreshToken(request: RefreshRequest, caller: Caller, parts: RefreshParts): Promise<TokenSet> {
  const { store, settings, refreshed } = parts
  permitted(caller, 'refresh_token')
  const presented = parseRefreshToken(request.refreshToken) // Torn or mistyped: refused before the store is asked.
  if (presented === undefined) throw refuse('invalid_grant', 'malformed_token')
  let { uses } = caller
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const issuer = knowIssuer(parts)
    const standing = await store.families.find(presented.family)
    parts.registry.assertMayMint() // By a clock that is off, grace and life would be over for people who did nothing wrong.
    const ruling = await judge(standing, presented, issuer, caller, parts)
    if (round === 0 && ruling.kind !== 'refuse') await keepPace(ruling.family, parts)
    switch (ruling.kind) {
      case 'refuse':
        refreshed('refused')
        throw refused(ruling.reason, standing?.family)
      case 'reuse':
        // It was good when it came and was overtaken twice while we were busy with it: whoever sent it raced himself.
        if (round > 0) throw refuse('invalid_grant', 'superseded', idsOf(ruling.family))
        refreshed('reuse')
        await parts.triggers.refreshReuse(ruling.family, ruling.evidence)
        throw refuse('invalid_grant', 'refresh_token_reuse', idsOf(ruling.family))
      case 'repeat': {
        // The last answer got lost, or a sibling request won: the same successor again, counted.
        const { family, foreign } = ruling
        const again = await sign(family, { ...standing, issuer }, request, caller, parts)
        const counted = await store.transact(async (tx) => {
          await useUp(tx, uses)
          const grace = { id: family.id, generation: family.generation, limit: settings.graceLimit, foreign }
          if (!(await tx.families.countGrace(grace))) return false
          tx.audit(refreshEvent('token.repeated', family, again.issued, caller, parts))
          return true
        })
        if (!counted) break
        refreshed('repeated')
        return again.tokens
      }
      case 'rotate': {
        const { family, ...runs } = ruling
        const successor = succeed(family, parts)
        const next = await sign(successor, { ...standing, issuer }, request, caller, parts) // Sign first …
        const won = await store.transact(async (tx) => {
          await useUp(tx, uses)
          const { ring, rotatedAtMs, idleExpiresAt } = successor
          const rotation = {
            id: family.id,
            spent: family.generation,
            ring,
            rotatedAtMs,
            idleExpiresAt,
            ...runs,
            seen: caller.seen,
          }
          if (!(await tx.families.rotate(rotation))) return false
          await parts.retirement.retirePrior(tx, { family: family.id, issuedAtMs: next.issued.issuedAtMs })
          tx.audit(refreshEvent('token.refreshed', successor, next.issued, caller, parts))
          return true
        }) // … commit last.
        if (!won) break
        refreshed('rotated')
        return next.tokens
      }
    }
    // A sibling was faster. Judge again, by what stands now; the proofs are used up by this request, which goes on.
    uses = []
  }
  throw fault('overloaded', { because: 'other uses of this refresh token were first each time' })
}

/** A loser's token is spent, so its second round repeats; the rounds after that are for siblings that race on. */
const MAX_ROUNDS = 8

// ── Judging ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function judge(
  standing: FamilyStanding | undefined,
  presented: PresentedRefreshToken,
  issuer: KnownIssuer,
  caller: Caller,
  parts: RefreshParts,
): Promise<Ruling> {
  const { keys, settings, clock } = parts
  // Another node took a new ring key into use a moment ago, and this one has not read it yet.
  if (standing !== undefined && keys.isAhead(standing.family.ring)) await keys.refresh()
  const tag = standing !== undefined && verifiesTag(keys, presented, standing.family) ? 'genuine' : 'forged'
  const { client, jkt, seen } = caller
  const asker = { client: client.record, jkt, seen, nowMs: clock.now(), familiesEndedMs: issuer.standing.familiesEndedMs }
  return judgeRefresh(standing, presented, tag, asker, settings)
}

async function keepPace(family: FamilyRecord, { pace }: RefreshParts): Promise<void> {
  const waitMs = await pace(family.id)
  if (waitMs > 0) throw refuse('slow_down', 'family_rate', {}, Math.ceil(waitMs / 1000))
}

/** What is over is `invalid_grant`. What may be lifted, or put right by the same client with the same token, is not: clients throw tokens away on that. */
function refused(reason: RefreshRefusal, family: FamilyRecord | undefined): Refusal {
  if (family === undefined || reason === 'refresh_token_forged') return refuse('invalid_grant', reason)
  if (reason.endsWith('_suspended')) return refuse('access_denied', reason, idsOf(family))
  return refuse(reason === 'proof_missing' ? 'invalid_dpop_proof' : 'invalid_grant', reason, idsOf(family))
}

const idsOf = ({ id, subject, session, device }: FamilyRecord): AuditIds => ({ family: id, subject, session, device })

// ── Making ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The family one generation on, as the commit will leave it. */
function succeed(family: FamilyRecord, { keys, clock }: RefreshParts): FamilyRecord {
  const nowMs = clock.now()
  return {
    ...family,
    generation: family.generation + 1,
    ring: newestRing(keys),
    rotatedAtMs: nowMs,
    idleExpiresAt: Math.min(epochSeconds(nowMs) + family.terms.idleSeconds, family.expiresAt),
  }
}

/** The answer with the refresh token of the family's generation. */
async function sign(
  family: FamilyRecord,
  standing: Partial<FamilyStanding> & { readonly issuer: KnownIssuer },
  request: RefreshRequest,
  caller: Caller,
  parts: RefreshParts,
): Promise<{ tokens: TokenSet; issued: Minted }> {
  const { mint, keys, catalog, settings, clock } = parts
  const client = caller.client.record
  const { resource, scope } = await narrowTarget(family.terms, request, client, catalog)
  const cnf = confirmation(caller, resource)
  const { issuer, subject, session, device } = standing
  const floorMs = issueFloor(issuer, [family, subject, session, device], scope, caller, parts)
  const seconds = secondsWithin(accessTokenSeconds(client, resource, settings), family.expiresAt, floorMs, clock)
  if (seconds === 0) throw refused('grant_expired', family)
  const issued = mint.accessToken({
    subject: family.subject,
    client: client.id,
    scope,
    audience: resource.uri,
    grant: family.id,
    session: family.session,
    device: family.device,
    cnf,
    acr: family.terms.acr,
    amr: family.terms.amr,
    authAt: family.authAt,
    seconds,
    floorMs,
    policy: parts.policyVersion,
  })
  const tokens: TokenSet = {
    accessToken: tokenFor(resource, issued, parts),
    tokenType: tokenType(cnf),
    expiresInSeconds: secondsUntil(issued.expiresAt, clock),
    scope,
    refresh: {
      token: encodeRefreshToken(keys, family),
      expiresInSeconds: secondsUntil(family.idleExpiresAt, clock),
      authorizationExpiresInSeconds: secondsUntil(family.expiresAt, clock),
    },
  }
  return { tokens, issued }
}

function refreshEvent(type: AuditEventType, family: FamilyRecord, issued: Minted, caller: Caller, parts: GrantParts) {
  const ids = { client: caller.client.record.id, ...idsOf(family), token: issued.id }
  return audited(parts.clock, parts.chance, type, actorOf(caller), ids, {
    generation: family.generation,
    policy: parts.policyVersion,
  })
}
