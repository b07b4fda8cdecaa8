/**
 * What a batch selects, and how it is gone through: pure judgements. A selector's members are joined by "and". What can be one cutoff is
 * one cutoff: a client, a person or everything is never gone through grant by grant.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { type BatchId, type ClientId, idTimeMs, newId, type SubjectId } from '@signet/kernel/ids.ts'
import type { BatchAction, BatchRecord } from '../store/ports/batches.ts'
import type { PlatformClass } from '../store/ports/clients.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import { LONGEST_ACCESS_TOKEN_SECONDS } from './rules.ts'
import type { Target } from './target.ts'

export interface Selector {
  /** Says in so many words that nothing narrows it. */
  readonly everything?: true
  readonly client?: ClientId
  readonly subjects?: readonly SubjectId[]
  /** The grant has this scope, perhaps beside others. */
  readonly scope?: string
  /** The grant was made in this span, both ends in it. */
  readonly issuedFromMs?: number
  readonly issuedToMs?: number
  /** Class of the installation that the grant was made for. */
  readonly platform?: PlatformClass
  /** Base64url of digests of network and agent: one of them is what the grant was last refreshed from. */
  readonly sights?: readonly string[]
}

/** What is stored of a plan, for whoever carries it out. */
export type Plan =
  | {
      readonly selector: Selector
      /** Grants made later are not selected: those of the plan's moment, and of the guard after it. */
      readonly untilMs: number
      /** More grants than this it never moves: their status may have changed since they were counted. Absent where a cutoff decides. */
      readonly atMost?: number
    }
  /** Lets go on what another batch holds suspended. */
  | { readonly undoes: BatchId }

/** Most people that one batch names. */
export const MAX_SUBJECTS = 10_000

/** Targets that one cutoff each ends, lets rest or go on; undefined when it takes a look at each grant. */
export function wideTargets(action: BatchAction, selector: Selector, issuer: string): readonly Target[] | undefined {
  const { everything, client, subjects, ...narrowing } = selector
  if (Object.keys(narrowing).length > 0) return undefined
  // The issuer itself cannot rest, only its grants can.
  if (everything === true) return action === 'revoke' ? [{ kind: 'issuer', id: issuer }] : undefined
  if (client !== undefined && subjects !== undefined) return undefined
  if (client !== undefined) return [{ kind: 'client', id: client }]
  return subjects?.map((id) => ({ kind: 'subject', id }))
}

export interface Moment {
  readonly action: BatchAction
  readonly plannedAtMs: number
  readonly untilMs: number
}

/**
 * Whether this grant is meant, given that it is one of the people named, for the walk goes through theirs alone. Apart from its status,
 * nothing that this looks at changes after the plan, `sights` excepted.
 */
export function selects(selector: Selector, family: FamilyRecord, { action, plannedAtMs, untilMs }: Moment): boolean {
  const { client, scope, issuedFromMs = 0, issuedToMs = untilMs, platform, sights } = selector
  const { terms, createdAtMs } = family
  return (
    isMovable(action, family) &&
    createdAtMs >= issuedFromMs &&
    createdAtMs <= Math.min(issuedToMs, untilMs) &&
    (client === undefined || terms.client === client) &&
    (platform === undefined || terms.platform === platform) &&
    (scope === undefined || terms.scope.includes(scope)) &&
    (sights === undefined || sights.includes(toBase64Url(family.seen))) &&
    // The last access token of one that had run out before has expired too.
    (Math.min(family.idleExpiresAt, family.expiresAt) + LONGEST_ACCESS_TOKEN_SECONDS) * 1000 >= plannedAtMs
  )
}

function isMovable(action: BatchAction, { status }: FamilyRecord): boolean {
  if (action === 'suspend') return status === 'active'
  return action === 'resume' ? status === 'suspended' : status !== 'revoked'
}

/** A grant's own time lies at most so far from its id's: a code's life, the guard, and clocks that disagree. */
const ID_SLACK_MS = 20 * 60_000

/** Ids at or before it are too old to be meant; undefined: none is. */
export function firstId({ issuedFromMs }: Selector): string | undefined {
  if (issuedFromMs === undefined || issuedFromMs <= ID_SLACK_MS) return undefined
  return newId<string>(issuedFromMs - ID_SLACK_MS, { bytes: (count) => new Uint8Array(count) })
}

/** Whether everything from this id on is too new to be meant. */
export function isBeyond({ issuedToMs }: Selector, untilMs: number, id: string): boolean {
  return idTimeMs(id) > Math.min(issuedToMs ?? untilMs, untilMs) + ID_SLACK_MS
}

export const encodePlan = (plan: Plan): string => JSON.stringify(plan)
export const decodePlan = ({ plan = '{}' }: Pick<BatchRecord, 'plan'>): Plan => JSON.parse(plan) as Plan
