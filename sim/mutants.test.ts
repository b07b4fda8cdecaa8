/** The simulation finds deliberate defects: one that it cannot find says that it would not see the same mistake in the product. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MUTANTS } from './mutants.ts'
import { type Outcome, simulate } from './simulate.ts'

const SEEDS = 1000
/** Time for all of them together. A defect that was not found by then has not been found. */
const SECONDS = 300
const CRASHES = ['no request ends in a bug', 'nothing throws by itself']

describe('the simulation finds', () => {
  const end = performance.now() + SECONDS * 1000
  for (const { name, tampering, seed } of MUTANTS) {
    it(`that ${name}`, async (t) => {
      let found: Outcome | undefined
      let tried = 0
      // The seed that found it before comes first; when the product has changed since, the search begins anew.
      for (const next of [seed, ...Array.from({ length: SEEDS - 1 }, (_, index) => index + 1)]) {
        tried++
        const outcome = await simulate(next, { tampering })
        // A crash is no find: then something else is broken.
        if (outcome.violations.length > 0 && outcome.violations.every(({ invariant }) => !CRASHES.includes(invariant)))
          found = outcome
        if (found !== undefined || performance.now() > end) break
      }
      assert.ok(found, `not found in ${tried} seeds`)
      t.diagnostic(`seed ${found.seed}, ${tried} tried: ${found.violations[0]?.invariant}`)
    })
  }
})
