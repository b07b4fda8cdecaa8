import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { GONE_AFTER_MS } from '../../revocation/fleet.ts'
import { type AdminWorld, startAdminWorld } from './admin.testkit.ts'

describe('the fleet', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
  })
  after(() => world.authority.close())

  test('tells how stale a validator is as long as it is heard of: of one that is gone nobody knows', async () => {
    const { store } = world.authority
    const [{ epoch, seq }, nowMs] = await Promise.all([store.revocations.head(), store.now()])
    const about = { client: 'orders', epoch, applied: seq, steps: [], version: '1', stalenessMs: 40 }
    await store.fleet.note([
      { ...about, validator: 'here', seenMs: nowMs },
      { ...about, validator: 'silent', seenMs: nowMs - GONE_AFTER_MS - 1 },
    ])
    const { items } = await world.admin.call('listFleet')
    assert.deepEqual(
      items.map(({ id, state, staleness_ms }) => [id, state, staleness_ms]),
      [
        ['here', 'applied', 40],
        ['silent', 'gone', null],
      ],
    )
  })
})
