/**
 * Nodes that work on a batch are killed at random moments, again and again, on either store; on PostgreSQL two at a time work on it. In
 * the end exactly the grants of the plan's moment are revoked, with one entry each, and the counts say so.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings } from '../surroundings.ts'
import { addPeople, allFamilies, CLIENTS, idsOf, openBatchNode } from './batch.testkit.ts'

const ROUNDS = Number(process.env.SIGNET_BATCH_KILLS ?? 20)
const PEOPLE = 60
const GRANTS_EACH = 30
/** So slow that it is not done before the last kill, as a rule: `ROUNDS` lives of a node, of half a second of work at most. */
const PER_SECOND = 40
const LEASE_MS = 300
const NODE = fileURLToPath(new URL('./batch-node.testkit.ts', import.meta.url))

const surroundings = realSurroundings()
const server = await startPostgres()

for (const engine of ['sqlite', 'postgres'] as const) {
  const skip = engine === 'postgres' && 'skip' in server ? server.skip : false
  describe(`a batch whose nodes are killed, on ${engine}`, { skip }, () => {
    it(`neither repeats nor skips, ${ROUNDS} times`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'signet-batch-'))
      const place = 'freshDatabase' in server && engine === 'postgres' ? await server.freshDatabase() : join(folder, 'signet.db')
      const open = (): Promise<Store> =>
        engine === 'sqlite' ? openSqliteStore({ path: place, surroundings }) : openPostgresStore({ url: place, surroundings })
      let store = await open()
      try {
        await addPeople(store, PEOPLE, GRANTS_EACH)
        const before = await allFamilies(store)
        const meant = before.filter(({ terms }) => terms.client === CLIENTS[0])
        const planner = await openBatchNode(store)
        const selector = { client: CLIENTS[0] as never, issuedToMs: Date.now() }
        const batch = await planner.plan({ selector, perSecond: PER_SECOND })
        assert.equal(JSON.parse(batch.summary).grants, meant.length)
        await planner.runner.close()
        await planner.start(batch)
        await planner.close()
        await store.close()

        let worked = 0
        for (let round = 0; round < ROUNDS; round++) {
          const nodes = await Promise.all(Array.from({ length: engine === 'sqlite' ? 1 : 2 }, () => startNode(engine, place)))
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 500))
          await Promise.all(nodes.map(kill))
          if (engine === 'postgres' || round % 5 === 4) {
            store = await open()
            const { cursor, moved, unmoved, state } = (await store.batches.find(batch.id)) ?? assert.fail('it is gone')
            const revoked = (await allFamilies(store)).filter(({ status }) => status === 'revoked')
            await store.close()
            assert.equal(unmoved, 0, `round ${round}: something was done twice`)
            assert.equal(moved, revoked.length, `round ${round}`)
            for (const { id } of revoked) assert.ok(state === 'done' || id <= cursor, `round ${round}: ahead of the cursor`)
            if (moved < meant.length) worked = Math.max(worked, moved) // A machine that is slow to kill lets them live longer.
          }
        }
        assert.ok(worked > 0, `none of ${meant.length} was done under fire`)

        store = await open()
        const last = await openBatchNode(store, { leaseMs: LEASE_MS })
        // Nothing holds back the rest.
        await last.batches.pause(batch.id, 'operator:test').catch(() => {})
        await last.batches.resume(batch.id, 'operator:test').catch(() => {})
        const done = await last.until(batch.id, 'done')
        const after = await allFamilies(store)
        assert.deepEqual(idsOf(after.filter(({ status }) => status === 'revoked')), idsOf(meant))
        assert.deepEqual([done.moved, done.unmoved], [meant.length, 0])
        const log = await last.log()
        assert.equal(new Set(log.map(({ target }) => target)).size, meant.length)
        // Of a piece whose end nobody saw an entry may have been raised: the same target with a later cutoff, and nothing else.
        assert.ok(log.length - meant.length <= ROUNDS * 20, `${log.length} entries for ${meant.length}`)
        await last.close()
      } finally {
        await store.close()
        rmSync(folder, { recursive: true, force: true })
      }
    })
  })
}
if (!('skip' in server)) describe('afterwards', () => it('the server goes', () => server.stop()))

async function startNode(engine: string, place: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [NODE, engine, place], {
    env: { ...process.env, LEASE_MS: String(LEASE_MS) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).once('line', () => resolve())
    child.once('close', (code) => reject(new Error(`the node ended with ${code}`)))
  })
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGKILL')
  await ended
}
