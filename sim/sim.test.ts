/** Simulated worlds keep every promise, and the same seed is the same world. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { simulate } from './simulate.ts'

/** So many worlds, or as many as fit in the time on a machine that is busy with other things; never fewer than `LEAST`. */
const WORLDS = 50
const LEAST = 10
const SECONDS = 25

describe('simulated worlds', () => {
  it('keep every promise under faults', async (t) => {
    const end = performance.now() + SECONDS * 1000
    let seed = 1
    for (; seed <= WORLDS && (seed <= LEAST || performance.now() < end); seed++) {
      const { violations, story } = await simulate(seed)
      const broken = violations.map(({ invariant, detail }) => `${invariant}: ${detail}`)
      assert.deepEqual(broken, [], `npm run sim -- --seed ${seed} --story\n${story.join('\n')}`)
    }
    t.diagnostic(`${seed - 1} worlds`)
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
