/**
 * How often a password may be tried. Budgets, never locks: a budget that someone else can spend must not be the owner's.
 *
 * - A browser that the account knows by its device cookie has a budget of its own. Whatever anybody does elsewhere, even
 *   behind the same address, the owner's usual browser keeps its tries (OWASP, "device cookies").
 * - Everyone else shares one small budget per account and network, and one larger budget per network, which bounds someone
 *   who tries one password on many accounts.
 * - An account that is guessed at from many networks at once gets a much smaller budget on each network, never none.
 *
 * Budgets are kept by the store, so they hold across nodes.
 */
import { isIPv4, isIPv6 } from 'node:net'
import type { DeviceId } from '@signet/kernel/ids.ts'
import type { Sha256 } from '@signet/kernel/surroundings.ts'
import type { Tx } from '../store/store.ts'

export interface Attempt {
  /** The normalised username, whether or not there is such an account. */
  readonly username: string
  /** The device, when the browser proved that the account knows it. */
  readonly knownDevice: DeviceId | undefined
  /** The address the request came from. */
  readonly address: string
}

export interface Budget {
  readonly name: string
  /** One try comes back per interval, `burst` at most. */
  readonly intervalMs: number
  readonly burst: number
}

const MINUTE = 60_000
export const KNOWN_DEVICE: Budget = { name: 'device', intervalMs: MINUTE, burst: 10 }
export const ACCOUNT_ON_NETWORK: Budget = { name: 'account-network', intervalMs: 3 * MINUTE, burst: 5 }
/** While the account is being guessed at from everywhere. */
export const ACCOUNT_ON_NETWORK_NARROW: Budget = { name: 'account-network-narrow', intervalMs: 30 * MINUTE, burst: 2 }
export const ACCOUNT: Budget = { name: 'account', intervalMs: 2 * MINUTE, burst: 50 }
export const NETWORK: Budget = { name: 'network', intervalMs: 3000, burst: 60 }
/** A passkey can't be guessed; this only bounds the work of checking signatures. */
export const PASSKEY_NETWORK: Budget = { name: 'passkey-network', intervalMs: 500, burst: 120 }

export type Leave = { readonly allowed: true } | { readonly allowed: false; readonly retryAfterSeconds: number }

/** Takes one try for the attempt before its password is looked at, so that tries sent at once count each. */
export async function takeTry(tx: Tx, attempt: Attempt, sha256: Sha256): Promise<Leave> {
  const take = async (budget: Budget, ...who: readonly string[]): Promise<Leave> => {
    const { allowed, retryAfterMs } = await tx.throttle.take(keyOf(sha256, budget, who), budget)
    return allowed ? { allowed } : { allowed, retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1000)) }
  }
  if (attempt.knownDevice !== undefined) return take(KNOWN_DEVICE, attempt.knownDevice)
  const { near, wide } = networkOf(attempt.address)
  // The narrowest first: who has no try left for this account does not spend the whole network's.
  const pair = await take(ACCOUNT_ON_NETWORK, attempt.username, near)
  if (!pair.allowed) return pair
  const account = await take(ACCOUNT, attempt.username)
  if (!account.allowed) {
    const narrow = await take(ACCOUNT_ON_NETWORK_NARROW, attempt.username, near)
    if (!narrow.allowed) return narrow
  }
  return take(NETWORK, wide)
}

/** The password was right: what was tried before it is forgotten, but not what else this network tried. */
export async function giveBackTries(tx: Tx, attempt: Attempt, sha256: Sha256): Promise<void> {
  if (attempt.knownDevice !== undefined) return tx.throttle.clear(keyOf(sha256, KNOWN_DEVICE, [attempt.knownDevice]))
  const { near } = networkOf(attempt.address)
  await tx.throttle.clear(keyOf(sha256, ACCOUNT_ON_NETWORK, [attempt.username, near]))
}

export async function takePasskeyTry(tx: Tx, address: string, sha256: Sha256): Promise<Leave> {
  const key = keyOf(sha256, PASSKEY_NETWORK, [networkOf(address).wide])
  const { allowed, retryAfterMs } = await tx.throttle.take(key, PASSKEY_NETWORK)
  return allowed ? { allowed } : { allowed, retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1000)) }
}

const keyOf = (sha256: Sha256, budget: Budget, who: readonly string[]): Uint8Array =>
  sha256(`signet/try/${budget.name}\u0000${who.join('\u0000')}`)

/**
 * What counts as one network. An IPv6 customer is given a whole /64 or more, so single addresses mean nothing there:
 * `near` is the /64, `wide` the /48. For IPv4 both are the address.
 */
export function networkOf(address: string): { readonly near: string; readonly wide: string } {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1]
  if (mapped !== undefined && isIPv4(mapped)) return { near: mapped, wide: mapped }
  if (!isIPv6(address)) return { near: address, wide: address }
  const groups = groupsOf(address)
  return { near: `${groups.slice(0, 4).join(':')}::/64`, wide: `${groups.slice(0, 3).join(':')}::/48` }
}

/** The eight groups of a valid IPv6 address, in lower-case hex without leading zeros. */
function groupsOf(address: string): readonly string[] {
  const bare = (address.split('%')[0] as string).toLowerCase()
  const [head, rest] = bare.split('::') as [string, string?]
  const split = (text: string): string[] => (text === '' ? [] : text.split(':').flatMap(widen))
  const start = split(head)
  if (rest === undefined) return start
  const end = split(rest)
  return [...start, ...Array.from({ length: 8 - start.length - end.length }, () => '0'), ...end]
}

/** One group, or the two that a dotted tail stands for (RFC 4291 §2.2). */
function widen(group: string): readonly string[] {
  if (!group.includes('.')) return [Number.parseInt(group, 16).toString(16)]
  const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number]
  return [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)]
}
