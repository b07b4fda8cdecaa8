import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Fault } from '@signet/kernel/errors.ts'
import { defaultSettings, guardMilliseconds } from '../policy/settings.ts'
import type { Store } from '../store/store.ts'
import { openRegistry } from './registry.ts'
import { createRevoker } from './revoke.ts'
import { guardMsOf, slackMsOf } from './rules.ts'
import { asAnotherNode, openWorld, WHY, type World } from './world.testkit.ts'

/** A store whose commits take as long as `delays` says, one after the other, and then no time. */
function slowStore(delays: number[], advance: (milliseconds: number) => void) {
  return (store: Store): Store =>
    new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (name !== 'transact') return typeof member === 'function' ? member.bind(target) : member
        return async (work: Parameters<Store['transact']>[0]) => {
          const answer = await target.transact(work)
          advance(delays.shift() ?? 0)
          return answer
        }
      },
    })
}

async function slowWorld(...delays: number[]): Promise<World> {
  let world: World | undefined
  world = await openWorld({ between: slowStore(delays, (milliseconds) => world?.advance(milliseconds)) })
  return world
}

it('is the guard of the policy', () => {
  for (const over of [
    {},
    { clockOffsetMilliseconds: 1 },
    { mintStalenessMilliseconds: 77 },
    { commitAllowanceMilliseconds: 9999 },
  ]) {
    const settings = { ...defaultSettings, ...over }
    assert.equal(guardMsOf(settings), guardMilliseconds(settings))
  }
})

it('raises a revocation whose commit took longer than its allowance, before it is acknowledged', async () => {
  const world = await slowWorld(501)
  const subject = await world.addSubject()
  const { session } = await world.addLogin(subject)
  const receipt = await world.revoker.revoke({ kind: 'session', id: session }, { ...WHY, idempotencyKey: 'k' })
  assert.deepEqual(world.raised, ['session'])
  const log = await world.log()
  assert.equal(log.length, 2)
  assert.equal(receipt.seq, 2)
  assert.ok(world.clock.now() <= receipt.cutoffMs - slackMsOf(world.settings))
  assert.equal((await world.store.sessions.find(session))?.cutoffMs, receipt.cutoffMs)
  assert.equal((await world.store.sessions.find(session))?.revokedMs, receipt.cutoffMs)
  // Whoever asks again gets what was acknowledged, and writes nothing.
  world.advance(100)
  await world.registry.lookNow()
  assert.deepEqual(await world.revoker.revoke({ kind: 'session', id: session }, { ...WHY, idempotencyKey: 'k' }), {
    ...receipt,
    already: true,
  })
  assert.equal((await world.log()).length, 2)
  await world.close()
})

it('acknowledges nothing when commits stay late', async () => {
  const world = await slowWorld(600, 600, 600, 600)
  const subject = await world.addSubject()
  await assert.rejects(world.revoker.revoke({ kind: 'subject', id: subject }, WHY), (error) => error instanceof Fault)
  assert.equal((await world.log()).length, 4)
  await world.close()
})

it('does not raise a commit that took just its allowance', async () => {
  const world = await slowWorld(500)
  const subject = await world.addSubject()
  await world.revoker.revoke({ kind: 'subject', id: subject }, WHY)
  assert.deepEqual(world.raised, [])
  await world.close()
})

it('checks what another could not acknowledge any more, once', async () => {
  // The commit was late and the one who made it went away before it could raise it.
  const world = await slowWorld(600, 600, 600, 600)
  const { session } = await world.addLogin(await world.addSubject())
  const target = { kind: 'session', id: session } as const
  await world.store.transact((tx) => world.revoker.within(tx, target, WHY))
  world.revoker.close() // Nobody settles it.
  world.advance(1600)
  await world.registry.lookNow()
  const again = await openWorldBeside(world)
  const receipt = await again.revoker.revoke(target, WHY)
  assert.equal(receipt.already, true)
  assert.equal(receipt.seq, 2)
  assert.ok(world.clock.now() <= receipt.cutoffMs - slackMsOf(world.settings))
  await again.registry.lookNow()
  world.advance(5000)
  assert.deepEqual(await again.revoker.revoke(target, WHY), receipt)
  assert.equal((await world.log()).length, 2)
  again.close()
  await world.close()
})

// His commit was under way for a while, and meanwhile others issued what lies past its cutoff.
for (const asked of ['a node that saw it come late', 'a node that began after it came'] as const)
  it(`checks what another could not acknowledge, by ${asked}, however long ago that was`, async () => {
    const world = await slowWorld(4000)
    const early = await openWorldBeside({ ...world, store: asAnotherNode(world.store) })
    const subject = await world.addSubject()
    const target = { kind: 'subject', id: subject } as const
    const why = { ...WHY, idempotencyKey: 'no-answer' }
    await world.store.transact((tx) => world.revoker.within(tx, target, why))
    world.revoker.close() // Nobody settles it.
    world.advance(4000)
    const issuedMs = world.clock.now()
    const { grant } = await world.addLogin(subject)
    await early.registry.lookNow()
    world.advance(120_000)
    const late = await openWorldBeside(world)
    const { revoker } = asked === 'a node that saw it come late' ? early : late
    assert.equal(await world.isDead({ subject }, issuedMs), undefined)
    assert.equal((await revoker.revoke(target, why)).already, true)
    assert.equal(await world.isDead({ subject }, issuedMs), 'subject')
    const { revokedMs = 0 } = (await world.store.subjects.find(subject)) ?? {}
    assert.ok(revokedMs >= ((await world.store.families.find(grant))?.family.createdAtMs ?? Number.POSITIVE_INFINITY))
    early.close()
    late.close()
    await world.close()
  })

it('takes what this node saw arrive in time for checked, however long ago', async () => {
  const world = await slowWorld()
  const { session } = await world.addLogin(await world.addSubject())
  const receipt = await world.revoker.revoke({ kind: 'session', id: session }, WHY)
  await world.registry.lookNow()
  world.advance(30_000)
  assert.deepEqual(await world.revoker.revoke({ kind: 'session', id: session }, WHY), { ...receipt, already: true })
  await world.close()
})

/** A second node on the same store. */
async function openWorldBeside(world: World) {
  const registry = await openRegistry(world)
  const revoker = createRevoker({ ...world, registry })
  return {
    registry,
    revoker,
    close() {
      revoker.close()
      registry.close()
    },
  }
}
