/** One round of each of a dozen faults, on both stores (docs/reliability.md); `npm run chaos` does twenty of all. SIGNET_NATS_SERVER, SIGNET_FAKETIME. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import type { Engine } from '../chaos/cluster.ts'
import type { Fault } from '../chaos/faults/fault.ts'
import { FAULTS } from '../chaos/faults/faults.ts'
import { runFaults } from '../chaos/run.ts'
import { unavailable } from './world.ts'

const FEW: Readonly<Record<Engine, readonly string[]>> = {
  sqlite: ['node-kill', 'node-pause', 'validator-kill', 'disk-full', 'partition-validator', 'restore-backup'],
  postgres: [
    'node-kill',
    'node-pause',
    'database-kill',
    'clock-beyond',
    'partition-node-store',
    'bus-wipe',
    'partition-validator',
    'failover-cancelled-wait',
    'rolling-upgrade',
  ],
}

for (const engine of ['sqlite', 'postgres'] satisfies Engine[]) {
  const why = await unavailable(engine)
  describe(`a cluster on ${engine}`, { skip: why ?? false }, () => {
    const wanted = FAULTS.filter(({ name, engines }) => FEW[engine].includes(name) && engines.includes(engine))
    const faults = wanted.filter(({ missing }) => missing?.() === undefined)
    for (const { name, missing } of wanted) if (missing?.() !== undefined) it(name, { skip: missing() }, () => {})

    it(`keeps its promises through ${faults.map(({ name }) => name).join(', ')}`, async () => {
      const { breaches, failures, figures } = await runFaults({
        name: 'smoke',
        faults,
        engine,
        rounds: faults.length,
        validators: 3,
        wellWithinMs: PATIENCE_MS,
      })
      assert.deepEqual({ breaches, failures }, { breaches: [], failures: [] })
      assert.ok(figures.revocations > faults.length && figures.requests > 50 && figures.verdicts > 500, JSON.stringify(figures))
    })
  })
}

describe('the harness', () => {
  it('loses the round in which it fails, and goes on with another cluster', async () => {
    const about = { about: '', engines: ['sqlite'], lastsMs: [0, 0] } as const
    const inject = (_: unknown, round: number) => {
      if (round === 0) throw new Error('out of order')
    }
    const fault: Fault = { ...about, name: 'clumsy', inject, heal() {} }
    const result = await runFaults({ name: 'clumsy', faults: [fault], engine: 'sqlite', rounds: 2, validators: 1 })
    const { rounds, breaches, failures, histories } = result
    assert.deepEqual(
      { rounds, breaches, failures },
      { rounds: 1, breaches: [], failures: [{ round: 0, reason: 'out of order' }] },
    )
    assert.equal(histories.length, 1)
    for (const history of histories) await rm(history, { recursive: true })
  })
})
