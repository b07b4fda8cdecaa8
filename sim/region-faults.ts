/** What goes wrong between two regions, and with one of them as a whole. */
import type { Dice } from './dice.ts'
import { CLEAR, type LinkWeather } from './region-door.ts'
import { takeOver } from './region-operator.ts'
import type { Region, Regions } from './regions.ts'

interface RegionFault {
  readonly name: string
  strike(regions: Regions, dice: Dice): Promise<void>
}

export const REGION_FAULTS: readonly RegionFault[] = [
  {
    name: 'the link is cut',
    async strike(regions, dice) {
      const [one] = pickOne(regions, dice)
      cutLink(regions, dice.pick(['both', 'to', 'from'] as const), one)
      await one.world.apps.delay(dice.between(500, 20_000))
      one.world.network.heal()
    },
  },
  {
    name: 'the link lets questions through one way only',
    strike: (regions, dice) => suffer(regions, dice, 'asks in vain', { blocked: true }, 20_000),
  },
  {
    name: 'the link is slow',
    strike: (regions, dice) => suffer(regions, dice, 'is answered slowly', { slowMs: dice.pick([300, 1500, 4000]) }, 15_000),
  },
  {
    name: 'the link loses answers',
    strike: (regions, dice) => suffer(regions, dice, 'loses answers', { answerLoss: dice.pick([0.2, 0.7]) }, 12_000),
  },
  {
    name: 'the link loses questions',
    strike: (regions, dice) => suffer(regions, dice, 'loses questions', { requestLoss: dice.pick([0.2, 0.7]) }, 12_000),
  },
  {
    name: 'a region stands still',
    async strike(regions, dice) {
      const [{ name, world }] = pickOne(regions, dice)
      const slept = world.nodesSleep === true && dice.happens(0.3)
      const up = world.nodes.filter(({ machine }) => machine.isUp && !machine.isPaused)
      world.history.tell(`all of ${name} ${slept ? 'sleeps' : 'stands still'}`)
      for (const { machine } of up) machine.pause()
      await world.apps.delay(dice.between(500, 15_000))
      for (const { machine } of up) machine.resume(slept)
    },
  },
  {
    name: 'a region restarts',
    async strike(regions, dice) {
      const [{ name, world }] = pickOne(regions, dice)
      world.history.tell(`all of ${name} crashes`)
      const up = world.nodes.filter(({ machine }) => machine.isUp)
      for (const one of up) one.crash()
      await world.apps.delay(dice.between(100, 10_000))
      for (const one of up) if (!one.machine.isUp) one.start()
    },
  },
  {
    name: 'a region restarts beyond a cut link',
    async strike(regions, dice) {
      const [{ world }, other] = pickOne(regions, dice)
      cutLink(regions, 'both', other)
      await world.apps.delay(dice.between(500, 8000))
      for (const one of world.nodes) {
        if (one.machine.isUp) one.crash()
        one.start()
      }
      await world.apps.delay(dice.between(500, 15_000))
      world.network.heal()
    },
  },
  {
    name: 'a region is lost and taken over',
    async strike(regions, dice) {
      const [taker, lost] = pickOne(regions, dice)
      // Dead, or living on beyond a cut network.
      const isDead = dice.happens(0.5)
      taker.world.history.tell(`${lost.name} is ${isDead ? 'lost' : 'out of reach'}`)
      const up = lost.world.nodes.filter(({ machine }) => machine.isUp)
      if (isDead) for (const one of up) one.crash()
      else cutLink(regions, 'both', taker)
      await taker.world.apps.delay(dice.between(6000, 12_000))
      void takeOver(taker, lost, dice).catch((cause: unknown) => taker.history.failed(cause))
      await taker.world.apps.delay(dice.between(500, 15_000))
      taker.world.network.heal()
      for (const one of isDead ? up : []) if (!one.machine.isUp) one.start()
    },
  },
]

const pickOne = ({ all, otherOf }: Regions, dice: Dice): [Region, Region] => {
  const one = dice.pick(all)
  return [one, otherOf(one)]
}

function cutLink({ otherOf }: Regions, way: 'both' | 'to' | 'from', one: Region): void {
  const other = otherOf(one)
  one.history.tell(`the link from ${one.name} to ${other.name} is cut (${way})`)
  for (const { machine: here } of one.world.nodes) {
    for (const { machine: there } of other.world.nodes) {
      if (way !== 'from') one.world.network.cut(here.name, there.name)
      if (way !== 'to') one.world.network.cut(there.name, here.name)
    }
  }
}

async function suffer(regions: Regions, dice: Dice, what: string, change: Partial<LinkWeather>, mostMs: number): Promise<void> {
  const [{ name, asking, world }] = pickOne(regions, dice)
  world.history.tell(`${name} ${what}`)
  Object.assign(asking, change)
  await world.apps.delay(dice.between(500, mostMs))
  Object.assign(asking, Object.fromEntries(Object.keys(change).map((key) => [key, CLEAR[key as keyof LinkWeather]])))
}

/** As `rage` does for one world. */
export async function rageBetween(regions: Regions, dice: Dice, untilMs: number, only?: readonly string[]): Promise<void> {
  const [{ world }] = regions.all
  const share = dice.pick([0.3, 0.6, 1])
  const allowed = REGION_FAULTS.filter(({ name }) =>
    only === undefined ? dice.happens(share) : only.some((part) => name.includes(part)),
  )
  const everyMs = dice.pick([3000, 6000, 12_000])
  await world.apps.delay(5000)
  while (world.time.nowMs < untilMs) {
    if (allowed.length > 0) {
      const strike = dice.named(`strike ${world.history.strikes++}`)
      void dice
        .pick(allowed)
        .strike(regions, strike)
        .catch((cause: unknown) => world.history.failed(cause))
    }
    await world.apps.delay(dice.between(0, everyMs * 2))
  }
}
