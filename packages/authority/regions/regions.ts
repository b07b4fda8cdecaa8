/**
 * This region among others (docs/regions.md): it tells them what was made here, follows what was made there, and knows how old its
 * knowledge of each is. Every region follows every other; nobody passes on what he was told.
 */
import type { Registry } from '../revocation/registry.ts'
import { familiesEndedMs } from '../revocation/standing.ts'
import type { KeyRecord } from '../store/ports/keys.ts'
import { type ExportParts, exportLog, type LogExport } from './export-log.ts'
import { type FollowedPeer, type FollowParts, followPeer, type PeerStatus } from './follow-peer.ts'
import { createForward, type Forward } from './forward.ts'
import { type Link, LinkTrouble, openLink, type Peer } from './link.ts'
import { readKeys } from './link-messages.ts'
import { relinkRegion } from './relink.ts'
import { isTakenOver, type OperatorWhy, type Takeover, takeOverRegion } from './takeover.ts'

export interface RegionConfig {
  readonly name: string
  readonly peers: readonly Peer[]
  /** Heads say nothing of how old our knowledge of other regions is: what is revoked there is accepted here for as long as a link is cut. */
  readonly insecureIgnorePeerStaleness: boolean
}

export interface Regions {
  readonly name: string
  readonly peers: readonly string[]
  readonly export: LogExport
  readonly forward: Forward
  /** Milliseconds that our knowledge of the other regions is old, of the worst; Infinity: never had. */
  ageMs(): number
  status(): readonly PeerStatus[]
  /** Epoch milliseconds until which every family made here has ended, because another region had declared this one lost; 0: never. */
  familiesEndedMs(): Promise<number>
  /** One of them is lost, says an operator. */
  takeOver(peer: string, why: OperatorWhy): Promise<Takeover>
  /** Begins anew with one whose entries were lost; false when that is not so. */
  relink(peer: string, why: OperatorWhy): Promise<boolean>
  close(): Promise<void>
}

export type RegionParts = Omit<ExportParts, 'name' | 'peers'> &
  Omit<FollowParts, 'self' | 'peer' | 'link' | 'checkKeys'> & {
    readonly registry: Pick<Registry, 'lookNow'>
    /** How other regions are reached; the system's unless given. */
    readonly fetch?: typeof fetch | undefined
    /** Whether a key was sealed under the master key that we have. */
    opens(key: KeyRecord): boolean
  }

/** A node waits at its start for what others have to say, at most so long. */
const FIRST_ANSWERS_MS = 10_000

/** Resolves once every other region has been asked: one that took over while this one was away is heard before anything is issued here. */
export async function openRegions(config: RegionConfig, parts: RegionParts): Promise<Regions> {
  const { store, issuer, clock, timers, fetch } = parts
  const names = config.peers.map(({ name }) => name)
  await store.transact(async (tx) => {
    for (const { name } of await tx.peers.all()) if (!names.includes(name)) await tx.peers.delete(name)
    for (const name of names) await tx.peers.create(name)
  })
  const exported = exportLog({ ...parts, name: config.name, peers: names })
  const followed: FollowedPeer[] = []
  const links = new Map(
    config.peers.map((peer) => [peer.name, openLink(peer, { self: config.name, issuer, clock, timers, fetch })]),
  )
  try {
    for (const peer of config.peers) {
      const link = links.get(peer.name) as Link
      followed.push(await followPeer({ ...parts, self: config.name, peer, link, checkKeys: (list) => checkKeys(list, parts) }))
    }
    await allAsked(followed, parts)
    await parts.registry.lookNow()
  } catch (error) {
    await close()
    throw error
  }
  return {
    name: config.name,
    peers: names,
    export: exported,
    forward: createForward({
      self: config.name,
      links,
      isTakenOver: (peer) => isTakenOver(store.meta, peer),
      forwarded: parts.observe?.forwarded,
    }),
    ageMs() {
      if (config.insecureIgnorePeerStaleness) return 0
      return Math.max(0, ...followed.map((peer) => peer.countedMs()))
    },
    async takeOver(peer, why) {
      const done = await takeOverRegion(peer, why, parts)
      await Promise.all(followed.map((one) => one.look()))
      return done
    },
    async relink(name, why) {
      const peer = followed.map((one) => one.status()).find((one) => one.name === name)
      return peer?.problem === 'entries_were_lost' && relinkRegion(name, peer.place, why, parts)
    },
    status: () => followed.map((peer) => peer.status()),
    familiesEndedMs: () => familiesEndedMs(store.meta),
    close,
  }

  async function close(): Promise<void> {
    exported.close()
    await Promise.all(followed.map((peer) => peer.close()))
  }
}

async function allAsked(followed: readonly FollowedPeer[], { timers }: Pick<RegionParts, 'timers'>): Promise<void> {
  await new Promise<unknown>((resolve) => {
    const late = timers.after(FIRST_ANSWERS_MS, () => resolve(undefined))
    void Promise.all(followed.map(({ asked }) => asked)).then(() => {
      late.cancel()
      resolve(undefined)
    })
  })
}

function checkKeys(list: string, parts: RegionParts): void {
  if (!readKeys(list).every((key) => parts.opens(key))) throw new LinkTrouble('wrong_master_key')
}
