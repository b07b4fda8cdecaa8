/**
 * The rotation schedule, judged purely: given the records and the time, which moves are due. The ring applies them by
 * compare-and-set, so any number of nodes may judge the same records at once.
 *
 *   next ──▶ active ──▶ retiring ──▶ retired ──▶ forgotten        any of the first three ──▶ compromised
 *
 * A next key always stands ready and published. When one has to take over in a hurry, validators know it already.
 */
import type { KeyId } from '@signet/kernel/ids.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { KeyPurpose, KeyRecord } from '../store/ports/keys.ts'
import { algorithmFor, KEY_PURPOSES } from './key-record.ts'

export type KeyMove =
  | {
      readonly kind: 'create'
      readonly purpose: KeyPurpose
      readonly version: number
      readonly alg: string
      readonly state: 'next' | 'active'
      readonly activeAt: number
    }
  /** `next` begins to sign, and `active`, if there is one, begins to retire. Both or neither. */
  | { readonly kind: 'activate'; readonly next: KeyRecord; readonly active: KeyRecord | undefined; readonly retiredAt: number }
  /** The next key begins earlier than was planned. */
  | { readonly kind: 'advance'; readonly next: KeyRecord; readonly activeAt: number }
  /** A next key that will not be used: its algorithm is not wanted any more. */
  | { readonly kind: 'withdraw'; readonly key: KeyRecord }
  | { readonly kind: 'retire'; readonly key: KeyRecord }
  | { readonly kind: 'forget'; readonly key: KeyRecord }

/** The longest that anything signed or tagged may live: high-water marks over every policy that was ever in force here. */
export interface Lives {
  readonly tokenSeconds: number
  readonly refreshSeconds: number
}

/**
 * How old a node's picture of the ring may be: for so long after a switch another node may still sign with the key
 * before. Nodes look every few seconds; a node that cannot look for so long stops signing (key-ring.ts).
 */
export const PICTURE_SECONDS = 300
/** A retired key's record stays so long for people to see. Audit keys stay for ever: old checkpoints need them. */
export const FORGET_SECONDS = 30 * 86_400
/** While nodes start one by one with another algorithm, they would withdraw each other's next keys in turns: not faster than this. */
export const WITHDRAW_SECONDS = 60

/** The moves due at `nowAt` (epoch seconds). After they are made others may be due: judge again until there are none. */
export function dueMoves(
  records: readonly KeyRecord[],
  settings: PolicySettings,
  nowAt: number,
  lives: Lives,
): readonly KeyMove[] {
  return KEY_PURPOSES.flatMap((purpose) => {
    const own = records.filter((record) => record.purpose === purpose).sort((a, b) => b.version - a.version)
    return [...succession(purpose, own, settings, nowAt, lives), ...endings(own, settings, nowAt, lives)]
  })
}

/** What concerns the active key and the next one. `own` is newest first. */
function succession(
  purpose: KeyPurpose,
  own: readonly KeyRecord[],
  settings: PolicySettings,
  nowAt: number,
  lives: Lives,
): readonly KeyMove[] {
  const alg = algorithmFor(purpose, settings)
  const version = (own[0]?.version ?? 0) + 1
  const active = own.find((record) => record.state === 'active')
  const next = own.find((record) => record.state === 'next')
  if (active === undefined) {
    // The very first key, or all before it compromised: nothing signs meanwhile, so it does not wait.
    if (next !== undefined) return [{ kind: 'activate', next, active, retiredAt: 0 }]
    return [{ kind: 'create', purpose, version, alg, state: 'active', activeAt: nowAt }]
  }
  const switchAt = active.alg === alg ? active.activeAt + settings.keyActiveSeconds : nowAt
  if (next === undefined) {
    return [
      { kind: 'create', purpose, version, alg, state: 'next', activeAt: Math.max(nowAt + settings.keyPublishSeconds, switchAt) },
    ]
  }
  if (next.alg !== alg) return nowAt >= next.createdAt + WITHDRAW_SECONDS ? [{ kind: 'withdraw', key: next }] : []
  if (nowAt >= next.activeAt)
    return [{ kind: 'activate', next, active, retiredAt: nowAt + overlapSeconds(purpose, settings, lives) }]
  // Never later than planned: it may have been advanced by hand.
  const activeAt = Math.max(publishedAt(next, settings), switchAt)
  return activeAt < next.activeAt ? [{ kind: 'advance', next, activeAt }] : []
}

function endings(own: readonly KeyRecord[], settings: PolicySettings, nowAt: number, lives: Lives): readonly KeyMove[] {
  return own.flatMap((key): KeyMove[] => {
    if (key.state === 'retiring') return nowAt >= retirementAt(key, settings, lives) ? [{ kind: 'retire', key }] : []
    if (key.state !== 'retired' || key.purpose === 'audit') return []
    return nowAt >= (key.retiredAt ?? 0) + FORGET_SECONDS ? [{ kind: 'forget', key }] : []
  })
}

/** From when on every validator that keeps the JWKS no longer than it may has seen this key. */
export const publishedAt = (next: KeyRecord, settings: PolicySettings): number => next.createdAt + settings.keyPublishSeconds

/**
 * How long a key verifies after its successor took over. Signing keys: the longest token life, validators' leeway, and
 * the time in which another node may not have noticed. Ring keys: the longest life of a refresh family, since one that
 * was last refreshed under this key may come back at its end, and a while more for grace answers; never less than signing
 * keys, for the opaque access tokens that it seals.
 */
export function overlapSeconds(purpose: KeyPurpose, settings: PolicySettings, lives: Lives): number {
  if (purpose !== 'ring') return lives.tokenSeconds + settings.leewaySeconds + PICTURE_SECONDS
  const refreshSeconds = lives.refreshSeconds + Math.max(settings.graceSeconds, settings.graceSecondsWithProof)
  return Math.max(refreshSeconds, lives.tokenSeconds + settings.leewaySeconds) + PICTURE_SECONDS
}

/** A longer token life that came into force during the overlap only ever makes it longer. */
const retirementAt = (key: KeyRecord, settings: PolicySettings, lives: Lives): number =>
  Math.max(key.retiredAt ?? 0, (key.retiringAt ?? 0) + overlapSeconds(key.purpose, settings, lives))

/** One line of the published schedule. Times in the future are plans. */
export interface ScheduledKey {
  readonly kid: KeyId
  readonly alg: string
  readonly state: KeyRecord['state']
  readonly activeAt: number
  readonly retiringAt?: number
  readonly retiredAt?: number
}

/** The schedule of one purpose, oldest key first; retired and compromised keys are not in it. */
export function plannedSchedule(
  records: readonly KeyRecord[],
  purpose: KeyPurpose,
  settings: PolicySettings,
  lives: Lives,
): readonly ScheduledKey[] {
  const own = records.filter((record) => record.purpose === purpose).sort((a, b) => a.version - b.version)
  const next = own.find((record) => record.state === 'next')
  const overlap = overlapSeconds(purpose, settings, lives)
  return own.flatMap(({ id: kid, alg, state, activeAt, ...key }): ScheduledKey[] => {
    if (state === 'retiring') {
      const retired = retirementAt({ id: kid, alg, state, activeAt, ...key }, settings, lives)
      return [
        { kid, alg, state, activeAt, ...(key.retiringAt !== undefined && { retiringAt: key.retiringAt }), retiredAt: retired },
      ]
    }
    if (state !== 'active' && state !== 'next') return []
    const retiringAt = state === 'active' && next !== undefined ? next.activeAt : activeAt + settings.keyActiveSeconds
    return [{ kid, alg, state, activeAt, retiringAt, retiredAt: retiringAt + overlap }]
  })
}
