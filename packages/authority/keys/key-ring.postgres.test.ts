/** Nodes on one PostgreSQL: moves, a compromise and checkpoints at the same moment, with real concurrency. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { makeCheckpoint } from '../audit/checkpoint.ts'
import { auditReport } from '../audit/verify.ts'
import { defaultSettings } from '../policy/settings.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { realSurroundings } from '../surroundings.ts'
import { openKeyRing } from './key-ring.ts'
import { MasterKey } from './master-key.ts'

const postgres = await startPostgres()

test('nodes that tick, compromise and checkpoint at once agree on the keys, and the record stays sound', {
  skip: 'skip' in postgres ? postgres.skip : false,
}, async (t) => {
  if ('skip' in postgres) return
  t.after(() => postgres.stop())
  const surroundings = realSurroundings()
  const { clock, chance } = surroundings
  const url = await postgres.freshDatabase()
  const stores = await Promise.all([1, 2, 3].map(() => openPostgresStore({ url, surroundings })))
  const [first] = stores
  assert.ok(first)
  try {
    const master = new MasterKey(new Uint8Array(32), chance)
    const settings = { ...defaultSettings, keyActiveSeconds: 1, keyPublishSeconds: 0 }
    const rings = await Promise.all(stores.map((store) => openKeyRing({ store, master, clock, chance, settings })))
    // Three nodes made the first keys at once: one pair a purpose. Retired ones are there when that took longer than a key lives.
    const standing = (await first.keys.all()).filter(({ state }) => state === 'active' || state === 'next')
    assert.equal(new Set(standing.map(({ purpose, state }) => `${purpose} ${state}`)).size, 8)
    assert.equal(standing.length, 8)
    for (const compromised of [false, true, true]) {
      await wait(1001)
      const kid = rings[0]?.signer('token').id
      await Promise.all([
        ...rings.map((ring) => ring.tick()),
        compromised && kid !== undefined
          ? first.transact((tx) => rings[1]?.markCompromised(tx, kid) ?? Promise.resolve(false))
          : true,
        ...rings.map((keys, n) => makeCheckpoint({ store: stores[n] ?? first, keys, issuer: 'https://id.example', chance })),
      ])
      await Promise.all(rings.map((ring) => ring.tick()))
      await Promise.all(rings.map((ring) => ring.refresh()))
      for (const purpose of ['token', 'feed', 'audit'] as const) {
        assert.equal(new Set(rings.map((ring) => ring.signer(purpose).id)).size, 1)
        assert.equal(rings[0]?.records().filter((key) => key.purpose === purpose && key.state === 'active').length, 1)
      }
      if (compromised) assert.equal(rings[2]?.publicKey(kid ?? '')?.state, 'compromised')
    }
    const report = await auditReport(first.audit, rings[0] as (typeof rings)[number])
    assert.deepEqual(report.findings, [])
    assert.ok(report.checkpoints >= 3)
  } finally {
    await Promise.all(stores.map((store) => store.close()))
  }
})
