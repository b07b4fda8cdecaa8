/** One of the processes of seeds.ts: simulates what it is told, one world at a time, and ends with its parent. */
import { mutantNamed } from './mutants.ts'
import type { Task } from './seeds.ts'
import { simulate } from './simulate.ts'

process.on('disconnect', () => process.exit())
process.on('message', async ({ seed, mutant, ...options }: Task) => {
  const defect = mutant === undefined ? {} : { tampering: mutantNamed(mutant).tampering }
  process.send?.(await simulate(seed, { ...options, ...defect }))
})
