/** Batches on both stores: what is done is what was planned, by whichever node, and undoing touches nothing else. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, describe, it } from 'node:test'
import { type BatchId, type FamilyId, newId } from '@signet/kernel/ids.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings } from '../surroundings.ts'
import { aFamily } from '../tokens/family.testkit.ts'
import { ACTOR, addPeople, allFamilies, type BatchNode, CLIENTS, idsOf, openBatchNode } from './batch.testkit.ts'
import { auditTypes } from './world.testkit.ts'

const surroundings = realSurroundings()
const server = await startPostgres()
const engines: Record<string, () => Promise<{ store: Store; second?: () => Promise<Store>; gone?: () => void }>> = {
  async sqlite() {
    const folder = mkdtempSync(join(tmpdir(), 'signet-batch-'))
    const store = await openSqliteStore({ path: join(folder, 'signet.db'), surroundings })
    return { store, gone: () => rmSync(folder, { recursive: true, force: true }) }
  },
  async postgres() {
    if ('skip' in server) throw new Error(server.skip)
    const url = await server.freshDatabase()
    return { store: await openPostgresStore({ url, surroundings }), second: () => openPostgresStore({ url, surroundings }) }
  },
}
if (!('skip' in server)) after(() => server.stop())

for (const [engine, open] of Object.entries(engines)) {
  describe(`batches on ${engine}`, { skip: engine === 'postgres' && 'skip' in server ? server.skip : false }, () => {
    let opened: Awaited<ReturnType<typeof open>>
    let store: Store
    let node: BatchNode
    beforeEach(async () => {
      opened = await open()
      store = opened.store
      node = await openBatchNode(store)
    })
    afterEach(async () => {
      await node.close()
      await store.close()
      opened.gone?.()
    })

    it('revokes exactly the grants that a selector names, whatever it is made of', async () => {
      const nowMs = Date.now()
      const subjects = await addPeople(store, 12, 8, nowMs)
      const named = new Set<string>(subjects.slice(0, 5))
      const cases: [string, Parameters<BatchNode['plan']>[0]['selector'], (family: FamilyRecord) => boolean][] = [
        [
          'two members',
          { client: CLIENTS[0] as never, platform: 'native' },
          (f) => f.terms.client === CLIENTS[0] && f.terms.platform === 'native',
        ],
        [
          'a scope of some people',
          { scope: 'pay', subjects: subjects.slice(0, 5) },
          (f) => f.terms.scope.includes('pay') && named.has(f.subject),
        ],
        [
          'a span of time',
          { issuedFromMs: nowMs - 2 * 3_600_000, issuedToMs: nowMs - 3_600_000 },
          (f) => f.createdAtMs >= nowMs - 2 * 3_600_000 && f.createdAtMs <= nowMs - 3_600_000,
        ],
      ]
      for (const [what, selector, isMeant] of cases) {
        const before = await allFamilies(store)
        const meant = before.filter((family) => family.status !== 'revoked' && isMeant(family))
        const plan = await node.plan({ selector })
        const { grants, method, ofGrants } = JSON.parse(plan.summary)
        assert.deepEqual([grants, method], [meant.length, 'grants'], what)
        const alive = before.filter((f) => f.status !== 'revoked' && f.createdAtMs <= nowMs)
        assert.equal(ofGrants, selector.subjects === undefined ? alive.length : undefined)
        // Somebody signs in after the plan: not among those that are meant.
        const late = await addLate(node, nowMs + 60_000)
        const entries = (await node.log()).length
        await node.start(plan)
        const done = await node.until(plan.id, 'done')
        const after = await allFamilies(store)
        const known = new Set(idsOf(before.filter(({ status }) => status === 'revoked')))
        assert.deepEqual(idsOf(after.filter(({ id, status }) => status === 'revoked' && !known.has(id))), idsOf(meant), what)
        assert.equal(after.find(({ id }) => id === late)?.status, 'active')
        assert.deepEqual([done.moved, done.unmoved, (await node.log()).length - entries], [meant.length, 0, meant.length])
      }
    })

    it('makes one cutoff of what can be one, and one for each of several people', async () => {
      const subjects = await addPeople(store, 6, 3)
      await store.transact(async (tx) => {
        const { aClient } = await import('../tokens/family.testkit.ts')
        for (const id of CLIENTS) await tx.clients.create(aClient({ id }))
      })
      const cases = [
        [{ client: CLIENTS[1] }, 'one_cutoff', ['client']],
        [{ subjects: subjects.slice(0, 1) }, 'one_cutoff', ['subject']],
        [{ subjects: subjects.slice(1, 4) }, 'cutoff_each', ['subject', 'subject', 'subject']],
        [{ everything: true }, 'one_cutoff', ['issuer']],
      ] as const
      for (const [selector, method, kinds] of cases) {
        const plan = await node.plan({ selector: selector as never })
        assert.equal(JSON.parse(plan.summary).method, method)
        const before = (await node.log()).length
        await node.start(plan)
        const done = await node.until(plan.id, 'done')
        assert.deepEqual(
          (await node.log()).slice(before).map(({ kind }) => kind),
          kinds,
        )
        assert.equal(done.moved, kinds.length)
      }
    })

    it('undoes a suspension: just what it suspended goes on, once', async () => {
      const subjects = await addPeople(store, 10, 6)
      const before = await allFamilies(store)
      const active = before.filter(({ status }) => status === 'active')
      const plan = await node.plan({ action: 'suspend', selector: { issuedToMs: Date.now() } })
      assert.equal(JSON.parse(plan.summary).grants, active.length)
      await node.start(plan)
      const done = await node.until(plan.id, 'done')
      assert.equal(done.moved, active.length)
      assert.ok((await allFamilies(store)).every(({ status }) => status === 'suspended'))
      // Of those it suspended: one was resumed by hand and suspended again for another reason, one was revoked, one only resumed.
      const [again, ended, free] = active.map(({ id }) => id) as [FamilyId, FamilyId, FamilyId]
      await node.revoker.resume({ kind: 'grant', id: again }, { reason: 'by hand', actor: ACTOR })
      await node.revoker.suspend({ kind: 'grant', id: again }, { reason: 'by hand', actor: ACTOR })
      await node.revoker.revoke({ kind: 'grant', id: ended }, { reason: 'by hand', actor: ACTOR })
      await node.revoker.resume({ kind: 'grant', id: free }, { reason: 'by hand', actor: ACTOR })
      const undoing = await node.batches.undo(plan.id, 'it was a mistake', ACTOR)
      assert.equal((await node.batches.undo(plan.id, 'once more', ACTOR)).id, undoing.id)
      await node.until(undoing.id, 'done')
      const status = new Map((await allFamilies(store)).map((family) => [family.id, family.status]))
      for (const family of before) {
        const expected =
          family.status === 'suspended' || family.id === again ? 'suspended' : family.id === ended ? 'revoked' : 'active'
        assert.equal(status.get(family.id), expected)
      }
      assert.deepEqual(await store.batches.holds(plan.id, { limit: 10 }), [])
      assert.equal(subjects.length, 10)
      await assert.rejects(node.batches.undo(undoing.id, 'x', ACTOR), { reason: 'not_undoable' })
    })

    it('leaves nothing suspended that cannot be undone: undone it does not go on, and an undoing that was cancelled is begun again', async () => {
      await addPeople(store, 10, 6)
      const plan = await node.plan({ action: 'suspend', selector: { issuedToMs: Date.now() }, perSecond: 5 })
      await node.start(plan)
      while ((await node.batches.find(plan.id)).moved === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      await store.transact((tx) => tx.batches.move(plan.id, ['running'], 'failed', { trouble: 'bug' }))
      const held = (await store.batches.holds(plan.id, { limit: 100 })).length
      const undoing = await node.batches.undo(plan.id, 'it was a mistake', ACTOR)
      await node.batches.cancel(undoing.id, ACTOR)
      for (const act of ['resume', 'cancel'] as const) {
        await assert.rejects(node.batches[act](plan.id, ACTOR), { reason: 'batch_state' })
      }
      const once = await Promise.all(Array.from({ length: 5 }, () => node.batches.undo(plan.id, 'after all', ACTOR)))
      const [again] = [...new Set(once.map(({ id }) => id))]
      assert.ok(again !== undefined && again !== undoing.id && once.every(({ id }) => id === again))
      await node.until(again, 'done')
      assert.ok(held > 0)
      assert.deepEqual(await store.batches.holds(plan.id, { limit: 10 }), [])
      await assert.rejects(node.batches.resume(plan.id, ACTOR), { reason: 'batch_state' })
    })

    it('can be paused, goes on where it stopped, and can be cancelled; what is done stays done', async () => {
      await addPeople(store, 20, 10)
      const plan = await node.plan({ selector: { issuedToMs: Date.now() }, perSecond: 5 })
      await node.start(plan)
      while ((await node.batches.find(plan.id)).moved === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      const paused = await node.batches.pause(plan.id, ACTOR)
      assert.deepEqual([(await node.batches.pause(plan.id, ACTOR)).state, paused.state], ['paused', 'paused'])
      const count = async () => (await allFamilies(store)).filter(({ status }) => status === 'revoked').length
      const moved = await count()
      assert.ok(moved > 0 && moved < 200, `${moved} of 200 were revoked when it was paused`)
      await new Promise((resolve) => setTimeout(resolve, 1200)) // More than a piece and a look.
      assert.equal(await count(), moved)
      await node.batches.resume(plan.id, ACTOR)
      while ((await node.batches.find(plan.id)).moved === moved) await new Promise((resolve) => setTimeout(resolve, 5))
      await node.batches.cancel(plan.id, ACTOR)
      const { state, moved: told } = await node.batches.find(plan.id)
      assert.deepEqual([state, told], ['cancelled', await count()])
      assert.ok(told < 200)
      for (const act of ['pause', 'resume'] as const) {
        await assert.rejects(node.batches[act](plan.id, ACTOR), { reason: 'batch_state' })
      }
    })

    it('keeps to its rate', async () => {
      await addPeople(store, 10, 10)
      const plan = await node.plan({ selector: { issuedToMs: Date.now() }, perSecond: 40 })
      const beganMs = performance.now()
      await node.start(plan)
      await node.until(plan.id, 'done')
      // 100 at 40 a second; the last piece is not waited for.
      const tookMs = performance.now() - beganMs
      assert.ok(tookMs > 1900, `took ${tookMs} ms`)
    })

    it('is started once: not twice, not unread when it is wide, not when its counts are old', async () => {
      const subjects = await addPeople(store, 20, 3)
      const small = await node.plan({ selector: { subjects: subjects.slice(0, 2), scope: 'read' } })
      const wide = await node.plan({ selector: { issuedToMs: Date.now() } })
      assert.deepEqual([JSON.parse(small.summary).warning, JSON.parse(wide.summary).warning], [false, true])
      const grants = JSON.parse(wide.summary).grants as number
      for (const accept of [undefined, 0, grants - 1]) {
        const start = accept === undefined ? {} : { accept }
        await assert.rejects(node.batches.start(wide.id, start, ACTOR), { reason: 'blast_radius_not_accepted' })
      }
      const tries = await Promise.allSettled(Array.from({ length: 10 }, () => node.batches.start(small.id, {}, ACTOR)))
      assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
      const keyed = { accept: grants, idempotencyKey: 'one' }
      const same = await Promise.all(Array.from({ length: 10 }, () => node.batches.start(wide.id, keyed, ACTOR)))
      assert.equal(new Set(same.map(({ id }) => id)).size, 1)
      await assert.rejects(node.batches.start(small.id, { idempotencyKey: 'one' }, ACTOR), { reason: 'idempotency_key_reused' })
      await node.until(wide.id, 'done')
      const started = (await auditTypes(store)).filter(({ type }) => type === 'batch.started')
      assert.equal(started.length, 2)
      await assert.rejects(node.batches.start(newId<BatchId>(0, surroundings.chance), {}, ACTOR), { reason: 'unknown_batch' })
      await assert.rejects(node.plan({ selector: {} }), { reason: 'nothing_selected' })
      const old = newId<BatchId>(1, surroundings.chance)
      await store.transact((tx) =>
        tx.batches.create({ ...small, id: old, state: 'planned', plannedAtMs: Date.now() - 90_000_000 }),
      )
      await assert.rejects(node.batches.start(old, {}, ACTOR), { reason: 'plan_too_old' })
    })

    it('stops when it would go further than its plan and what policy lets pass unasked', async () => {
      await node.close()
      node = await openBatchNode(store, { settings: { batchWarnGrants: 5 } })
      const subjects = await addPeople(store, 4, 6) // None of them is suspended.
      const plan = await node.plan({ action: 'resume', selector: { issuedFromMs: 0 } })
      const { grants, warning } = JSON.parse(plan.summary)
      assert.deepEqual([grants, warning], [0, false])
      // Meanwhile others hold a great deal, with all the scope that takes.
      for (const { id } of await allFamilies(store))
        await node.revoker.suspend({ kind: 'grant', id }, { reason: 'r', actor: ACTOR })
      await node.batches.start(plan.id, {}, ACTOR)
      const over = await node.until(plan.id, 'done', 'failed')
      assert.deepEqual([over.state, over.trouble, over.moved], ['failed', 'more_than_planned', 5])
      const held = (await allFamilies(store)).filter(({ status }) => status === 'suspended')
      assert.equal(held.length, subjects.length * 6 - 5)
    })

    it('leaves a trace of every step, in the record and in its counts', async () => {
      await addPeople(store, 4, 5)
      const plan = await node.plan({ selector: { issuedToMs: Date.now() } })
      await node.start(plan)
      const done = await node.until(plan.id, 'done')
      const events = (await auditTypes(store)).filter(({ ids }) => ids.batch === plan.id)
      const kinds = events.map(({ type }) => type)
      assert.deepEqual([kinds[0], kinds[1], kinds.at(-1)], ['batch.planned', 'batch.started', 'batch.ended'])
      const pieces = events.filter(({ type }) => type === 'batch.piece')
      assert.equal(
        pieces.reduce((sum, { detail }) => sum + (detail?.moved as number), 0),
        done.moved,
      )
      assert.deepEqual(await store.batches.count(), { planned: 0, running: 0, paused: 0, done: 1, cancelled: 0, failed: 0 })
    })

    it('is taken over when its node is gone, and by one node at a time', async () => {
      await addPeople(store, 30, 10)
      const nodes = [node]
      const more: Store[] = []
      for (let i = 0; i < 2; i++) {
        const other = (await opened.second?.()) ?? store
        if (other !== store) more.push(other)
        nodes.push(await openBatchNode(other, { leaseMs: 400 }))
      }
      try {
        const plan = await node.plan({ selector: { issuedToMs: Date.now() }, perSecond: 300 })
        await node.start(plan)
        await node.until(plan.id, 'running')
        await nodes[0]?.runner.close() // It stops without giving back what it holds.
        const done = await (nodes[1] as BatchNode).until(plan.id, 'done')
        assert.deepEqual([done.moved, done.unmoved], [300, 0])
        assert.equal((await node.log()).length, 300)
      } finally {
        for (const other of nodes.slice(1)) await other.close()
        for (const other of more) await other.close()
      }
    })
  })
}

/** A grant that is made later than anything else, like one of somebody who signs in while a batch runs. */
async function addLate(node: BatchNode, createdAtMs: number): Promise<FamilyId> {
  const id = newId<FamilyId>(createdAtMs, surroundings.chance)
  const family = aFamily({ id, createdAtMs, subject: await node.addSubject() })
  const terms = { ...family.terms, client: CLIENTS[0] as never, platform: 'native', scope: ['pay'] } as const
  await node.store.transact((tx) => tx.families.create({ ...family, terms }))
  return id
}
