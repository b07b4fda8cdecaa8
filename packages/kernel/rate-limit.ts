/**
 * How often somebody may ask one node. GCRA: one number per asker, the time at which its budget is whole again. Kept in
 * memory and bounded, so a flood under many names costs memory up to the bound and nobody else's budget.
 */
import { refusal } from './errors.ts'
import type { Clock } from './surroundings.ts'

export interface Rate {
  readonly perSecond: number
  /** Requests that may come at once. */
  readonly burst: number
}

/** One whose budget is this node's alone answers at once. */
export interface OwnRateLimit extends RateLimit {
  take(key: string): number
}

export interface RateLimit {
  /** Takes one request from the budget of `key`: 0, or the milliseconds until there is one to take. Nothing is taken then. */
  take(key: string): number | Promise<number>
}

/** Askers remembered at once, per limit. An asker that was forgotten starts with a whole budget. */
const CAPACITY = 100_000

export function createRateLimit(rate: Rate, clock: Clock, capacity = CAPACITY): OwnRateLimit {
  const intervalMs = 1000 / rate.perSecond
  const toleranceMs = intervalMs * (rate.burst - 1)
  // Two generations instead of a list in order of use: who asks moves to the young one, and when that is full the old one is dropped.
  let young = new Map<string, number>()
  let old = new Map<string, number>()
  return {
    take(key) {
      const now = clock.monotonic()
      const whole = Math.max(young.get(key) ?? old.get(key) ?? 0, now)
      const waitMs = whole - toleranceMs - now
      if (waitMs > 0) return waitMs
      young.set(key, whole + intervalMs)
      if (young.size > capacity / 2) {
        old = young
        young = new Map()
      }
      return 0
    },
  }
}

/** Refuses with `slow_down` when the budget is spent. */
export async function takeOrRefuse(limit: RateLimit, key: string, reason: string): Promise<void> {
  const waitMs = await limit.take(key)
  if (waitMs > 0) throw refusal('slow_down', reason, Math.ceil(waitMs / 1000))
}

/** What an address is limited by: IPv4 whole, of IPv6 the /64 that one customer gets. */
export const addressKey = (address: string | undefined): string => prefixOf(address, 4, 4)

/** The network that an address is in, to compare: the /24 of IPv4, the /48 of IPv6. */
export const networkOf = (address: string | undefined): string => prefixOf(address, 3, 3)

/** Of a caller that has hung up already there is no address. */
function prefixOf(address: string | undefined = '', bytes: number, groups: number): string {
  const mapped = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
  if (!mapped.includes(':')) return mapped.split('.', bytes).join('.')
  const [head = '', tail] = mapped.split('::')
  const written = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? 0 : tail.split(':').length
    while (written.length + after < 8) written.push('0')
  }
  return written
    .slice(0, groups)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')
}
