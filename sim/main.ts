/**
 * `npm run sim -- [--seed N] [--seeds M]`: simulates M worlds from seed N on, on all cores, and stops at the first that breaks a
 * promise, whose story it prints. `--lines` says how much of it, `--story` prints it anyway, `--keep` goes on after a failure,
 * `--jobs` says how many worlds at once. `--mutant` puts a defect in, by a part of its name (mutants.ts); `--faults a,b` allows only
 * faults with these words in theirs. The same seed is the same world.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { mutantNamed } from './mutants.ts'
import { simulateSeeds } from './seeds.ts'
import type { Outcome } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    lines: { type: 'string', default: '60' },
    story: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    faults: { type: 'string' },
  },
})

const [first, count, jobs, lines] = [values.seed, values.seeds, values.jobs, values.lines].map(wholeNumber) as [
  number,
  number,
  number,
  number,
]
const mutant = values.mutant === undefined ? undefined : mutantNamed(values.mutant).name
const began = performance.now()
let failures = 0
let toldAt = began
let seen = 0

const task = { lines, ...(mutant && { mutant }), ...(values.faults !== undefined && { faults: values.faults.split(',') }) }
const done = await simulateSeeds({ first, count, jobs, task, each: tell })
console.log(`${done} seeds, ${failures} broke a promise, ${((performance.now() - began) / 1000).toFixed(1)} s`)
process.exitCode = failures > 0 ? 1 : 0

/** Whether to go on. */
function tell(outcome: Outcome): boolean {
  const { seed, events, tokens, revocations, judged, digest, violations, story } = outcome
  seen++
  if (violations.length > 0 || values.story) {
    console.log(story.join('\n'))
    for (const { invariant, detail } of violations) console.log(`✖ seed ${seed}: ${invariant}: ${detail}`)
  }
  if (violations.length > 0) {
    failures++
    console.log(`\nAgain: npm run sim -- --seed ${seed} --story`)
  }
  if (count <= 20)
    console.log(`seed ${seed}: ${events} events, ${tokens} tokens, ${revocations} revocations, ${judged} verdicts, ${digest}`)
  if (performance.now() - toldAt > 10_000) {
    toldAt = performance.now()
    console.log(`${seen} of ${count} …`)
  }
  return violations.length === 0 || values.keep
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`"${text}" is not a whole number above 0`)
  return Number(text)
}
