import assert from 'node:assert/strict'
import { it } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import { openRetirement } from './retire.ts'
import { openWorld, WHY } from './world.testkit.ts'

it('retires the access tokens before a refresh at once where policy says so', async () => {
  const world = await openWorld({ settings: { retirePriorAccessTokenAfterSeconds: 0 } })
  const { grant } = await world.addLogin(await world.addSubject())
  const before = world.clock.now()
  world.advance(60_000)
  const issuedAtMs = world.clock.now()
  await world.store.transact((tx) => world.retirement.retirePrior(tx, { family: grant, issuedAtMs }))
  assert.equal(await world.isDead({ grant }, before), 'grant')
  assert.equal(await world.isDead({ grant }, issuedAtMs), undefined)
  assert.equal((await world.store.families.find(grant))?.family.status, 'active')
  await world.close()
})

it('retires them after the drain, not before, and a node that dies loses none', async () => {
  const world = await openWorld({ settings: { retirePriorAccessTokenAfterSeconds: 10 } })
  const { grant } = await world.addLogin(await world.addSubject())
  const before = world.clock.now()
  world.advance(60_000)
  const issuedAtMs = world.clock.now()
  await world.store.transact((tx) => world.retirement.retirePrior(tx, { family: grant, issuedAtMs }))
  world.retirement.close() // As if it had died.
  world.advance(9_999)
  assert.equal(await world.retirement.retireDue(), 0)
  assert.equal(await world.isDead({ grant }, before), undefined)
  const other = openRetirement(world)
  world.advance(300)
  await until(async () => (await world.isDead({ grant }, before)) === 'grant', 'the other node retires them')
  assert.equal(await world.isDead({ grant }, issuedAtMs), undefined)
  assert.equal(await world.store.revocations.nextDue(), undefined)
  other.close()
  await world.close()
})

it('retires nothing where policy does not ask for it, nor of a grant that has ended', async () => {
  const world = await openWorld()
  const { grant } = await world.addLogin(await world.addSubject())
  await world.store.transact((tx) => world.retirement.retirePrior(tx, { family: grant, issuedAtMs: world.clock.now() }))
  assert.deepEqual(await world.log(), [])
  const draining = openRetirement({ ...world, settings: { ...world.settings, retirePriorAccessTokenAfterSeconds: 1 } })
  await world.store.transact((tx) => draining.retirePrior(tx, { family: grant, issuedAtMs: world.clock.now() }))
  draining.close()
  await world.revoker.revoke({ kind: 'grant', id: grant }, WHY)
  world.advance(2000)
  assert.equal(await draining.retireDue(), 1)
  assert.equal((await world.log()).length, 1)
  await world.close()
})

it('makes many due cutoffs in bounded transactions', async () => {
  const world = await openWorld({ settings: { retirePriorAccessTokenAfterSeconds: 1 } })
  const subject = await world.addSubject()
  const grants = await Promise.all(Array.from({ length: 450 }, async () => (await world.addLogin(subject)).grant))
  const issuedAtMs = world.clock.now() + 1
  await Promise.all(
    grants.map((family) => world.store.transact((tx) => world.retirement.retirePrior(tx, { family, issuedAtMs }))),
  )
  world.retirement.close()
  world.advance(1001)
  assert.equal(await world.retirement.retireDue(), 450)
  assert.equal((await world.log()).length, 450)
  await world.close()
})
