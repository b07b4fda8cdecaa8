/** One of the processes of seeds.ts: simulates what it is told, one world at a time, and ends with its parent. */
import { MUTANTS, mutantNamed } from './mutants.ts'
import { REGION_MUTANTS } from './region-mutants.ts'
import type { Task } from './seeds.ts'
import { simulate } from './simulate.ts'
import { simulateRegions } from './simulate-regions.ts'

process.on('disconnect', () => process.exit())
process.on('message', async ({ seed, regions, mutant, ...options }: Task) => {
  const defect = mutant === undefined ? {} : { tampering: mutantNamed(mutant, regions ? REGION_MUTANTS : MUTANTS).tampering }
  process.send?.(await (regions ? simulateRegions : simulate)(seed, { ...options, ...defect }))
})
