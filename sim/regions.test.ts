/** Simulated worlds of two regions keep every promise, the same seed is the same world, and deliberate defects between regions are found. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { REGION_MUTANTS } from './region-mutants.ts'
import { simulateSeeds } from './seeds.ts'
import type { Outcome } from './simulate.ts'
import { simulateRegions } from './simulate-regions.ts'

/** So many worlds, or as many as fit in the time on a machine that is busy with other things; never fewer than `LEAST`. */
const WORLDS = 20
const LEAST = 10
const SECONDS = 25

describe('simulated worlds of two regions', () => {
  it('keep every promise under faults', async (t) => {
    const end = performance.now() + SECONDS * 1000
    let seen = 0
    const each = ({ seed, violations, story }: Outcome) => {
      const broken = violations.map(({ invariant, detail }) => `${invariant}: ${detail}`)
      assert.deepEqual(broken, [], `npm run sim -- --regions --seed ${seed} --story\n${story.join('\n')}`)
      return ++seen < LEAST || performance.now() < end
    }
    const worlds = await simulateSeeds({ first: 1, count: WORLDS, task: { regions: true }, each })
    t.diagnostic(`${worlds} worlds`)
  })

  it('are the same for the same seed', async () => {
    const first = await simulateRegions(7)
    const again = await simulateRegions(7)
    assert.deepEqual([again.digest, again.events, again.judged], [first.digest, first.events, first.judged])
  })

  for (const { name, tampering, seed } of REGION_MUTANTS) {
    it(`show that ${name}`, async (t) => {
      let found: Outcome | undefined
      for (let next = seed; found === undefined && next < seed + 10; next++) {
        const outcome = await simulateRegions(next, { tampering })
        if (outcome.violations.length > 0) found = outcome
      }
      assert.ok(found, 'not found')
      t.diagnostic(`seed ${found.seed}: ${found.violations[0]?.invariant}`)
    })
  }
})
