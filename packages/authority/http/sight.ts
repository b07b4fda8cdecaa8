/** What network and agent a request came from, as a keyed digest: enough to see a change, too little to know where someone was. */
import { isIPv4, isIPv6 } from 'node:net'
import { networkOf } from '@signet/kernel/rate-limit.ts'
import type { KeyRing } from '../keys/key-ring.ts'

type Ring = NonNullable<ReturnType<KeyRing['ring']>>

export const sightOf = (ring: Ring, network: string, agent: string): Uint8Array =>
  ring.hmac(Buffer.from(`signet/seen/1\u0000${network}\u0000${agent}`)).subarray(0, 8)

export const agentOf = (header: string | undefined): string => header?.slice(0, 256) ?? ''

/**
 * Every digest that a refresh from this network by one of these agents may have left: one for each ring key still in use. Undefined when
 * the text is not a network of the one size that is kept.
 */
export function sightsOf(
  cidr: string,
  agents: readonly string[],
  keys: Pick<KeyRing, 'ring' | 'records'>,
): readonly Uint8Array[] | undefined {
  const [address = '', bits, ...rest] = cidr.split('/')
  const isKept = rest.length === 0 && ((isIPv4(address) && bits === '24') || (isIPv6(address) && bits === '48'))
  if (!isKept) return undefined
  const rings = keys.records().flatMap(({ purpose, version }) => (purpose === 'ring' ? [keys.ring(version)] : []))
  return rings.flatMap((ring) =>
    ring === undefined ? [] : agents.map((agent) => sightOf(ring, networkOf(address), agentOf(agent))),
  )
}
