/** The relays of a world: which there are, who reads from which, and whoever watches over them. */
import type { FeedOptions, PinnedKeys } from '@signet/validator/index.ts'
import type { Dice } from './dice.ts'
import { serverOf } from './feed-door.ts'
import type { Machine } from './machine.ts'
import { createRelay, type RelayPlace, readingFrom } from './relay.ts'
import type { NodePlace, World, WorldParts } from './world.ts'

interface RelaysParts extends WorldParts {
  machine(name: string): Machine
  pickNode(dice: Dice): NodePlace
}

/** Of what lags by so much and has other keys pinned than the nodes use, somebody pins the new ones (docs/relays.md). Milliseconds. */
const ALARM_MS = 7000
const ROUND_MS = 1000

export function createRelays(world: World, parts: RelaysParts) {
  const { time, network, history, disk } = world
  const dice = parts.dice.named('relays')
  let present = pinsOf(world.nodes) as PinnedKeys
  /** What each that has the authority's keys pinned was started with. */
  const pinned = new Map<string, PinnedKeys>()
  const pin = (name: string): PinnedKeys => {
    pinned.set(name, present)
    return present
  }

  const reached = (url: URL, by: Dice) => {
    const relay = relays.find((one) => one.url === url.origin)
    if (relay !== undefined) return relay
    const { machine, node } = parts.pickNode(by)
    return { machine, server: node && serverOf(node) }
  }
  const relays: RelayPlace[] = []
  for (const index of Array.from({ length: parts.region === undefined ? dice.pick([0, 0, 0, 1, 2]) : 0 }).keys()) {
    const machine = parts.machine(`relay-${index + 1}`)
    disk.add(machine)
    machine.setOffset(dice.between(-400, 400))
    const ways = dice.named(`way to ${machine.name}`)
    const upstream = dice.happens(0.5) ? relays[0] : undefined
    const relay = createRelay({
      machine,
      time,
      network,
      history,
      tampering: parts.tampering,
      dice: ways,
      pick: (url) => reached(url, ways),
      upstream,
      probeMilliseconds: dice.pick([200, 500]),
      pins: () => pin(machine.name),
    })
    relay.start()
    relays.push(relay)
  }
  return { relays, reached, feedFor, watchOver }

  /** Where the validator of this name reads, unless it reads from the nodes; some get their keys from there as well. */
  function feedFor(name: string): (() => FeedOptions) | undefined {
    if (relays.length === 0 || dice.happens(0.4)) return undefined
    const relay = dice.pick(relays)
    const isCutOff = dice.happens(0.5)
    return () => readingFrom(relay, isCutOff ? pin(name) : undefined)
  }

  /**
   * Feed keys that were replaced as a whole, after a restore or a takeover, do not follow from the ones before: somebody pins the new ones,
   * at relays and readers in any order.
   */
  async function watchOver(): Promise<void> {
    while (relays.length > 0 && !world.isEnding) {
      await world.apps.delay(ROUND_MS)
      present = pinsOf(world.nodes) ?? present
      for (const one of [...relays, ...world.watchers]) {
        const { name, isUp, isPaused } = one.machine
        const has = pinned.get(name)
        if (has === undefined || !isUp || isPaused || one.stalenessMs < ALARM_MS || kidsOf(has) === kidsOf(present)) continue
        history.tell(`${name} gets the authority's feed keys of now`)
        one.crash()
        one.start()
      }
    }
  }
}

/** As a node shows them that has no doubts. */
function pinsOf(nodes: readonly NodePlace[]): PinnedKeys | undefined {
  const place = nodes.find(({ node }) => node !== undefined && !node.keys.isDoubted)
  return place?.node && ({ ...place.node.keys.jwks('feed'), at: place.machine.surroundings.clock.now() } as PinnedKeys)
}

const kidsOf = ({ keys }: PinnedKeys): string => keys.map(({ kid }) => kid).join()
