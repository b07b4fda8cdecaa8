/** Who follows the feed and how far. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FleetNote } from '../ports/fleet.ts'
import type { Store } from '../store.ts'
import { NOW_MS } from './samples.contract.ts'

export function fleetContract(given: () => Store): void {
  const note = (validator: string, rest: Partial<FleetNote> = {}): FleetNote => ({
    ...{ client: 'c', validator, epoch: 'e', applied: 1, steps: [], version: '1', seenMs: NOW_MS },
    ...rest,
  })

  test('what was seen later stands, and the history of an epoch grows at its end', async () => {
    const { fleet } = given()
    await fleet.note([note('v', { applied: 5, steps: [{ seq: 5, atMs: NOW_MS }], stalenessMs: 12 })])
    await fleet.note([note('v', { applied: 7, steps: [{ seq: 7, atMs: NOW_MS + 5 }], seenMs: NOW_MS + 5 })])
    await fleet.note([note('v', { applied: 6, steps: [{ seq: 6, atMs: NOW_MS + 2 }], seenMs: NOW_MS + 2 })]) // From a node that was slow to write.
    const [found, ...rest] = await fleet.list({ limit: 10 })
    assert.deepEqual(rest, [])
    assert.deepEqual(found, {
      ...{ client: 'c', validator: 'v', epoch: 'e', applied: 7, version: '1', firstSeenMs: NOW_MS, seenMs: NOW_MS + 5 },
      steps: [
        { seq: 5, atMs: NOW_MS },
        { seq: 7, atMs: NOW_MS + 5 },
      ],
    })
    await fleet.note([note('v', { epoch: 'f', applied: 0, steps: [{ seq: 0, atMs: NOW_MS + 9 }], seenMs: NOW_MS + 9 })])
    const [anew] = await fleet.list({ limit: 10 })
    assert.deepEqual([anew?.epoch, anew?.steps, anew?.firstSeenMs], ['f', [{ seq: 0, atMs: NOW_MS + 9 }], NOW_MS])
  })

  test('a history keeps its end, whole steps only', async () => {
    const { fleet } = given()
    for (let n = 1; n <= 100; n++) {
      const step = { seq: n, atMs: NOW_MS + n }
      await fleet.note([note('v', { applied: n, steps: [step], seenMs: step.atMs })])
    }
    const steps = (await fleet.list({ limit: 1 }))[0]?.steps ?? []
    assert.ok(steps.length > 40 && steps.length < 100, String(steps.length))
    assert.deepEqual(
      steps,
      Array.from({ length: steps.length }, (_, i) => ({ seq: 101 - steps.length + i, atMs: NOW_MS + 101 - steps.length + i })),
    )
  })

  test('who has come to a place, who lags, who is gone', async () => {
    const { fleet } = given()
    await fleet.note([
      note('has', { applied: 9 }),
      note('lags', { applied: 8 }),
      note('gone', { applied: 8, seenMs: NOW_MS - 100 }),
      note('went with it', { client: 'd', applied: 9, seenMs: NOW_MS - 100 }),
      note('elsewhere', { epoch: 'before', applied: 99 }),
    ])
    const place = { epoch: 'e', seq: 9, headEpoch: 'e' }
    assert.deepEqual(await fleet.count(place, NOW_MS - 50), { applied: 2, lagging: 2, gone: 1 })
    assert.deepEqual(await fleet.count({ ...place, presentOnly: true }, NOW_MS + 50_000), { applied: 0, lagging: 0, gone: 5 })
    assert.deepEqual(await fleet.count({ ...place, presentOnly: true }, NOW_MS - 50), { applied: 1, lagging: 2, gone: 2 })
    // A number of the epoch before: who is in the present one has taken it over.
    assert.deepEqual(await fleet.count({ ...place, epoch: 'before', seq: 100 }, NOW_MS - 50), { applied: 4, lagging: 1, gone: 0 })
    const first = await fleet.list({ limit: 3 })
    const last = first.at(-1)
    assert.ok(last)
    const rest = await fleet.list({ limit: 3, after: last })
    assert.deepEqual(
      [...first, ...rest].map(({ validator }) => validator),
      ['elsewhere', 'gone', 'has', 'lags', 'went with it'],
    )
  })

  test('those not seen are forgotten, and those seen least lately when there are too many', async () => {
    const { fleet } = given()
    await fleet.note(Array.from({ length: 20 }, (_, n) => note(`v${String(n).padStart(2, '0')}`, { seenMs: NOW_MS + n })))
    assert.equal(await fleet.forget(NOW_MS + 5, 100), 5)
    assert.equal(await fleet.forget(NOW_MS + 5, 12), 3)
    assert.deepEqual((await fleet.list({ limit: 50 })).map(({ validator }) => validator).sort()[0], 'v08')
    assert.equal((await fleet.list({ limit: 50 })).length, 12)
  })

  test('nodes that note the same validators at once all succeed', async () => {
    const { fleet } = given()
    const names = Array.from({ length: 50 }, (_, n) => `v${n}`)
    const all = Array.from({ length: 10 }, (_, n) =>
      names.toSorted(() => (n % 2) - 0.5).map((name) => note(name, { applied: n, seenMs: NOW_MS + n })),
    )
    await Promise.all(all.map((notes) => fleet.note(notes)))
    const found = await fleet.list({ limit: 100 })
    assert.equal(found.length, 50)
    assert.ok(found.every(({ applied }) => applied === 9))
  })
}
