/**
 * A token at first sight: take it apart, verify it, judge its claims. Pure but for memories; the answer is what was seen, or
 * the reason for refusing it. Nothing of a token is believed before its signature has been verified.
 */
import { ACCESS_TOKEN_TYPE, type AccessTokenClaims, type Actor, MAX_ANCESTORS } from '@signet/kernel/claims.ts'
import { uuidV7TimeMs } from '@signet/kernel/ids.ts'
import type { KeyKind, TokenKeys } from '@signet/kernel/revocation.ts'
import { MAX_TOKEN_SCOPES, scopeNames } from '@signet/kernel/scope.ts'
import type { TokenDigests } from '@signet/kernel/token-keys.ts'
import type { DenyReason } from '@signet/kernel/verdict.ts'
import { type Algorithm, isRecord, type VerifyingKey, verifies } from './jwk.ts'
import { type HeaderMemory, parseJwsBriefly } from './jws.ts'
import type { Holding } from './permissions.ts'

/** RFC 9068 tokens of ours are far smaller; a longer one is refused unread. */
export const MAX_TOKEN_CHARS = 8192

/** Where the public keys of an issuer are looked up. */
export interface KeyFinder {
  /** The key of that id for that algorithm; without an id, the only one there is. */
  find(kid: string | undefined, alg: Algorithm): VerifyingKey | undefined
}

/** An issuer whose tokens are accepted, and on which terms. */
export interface TrustedIssuer {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly algorithms: ReadonlySet<string>
  /** Media types of the `typ` header, lower case, without `application/`; '' admits a token without one. */
  readonly types: ReadonlySet<string>
  readonly keys: KeyFinder
  /** Signet's own: `jti` carries the issue time, and all its kinds of keys exist. */
  readonly isSignet: boolean
  /** A token that lives longer than this is refused, since its revocation would be forgotten before its end. Seconds. */
  readonly maxLifeSeconds: number
}

/** A token that was verified: everything later questions need, so that the next sight costs next to nothing. */
export interface SeenToken {
  readonly text: string
  readonly issuer: TrustedIssuer
  readonly claims: AccessTokenClaims
  readonly kid: string | undefined
  readonly key: VerifyingKey
  readonly issuedAtMs: number
  /** From here on it is refused: `exp` plus skew. */
  readonly deadAtMs: number
  readonly holding: Holding
  /** Whether a sender must prove something. */
  readonly isBound: boolean
  /** What was found in the registry, and under which versions. */
  digests: TokenDigests | undefined
  revokedBy: KeyKind | undefined
  viewVersion: number
  keysVersion: number
}

export interface ReadingParts {
  /** Moves whenever an answer of a key finder may have changed. */
  readonly keys: { readonly version: number }
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  readonly memory: HeaderMemory
  readonly skewMs: number
  holding(claims: AccessTokenClaims): Holding
}

/** A token taken apart, with the key that must have signed it. Nothing in it is believed yet. */
export interface UnverifiedToken {
  readonly text: string
  readonly issuer: TrustedIssuer
  readonly kid: string | undefined
  readonly key: VerifyingKey
  readonly payload: Readonly<Record<string, unknown>>
  /** Good until the next token is taken apart. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
  readonly keysVersion: number
}

/** Reads a token at `nowMs`: takes it apart, verifies it, judges its claims. */
export function readToken(token: string, nowMs: number, parts: ReadingParts): SeenToken | DenyReason {
  const taken = takeToken(token, parts)
  if (typeof taken === 'string') return taken
  return verifies(taken.key, taken.signed, taken.signature) ? admitToken(taken, nowMs, parts) : 'bad_signature'
}

/** Everything before the signature. */
export function takeToken(token: string, parts: ReadingParts): UnverifiedToken | DenyReason {
  const jws = parseJwsBriefly(token, MAX_TOKEN_CHARS, parts.memory)
  if (typeof jws === 'string') return jws
  const { header, payload, signed, signature } = jws
  const issuer = typeof payload.iss === 'string' ? parts.issuers.get(payload.iss) : undefined
  if (issuer === undefined) return 'wrong_issuer'
  if (!issuer.algorithms.has(header.alg)) return 'unsupported_algorithm'
  if (!issuer.types.has(header.typ)) return 'wrong_type'
  if (issuer.isSignet && header.kid === undefined) return 'malformed'
  const key = issuer.keys.find(header.kid, header.alg)
  if (key === undefined) return 'unknown_key'
  return { text: token, issuer, kid: header.kid, key, payload, signed, signature, keysVersion: parts.keys.version }
}

/** Everything after the signature, which must have been verified. */
export function admitToken(token: UnverifiedToken, nowMs: number, parts: ReadingParts): SeenToken | DenyReason {
  const { issuer, payload } = token
  const claims = issuer.isSignet ? readSignetClaims(payload) : readForeignClaims(payload)
  if (claims === undefined || hasTooManyScopes(claims)) return 'malformed'
  if (!isForAudience(claims.aud, issuer.audiences)) return 'wrong_audience'
  const deadAtMs = claims.exp * 1000 + parts.skewMs
  if (nowMs >= deadAtMs) return 'expired'
  const notBefore = Math.max(claims.iat, typeof payload.nbf === 'number' ? payload.nbf : 0)
  if (notBefore * 1000 > nowMs + parts.skewMs) return 'not_yet_valid'
  if (claims.exp - claims.iat > issuer.maxLifeSeconds) return 'malformed'

  // Signet's own: `jti` says the millisecond, and `iat` must agree, or one of the two was made up.
  const issuedAtMs = issuer.isSignet ? uuidV7TimeMs(claims.jti) : claims.iat * 1000
  if (issuedAtMs < 0) return 'malformed'
  if (issuer.isSignet && Math.floor(issuedAtMs / 1000) !== claims.iat) return 'issue_time_mismatch'

  const seen: SeenToken = {
    text: token.text,
    issuer,
    claims: freezeWhole(claims),
    kid: token.kid,
    key: token.key,
    issuedAtMs,
    deadAtMs,
    holding: parts.holding(claims),
    isBound: claims.cnf !== undefined,
    digests: undefined,
    revokedBy: undefined,
    viewVersion: -1,
    keysVersion: token.keysVersion,
  }
  return seen
}

/** RFC 9068 §2.2, with the claims Signet adds. Undefined when a claim is missing or of the wrong shape. */
function readSignetClaims(payload: Readonly<Record<string, unknown>>): AccessTokenClaims | undefined {
  const { sub, aud, client_id, scope, jti, gid, sid, did, cnf, act, anc, acr, amr, auth_time, nbf } = payload
  if (!isTimes(payload) || !isText(sub) || !isText(client_id) || !isAudience(aud)) return undefined
  if (typeof jti !== 'string') return undefined
  if (!isTextOrNone(scope) || !isTextOrNone(gid) || !isTextOrNone(sid) || !isTextOrNone(did)) return undefined
  if (!isTextOrNone(acr) || !isNumberOrNone(auth_time) || !isNumberOrNone(nbf)) return undefined
  if (cnf !== undefined && !isRecord(cnf)) return undefined
  if (amr !== undefined && !isTexts(amr)) return undefined
  if (anc !== undefined && !(isTexts(anc) && anc.length <= MAX_ANCESTORS)) return undefined
  if (act !== undefined && !isActor(act)) return undefined
  return payload as unknown as AccessTokenClaims
}

/**
 * Of another issuer: `azp` stands for `client_id`, `scp` for `scope`, and there need be no `jti`. What is Signet's alone
 * (grant, device, ancestors) is left out, whatever the token says.
 */
function readForeignClaims(payload: Readonly<Record<string, unknown>>): AccessTokenClaims | undefined {
  const { sub, aud, azp, client_id, scope, scp, jti, sid, cnf, acr, amr, auth_time, nbf } = payload
  const client = azp ?? client_id
  if (!isTimes(payload) || !isAudience(aud) || !isNumberOrNone(nbf)) return undefined
  // OpenID Connect providers may write acr as a number and leave sub out of a client's own tokens; ids must be text to be keys.
  if (!isTextOrNone(sub) || !isTextOrNone(client) || !isTextOrNone(jti) || !isTextOrNone(sid)) return undefined
  if (cnf !== undefined && !isRecord(cnf)) return undefined
  const granted = scope ?? (isTexts(scp) ? scp.join(' ') : scp)
  if (granted !== undefined && typeof granted !== 'string') return undefined
  const { gid: _gid, did: _did, anc: _anc, ...rest } = payload
  const claims: Record<string, unknown> = { ...rest, sub: sub ?? client ?? '', client_id: client ?? '' }
  if (granted !== undefined) claims.scope = granted
  if (typeof acr !== 'string') delete claims.acr
  if (typeof auth_time !== 'number') delete claims.auth_time
  if (!isTexts(amr)) delete claims.amr
  return claims as unknown as AccessTokenClaims
}

/** The ids by which it can be taken back. */
export function keysOf({ claims, kid }: SeenToken): TokenKeys {
  return {
    issuer: claims.iss,
    token: claims.jti,
    grant: claims.gid,
    session: claims.sid,
    device: claims.did,
    subject: claims.sub || undefined,
    client: claims.client_id || undefined,
    key: kid,
    scope: claims.scope,
    ancestors: claims.anc,
  }
}

/** Each name and the space before it take two characters at least, so that a short text need not be taken apart. */
const hasTooManyScopes = ({ scope = '' }: AccessTokenClaims): boolean =>
  scope.length >= 2 * MAX_TOKEN_SCOPES && scopeNames(scope).length > MAX_TOKEN_SCOPES

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isTextOrNone = (value: unknown): value is string | undefined => value === undefined || typeof value === 'string'
const isNumberOrNone = (value: unknown): boolean => value === undefined || (typeof value === 'number' && Number.isFinite(value))
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((each) => typeof each === 'string')
const isAudience = (value: unknown): boolean => typeof value === 'string' || isTexts(value)

/** Seconds since the epoch that milliseconds can be made of without loss. */
const MAX_SECONDS = 2 ** 40

function isTimes(payload: Readonly<Record<string, unknown>>): boolean {
  const { iat, exp } = payload
  if (typeof iat !== 'number' || typeof exp !== 'number') return false
  return iat >= 0 && exp >= 0 && iat < MAX_SECONDS && exp < MAX_SECONDS
}

function isActor(value: unknown, depth = 0): value is Actor {
  if (!isRecord(value) || !isText(value.sub) || !isTextOrNone(value.client_id) || depth > MAX_ANCESTORS) return false
  return value.act === undefined || isActor(value.act, depth + 1)
}

function isForAudience(aud: string | readonly string[], ours: readonly string[]): boolean {
  if (typeof aud === 'string') return ours.includes(aud)
  return aud.some((each) => ours.includes(each))
}

/** The claims are shared by every request that shows the token: none of them may change them for the others. */
function freezeWhole<T extends object>(value: T): T {
  for (const name in value) {
    const each = value[name]
    if (typeof each === 'object' && each !== null) freezeWhole(each)
  }
  return Object.freeze(value)
}

export const SIGNET_TYPES: ReadonlySet<string> = new Set([ACCESS_TOKEN_TYPE])
