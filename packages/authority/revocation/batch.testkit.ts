/** People with grants of many kinds, a node that works on batches, and the sets to compare: what a plan means and what was done. */
import type { BatchId, ClientId, FamilyId, SubjectId } from '@signet/kernel/ids.ts'
import { newId } from '@signet/kernel/ids.ts'
import type { BatchRecord, BatchState } from '../store/ports/batches.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings } from '../surroundings.ts'
import { aFamily, aStanding } from '../tokens/family.testkit.ts'
import type { PlanRequest } from './batch-plan.ts'
import { openBatchRunner } from './batch-runner.ts'
import { createBatches } from './batches.ts'
import { ISSUER, openWorld } from './world.testkit.ts'

export const ACTOR = 'operator:test'

/** A node: everything of revocation, and batches. Several may share a store; closing does not close it. */
export async function openBatchNode(store: Store, options: { leaseMs?: number; settings?: object } = {}) {
  const surroundings = realSurroundings()
  const kept: Store = Object.assign(Object.create(store) as Store, { close: async () => {} })
  for (const name of ['transact', 'gently', 'now', 'purge', 'health'] as const)
    Object.assign(kept, { [name]: store[name].bind(store) })
  // A commit may take as long as a busy machine needs: what a late one does is told elsewhere.
  const settings = { commitAllowanceMilliseconds: 10_000, ...options.settings }
  const world = await openWorld({ surroundings, settings, store: kept })
  const holder = newId<string>(surroundings.clock.now(), surroundings.chance)
  const failures: unknown[] = []
  const runner = openBatchRunner({
    ...{ store: kept, issuer: ISSUER, revoker: world.revoker, holder, ...surroundings },
    ...(options.leaseMs === undefined ? {} : { leaseMs: options.leaseMs }),
    observe: { failed: (_id, cause) => failures.push(cause) },
  })
  const batches = createBatches({ ...world, store: kept, started: runner.wake })
  return {
    ...world,
    batches,
    runner,
    failures,
    async plan(request: Partial<PlanRequest> & Pick<PlanRequest, 'selector'>): Promise<BatchRecord> {
      const steps = batches.plan({ action: 'revoke', reason: 'test', perSecond: 5000, ...request }, ACTOR)
      for (;;) {
        const step = await steps.next()
        if (step.done === true) return step.value
      }
    },
    /** Starts it, whatever its blast radius. */
    start: (batch: BatchRecord) => batches.start(batch.id, { accept: JSON.parse(batch.summary).touches as number }, ACTOR),
    async until(id: BatchId, ...states: readonly BatchState[]): Promise<BatchRecord> {
      for (;;) {
        const batch = await batches.find(id)
        if (states.includes(batch.state)) return batch
        if (batch.state === 'failed') throw new Error(`the batch failed: ${batch.trouble}`, { cause: failures[0] })
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    async close() {
      await runner.close()
      await world.close()
    },
  }
}
export type BatchNode = Awaited<ReturnType<typeof openBatchNode>>

export const CLIENTS = ['web-app', 'phone-app', 'job'] as ClientId[]
const PLATFORMS = ['web', 'native', 'service'] as const
const SCOPES = [['read'], ['read', 'write'], ['write', 'pay']] as const

/** People with some grants each, alike in nothing but by chance. */
export async function addPeople(store: Store, people: number, grantsEach: number, nowMs = Date.now()): Promise<SubjectId[]> {
  const { chance } = realSurroundings()
  const subjects = Array.from({ length: people }, () => newId<SubjectId>(nowMs, chance))
  const pick = <T>(from: readonly T[]): T => from[(chance.bytes(1)[0] as number) % from.length] as T
  await Promise.all(
    subjects.map((subject) =>
      store.transact(async (tx) => {
        const about = { username: `user-${subject}`, claims: {}, roles: [], createdAt: Math.floor(nowMs / 1000) }
        await tx.subjects.create({ ...aStanding(), id: subject, ...about })
        for (let i = 0; i < grantsEach; i++) {
          const createdAtMs = nowMs - (chance.bytes(1)[0] as number) * 60_000
          const id = newId<FamilyId>(createdAtMs, chance)
          const family = aFamily({ id, createdAtMs, subject })
          const terms = { ...family.terms, client: pick(CLIENTS), platform: pick(PLATFORMS), scope: pick(SCOPES) }
          await tx.families.create({ ...family, terms, status: i % 7 === 6 ? 'suspended' : 'active' })
        }
      }),
    ),
  )
  return subjects
}

export async function allFamilies(store: Store): Promise<FamilyRecord[]> {
  const all: FamilyRecord[] = []
  for (let after: string | undefined; ; ) {
    const page = await store.families.all({ limit: 500, ...(after === undefined ? {} : { after }) })
    all.push(...page)
    if (page.length < 500) return all
    after = page.at(-1)?.id
  }
}

export const idsOf = (families: readonly FamilyRecord[]): string[] => families.map(({ id }) => id).toSorted()
