/** What operators of several regions have to do by docs/regions.md: lift in each region what was lifted in one, begin a lost link anew. */

import { isTakenOver } from '@signet/authority/regions/takeover.ts'
import type { Target } from '@signet/authority/revocation/target.ts'
import type { Dice } from './dice.ts'
import { ISSUER } from './names.ts'
import { retry, take } from './operator.ts'
import type { Region, Regions } from './regions.ts'

const ROUND_MS = 1500
const LOOK_MS = 100

export async function lookAfter(region: Region, dice: Dice): Promise<void> {
  const { world } = region
  for (let round = 0; !world.isEnding; round++) {
    await world.apps.delay(ROUND_MS)
    await liftWhatIsOver(region, dice, round)
    await beginAnew(region, dice, round)
  }
}

/** Another region has lifted it, or a restore there forgot it: nobody tells that on. */
async function liftWhatIsOver({ name, world, history }: Region, dice: Dice, round: number): Promise<void> {
  const { subjects, clients } = world.store.engine
  const targets: Target[] = []
  for (const id of world.subjects) if ((await subjects.find(id))?.status === 'suspended') targets.push({ kind: 'subject', id })
  for (const id of world.clients) if ((await clients.find(id))?.status === 'suspended') targets.push({ kind: 'client', id })
  for (const target of targets) {
    const isHeld = history.revocations.some(
      (fact) => fact.act === 'suspend' && fact.kind === target.kind && fact.id === target.id && fact.endedMs === undefined,
    )
    if (isHeld) continue
    history.tell(`${target.kind} ${target.id.slice(-6)} is lifted in ${name} as well`)
    const why = { reason: 'simulated', actor: 'operator:sim', idempotencyKey: `here-${target.id}-${round}`, here: true }
    history.lifted(target, false)
    await retry(world, dice, (node) => node.resume(target, why))
    history.lifted(target, true)
  }
}

async function beginAnew({ world, history }: Region, dice: Dice, round: number): Promise<void> {
  const lost = world.nodes
    .flatMap(({ node }) => node?.regions?.status() ?? [])
    .find(({ problem }) => problem === 'entries_were_lost')
  if (lost === undefined) return
  history.tell(`entries of ${lost.name} were lost: everything is revoked, and the link begins anew`)
  await take(world, dice, { kind: 'issuer', id: ISSUER }, 'revoke', `relink-${round}`)
  await retry(world, dice, async (node) => node.regions?.relink(lost.name, { reason: 'simulated', actor: 'operator:sim' }))
}

/** One region is lost, says an operator of the other; it is asked at one node until it answers. */
export async function takeOver(taker: Region, lost: Region, dice: Dice): Promise<void> {
  const { world, history } = taker
  const entry = { lost: lost.name, askedMs: world.time.nowMs, returnedMs: Number.POSITIVE_INFINITY, isSettled: false }
  history.takeovers.push(entry)
  const done = await retry(world, dice, async (node) => {
    const { regions } = node
    if (regions === undefined || regions.status().some(({ problem }) => problem === undefined)) return 'it answers'
    return regions.takeOver(lost.name, { reason: 'simulated', actor: 'operator:sim' })
  })
  history.tell(`${lost.name} is taken over: ${JSON.stringify(done)}`)
  if (typeof done === 'object') {
    for (const { kind, id, cutoffMs, atMs, isOwn } of history.placed) {
      if (kind !== 'key' || !isOwn || atMs < entry.askedMs || id.startsWith('region:')) continue
      const fact = history.asked('key', id, 'revoke', `the end of key ${id.slice(-6)} with its region`)
      history.acknowledged(fact, cutoffMs)
      history.ofTakeovers.push(fact)
    }
  }
  entry.isSettled = true
}

/** Notes which have returned. */
export async function watchReturns({ world, history }: Region): Promise<void> {
  while (!world.isEnding) {
    await world.apps.delay(LOOK_MS)
    for (const one of history.takeovers) {
      if (!one.isSettled || one.returnedMs !== Number.POSITIVE_INFINITY) continue
      if (await isTakenOver(world.store.engine.meta, one.lost)) continue
      one.returnedMs = world.time.nowMs
      history.tell(`${one.lost} is not taken over any more`)
    }
  }
}

/** All that is unlike peace between the regions ends. */
export function makePeace({ all }: Regions): void {
  for (const { asking } of all) Object.assign(asking, { blocked: false, slowMs: 0, answerLoss: 0, requestLoss: 0 })
}
