/** Everything that goes wrong. A seed allows some kinds of it; the others stay away, so that rare mixtures come up too. */
import { PROMOTED } from '@signet/authority/failover.ts'
import type { Dice } from './dice.ts'
import { changeKey, leakKey, retry } from './operator.ts'
import { RELAY_FAULTS } from './relay-faults.ts'
import { type Fault, mend, stop } from './strike.ts'
import { CALM, type World } from './world.ts'

const node = (world: World, dice: Dice) => dice.pick(world.nodes)
const watcher = (world: World, dice: Dice) => dice.pick(world.watchers)

export const FAULTS: readonly Fault[] = [
  {
    name: 'a node crashes',
    async strike(world, dice) {
      const one = node(world, dice)
      if (!one.machine.isUp) return
      world.history.tell(`${one.machine.name} crashes`)
      one.crash()
      await world.apps.delay(dice.between(50, 8000))
      one.start()
    },
  },
  {
    name: 'a node stands still',
    async strike(world, dice) {
      const { machine } = node(world, dice)
      await stop(machine, false, dice.between(200, 20_000), world)
    },
  },
  {
    name: 'a node sleeps',
    async strike(world, dice) {
      const { machine } = node(world, dice)
      await stop(machine, world.nodesSleep ?? true, dice.between(200, 20_000), world)
    },
  },
  { name: 'a node is cut off from the store', strike: (world, dice) => cut(world, dice, world.store.machine.name, 'both') },
  { name: 'a node cannot send to the store', strike: (world, dice) => cut(world, dice, world.store.machine.name, 'to') },
  { name: 'a node does not hear the store', strike: (world, dice) => cut(world, dice, world.store.machine.name, 'from') },
  {
    name: 'a validator is cut off',
    async strike(world, dice) {
      const { name } = watcher(world, dice).machine
      world.history.tell(`${name} is cut off`)
      world.network.cut(name, '*')
      world.network.cut('*', name)
      await mend(world, dice.between(500, 15_000))
    },
  },
  {
    name: 'a validator hears but is not heard',
    async strike(world, dice) {
      const { name } = watcher(world, dice).machine
      const isDeaf = dice.happens(0.5)
      world.history.tell(`${name} ${isDeaf ? 'hears nothing' : 'is not heard'}`)
      world.network.cut(isDeaf ? '*' : name, isDeaf ? name : '*')
      await mend(world, dice.between(500, 15_000))
    },
  },
  {
    name: 'a slow network',
    strike: (world, dice) => weather(world, dice, 'the network is slow', { slow: { share: 0.3, mostMs: 1500 } }),
  },
  {
    name: 'a wild network',
    strike: (world, dice) => weather(world, dice, 'messages overtake each other', { delayMs: [0.1, 300] }),
  },
  { name: 'answers are lost', strike: (world, dice) => weather(world, dice, 'answers are lost', { answerLoss: 0.25 }) },
  { name: 'requests are lost', strike: (world, dice) => weather(world, dice, 'requests are lost', { requestLoss: 0.25 }) },
  {
    name: 'a clock of a node is off',
    strike(world, dice) {
      const { machine } = node(world, dice)
      machine.setOffset(dice.between(-0.9, 0.9) * world.settings.clockOffsetMilliseconds)
      world.history.tell(`the clock of ${machine.name} is ${machine.offsetMs.toFixed(0)} ms off`)
    },
  },
  {
    name: 'a clock of a node is set wrong',
    async strike(world, dice) {
      if (world.nodesSleep === true) return
      const { machine } = node(world, dice)
      machine.setOffset(dice.pick([-1, 1]) * dice.between(1000, 60_000))
      world.history.tell(`the clock of ${machine.name} is set wrong by ${machine.offsetMs.toFixed(0)} ms`)
      await world.apps.delay(dice.between(500, 15_000))
      machine.setOffset(dice.between(-0.9, 0.9) * world.settings.clockOffsetMilliseconds)
      world.history.tell(`the clock of ${machine.name} is set right`)
    },
  },
  {
    name: 'a clock of a validator steps',
    async strike(world, dice) {
      const steppers = world.watchers.filter((one) => one.mayStep)
      if (steppers.length === 0) return
      const { machine } = dice.pick(steppers)
      machine.setOffset(dice.between(-8000, 8000))
      world.history.tell(`the clock of ${machine.name} steps to ${machine.offsetMs.toFixed(0)} ms off`)
      await world.apps.delay(dice.between(500, 10_000))
      machine.setOffset(dice.between(-400, 400))
    },
  },
  {
    name: 'the store answers nobody',
    async strike(world, dice) {
      world.history.tell('the store is away')
      world.store.away = true
      await world.apps.delay(dice.between(200, 8000))
      world.store.away = false
    },
  },
  {
    name: 'slow commits',
    async strike(world, dice) {
      world.store.commitMs = dice.between(50, 2500)
      world.history.tell(`commits take up to ${world.store.commitMs.toFixed(0)} ms`)
      await world.apps.delay(dice.between(1000, 10_000))
      world.store.commitMs = 0
    },
  },
  {
    name: 'the bus loses',
    async strike(world, dice) {
      world.bus.weather = { loss: dice.pick([0.5, 1]), twice: 0 }
      world.history.tell('the bus loses wake-ups')
      await world.apps.delay(dice.between(1000, 20_000))
      world.bus.weather = world.bus.calm
    },
  },
  {
    name: 'the bus repeats',
    async strike(world, dice) {
      world.bus.weather = { loss: 0.1, twice: 0.5 }
      await world.apps.delay(dice.between(1000, 20_000))
      world.bus.weather = world.bus.calm
    },
  },
  {
    name: 'a stream freezes',
    async strike(world, dice) {
      const one = watcher(world, dice)
      world.history.tell(`the stream of ${one.machine.name} freezes`)
      one.middle.frozen = true
      await world.apps.delay(dice.between(1000, 20_000))
      one.middle.frozen = false
    },
  },
  {
    name: 'a slow reader',
    async strike(world, dice) {
      const one = watcher(world, dice)
      one.middle.slowMs = dice.between(100, 4000)
      world.history.tell(`${one.machine.name} reads slowly`)
      await world.apps.delay(dice.between(1000, 20_000))
      one.middle.slowMs = 0
    },
  },
  {
    name: 'stream pieces come twice',
    async strike(world, dice) {
      const one = watcher(world, dice)
      one.middle.twice = 0.5
      await world.apps.delay(dice.between(1000, 20_000))
      one.middle.twice = 0
    },
  },
  {
    name: 'stream pieces get lost',
    async strike(world, dice) {
      const one = watcher(world, dice)
      world.history.tell(`something in the way of ${one.machine.name} swallows parts of its stream`)
      one.middle.lost = 0.4
      await world.apps.delay(dice.between(1000, 20_000))
      one.middle.lost = 0
    },
  },
  {
    name: 'the policy changes',
    async strike(world, dice) {
      world.accessTokenSeconds = dice.pick([10, world.settings.accessTokenSeconds])
      world.history.tell(`the policy gives access tokens ${world.accessTokenSeconds} s from now on`)
      for (const one of world.nodes) {
        one.crash()
        one.start()
        await world.apps.delay(dice.between(0, 4000))
      }
    },
  },
  {
    name: 'old heads and snapshots are replayed',
    async strike(world, dice) {
      const one = watcher(world, dice)
      world.history.tell(`something in the way of ${one.machine.name} gives old answers`)
      one.middle.replay = dice.pick([0.3, 0.8])
      await world.apps.delay(dice.between(2000, 15_000))
      one.middle.replay = 0
    },
  },
  {
    name: 'a validator restarts',
    async strike(world, dice) {
      const one = watcher(world, dice)
      if (!one.isAwake) return
      const isPower = dice.happens(0.4)
      world.history.tell(`${one.machine.name} ${isPower ? 'loses its power' : 'crashes'}`)
      one.crash()
      if (isPower) world.disk.powerCut(one.machine.name)
      await world.apps.delay(dice.between(10, 9000))
      one.start()
    },
  },
  {
    name: 'a validator stands still',
    async strike(world, dice) {
      const { machine } = watcher(world, dice)
      await stop(machine, false, dice.between(200, 20_000), world)
    },
  },
  {
    name: 'a validator sleeps',
    async strike(world, dice) {
      const sleepers = world.watchers.filter((one) => !one.mayStep)
      if (sleepers.length > 0) await stop(dice.pick(sleepers).machine, true, dice.between(200, 20_000), world)
    },
  },
  { name: 'a key is changed by hand', strike: changeKey },
  { name: 'a signing key leaks', strike: leakKey },
  {
    name: 'the store is restored from a copy',
    async strike(world, dice) {
      const takenMs = world.time.nowMs
      const image = world.store.copy()
      if (image === undefined) return
      await world.apps.delay(dice.between(500, 15_000))
      if (world.isEnding) return
      world.history.tell(
        `the store is lost; a copy from ${((world.time.nowMs - takenMs) / 1000).toFixed(1)} s ago takes its place`,
      )
      await world.restore(image, takenMs)
    },
  },
  {
    name: 'a standby that has everything takes over',
    async strike(world, dice) {
      world.history.tell('the store fails; a standby that has everything takes over')
      world.store.away = true
      world.store.breakConnections()
      await world.apps.delay(dice.between(200, 8000))
      world.store.away = false
    },
  },
  {
    name: 'a standby that lags takes over',
    async strike(world, dice) {
      const takenMs = world.time.nowMs
      const image = world.store.copy()
      if (image === undefined) return
      await world.apps.delay(dice.between(20, 2000))
      if (world.isEnding || world.store.away) return
      world.history.tell(`the store fails; a standby that lags by ${(world.time.nowMs - takenMs).toFixed(0)} ms takes over`)
      world.store.away = true
      world.store.breakConnections()
      await world.apps.delay(dice.between(200, 5000))
      // Nobody gets at it before it is settled what it lacks, as failover.ts sees to.
      await world.beginAnew(image, takenMs, PROMOTED)
      world.store.away = false
    },
  },
  {
    name: 'a claims epoch is undone',
    async strike(world, dice) {
      const fact = world.history.revocations.findLast(
        (one) => one.act === 'renew' && one.ackMs !== undefined && one.endedMs === undefined && world.history.isOurs(one),
      )
      if (fact === undefined) return
      const { epoch } = await world.store.engine.revocations.head()
      const entries = await world.store.engine.revocations.after(0, 1000)
      const named = entries.filter(
        (entry) =>
          entry.epoch === epoch && entry.kind === fact.kind && entry.target === fact.id && entry.cutoffMs === fact.cutoffMs,
      )
      if (named.length === 0) return
      world.history.undone(fact)
      const request = { epoch, seqs: named.map(({ seq }) => seq) }
      const why = { reason: 'a mistake', actor: 'operator:sim', idempotencyKey: `undo-${named.map(({ seq }) => seq).join('-')}` }
      const undone = await retry(world, dice, (at) => at.undo(request, why))
      world.history.tell(`${fact.name} is undone${undone === undefined ? ', or not' : ''}: a new epoch`)
    },
  },
]

async function cut(world: World, dice: Dice, other: string, way: 'both' | 'to' | 'from'): Promise<void> {
  const { name } = node(world, dice).machine
  world.history.tell(`${name} and the ${other} are cut apart (${way})`)
  if (way !== 'from') world.network.cut(name, other)
  if (way !== 'to') world.network.cut(other, name)
  await mend(world, dice.between(300, 12_000))
}

async function weather(world: World, dice: Dice, name: string, change: Partial<typeof CALM>): Promise<void> {
  world.history.tell(name)
  world.network.weather = { ...world.network.weather, ...change }
  await world.apps.delay(dice.between(500, 10_000))
  world.network.weather = CALM
}

/** Strikes with the kinds that this seed allows, or with those whose names contain one of `only`, until `untilMs`. */
export async function rage(world: World, untilMs: number, only?: readonly string[]): Promise<void> {
  const dice = world.dice.named('faults')
  const share = dice.pick([0.15, 0.4, 0.8])
  const isAllowed = (by: Dice) => (kind: Fault) =>
    only === undefined ? by.happens(share) : only.some((part) => kind.name.includes(part))
  const ofRelays = world.relays.length === 0 ? [] : RELAY_FAULTS.filter(isAllowed(world.dice.named('faults of relays')))
  const allowed = [...FAULTS.filter(isAllowed(dice)), ...ofRelays]
  const everyMs = dice.pick([1200, 3000, 6000])
  await world.apps.delay(4000)
  while (world.time.nowMs < untilMs) {
    if (allowed.length > 0) {
      const fault = dice.pick(allowed)
      const strike = fault.strike(world, dice.named(`strike ${world.history.strikes++}`))
      if (strike !== undefined) void strike.catch((cause: unknown) => world.history.failed(cause))
    }
    await world.apps.delay(dice.between(0, everyMs * 2))
  }
}
