import assert from 'node:assert/strict'
import { afterEach, beforeEach, it } from 'node:test'
import type { TokenId } from '@signet/kernel/ids.ts'
import { createTriggers, type LeakedToken, type Triggers } from './triggers.ts'
import { auditTypes, openWorld, type World } from './world.testkit.ts'

let world: World
let triggers: Triggers
const leaks = new Map<string, LeakedToken>()
beforeEach(async () => {
  world = await openWorld()
  triggers = createTriggers({ ...world, identify: async (token) => leaks.get(token) })
})
afterEach(() => world.close())

it('ends everything of a person when a credential changes', async () => {
  const { subject, session, grant } = await world.addLogin(await world.addSubject())
  await world.store.transact((tx) => triggers.credentialChanged(tx, subject, `subject:${subject}`))
  assert.equal(await world.isDead({ subject, session, grant }), 'subject')
  const standing = await world.store.families.find(grant)
  assert.ok((standing?.subject?.revokedMs ?? 0) >= (standing?.family.createdAtMs ?? Number.POSITIVE_INFINITY))
})

it('lets grants renew silently when claims change', async () => {
  const { subject } = await world.addLogin(await world.addSubject())
  await world.store.transact((tx) => triggers.claimsChanged(tx, subject, 'operator:test'))
  assert.equal(await world.isDead({ subject }), 'subject')
  assert.equal((await world.store.subjects.find(subject))?.revokedMs, 0)
})

it('ends one session or one device and leaves the others', async () => {
  const subject = await world.addSubject()
  const laptop = await world.addLogin(subject)
  const phone = await world.addLogin(subject)
  await world.store.transact((tx) => triggers.deviceLost(tx, laptop.device, `subject:${subject}`))
  assert.equal(await world.isDead({ ...laptop }), 'device')
  assert.equal(await world.isDead({ ...phone }), undefined)
  await world.store.transact((tx) => triggers.signedOut(tx, phone.session, `subject:${subject}`))
  assert.equal(await world.isDead({ ...phone }), 'session')
})

it('ends a family whose refresh token was reused, and records the evidence once', async () => {
  const { grant } = await world.addLogin(await world.addSubject())
  const family = (await world.store.families.find(grant))?.family
  assert.ok(family !== undefined)
  const receipts = await Promise.all(Array.from({ length: 20 }, () => triggers.refreshReuse(family, 'spent_long_ago')))
  assert.equal(receipts.filter(({ already }) => !already).length, 1)
  assert.equal(await world.isDead({ grant }), 'grant')
  const types = (await auditTypes(world.store)).map(({ type }) => type)
  assert.equal(types.filter((type) => type === 'refresh.reuse_detected').length, 1)
  assert.equal(types.filter((type) => type === 'revocation.made').length, 1)
})

it('ends a leaked token and its grant; a second report, or one of nothing, writes nothing', async () => {
  const { grant, subject, client } = await world.addLogin(await world.addSubject())
  const token = world.token<TokenId>()
  leaks.set('leaked', { kind: 'access_token', token, grant, subject, client })
  const first = await triggers.leakedToken('leaked', 'system')
  assert.equal(first.outcome, 'revoked')
  assert.equal(await world.isDead({ token }), 'token')
  assert.equal(await world.isDead({ grant }), 'grant')
  const events = (await auditTypes(world.store)).length
  assert.deepEqual(await triggers.leakedToken('leaked', 'system'), { outcome: 'already', kind: 'access_token' })
  assert.deepEqual(await triggers.leakedToken('forged', 'system'), { outcome: 'unknown' })
  assert.equal((await auditTypes(world.store)).length, events)
  assert.equal((await world.log()).length, 2)
})
