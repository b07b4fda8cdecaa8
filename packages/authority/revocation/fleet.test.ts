import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ManualClock, manualClock, manualTimers } from '@signet/testkit/surroundings.ts'
import type { FleetNote, ValidatorRecord } from '../store/ports/fleet.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings } from '../surroundings.ts'
import { type FleetHearing, followingOf, GONE_AFTER_MS, knownAppliedMs, MAX_VALIDATORS, openFleetHearing } from './fleet.ts'

describe('what a node hears of validators', () => {
  let store: Store
  let clock: ManualClock
  let fleet: FleetHearing
  let batches: (readonly FleetNote[])[]
  let failing = false
  const open = (offsetMs = 0) => {
    const counting = {
      ...store.fleet,
      note: async (notes: readonly FleetNote[]) => {
        if (failing) throw new Error('the store is away')
        batches.push(notes)
        await store.fleet.note(notes)
      },
    }
    return openFleetHearing({
      store: { fleet: counting },
      clock,
      timers: manualTimers(clock),
      clockOffsetMs: () => offsetMs,
      memoryMs: 600_000,
    })
  }
  beforeEach(async () => {
    store = await openSqliteStore({ path: ':memory:', surroundings: realSurroundings() })
    clock = manualClock()
    batches = []
    failing = false
    fleet = open()
  })
  afterEach(async () => {
    failing = false
    await fleet.close()
    await store.close()
  })
  const report = (validator: string, applied: number, client = 'c') =>
    fleet.report({ client, validator, epoch: 'e', applied, stalenessMs: 40, version: '1' })
  /** Lets timers run and what they began end. */
  async function pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= 50) {
      clock.advance(Math.min(50, left))
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  const list = () => store.fleet.list({ limit: 500 })

  it('is written soon, many in one batch, and the next batch later', async () => {
    for (let n = 0; n < 20; n++) report(`v${n}`, 1)
    assert.equal(batches.length, 0, 'never while somebody waits')
    await pass(100)
    assert.deepEqual(
      batches.map((batch) => batch.length),
      [20],
    )
    for (let applied = 2; applied <= 11; applied++) {
      for (let n = 0; n < 20; n++) report(`v${n}`, applied)
      await pass(100)
    }
    assert.ok(batches.length <= 5, `${batches.length} batches in a second`)
    await pass(1000)
    const all = await list()
    assert.deepEqual(new Set(all.map(({ applied }) => applied)), new Set([11]))
    assert.deepEqual(
      all[0]?.steps.map(({ seq }) => seq),
      Array.from({ length: 11 }, (_, n) => n + 1),
      'each step with its time',
    )
  })

  it('that is no news is written only now and then', async () => {
    for (let n = 0; n < 30; n++) {
      report('v', 1)
      await pass(1000)
    }
    assert.ok(batches.length >= 3 && batches.length <= 4, String(batches.length))
  })

  it("bears the store's time, not this node's", async () => {
    await fleet.close()
    fleet = open(-5000)
    report('v', 1)
    await pass(100)
    assert.equal((await list())[0]?.seenMs, clock.now() - 100 - 5000)
  })

  it('waits for a store that is away, and nothing is lost', async () => {
    failing = true
    report('v', 1)
    await pass(500)
    report('v', 2)
    await pass(1500)
    failing = false
    await pass(1500)
    const [found] = await list()
    assert.deepEqual([found?.applied, found?.steps.map(({ seq }) => seq)], [2, [1, 2]])
  })

  it('is bounded for each client and in all, and forgotten', async () => {
    for (let n = 0; n < MAX_VALIDATORS; n++) report(`v${n}`, 1, 'flood')
    report('honest', 1, 'other')
    await pass(30_000)
    const all: ValidatorRecord[] = []
    for (let after: ValidatorRecord | undefined; ; after = all.at(-1)) {
      const page = await store.fleet.list({ limit: 500, ...(after === undefined ? {} : { after }) })
      all.push(...page)
      if (page.length < 500) break
    }
    assert.equal(all.filter(({ client }) => client === 'flood').length, MAX_VALIDATORS / 2)
    assert.equal(all.filter(({ client }) => client === 'other').length, 1)
    clock.advance(700_000)
    await pass(600_000)
    assert.deepEqual(await list(), [])
  })
})

describe('a receipt', () => {
  const nowMs = 1_000_000
  const place = { epoch: 'e', seq: 9, headEpoch: 'e' }
  const validator: ValidatorRecord = {
    ...{ client: 'c', validator: 'v', epoch: 'e', applied: 9, version: '1', firstSeenMs: 0, seenMs: nowMs },
    steps: [
      { seq: 7, atMs: 100 },
      { seq: 10, atMs: 200 },
    ],
  }

  it('says who has applied it, lags, or is gone', () => {
    assert.equal(followingOf(validator, place, nowMs), 'applied')
    assert.equal(followingOf({ ...validator, applied: 8 }, place, nowMs), 'lagging')
    assert.equal(followingOf({ ...validator, applied: 8 }, place, nowMs + GONE_AFTER_MS + 1), 'gone')
    assert.equal(followingOf(validator, place, nowMs + GONE_AFTER_MS + 1), 'applied')
    assert.equal(followingOf(validator, { ...place, presentOnly: true }, nowMs + GONE_AFTER_MS + 1), 'gone')
    assert.equal(followingOf(validator, { ...place, presentOnly: true }, nowMs), 'applied')
    assert.equal(followingOf({ ...validator, epoch: 'f', applied: 99 }, place, nowMs), 'lagging')
    assert.equal(followingOf({ ...validator, epoch: 'f', applied: 0 }, { ...place, headEpoch: 'f' }, nowMs), 'applied')
  })

  it('knows a moment by which it certainly had it', () => {
    assert.equal(knownAppliedMs(validator, place), 200)
    assert.equal(knownAppliedMs(validator, { ...place, seq: 7 }), 100)
    assert.equal(knownAppliedMs(validator, { ...place, seq: 3 }), 100)
    assert.equal(knownAppliedMs(validator, { ...place, seq: 11 }), undefined)
  })
})
