/**
 * `authorization_code` (RFC 6749 §4.1.3) with PKCE (RFC 7636), always S256. The code is spent and the refresh family begins in one
 * commit. A code that is used twice by the one who could have used it ends its grant (RFC 6749 §4.1.2); presented by anyone else,
 * nothing changes.
 */
import { timingSafeEqual } from 'node:crypto'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import { useUp } from '../clients/single-use.ts'
import type { Revoker } from '../revocation/revoke.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { CodeRecord } from '../store/ports/handles.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { Minted } from '../tokens/mint.ts'
import { encodeRefreshToken } from '../tokens/refresh-token.ts'
import { releasedClaims, releasesClaims } from './claims.ts'
import { type CodeGrant, codeHash, readGrant } from './code.ts'
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
import { type GrantReason, refuse } from './refuse.ts'
import { narrowTarget, type TokenTarget } from './target.ts'

interface CodeExchange {
  readonly code: string
  readonly redirectUri: string | undefined
  readonly codeVerifier: string | undefined
  readonly scope: string | undefined
  readonly resources: readonly string[]
}

export interface CodeExchangeParts extends GrantParts {
  readonly revoker: Pick<Revoker, 'revoke'>
  readonly sha256: Sha256
}

export async function authorizationCode(request: CodeExchange, asker: Caller, parts: CodeExchangeParts): Promise<TokenSet> {
  const { store, clock, catalog, sha256 } = parts
  const client = permitted(asker, 'authorization_code')
  const hash = codeHash(request.code, sha256)
  if (hash === undefined) throw refuse('invalid_grant', 'unknown_code')
  parts.registry.assertMayMint() // By a clock that is off, a good code would have expired, and `invalid_grant` is for good.
  const found = await store.codes.find(hash, 'authorization_code', epochSeconds(clock.now()))
  const ruling = judgeCode(found, request, asker, sha256)
  switch (ruling.kind) {
    case 'refuse':
      throw refuse(ruling.reason === 'verifier_missing' ? 'invalid_request' : 'invalid_grant', ruling.reason)
    case 'replay':
      return endGrant(ruling.grant, asker, parts)
    case 'redeem': {
      const { grant } = ruling
      const issuer = knowIssuer(parts)
      const standings = await store.families.standings({ ...grant, client: client.id })
      const caller = knownNow(asker, standings.client)
      const standing = { ...standings, issuer }
      const over = overBy(standing, grant, caller)
      if (over !== undefined) throw refuse(over === 'grant_over' ? 'invalid_grant' : 'access_denied', over)
      const target = await narrowTarget(grant, { scope: request.scope, resources: request.resources }, client, catalog)
      const family = client.grantTypes.includes('refresh_token') ? beginFamily(grant, standing.issuer, caller, parts) : undefined
      const claims = await claimsFor(grant, target, parts)
      const { tokens, issued } = sign(grant, family, target, standing, claims, caller, parts)
      const outcome = await store.transact(async (tx) => {
        await useUp(tx, caller.uses)
        // Who has taken back what he agreed to since does not give it by a code that was still under way.
        if (!client.firstParty && !(await tx.consents.hold(grant.subject, client.id))) return 'withdrawn'
        const spent = await tx.codes.consume(hash, 'authorization_code', epochSeconds(tx.nowMs))
        if (spent?.outcome !== 'won') return spent?.outcome ?? 'expired'
        if (family !== undefined) await tx.families.create(family)
        tx.audit(issuedEvent(grant, target, issued, caller, parts))
        return 'won'
      })
      if (outcome === 'won') return tokens
      if (outcome === 'expired') throw refuse('invalid_grant', 'unknown_code')
      if (outcome === 'withdrawn') throw refuse('invalid_grant', 'grant_over')
      return endGrant(grant, caller, parts) // Somebody with the same code and verifier was faster by a moment.
    }
  }
}

// ── Judging ────────────────────────────────────────────────────────────────────────────────────────────────────────

type CodeRuling =
  | { readonly kind: 'refuse'; readonly reason: GrantReason }
  | { readonly kind: 'replay' | 'redeem'; readonly grant: CodeGrant }

/** Pure. Whoever lacks the client, the redirect URI, the verifier or the key learns nothing but that, whether it is spent or not. */
function judgeCode(
  found: { readonly spent: boolean; readonly code: CodeRecord } | undefined,
  request: Pick<CodeExchange, 'redirectUri' | 'codeVerifier'>,
  caller: Caller,
  sha256: Sha256,
): CodeRuling {
  const no = (reason: GrantReason): CodeRuling => ({ kind: 'refuse', reason })
  const { codeVerifier, redirectUri } = request
  if (codeVerifier === undefined || !VERIFIER.test(codeVerifier)) return no('verifier_missing')
  if (found === undefined) return no('unknown_code')
  const grant = readGrant(found.code)
  if (grant.client !== caller.client.record.id) return no('code_of_another_client')
  if (grant.redirectUri !== redirectUri) return no('redirect_uri_mismatch')
  if (!fitsChallenge(codeVerifier, grant.codeChallenge, sha256)) return no('verifier_mismatch')
  if (grant.jkt !== undefined && grant.jkt !== caller.jkt) return no('dpop_key_mismatch')
  return { kind: found.spent ? 'replay' : 'redeem', grant }
}

/** RFC 7636 §4.1. */
const VERIFIER = /^[A-Za-z0-9\-._~]{43,128}$/

function fitsChallenge(verifier: string, challenge: string, sha256: Sha256): boolean {
  const computed = Buffer.from(toBase64Url(sha256(verifier)))
  const expected = Buffer.from(challenge)
  return computed.length === expected.length && timingSafeEqual(computed, expected)
}

/**
 * The caller with the client as it stands now: a sign-in right after the client's tokens were revoked begins past that cutoff, which a
 * record that is remembered for half a second would not know.
 */
function knownNow(caller: Caller, standing: Standing | undefined): Caller {
  if (standing === undefined) throw refuse('invalid_grant', 'grant_over')
  return { ...caller, client: { ...caller.client, record: { ...caller.client.record, ...standing } } }
}

interface GrantStanding {
  readonly subject: Standing | undefined
  readonly session: Standing | undefined
  readonly device: Standing | undefined
  readonly issuer: KnownIssuer
}

/** What ended or was suspended between the person's consent and now. */
function overBy(standing: GrantStanding, grant: CodeGrant, caller: Caller): GrantReason | undefined {
  const { subject, session, device, issuer } = standing
  const hasEnded = (one: Standing | undefined) =>
    one === undefined || one.status === 'revoked' || one.revokedMs >= grant.issuedAtMs
  if ([subject, session, device, caller.client.record, issuer.standing].some(hasEnded)) return 'grant_over'
  // Again, since it was remembered when it proved itself, and its cutoff is not: a floor must not carry it past its own suspension.
  if (caller.client.record.status === 'suspended') return 'client_suspended'
  if (subject?.status === 'suspended') return 'subject_suspended'
  if (session?.status === 'suspended') return 'session_suspended'
  if (device?.status === 'suspended') return 'device_suspended'
  return undefined
}

async function endGrant(grant: CodeGrant, caller: Caller, parts: CodeExchangeParts): Promise<never> {
  await parts.revoker.revoke({ kind: 'grant', id: grant.family }, { reason: 'code_replayed', actor: actorOf(caller) })
  throw refuse('invalid_grant', 'code_spent')
}

// ── Making ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function beginFamily(grant: CodeGrant, issuer: KnownIssuer, caller: Caller, parts: CodeExchangeParts): FamilyRecord {
  const { settings, clock, chance, keys, policyVersion } = parts
  const client = caller.client.record
  const nowAt = epochSeconds(clock.now())
  const idleSeconds = Math.min(settings.refreshIdleSeconds, client.refreshIdleSeconds ?? settings.refreshIdleSeconds)
  const maxSeconds = Math.min(settings.refreshMaxSeconds, client.refreshMaxSeconds ?? settings.refreshMaxSeconds)
  const ring = newestRing(keys)
  return {
    id: grant.family,
    terms: {
      client: client.id,
      platform: client.platform,
      scope: grant.scope,
      resources: grant.resources,
      acr: grant.acr,
      amr: grant.amr,
      policy: policyVersion,
      idleSeconds,
    },
    subject: grant.subject,
    session: grant.session,
    device: grant.device,
    status: 'active',
    cutoffMs: 0,
    createdAtMs: Math.max(clock.now(), grant.issuedAtMs, issuer.standing.familiesEndedMs + 1),
    authAt: grant.authAt,
    generation: 0,
    nonce: chance.bytes(16),
    ring,
    previousRing: ring,
    rotatedAtMs: clock.now(),
    graceCount: 0,
    graceForeign: false,
    graceRun: 0,
    foreignRun: 0,
    seen: caller.seen,
    ...(caller.jkt === undefined ? {} : { jkt: caller.jkt }),
    idleExpiresAt: Math.min(nowAt + idleSeconds, nowAt + maxSeconds),
    expiresAt: nowAt + maxSeconds,
  }
}

function sign(
  grant: CodeGrant,
  family: FamilyRecord | undefined,
  { resource, scope }: TokenTarget,
  standing: GrantStanding,
  claims: Readonly<Record<string, unknown>>,
  caller: Caller,
  parts: CodeExchangeParts,
): { tokens: TokenSet; issued: Minted } {
  const { mint, keys, settings, clock } = parts
  const client = caller.client.record
  const cnf = confirmation(caller, resource)
  const floorMs = issueFloor(standing.issuer, [standing.subject, standing.session, standing.device], scope, caller, parts)
  const whole = accessTokenSeconds(client, resource, settings)
  const seconds = family === undefined ? whole : secondsWithin(whole, family.expiresAt, floorMs, clock)
  if (seconds === 0) throw refuse('invalid_grant', 'grant_over')
  const { subject, session, device, acr, amr, authAt } = grant
  const issued = mint.accessToken({
    subject,
    client: client.id,
    scope,
    audience: resource.uri,
    grant: grant.family,
    session,
    device,
    cnf,
    acr,
    amr,
    authAt,
    seconds,
    floorMs,
    policy: parts.policyVersion,
  })
  const accessToken = tokenFor(resource, issued, parts)
  const tokens: TokenSet = {
    accessToken,
    tokenType: tokenType(cnf),
    expiresInSeconds: secondsUntil(issued.expiresAt, clock),
    scope,
    ...(grant.scope.includes('openid') && {
      idToken: mint.idToken({
        subject,
        client: client.id,
        nonce: grant.nonce,
        accessToken,
        session,
        acr,
        amr,
        authAt,
        claims,
        seconds: settings.idTokenSeconds,
        floorMs,
      }),
    }),
    ...(family !== undefined && {
      refresh: {
        token: encodeRefreshToken(keys, family),
        expiresInSeconds: secondsUntil(family.idleExpiresAt, clock),
        authorizationExpiresInSeconds: secondsUntil(family.expiresAt, clock),
      },
    }),
  }
  return { tokens, issued }
}

/** What the ID token tells about the person. With an access token for userinfo the client asks there (OpenID Connect Core §5.4); ID tokens end up in URLs and logs. */
async function claimsFor({ scope, subject }: CodeGrant, { resource }: TokenTarget, { store, issuer }: CodeExchangeParts) {
  if (resource.uri === issuer || !releasesClaims(scope)) return {}
  return releasedClaims((await store.subjects.find(subject))?.claims ?? {}, scope)
}

function issuedEvent(grant: CodeGrant, target: TokenTarget, issued: Minted, caller: Caller, parts: GrantParts) {
  const { client, subject, family, session, device } = grant
  return audited(
    parts.clock,
    parts.chance,
    'token.issued',
    actorOf(caller),
    { client, subject, family, session, device, token: issued.id, resource: target.resource.uri },
    { grant: 'authorization_code', scope: target.scope, bound: caller.jkt !== undefined, policy: parts.policyVersion },
  )
}
