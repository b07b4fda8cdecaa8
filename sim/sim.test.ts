/** Simulated worlds keep every promise, and the same seed is the same world. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { simulateSeeds } from './seeds.ts'
import { type Outcome, simulate } from './simulate.ts'

/** So many worlds, or as many as fit in the time on a machine that is busy with other things; never fewer than `LEAST`. */
const WORLDS = 1000
const LEAST = 200
const SECONDS = 280

describe('simulated worlds', () => {
  it('keep every promise under faults', async (t) => {
    const end = performance.now() + SECONDS * 1000
    let seen = 0
    const each = ({ seed, violations, story }: Outcome) => {
      const broken = violations.map(({ invariant, detail }) => `${invariant}: ${detail}`)
      assert.deepEqual(broken, [], `npm run sim -- --seed ${seed} --story\n${story.join('\n')}`)
      return ++seen < LEAST || performance.now() < end
    }
    const worlds = await simulateSeeds({ first: 1, count: WORLDS, each })
    t.diagnostic(`${worlds} worlds`)
  })

  it('are the same for the same seed, and others for others', async () => {
    const first = await simulate(7)
    const again = await simulate(7)
    assert.deepEqual([again.digest, again.events, again.judged], [first.digest, first.events, first.judged])
    assert.deepEqual(again.story, first.story)
    assert.notEqual((await simulate(8)).digest, first.digest)
  })

  it('see enough: tokens, revocations and verdicts in every one', async () => {
    const { tokens, revocations, judged } = await simulate(1)
    assert.ok(tokens > 10 && revocations > 5 && judged > 500, `${tokens} tokens, ${revocations} revocations, ${judged} verdicts`)
  })
})
