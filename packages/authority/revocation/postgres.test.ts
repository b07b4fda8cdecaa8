/** What two nodes on one PostgreSQL must agree on while they race. */
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, it } from 'node:test'
import type { TokenId } from '@signet/kernel/ids.ts'
import { startPostgres, type TestPostgres } from '@signet/testkit/postgres.ts'
import { until } from '@signet/testkit/until.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { realSurroundings } from '../surroundings.ts'
import { auditTypes, openWorld, WHY, type World } from './world.testkit.ts'

const server = await startPostgres()

if ('skip' in server) {
  it('revocation on PostgreSQL', { skip: server.skip }, () => {})
} else {
  after(() => server.stop())
  suite(server)
}

function suite(postgres: TestPostgres): void {
  const surroundings = realSurroundings()
  // A commit may take as long as a busy machine needs: what a late one does is told elsewhere.
  const settings = { retirePriorAccessTokenAfterSeconds: 1, commitAllowanceMilliseconds: 10_000 }
  let one: World
  let other: World
  beforeEach(async () => {
    const url = await postgres.freshDatabase()
    one = await openWorld({ surroundings, settings, store: await openPostgresStore({ url, surroundings }) })
    other = await openWorld({ surroundings, settings, store: await openPostgresStore({ url, surroundings }) })
  })
  afterEach(async () => {
    await one.close()
    await other.close()
  })
  const both = <T>(count: number, task: (world: World, n: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, n) => task(n % 2 === 0 ? one : other, n)))

  it('answers identical requests at two nodes with one entry and one receipt', async () => {
    const subject = await one.addSubject()
    const { grant } = await one.addLogin(subject)
    const token = one.token<TokenId>()
    for (const [target, why] of [
      [
        { kind: 'subject', id: subject },
        { ...WHY, idempotencyKey: 'k' },
      ],
      [{ kind: 'grant', id: grant }, WHY],
      [{ kind: 'token', id: token }, WHY],
    ] as const) {
      const before = (await one.log()).length
      const receipts = await both(200, (world) => world.revoker.revoke(target, why))
      assert.equal((await one.log()).length, before + 1, target.kind)
      assert.equal(receipts.filter(({ already }) => !already).length, 1)
      assert.equal(new Set(receipts.map(({ epoch, seq, cutoffMs }) => `${epoch}/${seq}/${cutoffMs}`)).size, 1)
    }
    assert.equal((await auditTypes(one.store)).filter(({ type }) => type === 'revocation.made').length, 3)
  })

  it('lifts a suspension once for a request that arrives at both nodes', async () => {
    const subject = await one.addSubject()
    const target = { kind: 'subject', id: subject } as const
    for (let n = 0; n < 10; n++) {
      await one.revoker.suspend(target, WHY)
      await both(8, (world) => world.revoker.resume(target, { ...WHY, idempotencyKey: `lift-${n}` }))
    }
    assert.equal((await auditTypes(one.store)).filter(({ type }) => type === 'suspension.lifted').length, 10)
    await assert.rejects(one.revoker.resume(target, { ...WHY, idempotencyKey: 'another' }), { reason: 'not_suspended' })
  })

  it('numbers densely in commit order, and both nodes apply the same', async () => {
    const subjects = await both(100, (world) => world.addSubject())
    const receipts = await both(100, (world, n) => world.revoker.revoke({ kind: 'subject', id: subjects[n] as string }, WHY))
    assert.deepEqual(
      receipts.map(({ seq }) => seq).sort((a, b) => a - b),
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    for (const world of [one, other]) {
      await world.registry.lookNow()
      assert.equal(world.registry.position?.seq, 100)
      for (const id of subjects) assert.ok(world.registry.cutoffMs('subject', id) > 0)
    }
  })

  it('reaches past a revocation of another node that began later and was committed before', async () => {
    const foreign = (kind: 'subject' | 'client', id: string) => ({ kind, id, issuer: 'https://other.example' }) as const
    let begun = () => {}
    const isBegun = new Promise<void>((resolve) => {
      begun = resolve
    })
    let go = () => {}
    const mayGo = new Promise<void>((resolve) => {
      go = resolve
    })
    const slow = one.store.transact(async (tx) => {
      const pending = await one.revoker.within(tx, foreign('subject', 'slow'), WHY)
      begun()
      await mayGo
      return pending
    })
    await isBegun
    await new Promise((resolve) => setTimeout(resolve, 5))
    const quick = await other.revoker.revoke(foreign('client', 'quick'), WHY)
    go()
    // Whoever signs in now, before the slow one is acknowledged, gets an issue time of quick.cutoffMs + 1.
    const receipt = await one.revoker.settle(await slow)
    assert.ok(receipt.cutoffMs > quick.cutoffMs, `${receipt.cutoffMs} does not reach past ${quick.cutoffMs}`)
    assert.equal((await one.log()).length, 3, 'raised once')
  })

  it('loses no revocation that races with the undoing of another', async () => {
    const client = await one.addClient()
    const subjects = await both(60, (world) => world.addSubject())
    const wrong = await one.revoker.revoke({ kind: 'client', id: client }, WHY)
    const [undone] = await Promise.all([
      one.revoker.undo({ epoch: wrong.epoch, seqs: [wrong.seq] }, WHY),
      both(60, (world, n) => world.revoker.revoke({ kind: 'subject', id: subjects[n] as string }, WHY)),
    ])
    for (const world of [one, other]) {
      await world.registry.lookNow()
      assert.equal(world.registry.position?.epoch, undone.epoch)
      assert.equal(world.registry.cutoffMs('client', client), 0)
      for (const id of subjects) assert.ok(world.registry.cutoffMs('subject', id) > 0)
    }
    assert.equal((await one.store.clients.find(client))?.revokedMs, 0)
  })

  it('makes each deferred cutoff once, whichever node is first', async () => {
    const subject = await one.addSubject()
    const grants = await both(40, async (world) => (await world.addLogin(subject)).grant)
    const issuedAtMs = one.clock.now()
    await both(40, (world, n) =>
      world.store.transact((tx) =>
        world.retirement.retirePrior(tx, { family: grants[n] as (typeof grants)[number], issuedAtMs }),
      ),
    )
    await until(async () => (await one.log()).length >= 40, 'the cutoffs')
    assert.equal((await one.log()).length, 40)
    assert.equal(await one.store.revocations.nextDue(), undefined)
  })
}
