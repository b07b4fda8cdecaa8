/**
 * `npm run sim -- [--seed N] [--seeds M]`: simulates M worlds from seed N on and stops at the first that breaks a promise,
 * whose story it prints. `--lines` says how much of it, `--story` prints it anyway, `--keep` goes on after a failure. `--mutant` puts a
 * defect in, by a part of its name (mutants.ts); `--faults a,b` allows only faults with these words in theirs. The same seed is the same world.
 */
import { parseArgs } from 'node:util'
import { MUTANTS } from './mutants.ts'
import { simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    lines: { type: 'string', default: '60' },
    story: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    faults: { type: 'string' },
  },
})

const { mutant: part } = values
const mutant = part === undefined ? undefined : MUTANTS.find(({ name }) => name.includes(part))
if (part !== undefined && mutant === undefined) throw new Error(`no mutant is called "${part}"`)
const first = Number(values.seed)
const began = performance.now()
let failures = 0
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const outcome = await simulate(seed, {
    lines: Number(values.lines),
    ...(mutant && { tampering: mutant.tampering }),
    ...(values.faults !== undefined && { faults: values.faults.split(',') }),
  })
  const { events, tokens, revocations, judged, digest, violations, story } = outcome
  if (violations.length > 0 || values.story) {
    console.log(story.join('\n'))
    for (const { invariant, detail } of violations) console.log(`✖ seed ${seed}: ${invariant}: ${detail}`)
  }
  if (violations.length > 0) {
    failures++
    console.log(`\nAgain: npm run sim -- --seed ${seed} --story`)
    if (!values.keep) break
  }
  if (Number(values.seeds) <= 20)
    console.log(`seed ${seed}: ${events} events, ${tokens} tokens, ${revocations} revocations, ${judged} verdicts, ${digest}`)
}
console.log(`${values.seeds} seeds, ${failures} broke a promise, ${((performance.now() - began) / 1000).toFixed(1)} s`)
process.exitCode = failures > 0 ? 1 : 0
