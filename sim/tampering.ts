/** Where a mutant puts its hand between the parts. The product knows nothing of it: each is a wrapper around what a part was given. */
import type { Caller } from '@signet/authority/grants/grant.ts'
import type { KeyRing } from '@signet/authority/keys/key-ring.ts'
import type { PolicySettings } from '@signet/authority/policy/settings.ts'
import type { RegionParts, Regions } from '@signet/authority/regions/regions.ts'
import type { FeedHub } from '@signet/authority/revocation/feed.ts'
import type { Registry } from '@signet/authority/revocation/registry.ts'
import type { Store } from '@signet/authority/store/store.ts'
import type { Mint } from '@signet/authority/tokens/mint.ts'
import type { RelayKey } from '@signet/gateway/relay-key.ts'
import type { ValidatorOptions } from '@signet/validator/index.ts'
import type { NodeParts } from './node.ts'

export interface Tampering {
  /** What one node takes for the policy. */
  settings?(settings: PolicySettings): PolicySettings
  /** The store as every part of a node sees it. */
  store?(store: Store, node: NodeParts): Store
  /** The store as only the revoker sees it. */
  revokerStore?(store: Store, node: NodeParts): Store
  registry?(registry: Registry, node: NodeParts): Registry
  hub?(hub: FeedHub, parts: { registry: Registry; keys: KeyRing }): FeedHub
  mint?(mint: Mint, node: NodeParts): Mint
  /** Who refreshes, as the flow gets to know him. */
  caller?(caller: Caller, presented: string, node: NodeParts): Promise<Caller>
  validator?(options: ValidatorOptions): ValidatorOptions
  /** How relays sign what they say. */
  relaySign?(sign: RelayKey['sign']): RelayKey['sign']
  /** What a validator says of its staleness, given how long the last question for the head took. */
  staleness?(milliseconds: number, tookMs: number): number
  /** What stands between a node and other regions. */
  regionParts?(given: RegionParts, node: NodeParts): RegionParts
  regions?(regions: Regions, node: NodeParts): Regions
  /** Changes what is not reached through a part; returns how to change it back. */
  install?(): () => void
}

export const NONE: Tampering = {}
