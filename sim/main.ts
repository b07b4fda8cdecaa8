/** `npm run sim`: simulated worlds, one for each seed. The same seed is the same world (docs/simulation.md). */
import { availableParallelism } from 'node:os'
import { readFlags, refuseUsage } from '../tools/flags.ts'
import { MUTANTS } from './mutants.ts'
import { REGION_MUTANTS } from './region-mutants.ts'
import { simulateSeeds } from './seeds.ts'
import type { Outcome } from './simulate.ts'

const USAGE = `Usage: npm run sim -- [flags]

Simulates worlds and stops at the first that breaks a promise, whose story it prints. The same seed is the same world.

  --regions       worlds of two regions; their seeds are others
  --seed N        the first world; default 1
  --seeds M       how many, from there on; default 1
  --jobs N        how many at once; default one for each core
  --story         print the story of every world
  --lines N       how many of its last lines; default 60
  --keep          go on after a failure
  --faults A,B    only faults with these words in their names
  --mutant NAME   put this defect in, by a part of its name: the promises must notice
`

const { values } = readFlags(USAGE, {
  regions: { type: 'boolean', default: false },
  seed: { type: 'string', default: '1' },
  seeds: { type: 'string', default: '1' },
  jobs: { type: 'string', default: String(availableParallelism()) },
  lines: { type: 'string', default: '60' },
  story: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  mutant: { type: 'string' },
  faults: { type: 'string' },
})

const [first, count, jobs, lines] = (['seed', 'seeds', 'jobs', 'lines'] as const).map(wholeNumber) as [
  number,
  number,
  number,
  number,
]
const mutant = values.mutant === undefined ? undefined : mutantNamed(values.mutant)
const began = performance.now()
let failures = 0
let toldAt = began
let seen = 0

const task = {
  lines,
  ...(values.regions && { regions: true }),
  ...(mutant && { mutant }),
  ...(values.faults !== undefined && { faults: values.faults.split(',') }),
}
const done = await simulateSeeds({ first, count, jobs, task, each: tell })
console.log(`${done} seeds, ${failures} broke a promise, ${((performance.now() - began) / 1000).toFixed(1)} s`)
process.exitCode = failures > 0 ? 1 : 0

function mutantNamed(part: string): string {
  const among = values.regions ? REGION_MUTANTS : MUTANTS
  const mutant = among.find(({ name }) => name.includes(part))
  return mutant?.name ?? refuseUsage(`no mutant is called "${part}"; there are: ${among.map(({ name }) => name).join(', ')}`)
}

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
    console.log(`\nAgain: npm run sim -- ${values.regions ? '--regions ' : ''}--seed ${seed} --story`)
  }
  if (count <= 20)
    console.log(`seed ${seed}: ${events} events, ${tokens} tokens, ${revocations} revocations, ${judged} verdicts, ${digest}`)
  if (performance.now() - toldAt > 10_000) {
    toldAt = performance.now()
    console.log(`${seen} of ${count} …`)
  }
  return violations.length === 0 || values.keep
}

function wholeNumber(flag: 'seed' | 'seeds' | 'jobs' | 'lines'): number {
  const text = values[flag]
  if (!/^[1-9]\d{0,8}$/.test(text)) refuseUsage(`--${flag} takes a whole number above 0, not "${text}"`)
  return Number(text)
}
