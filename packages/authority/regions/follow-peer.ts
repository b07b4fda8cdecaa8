/**
 * Follows the log of one other region: asks, takes over, asks again. Every node does; they race for each page and one wins. What is known
 * of the other region is as fresh as the send time of the last question whose answer is wholly in our log: only then do our heads
 * (revocation/feed.ts) say that much.
 */
import type { Bus } from '@signet/bus/bus.ts'
import type { Surroundings, Timer } from '@signet/kernel/surroundings.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { Registry } from '../revocation/registry.ts'
import type { LogPlace } from '../store/ports/peers.ts'
import type { Store } from '../store/store.ts'
import { type ImportParts, importPage } from './import-log.ts'
import { type Link, type LinkProblem, LinkTrouble } from './link.ts'
import { keyList, LONGEST_WAIT_MS, type LogPage, logPage } from './link-messages.ts'
import { isTakenOver, regionReturned } from './takeover.ts'

export interface PeerStatus {
  readonly name: string
  readonly url: string
  /** Milliseconds since its whole log was known to be in ours; Infinity: never. */
  readonly ageMs: number
  /** Its store's clock minus ours; undefined before the first answer. */
  readonly clockOffsetMs: number | undefined
  readonly place: LogPlace
  /** Why it cannot be followed just now. */
  readonly problem: LinkProblem | 'store_unavailable' | undefined
  /** An operator said that it is lost, and it has not answered since. */
  readonly takenOver: boolean
}

export interface FollowedPeer {
  /** Resolves with its first whole answer, or the first trouble of the way to it that does not pass by itself. */
  readonly asked: Promise<void>
  status(): PeerStatus
  /**
   * What counts of its age. What a lost region signed is refused, so there is nothing to know of it; but that it is lost was read a moment
   * ago, and another node may have found since that it has returned.
   */
  countedMs(): number
  /** Looks whether it was taken over. */
  look(): Promise<void>
  close(): Promise<void>
}

export interface FollowParts extends ImportParts {
  readonly peer: { readonly name: string; readonly url: string }
  readonly link: Link
  readonly store: Store
  readonly registry: Pick<Registry, 'clockOffsetMs' | 'position' | 'follow'>
  readonly settings: PolicySettings
  readonly bus: Bus
  readonly surroundings: Surroundings
  /** Throws `LinkTrouble` when the keys are not sealed under our master key. */
  checkKeys(stored: string): void
  readonly observe?: RegionObserver
}

export interface RegionObserver {
  lost?(peer: string, cause: unknown): void
  found?(peer: string): void
  /** Entries of one page, `milliseconds` after the question for it was sent. */
  takenOver?(peer: string, entries: number, covered: number): void
  /** A request about a token that is not here was passed on. */
  forwarded?(peer: string, outcome: 'answered' | 'unknown' | 'failed'): void
}

/** After trouble: doubling from the first to the last, and partly random, so that regions do not come back in step. */
const FIRST_WAIT_MS = 100
const LAST_WAIT_MS = 5000
/** How fresh we are is written down so often, for a node that starts while the other region is away. */
const PROVE_MS = 5000
/** Entries that were only copies of our own move the place in memory; it is written down with the next that are not, or after so many. */
const UNWRITTEN = 1000
/** While it is taken over we look so often whether that still holds. */
const LOOK_MS = 250

interface Moment {
  readonly wall: number
  readonly monotonic: number
}

/** `record` is what the store remembers of the peer. */
export async function followPeer(parts: FollowParts): Promise<FollowedPeer> {
  const { peer, link, store, surroundings } = parts
  const { clock, timers, chance } = surroundings
  let stored = await readPlace()
  let place: LogPlace = stored
  let fresh: Moment | undefined = await rememberedFreshness()
  let provenAtMs = Number.NEGATIVE_INFINITY
  let offsetMs: number | undefined
  let keysDigest = ''
  let looked = moment()
  let takenOver = await isTakenOver(store.meta, peer.name)
  let problem: PeerStatus['problem']
  let closed = false
  /** Raised when our own log begins anew: maybe in a store that went back in time, and has not what was taken over since. */
  let beginnings = 0
  let isDoubted = false
  let epoch = parts.registry.position?.epoch
  const following = parts.registry.follow({
    applied() {},
    reset(position) {
      if (position.epoch === epoch) return
      epoch = position.epoch
      beginnings++
      isDoubted = true
      fresh = undefined
    },
  })
  let wake = () => {}
  let toldAsked = () => {}
  const asked = new Promise<void>((resolve) => {
    toldAsked = resolve
  })
  const running = run()
  let looking = lookLater()

  return {
    asked,
    status: () => ({ name: peer.name, url: peer.url, ageMs: ageMs(), clockOffsetMs: offsetMs, place, problem, takenOver }),
    countedMs: () => (takenOver && problem !== undefined ? Math.min(ageMs(), sinceMs(looked)) : ageMs()),
    look,
    async close() {
      closed = true
      following.stop()
      looking.cancel()
      toldAsked()
      link.close()
      wake()
      await running
    },
  }

  function ageMs(): number {
    return fresh === undefined ? Number.POSITIVE_INFINITY : sinceMs(fresh)
  }

  function moment(): Moment {
    return { wall: clock.now(), monotonic: clock.monotonic() }
  }

  function sinceMs({ wall, monotonic }: Moment): number {
    return Math.max(0, clock.now() - wall, clock.monotonic() - monotonic)
  }

  function lookLater(): Timer {
    return timers.after(LOOK_MS, () => {
      const looked = takenOver ? lookUp() : Promise.resolve()
      void looked
        .catch(() => {})
        .then(() => {
          if (!closed) looking = lookLater()
        })
    })
  }

  async function run(): Promise<void> {
    let waitMs = FIRST_WAIT_MS
    while (!closed) {
      try {
        await turn()
        if (problem !== undefined) parts.observe?.found?.(peer.name)
        problem = undefined
        waitMs = FIRST_WAIT_MS
        await pause(1) // Others get their turn, whatever the answers bring.
      } catch (cause) {
        if (closed) return
        if (problem === undefined) parts.observe?.lost?.(peer.name, cause)
        problem = cause instanceof LinkTrouble ? cause.problem : 'store_unavailable'
        // Who says "come back" may know that we were declared lost; and what our own store did not take in we have not heard.
        if (cause instanceof LinkTrouble && !cause.isPassing) toldAsked()
        await look().catch(() => {}) // The store is away, too: it is as it was.
        await pause(waitMs * (0.5 + (chance.bytes(1)[0] as number) / 512))
        waitMs = Math.min(LAST_WAIT_MS, waitMs * 2)
      }
    }
  }

  function pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = timers.after(milliseconds, () => resolve())
      wake = () => {
        timer.cancel()
        resolve()
      }
      if (closed) wake()
    })
  }

  /** One question and what follows from its answer. */
  async function turn(): Promise<void> {
    if (isDoubted) await remember()
    const begun = beginnings
    const sent = moment()
    const asked = { epoch: place.epoch, after: place.seq, have_epoch: stored.epoch, have: stored.seq }
    const page = await link.get('/region/log', { region: parts.self, ...asked, wait_ms: LONGEST_WAIT_MS }, logPage)
    if (page.region !== peer.name) throw new LinkTrouble('wrong_region')
    if (page.issuer !== parts.issuer) throw new LinkTrouble('wrong_issuer')
    measureClock(page, sent)
    if (page.gap) throw new LinkTrouble('entries_were_lost')
    if (page.keys !== keysDigest) await takeKeys()
    if (!(await takePage(page))) return
    if (!page.complete || begun !== beginnings) return
    fresh = sent
    toldAsked()
    if (!takenOver && sent.monotonic - provenAtMs < PROVE_MS) return
    provenAtMs = sent.monotonic
    takenOver = await store.transact(async (tx) => {
      await tx.peers.prove(peer.name, stored, Math.floor(tx.nowMs - sinceMs(sent)))
      // Another node, which did not reach it, may have been told that it is lost.
      return !(await regionReturned(tx, peer.name, parts))
    })
  }

  /** Whether everything on the page is in our log now. */
  async function takePage(page: LogPage): Promise<boolean> {
    const isAhead = page.to.epoch !== stored.epoch || page.to.seq >= stored.seq + UNWRITTEN
    if (page.entries.length === 0 && !isAhead) {
      place = page.to
      return true
    }
    const outcome = await importPage(peer.name, stored, page, parts)
    if (outcome.kind === 'imported') {
      stored = page.to
      place = page.to
      parts.observe?.takenOver?.(peer.name, outcome.appended, outcome.covered)
      return true
    }
    stored = await readPlace()
    place = stored
    return stored.epoch === page.to.epoch && stored.seq >= page.to.seq
  }

  /** How far the two stores' clocks are apart: theirs was read between our question and their answer, the time they waited aside. */
  function measureClock(page: LogPage, sent: Moment): void {
    const onTheWayMs = Math.max(0, clock.monotonic() - sent.monotonic - page.held_ms)
    const ours = clock.now() - onTheWayMs / 2 + (parts.registry.clockOffsetMs() ?? 0)
    offsetMs = Math.round(page.now_ms - ours)
    if (Math.abs(offsetMs) - onTheWayMs / 2 > parts.settings.clockOffsetMilliseconds) throw new LinkTrouble('clocks_apart')
  }

  async function takeKeys(): Promise<void> {
    const { digest, keys } = await link.get('/region/keys', { region: parts.self }, keyList)
    const list = JSON.stringify(keys)
    parts.checkKeys(list)
    await store.transact((tx) => tx.peers.putKeys(peer.name, list))
    keysDigest = digest
    parts.bus.publish('keys')
  }

  /** Goes on from what the store says, as after a start. */
  async function remember(): Promise<void> {
    const begun = beginnings
    const [rememberedPlace, remembered] = await Promise.all([readPlace(), rememberedFreshness()])
    await lookUp()
    stored = rememberedPlace
    place = stored
    keysDigest = ''
    provenAtMs = Number.NEGATIVE_INFINITY
    if (begun !== beginnings) return
    fresh = remembered
    isDoubted = false
  }

  async function lookUp(): Promise<void> {
    const began = moment()
    takenOver = await isTakenOver(store.meta, peer.name)
    looked = began
  }

  async function look(): Promise<void> {
    await lookUp()
    if (problem !== 'entries_were_lost') return
    stored = await readPlace() // An operator may have begun anew.
    place = stored
  }

  async function readPlace(): Promise<LogPlace> {
    const record = (await store.peers.all()).find(({ name }) => name === peer.name)
    return { epoch: record?.epoch ?? '', seq: record?.seq ?? 0 }
  }

  /** By our own store's clock. A time that lies ahead proves that it was set, and counts for nothing. */
  async function rememberedFreshness(): Promise<Moment | undefined> {
    const freshAtMs = (await store.peers.all()).find(({ name }) => name === peer.name)?.freshAtMs ?? 0
    const age = (await store.now()) - freshAtMs
    return freshAtMs === 0 || age < 0 ? undefined : { wall: clock.now() - age, monotonic: clock.monotonic() - age }
  }
}
