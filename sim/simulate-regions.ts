/** One seed of two regions, from the beginning to the judgement at the end. Its seeds are others than those of one region. */
import { rage } from './faults.ts'
import { operate } from './operator.ts'
import { live } from './people.ts'
import { rageBetween } from './region-faults.ts'
import { RegionsHistory } from './region-history.ts'
import { lookAfter, makePeace, watchReturns } from './region-operator.ts'
import { createRegions, type Regions } from './regions.ts'
import {
  type Begun,
  CALM_MS,
  calmDown,
  judgeTheEnd,
  lookAround,
  type Options,
  type Outcome,
  observed,
  TROUBLE_MS,
} from './simulate.ts'
import { settled } from './time.ts'

/** What is known of another region is no older in peace. */
const FRESH_MS = 3000

export const simulateRegions = (seed: number, options: Options = {}): Promise<Outcome> =>
  observed(
    seed,
    `regions ${seed}`,
    options,
    (time) => new RegionsHistory(time),
    (parts) => runRegions(options, parts),
  )

async function runRegions({ faults, troubleMs = TROUBLE_MS }: Options, parts: Begun<RegionsHistory>): Promise<void> {
  const { dice, time, history } = parts
  const failed = (cause: unknown) => history.failed(cause)
  const isHopeless = () => history.violations.length > 0
  const regions = await createRegions(parts)
  const endMs = time.nowMs + troubleMs
  for (const region of regions.all) {
    const { name, world } = region
    for (const [index, subject] of world.subjects.entries())
      void live(subject, `${name}-person-${index + 1}`, world).catch(failed)
    void operate(world).catch(failed)
    void lookAfter(region, dice.named(`looking after ${name}`)).catch(failed)
    void watchReturns(region).catch(failed)
    void rage(world, endMs, faults).catch(failed)
    lookAround(world, dice.named(`looks in ${name}`))
  }
  void rageBetween(regions, dice.named('between'), endMs, faults).catch(failed)
  await time.run(endMs, isHopeless)
  if (!isHopeless()) {
    history.tell('from here on nothing goes wrong any more')
    regions.settle()
    makePeace(regions)
    for (const { world } of regions.all) calmDown(world)
    await time.run(time.nowMs + CALM_MS, isHopeless)
  }
  if (!isHopeless()) {
    for (const { world } of regions.all) world.isEnding = true
    judgeTheLink(regions, history)
    for (const { world } of regions.all)
      await judgeTheEnd(
        world,
        regions.all.flatMap((one) => one.world.restoredMs),
      )
  }
  for (const { world } of regions.all) for (const { close } of world.watchers) close()
  await settled()
}

/** In peace every node follows the other region. */
function judgeTheLink({ all }: Regions, history: RegionsHistory): void {
  for (const { name, world } of all) {
    for (const { machine, node } of world.nodes) {
      const [peer] = node?.regions?.status() ?? []
      if (peer === undefined) continue // It has not started, which is judged elsewhere.
      const { problem, ageMs, takenOver } = peer
      if (problem === undefined && ageMs < FRESH_MS && !takenOver) continue
      const state = `${problem ?? 'no problem'}, ${ageMs.toFixed(0)} ms old${takenOver ? ', taken over' : ''}`
      history.violate('everybody recovers', `${machine.name} in ${name} does not follow ${peer.name}: ${state}`)
    }
  }
}
