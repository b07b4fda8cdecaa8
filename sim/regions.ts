/** Two regions of one issuer: each a world with store, log, nodes, validators and people of its own, and the link between them. */
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import { createMachine } from './machine.ts'
import { ISSUER } from './names.ts'
import { createNetwork } from './network.ts'
import type { Login } from './people.ts'
import { CLEAR, createRegionFetch, type LinkWeather, type RegionSeat, regionClientRecord } from './region-door.ts'
import type { RegionHistory, RegionsHistory } from './region-history.ts'
import { CALM, chooseSettings, createWorld, type NodePlace, type World, type WorldParts } from './world.ts'

export const REGION_NAMES = ['west', 'east'] as const
export type RegionName = (typeof REGION_NAMES)[number]

export interface Region {
  readonly name: RegionName
  readonly world: World
  readonly history: RegionHistory
  /** What is wrong with the questions that it asks. */
  readonly asking: LinkWeather
}

export interface Regions {
  readonly all: readonly [Region, Region]
  otherOf(region: Region): Region
  /** No way of a validator leads to another region any more. */
  settle(): void
}

export async function createRegions(
  parts: Omit<WorldParts, 'history' | 'region'> & { readonly history: RegionsHistory },
): Promise<Regions> {
  const { dice, time, history: watched } = parts
  const shape = dice.named('shape')
  const network = createNetwork(time, dice.named('network'), CALM)
  const apps = createMachine('apps', time, dice.named('apps'))
  const settings = chooseSettings(dice.named('settings'))
  watched.mintStalenessMs = settings.mintStalenessMilliseconds
  const masterKey = dice.named('master').chance.bytes(32)
  const awayShare = shape.pick([0, 0.2, 0.5])
  const behind: RegionSeat['behind'] = new Map()
  const made: Region[] = []
  const otherOf = (name: string) => made.find((one) => one.name !== name)
  const nodesSleep = shape.happens(0.5)
  let isSettled = false

  for (const name of REGION_NAMES) {
    const other = REGION_NAMES.find((one) => one !== name) as RegionName
    const asking = { ...CLEAR }
    const history = watched.region(name)
    const roams = roaming(shape.named(`validators of ${name}`))
    const own = dice.named(name)
    const world = await createWorld({
      ...parts,
      dice: own,
      history,
      region: {
        name,
        network,
        apps,
        settings,
        masterKey,
        people: dice.named('people'),
        clients: [regionClientRecord(other)],
        watched,
        seat: (machine) => seatOf(machine, name, other, asking),
        pickAnywhere(by) {
          const there = by.happens(awayShare) ? otherOf(name) : undefined
          return (there ?? (made.find((one) => one.name === name) as Region)).world.pickNode(by)
        },
        pickForValidator: (validator) =>
          isSettled || !roams(validator, time.nowMs) ? undefined : otherOf(name)?.world.pickNode(own.named('roaming')),
      },
    })
    Object.assign(world, {
      nodesSleep,
      mayHaveEndedElsewhere: (login: Parameters<NonNullable<World['mayHaveEndedElsewhere']>>[0]) =>
        mayHaveEnded(login, history, watched, otherOf(name) as Region),
    })
    made.push({ name, world, history, asking })
  }
  const [west, east] = made as [Region, Region]
  return {
    all: [west, east],
    otherOf: (region) => (region === west ? east : west),
    settle() {
      isSettled = true
    },
  }

  function seatOf(machine: Machine, name: RegionName, other: RegionName, weather: LinkWeather): RegionSeat {
    const way = dice.named(`way of ${machine.name}`)
    const pick = (by: Dice): NodePlace | undefined => otherOf(name)?.world.pickNode(by)
    return { name, peers: [other], behind, fetch: createRegionFetch({ machine, network, dice: way, weather, pick }) }
  }
}

/** Which validators are led to the other region, and when: most never, some for a while, a few at every question. */
function roaming(dice: Dice) {
  const habits = new Map<string, { periodMs: number; phaseMs: number }>()
  return (name: string, nowMs: number): boolean => {
    let habit = habits.get(name)
    if (habit === undefined) {
      const of = dice.named(name)
      const kind = of.real()
      const periodMs = kind < 0.6 ? Number.POSITIVE_INFINITY : kind < 0.9 ? of.between(5000, 25_000) : 0
      habit = { periodMs, phaseMs: of.between(0, 20_000) }
      habits.set(name, habit)
    }
    if (habit.periodMs === 0) return dice.happens(0.5)
    return Math.floor((nowMs + habit.phaseMs) / habit.periodMs) % 2 === 1
  }
}

/** What one knows of a client may be so old, and clocks so far apart. */
const SLACK_MS = 3000

/**
 * Whether what another region did may have ended it: it came here after the login began, though it was done before; or another region
 * has taken over from this one.
 */
function mayHaveEnded(
  login: Pick<Login, 'subject' | 'client' | 'beganMs'> & Partial<Login>,
  home: RegionHistory,
  watched: RegionsHistory,
  other: Region,
): boolean {
  const sinceMs = login.beganMs - SLACK_MS
  if (other.history.takeovers.some((one) => one.returnedMs > sinceMs)) return true
  const ids = [ISSUER, login.subject, login.client, login.session, login.device, login.family]
  const cameMs = (kind: string, id: string) =>
    home.placed.findLast((one) => one.kind === kind && one.id === id && (!one.isOwn || one.act === 'cover'))?.atMs
  const isEndedBy = (kind: string, id: string) => ids.includes(id as never) && (cameMs(kind, id) ?? 0) > sinceMs
  if (other.world.restoredMs.length > 0 && isEndedBy('issuer', ISSUER)) return true
  return watched.revocations.some(
    (fact) => watched.regionOf.get(fact) !== home.name && fact.act !== 'renew' && isEndedBy(fact.kind, fact.id),
  )
}
