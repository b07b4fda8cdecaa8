/**
 * From scopes to permissions, and what each permission can bear. A permission names the scopes that give it, how stale the
 * validator's knowledge may be while it is used, and how and when the person must have proven who they are. A scope that
 * no permission names gives nothing.
 */
import type { AccessTokenClaims } from '@signet/kernel/claims.ts'
import { TwoGenerations } from '@signet/kernel/two-generations.ts'

export interface PermissionRule {
  /** Any one of these scopes gives the permission. Unless given: the scope of the permission's own name. */
  readonly scopes?: readonly string[]
  /** Older knowledge of revocations than this does not bear it. Seconds; unless given, the validator's default. `Infinity`: any. */
  readonly maxStalenessSeconds?: number
  /** RFC 9470: the token's `acr` must be one of these. */
  readonly acrValues?: readonly string[]
  /** RFC 9470: the sign-in (`auth_time`) may be so long ago at most. Seconds. */
  readonly maxAgeSeconds?: number
}
export type PermissionMap = Readonly<Record<string, PermissionRule>>

/** A permission that a token carries. */
export interface HeldPermission {
  readonly name: string
  readonly boundMs: number
  /** Epoch milliseconds from which the sign-in is too long ago for it; Infinity when that does not matter. */
  readonly untilMs: number
}

/** Everything a token carries, by what its scopes and its sign-in say. */
export interface Holding {
  readonly permissions: readonly HeldPermission[]
  readonly names: readonly string[]
  /** While staleness is at most this, and time is before `untilMs`, it holds all of `names`. */
  readonly boundMs: number
  readonly untilMs: number
  /** The largest bound among them; with none, the default. */
  readonly widestBoundMs: number
}

/** Why a needed permission is missing: RFC 6750 `insufficient_scope`, or RFC 9470 with what would satisfy it. */
export type Lack =
  | { readonly kind: 'scope'; readonly scopes: readonly string[] }
  | {
      readonly kind: 'authentication'
      readonly acrValues: readonly string[] | undefined
      readonly maxAgeSeconds: number | undefined
    }
  | { readonly kind: 'stale'; readonly boundMs: number }

interface Rule {
  readonly name: string
  readonly scopes: readonly string[]
  readonly boundMs: number
  readonly acrValues: readonly string[] | undefined
  readonly maxAgeSeconds: number | undefined
}

export interface Permissions {
  /** The smallest and the largest bound of all rules, milliseconds. */
  readonly tightestMs: number
  readonly widestMs: number
  /** Scopes named by the rules; empty with the default map. */
  readonly scopes: readonly string[]
  /** What these claims carry. */
  holding(claims: AccessTokenClaims): Holding
  /** What is left of a holding at this time under this staleness. */
  bearable(holding: Holding, nowMs: number, stalenessMs: number): readonly string[]
  /** Why `needed` is not among what is bearable. */
  lack(holding: Holding, claims: AccessTokenClaims, needed: string, nowMs: number, stalenessMs: number): Lack
  /** Throws a TypeError for a permission that no token could ever carry: a typing mistake in the caller. */
  check(needs: string | readonly string[] | undefined): void
}

/** Scope strings whose meaning is remembered. */
const REMEMBERED = 2048

/** Compiles the map; without one each scope is a permission of its own name. */
export function compilePermissions(map: PermissionMap | undefined, defaultStalenessSeconds: number): Permissions {
  const defaultMs = spanMs(defaultStalenessSeconds, 'defaultMaxStalenessSeconds')
  const rules = map === undefined ? undefined : Object.entries(map).map(([name, rule]) => compileRule(name, rule, defaultMs))
  const isPlain = rules === undefined || rules.every((rule) => rule.acrValues === undefined && rule.maxAgeSeconds === undefined)
  const remembered = new TwoGenerations<string, Holding>(REMEMBERED)
  const bounds = rules === undefined || rules.length === 0 ? [defaultMs] : rules.map((rule) => rule.boundMs)

  const given = (scope: string): readonly Rule[] => {
    const scopes = scope === '' ? [] : scope.split(' ')
    if (rules === undefined) return [...new Set(scopes)].map((name) => compileRule(name, {}, defaultMs))
    return rules.filter((rule) => rule.scopes.some((each) => scopes.includes(each)))
  }

  return {
    tightestMs: Math.min(...bounds),
    widestMs: Math.max(...bounds),
    scopes: [...new Set(rules?.flatMap((rule) => rule.scopes))],
    holding(claims) {
      const scope = claims.scope ?? ''
      if (!isPlain) return holdingOf(given(scope), claims, defaultMs)
      let holding = remembered.get(scope)
      if (holding === undefined) {
        holding = holdingOf(given(scope), claims, defaultMs)
        remembered.set(scope, holding)
      }
      return holding
    },
    bearable(holding, nowMs, stalenessMs) {
      if (stalenessMs <= holding.boundMs && nowMs < holding.untilMs) return holding.names
      return holding.permissions.filter((each) => stalenessMs <= each.boundMs && nowMs < each.untilMs).map((each) => each.name)
    },
    lack(holding, claims, needed, nowMs, stalenessMs) {
      const rule = rules?.find((each) => each.name === needed) ?? compileRule(needed, {}, defaultMs)
      const held = holding.permissions.find((each) => each.name === needed)
      if (held !== undefined && nowMs < held.untilMs && stalenessMs > held.boundMs)
        return { kind: 'stale', boundMs: held.boundMs }
      const isScoped = rule.scopes.some((scope) => (claims.scope ?? '').split(' ').includes(scope))
      if (isScoped) return { kind: 'authentication', acrValues: rule.acrValues, maxAgeSeconds: rule.maxAgeSeconds }
      return { kind: 'scope', scopes: rule.scopes.slice(0, 1) }
    },
    check(needs) {
      if (rules === undefined || needs === undefined) return
      for (const need of typeof needs === 'string' ? [needs] : needs) {
        if (!rules.some((rule) => rule.name === need)) {
          throw new TypeError(`No permission is called '${need}'. Known: ${rules.map((rule) => rule.name).join(', ')}.`)
        }
      }
    },
  }
}

function compileRule(name: string, rule: PermissionRule, defaultMs: number): Rule {
  const label = `permissions['${name}']`
  return {
    name,
    scopes: rule.scopes ?? [name],
    boundMs:
      rule.maxStalenessSeconds === undefined ? defaultMs : spanMs(rule.maxStalenessSeconds, `${label}.maxStalenessSeconds`),
    acrValues: rule.acrValues,
    maxAgeSeconds: rule.maxAgeSeconds,
  }
}

function spanMs(seconds: number, name: string): number {
  if (!(seconds > 0)) throw new TypeError(`${name} must be a number of seconds above 0.`)
  return seconds * 1000
}

function holdingOf(rules: readonly Rule[], claims: AccessTokenClaims, defaultMs: number): Holding {
  const permissions: HeldPermission[] = []
  for (const rule of rules) {
    if (rule.acrValues !== undefined && (claims.acr === undefined || !rule.acrValues.includes(claims.acr))) continue
    // Without auth_time nobody can say that the sign-in was lately (RFC 9470 §5).
    if (rule.maxAgeSeconds !== undefined && claims.auth_time === undefined) continue
    const untilMs =
      rule.maxAgeSeconds === undefined ? Number.POSITIVE_INFINITY : ((claims.auth_time ?? 0) + rule.maxAgeSeconds) * 1000
    permissions.push({ name: rule.name, boundMs: rule.boundMs, untilMs })
  }
  const bounds = permissions.map((each) => each.boundMs)
  return {
    permissions,
    names: Object.freeze(permissions.map((each) => each.name)),
    boundMs: Math.min(...bounds, Number.POSITIVE_INFINITY),
    untilMs: Math.min(...permissions.map((each) => each.untilMs), Number.POSITIVE_INFINITY),
    widestBoundMs: bounds.length === 0 ? defaultMs : Math.max(...bounds),
  }
}
