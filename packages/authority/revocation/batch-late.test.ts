/** A node dies between the commit of a batch's piece, which took too long, and its look whether it did: whoever takes over makes good for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BatchId, FamilyId } from '@signet/kernel/ids.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { openBatchRunner } from './batch-runner.ts'
import { createBatches } from './batches.ts'
import { guardMsOf } from './rules.ts'
import { ISSUER, openWorld, WHY, type World } from './world.testkit.ts'

const GRANTS = 5

describe('a batch whose node died after a commit that took too long', () => {
  // Less and more than the minute after which a revocation of somebody else counts as looked at.
  for (const awaySeconds of [6, 120]) {
    it(`is done only when its entries are raised, by a node that goes on after ${awaySeconds} s`, async () => {
      const surroundings = manualSurroundings()
      const store = unclosed(await openSqliteStore({ path: ':memory:', surroundings }))
      const first = await openWorld({ store, surroundings })
      const grants: FamilyId[] = []
      for (let n = 0; n < GRANTS; n++) grants.push((await first.addLogin(await first.addSubject())).grant)
      const id = await startBatch(first)
      const committedMs = await workUntilDeath(first)
      surroundings.clock.advance(awaySeconds * 1000)
      // A node that did not know yet issued this before the commit came through, past the cutoff.
      const issuedMs = committedMs + guardMsOf(first.settings) + 1

      const second = await openWorld({ store, surroundings })
      assert.equal((await store.batches.find(id))?.state, 'running')
      for (const grant of grants) assert.equal(await second.isDead({ grant }, issuedMs), undefined)
      const runner = startRunner(second, store, 'second')
      while ((await store.batches.find(id))?.state === 'running') {
        surroundings.clock.advance(1)
        await new Promise((resolve) => setImmediate(resolve))
      }
      const { state, moved } = (await store.batches.find(id)) ?? assert.fail()
      assert.deepEqual([state, moved], ['done', GRANTS])
      for (const grant of grants) assert.equal(await second.isDead({ grant }, issuedMs), 'grant')
      assert.deepEqual((await second.log()).length, GRANTS * 2)
      await runner.close()
      await second.close()
      await first.close()
      await store.end()
    })
  }
})

async function startBatch(world: World): Promise<BatchId> {
  const batches = createBatches({ ...world, started: () => {} })
  const request = { action: 'revoke', selector: { issuedFromMs: 0 }, reason: WHY.reason, perSecond: 5000 } as const
  const planning = batches.plan(request, WHY.actor)
  for (;;) {
    const step = await planning.next()
    if (step.done === true) return (await batches.start(step.value.id, { accept: GRANTS }, WHY.actor)).id
  }
}

/** Works on it until the first entries are committed, and hears nothing more. Resolves to when that commit began. */
async function workUntilDeath(world: World): Promise<number> {
  const died = Promise.withResolvers<number>()
  const dying = new Proxy(world.store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (name !== 'transact') return member
      return async (work: Parameters<Store['transact']>[0]) => {
        const answer = await target.transact(work)
        if ((await world.log()).length === 0) return answer
        world.revoker.close()
        world.registry.close()
        died.resolve(world.clock.now())
        return new Promise(() => {})
      }
    },
  })
  startRunner(world, dying, 'first')
  return died.promise
}

const startRunner = (world: World, store: Store, holder: string) => openBatchRunner({ ...world, store, issuer: ISSUER, holder })

/** One store for two nodes, of which each would close it. */
function unclosed(store: Store): Store & { end(): Promise<void> } {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'end') return () => target.close()
      const member: unknown = Reflect.get(target, name)
      if (name === 'close') return async () => {}
      return typeof member === 'function' ? member.bind(target) : member
    },
  }) as Store & { end(): Promise<void> }
}
