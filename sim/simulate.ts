/** One seed from the beginning of its world to the judgement at its end. */
import { auditReport } from '@signet/authority/audit/verify.ts'
import { type Present, withBuiltins } from './builtins.ts'
import { createDice, type Dice } from './dice.ts'
import { createDisk } from './disk.ts'
import { rage } from './faults.ts'
import { History, type Violation } from './history.ts'
import { operate } from './operator.ts'
import { live } from './people.ts'
import { NONE, type Tampering } from './tampering.ts'
import { createVirtualTime, settled, type VirtualTime } from './time.ts'
import { CALM, createWorld, type World, type WorldParts } from './world.ts'

export interface Outcome {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly story: readonly string[]
  readonly events: number
  readonly tokens: number
  readonly revocations: number
  readonly judged: number
  /** Of everything that was told, in order: the same for the same seed. */
  readonly digest: string
}

export interface Options {
  readonly tampering?: Tampering
  /** Only faults whose names contain one of these, instead of those that the seed allows. */
  readonly faults?: readonly string[]
  /** Virtual milliseconds of trouble. */
  readonly troubleMs?: number
  /** Lines of the story that are kept. */
  readonly lines?: number
}

export const TROUBLE_MS = 70_000
/** After the last fault everything has this long to come right again. */
export const CALM_MS = 30_000
/** And so much longer where keys may have to be pinned anew, at one relay after the other. */
const PIN_MS = 20_000
const LOOK_MS = 250

export const simulate = (seed: number, options: Options = {}): Promise<Outcome> =>
  observed(
    seed,
    `seed ${seed}`,
    options,
    (time) => new History(time),
    (parts) => runWorld(options, parts),
  )

/** What the worlds of a seed are made from, with its own kind of observer. */
export type Begun<H extends History> = Omit<WorldParts, 'history' | 'region'> & { readonly history: H }

/**
 * Plays a seed under an observer, who also hears of whatever fails and nobody waits for, and says what he has seen. `name` decides all
 * chance; while it is played, Node makes keys and files by it, too.
 */
export async function observed<H extends History>(
  seed: number,
  name: string,
  { tampering = NONE, lines = 60 }: Options,
  observe: (time: VirtualTime) => H,
  play: (parts: Begun<H>) => Promise<void>,
): Promise<Outcome> {
  const dice = createDice(name)
  let observer: H | undefined
  const failed = (cause: unknown) => observer?.failed(cause)
  const time = createVirtualTime(dice.named('time'), failed)
  const history = observe(time)
  observer = history
  const disk = createDisk()
  const present: Present = { chance: dice.named('keys').chance, disk, image: undefined, opened: undefined }
  const undo = tampering.install?.()
  process.on('unhandledRejection', failed)
  try {
    await withBuiltins(present, () => play({ dice, time, history, present, disk, tampering }))
  } finally {
    process.off('unhandledRejection', failed)
    undo?.()
  }
  const { violations, tokens, revocations, judged } = history
  return {
    seed,
    violations,
    story: history.story(lines),
    events: time.events,
    tokens: tokens.length,
    revocations: revocations.filter((fact) => fact.ackMs !== undefined).length,
    judged,
    digest: history.digest(),
  }
}

async function runWorld({ faults, troubleMs = TROUBLE_MS }: Options, parts: Begun<History>): Promise<void> {
  const { dice, time, history } = parts
  const world = await createWorld(parts)
  const failed = (cause: unknown) => history.failed(cause)
  const isHopeless = () => history.violations.length > 0
  for (const [index, subject] of world.subjects.entries()) void live(subject, `person-${index + 1}`, world).catch(failed)
  void operate(world).catch(failed)
  void rage(world, time.nowMs + troubleMs, faults).catch(failed)
  lookAround(world, dice.named('looks'))
  await time.run(time.nowMs + troubleMs, isHopeless)
  if (!isHopeless()) {
    history.tell('from here on nothing goes wrong any more')
    calmDown(world)
    await time.run(time.nowMs + CALM_MS + (world.relays.length > 0 ? PIN_MS : 0), isHopeless)
  }
  if (!isHopeless()) {
    world.isEnding = true
    await judgeTheEnd(world)
  }
  for (const { close } of [...world.watchers, ...world.relays]) close()
  await settled()
}

/** Puts tokens before all validators, the ones that must be dead more often than others. */
export function lookAround(world: World, dice: Dice): void {
  const { history, apps, time } = world
  const look = () => {
    const nowWallMs = apps.surroundings.clock.now()
    const recent = history.tokens.slice(-60).filter((token) => token.expiresAtMs > nowWallMs)
    const fallen = history.revocations.slice(-10).filter((fact) => fact.ackMs !== undefined && time.nowMs - fact.ackMs < 30_000)
    const hot = recent.filter((token) => fallen.some((fact) => token.ids[fact.kind] === fact.id))
    const chosen = new Set(recent.slice(-1))
    for (let i = 0; i < 3 && recent.length > 0; i++) chosen.add(dice.pick(recent))
    for (let i = 0; i < 4 && hot.length > 0; i++) chosen.add(dice.pick(hot))
    for (const relay of world.relays) relay.look()
    for (const watcher of world.watchers) {
      watcher.look()
      for (const token of chosen) watcher.check(token)
    }
    apps.surroundings.timers.after(dice.between(20, 2 * LOOK_MS), look)
  }
  look()
}

export function calmDown(world: World): void {
  world.network.heal()
  world.network.weather = CALM
  world.store.away = false
  world.store.commitMs = 0
  world.bus.weather = world.bus.calm
  for (const { machine, start } of world.nodes) {
    machine.resume(false)
    machine.setOffset(0)
    if (!machine.isUp) start()
  }
  for (const relay of world.relays) {
    Object.assign(relay.middle, { frozen: false, slowMs: 0, replay: 0, twice: 0, lost: 0 })
    relay.forges = false
    relay.machine.resume(false)
    if (!relay.machine.isUp) relay.start()
  }
  for (const watcher of world.watchers) {
    Object.assign(watcher.middle, { frozen: false, slowMs: 0, replay: 0, twice: 0, lost: 0 })
    watcher.machine.resume(false)
    if (watcher.mayStep) watcher.machine.setOffset(0)
    if (!watcher.machine.isUp) watcher.start()
  }
}

/** `restoredMs`: what was acknowledged before one of these may be known as part of a larger end. */
export async function judgeTheEnd(world: World, restoredMs = world.restoredMs): Promise<void> {
  const { history, store, watchers, nodes, time } = world
  const head = await world.until(store.engine.revocations.head())
  for (const watcher of watchers) {
    const { position, stalenessMs, machine } = watcher
    if (!(stalenessMs < 15_000)) history.violate('everybody recovers', `${machine.name} is still ${stalenessMs} ms stale`)
    else if (position?.epoch !== head.epoch || position.seq < head.seq - 3) {
      history.violate(
        'everybody recovers',
        `${machine.name} is at ${position?.seq} of ${position?.epoch}, the log at ${head.seq}`,
      )
    }
    for (const token of history.tokens) watcher.check(token)
  }
  for (const { machine, node } of nodes) {
    try {
      if (node === undefined) throw new Error('it did not start')
      node.registry.assertMayMint()
      const cutoffOf = node.registry.cutoffMs
      for (const fact of history.revocations) {
        // The entry of one token ends with the token, which may have been old.
        if (
          fact.kind === 'token' ||
          fact.ackMs === undefined ||
          fact.endedMs !== undefined ||
          time.nowMs - fact.ackMs > 20_000 ||
          time.nowMs - fact.ackMs < 2000 || // The nodes that did not make it learn of it within a look.
          !fact.cutoffMs
        )
          continue
        if (restoredMs.some((atMs) => atMs > (fact.ackMs as number))) continue
        if (cutoffOf.call(node.registry, fact.kind, fact.id) >= fact.cutoffMs) continue
        history.violate('no acknowledged revocation is lost', `${machine.name} does not know of ${fact.name}`)
      }
    } catch (cause) {
      history.violate('everybody recovers', `${machine.name} may not mint: ${(cause as Error).message}`)
    }
  }
  const keys = nodes.find(({ node }) => node !== undefined)?.node?.keys
  if (keys === undefined) return
  const report = await world.until(auditReport(store.engine.audit, keys))
  if (!report.sound) history.violate('the record is whole', JSON.stringify(report.findings))
}
