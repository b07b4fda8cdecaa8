/** What can be taken back, and from when until when the entry for it holds: pure judgements, before any store is asked. */
import { idTimeMs, isUuid, isUuidV7 } from '@signet/kernel/ids.ts'
import { KEY_KINDS, type KeyKind } from '@signet/kernel/revocation.ts'
import { isScopeName } from '@signet/kernel/scope.ts'
import { refuse } from './refuse.ts'
import {
  KEY_MEMORY_SECONDS,
  LONGEST_FOREIGN_TOKEN_SECONDS,
  longestDropAfter,
  marginSecondsOf,
  type RevocationSettings,
} from './rules.ts'

/** Something to take back, as a caller names it. */
export interface Target {
  readonly kind: KeyKind
  /** For the kind `issuer`: the issuer itself. For `scope`: one name, as in the `scope` of tokens. */
  readonly id: string
  /** Another issuer, whose tokens validators also check. Absent: our own. */
  readonly issuer?: string
  /** Epoch milliseconds. Of use to callers; an entry needs it not. */
  readonly issuedAtMs?: number
  /** Epoch seconds: when another issuer's token expires. Of our own tokens the longest life is assumed. */
  readonly expiresAt?: number
}

/** A target that is well-formed, with its issuer filled in. */
export interface KnownTarget {
  readonly kind: KeyKind
  readonly id: string
  readonly issuer: string
  /** Issued by us: there is state behind it. */
  readonly isOwn: boolean
  readonly expiresAt?: number
}

/** What is done: end it; hold it until it is resumed; or, as a claims epoch, only void the access tokens made so far. */
export type Act = 'revoke' | 'renew' | 'suspend'

/** Words that no other act on a target has. */
export const requestOf = (act: Act | 'resume', { kind, issuer, id }: KnownTarget): readonly string[] => [
  'signet/revocation/what',
  act,
  kind,
  issuer,
  id,
]

/** Kinds that can be suspended, and those whose grants can outlive a cutoff. */
const SUSPENDABLE: readonly KeyKind[] = ['subject', 'client', 'session', 'device', 'grant']
const RENEWABLE: readonly KeyKind[] = [...SUSPENDABLE, 'issuer', 'scope']

const MAX_ID = 512
const CONTROL = /[\u0000-\u001f\u007f]/

/** Throws a refusal for a target that cannot exist or an act that does not apply to its kind. */
export function knowTarget(target: Target, act: Act, ownIssuer: string): KnownTarget {
  const { kind, id, issuer = ownIssuer } = target
  if (!KEY_KINDS.includes(kind) || !isText(id) || !isText(issuer)) throw refuse('invalid_request', 'malformed_target')
  const isOwn = issuer === ownIssuer
  if (kind === 'issuer' && id !== issuer) throw refuse('invalid_request', 'malformed_target')
  if (act === 'suspend' && !(isOwn && SUSPENDABLE.includes(kind))) throw refuse('invalid_request', 'not_suspendable')
  if (act === 'renew' && isOwn && !RENEWABLE.includes(kind)) throw refuse('invalid_request', 'grants_not_applicable')
  if (kind === 'scope' && !isScopeName(id)) throw refuse('invalid_request', 'malformed_target')
  if (isOwn && !isOwnId(kind, id)) throw refuse('not_found', `unknown_${kind}`)
  const { expiresAt } = target
  if (expiresAt !== undefined && !(Number.isSafeInteger(expiresAt) && expiresAt > 0 && expiresAt < 2 ** 40)) {
    throw refuse('invalid_request', 'malformed_target')
  }
  return { kind, id, issuer, isOwn, ...(isOwn || expiresAt === undefined ? {} : { expiresAt }) }
}

const isText = (text: unknown): text is string =>
  typeof text === 'string' && text.length > 0 && text.length <= MAX_ID && !CONTROL.test(text)

/** Ids of clients and scopes are the operator's, those of keys the key ring's; all others are ours and have one form. */
function isOwnId(kind: KeyKind, id: string): boolean {
  if (kind === 'token' || kind === 'grant') return isUuidV7(id)
  return kind === 'client' || kind === 'key' || kind === 'issuer' || kind === 'scope' || isUuid(id)
}

/** Why and by whom something is taken back. */
export interface Why {
  /** 1 to 128 printable ASCII characters; goes to log and audit, so no personal data. */
  readonly reason: string
  /** `client:…`, `subject:…`, `operator:…` or `system`. */
  readonly actor: string
  /** 1 to 128 printable characters, chosen by the actor: the same key gets the same receipt for an hour. */
  readonly idempotencyKey?: string
  /** A claims epoch: access tokens made so far die, grants and sessions live and renew silently. Of a scope it is always so. */
  readonly keepGrants?: boolean
  /** What another region did is lifted or undone in this one all the same. */
  readonly here?: boolean
}

const REASON = /^[\x20-\x7e]{1,128}$/
const ACTOR = /^(system|(client|subject|operator):[\x21-\x7e]{1,512})$/
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/

export function checkWhy(why: Why): void {
  if (!REASON.test(why.reason)) throw refuse('invalid_request', 'malformed_reason')
  if (!ACTOR.test(why.actor)) throw new Error('an actor is system, client:…, subject:… or operator:…')
  if (why.idempotencyKey !== undefined && !IDEMPOTENCY_KEY.test(why.idempotencyKey)) {
    throw refuse('invalid_request', 'malformed_idempotency_key')
  }
}

/** From when to when an entry holds. */
export interface Span {
  readonly cutoffMs: number
  readonly dropAfter: number
}

export interface SpanFacts {
  readonly cutoffMs: number
  readonly nowMs: number
  /** The longest life that any policy version ever allowed an access token. */
  readonly longestSeconds: number
  /** The id is an API key's: its making says nothing about when its use ends. */
  readonly isApiKey?: boolean
}

/** The span of an entry made now, or undefined when every token it could match has certainly expired. */
export function judgeSpan(target: KnownTarget, facts: SpanFacts, settings: RevocationSettings): Span | undefined {
  const dropAfter = Math.min(lastExpiry(target, facts) + marginSecondsOf(settings), longestDropAfter(facts.cutoffMs, settings))
  return dropAfter < Math.floor(facts.nowMs / 1000) ? undefined : { cutoffMs: facts.cutoffMs, dropAfter }
}

/** Epoch seconds by which the last token that the entry matches has expired. */
function lastExpiry(target: KnownTarget, { cutoffMs, longestSeconds, isApiKey }: SpanFacts): number {
  const cutoffAt = Math.ceil(cutoffMs / 1000)
  if (target.kind === 'key') return cutoffAt + KEY_MEMORY_SECONDS
  if (!target.isOwn) return target.expiresAt ?? cutoffAt + LONGEST_FOREIGN_TOKEN_SECONDS
  // One access token was issued at the time in its id, and none is issued past the cutoff.
  const isAccessToken = target.kind === 'token' && isApiKey !== true
  const issuedAt = isAccessToken ? Math.min(cutoffAt, Math.ceil(idTimeMs(target.id) / 1000)) : cutoffAt
  return issuedAt + longestSeconds
}
