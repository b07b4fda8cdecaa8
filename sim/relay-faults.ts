/** What goes wrong at relays and in their way, in worlds that have any. */
import type { Dice } from './dice.ts'
import { type Fault, mend, stop } from './strike.ts'
import type { World } from './world.ts'

const relay = (world: World, dice: Dice) => dice.pick(world.relays)

export const RELAY_FAULTS: readonly Fault[] = [
  {
    name: 'a relay stands still',
    strike: (world, dice) => stop(relay(world, dice).machine, false, dice.between(200, 20_000), world),
  },
  {
    name: 'a relay sleeps',
    strike: (world, dice) => stop(relay(world, dice).machine, true, dice.between(200, 20_000), world),
  },
  {
    name: 'a relay restarts',
    async strike(world, dice) {
      const one = relay(world, dice)
      if (!one.machine.isUp || one.machine.isPaused) return
      const isPower = dice.happens(0.4)
      world.history.tell(`${one.machine.name} ${isPower ? 'loses its power' : 'crashes'}`)
      one.crash()
      if (isPower) world.disk.powerCut(one.machine.name)
      await world.apps.delay(dice.between(10, 9000))
      if (!one.machine.isUp) one.start()
    },
  },
  {
    name: 'a relay is cut off',
    async strike(world, dice) {
      const { name } = relay(world, dice).machine
      const isAbove = dice.happens(0.5)
      const others = [...(isAbove ? world.nodes : world.watchers), ...world.relays].map(({ machine }) => machine.name)
      const ways = dice.pick([['to'], ['from'], ['to', 'from']] as const)
      world.history.tell(`${name} is cut off from ${isAbove ? 'its upstream' : 'its readers'} (${ways})`)
      for (const way of ways)
        for (const other of others) world.network.cut(...(way === 'to' ? ([name, other] as const) : ([other, name] as const)))
      await mend(world, dice.between(300, 15_000))
    },
  },
  {
    name: 'what a relay hears is old, or not all',
    async strike(world, dice) {
      const one = relay(world, dice)
      const change = dice.pick([{ replay: 0.8 }, { lost: 0.5 }, { frozen: true }, { slowMs: 2000 }])
      world.history.tell(`something is in the way of ${one.machine.name}: ${JSON.stringify(change)}`)
      Object.assign(one.middle, change)
      await world.apps.delay(dice.between(2000, 15_000))
      Object.assign(one.middle, { frozen: false, slowMs: 0, replay: 0, lost: 0 })
    },
  },
  {
    name: 'a relay forges',
    async strike(world, dice) {
      const one = relay(world, dice)
      world.history.tell(`${one.machine.name} writes entries of its own`)
      one.forges = true
      await world.apps.delay(dice.between(2000, 15_000))
      one.forges = false
    },
  },
]
