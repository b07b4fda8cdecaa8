/** Batches: one node at a time moves a job on, and what a batch holds is known. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BatchId, FamilyId } from '@signet/kernel/ids.ts'
import type { BatchRecord } from '../ports/batches.ts'
import type { Store } from '../store.ts'
import { aBatch, aFamily, id, NOW_MS } from './samples.contract.ts'

export function batchesContract(given: () => Store): void {
  const make = async (rest: Partial<BatchRecord> = {}) => {
    const batch = aBatch(rest)
    await given().transact((tx) => tx.batches.create(batch))
    return batch
  }
  const move = (...step: Parameters<Parameters<Parameters<Store['transact']>[0]>[0]['batches']['move']>) =>
    given().transact((tx) => tx.batches.move(...step))

  test('a batch comes back as it was made, whole when looked up and without its plan in a listing, newest first', async () => {
    const older = await make({ id: id<BatchId>(NOW_MS - 5000), undoes: id<BatchId>() })
    const newer = await make({ id: id<BatchId>(NOW_MS + 5000), plan: JSON.stringify('x'.repeat(900_000)) })
    assert.deepEqual(await given().batches.find(newer.id), newer)
    assert.deepEqual(await given().transact((tx) => tx.batches.find(older.id)), older)
    assert.equal(await given().batches.find(id<BatchId>()), undefined)
    const listed = await given().batches.list({ limit: 500 })
    const { plan: _, ...bare } = newer
    assert.deepEqual(listed[0], bare)
    assert.deepEqual(
      listed.map((batch) => batch.id),
      listed.map((batch) => batch.id).toSorted((a, b) => (a < b ? 1 : -1)),
    )
    const after = await given().batches.list({ after: newer.id, limit: 1 })
    assert(after.length === 1 && (after[0]?.id as string) < newer.id)
  })

  test('states lead one way, are counted, and say when it began and ended', async () => {
    const { id: batch } = await make()
    const before = await given().batches.count()
    assert.equal(await move(batch, ['running'], 'paused'), false)
    assert.equal(await move(batch, ['planned'], 'running'), true)
    const begun = await given().batches.find(batch)
    assert.ok((begun?.startedAtMs ?? 0) > 0)
    assert.equal(begun?.endedAtMs, undefined)
    assert.ok((await given().batches.running(500)).some((running) => running.id === batch))
    assert.equal(await move(batch, ['running', 'paused'], 'failed', { trouble: 'bug' }), true)
    const failed = await given().batches.find(batch)
    assert.deepEqual([failed?.state, failed?.trouble, failed?.startedAtMs], ['failed', 'bug', begun?.startedAtMs])
    assert.ok((failed?.endedAtMs ?? 0) > 0)
    assert.equal(await move(batch, ['failed'], 'running'), true)
    assert.equal((await given().batches.find(batch))?.endedAtMs, undefined)
    assert.equal(await move(batch, ['running'], 'done'), true)
    const after = await given().batches.count()
    assert.deepEqual([after.done - before.done, after.planned - before.planned], [1, -1])
    const undoing = id<BatchId>()
    assert.equal(await move(batch, ['done'], 'done', { undoneBy: undoing }), true)
    assert.equal(await move(batch, ['done'], 'done', { undoneBy: id<BatchId>() }), false, 'undone once')
    assert.equal(await move(batch, ['done'], 'running'), false, 'undone it moves no more')
    assert.equal((await given().batches.find(batch))?.undoneBy, undoing)
    await make({ id: undoing, undoes: batch })
    await move(undoing, ['planned'], 'cancelled')
    const again = id<BatchId>()
    assert.equal(await move(batch, ['done'], 'done', { undoneBy: again }), true, 'what was to undo it was cancelled')
    assert.equal((await given().batches.find(batch))?.undoneBy, again)
  })

  test('of twenty that want to work on it one holds it, and nobody else until the lease is over', async () => {
    const { id: batch } = await make()
    const hold = (holder: string, untilMs: number) => given().transact((tx) => tx.batches.hold(batch, holder, untilMs))
    assert.equal(await hold('a', Date.now() + 60_000), false, 'not before it runs')
    await move(batch, ['planned'], 'running')
    const nodes = Array.from({ length: 20 }, (_, n) => `node-${n}`)
    const won = await Promise.all(nodes.map((node) => hold(node, Date.now() + 60_000)))
    assert.equal(won.filter(Boolean).length, 1)
    const holder = nodes[won.indexOf(true)] as string
    assert.equal(await hold(holder, Date.now() - 60_000), true, 'the holder may go on')
    assert.equal(await hold('another', Date.now() + 60_000), true, 'the lease was over')
    assert.equal(await hold(holder, Date.now() + 60_000), false)
  })

  test('a piece moves the cursor once, for the holder, from where it stands, while it runs', async () => {
    const { id: batch } = await make()
    await move(batch, ['planned'], 'running')
    const leaseUntilMs = Date.now() + 60_000
    await given().transact((tx) => tx.batches.hold(batch, 'a', leaseUntilMs))
    const step = { id: batch, holder: 'a', leaseUntilMs, from: '', to: '7', unsettled: '["x"]' }
    const advance = (over: Partial<typeof step> = {}) => given().transact((tx) => tx.batches.advance({ ...step, ...over }))
    assert.equal(await advance({ holder: 'b' }), false)
    assert.equal(await advance({ from: '6' }), false)
    const won = await Promise.all(Array.from({ length: 20 }, () => advance()))
    assert.equal(won.filter(Boolean).length, 1)
    await given().transact((tx) => tx.batches.tally(batch, 5, 2))
    await given().transact((tx) => tx.batches.tally(batch, 1, 0))
    const found = await given().batches.find(batch)
    assert.deepEqual([found?.cursor, found?.unsettled, found?.moved, found?.unmoved], ['7', '["x"]', 6, 2])
    await move(batch, ['running'], 'paused')
    assert.equal(await advance({ from: '7' }), false, 'a paused batch does not move')
  })

  test('what batches hold is let go by target, whoever held it', async () => {
    const [one, other] = [id<BatchId>(), id<BatchId>()]
    const grants = [id<FamilyId>(), id<FamilyId>(), id<FamilyId>()].toSorted()
    await given().transact(async (tx) => {
      for (const target of grants) await tx.batches.addHold(one, { kind: 'grant', target })
      await tx.batches.addHold(one, { kind: 'grant', target: grants[0] as string })
      await tx.batches.addHold(other, { kind: 'grant', target: grants[1] as string })
    })
    const held = async (batch: BatchId, after?: string) => {
      const holds = await given().batches.holds(batch, { limit: 500, ...(after === undefined ? {} : { after }) })
      return holds.map(({ target }) => target)
    }
    assert.deepEqual(await held(one), grants)
    assert.deepEqual(await held(one, grants[0]), grants.slice(1))
    await given().transact((tx) => tx.batches.release({ kind: 'subject', target: grants[1] as string }))
    await given().transact((tx) => tx.batches.release({ kind: 'grant', target: grants[1] as string }))
    assert.deepEqual(await held(one), [grants[0], grants[2]])
    assert.deepEqual(await held(other), [])
  })

  test('families are gone through by id, each once', async () => {
    const store = given()
    const made = Array.from({ length: 25 }, () => aFamily())
    await store.transact(async (tx) => {
      for (const family of made) await tx.families.create(family)
    })
    const seen = new Map<string, unknown>()
    for (let after: string | undefined; ; ) {
      const page = await store.families.all({ limit: 7, ...(after === undefined ? {} : { after }) })
      for (const family of page) {
        assert.ok(!seen.has(family.id))
        seen.set(family.id, family)
      }
      after = page.at(-1)?.id
      if (after === undefined) break
    }
    for (const family of made) assert.deepEqual(seen.get(family.id), family)
  })
}
