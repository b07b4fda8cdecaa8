/** What it takes to be there: the memory of a fresh authority, what a validator adds to the service it lives in, and the time to be ready. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../packages/cli/start/free-port.ts'
import { type StartedProcess, startProcess } from '../packages/cli/start/process.ts'
import { type Benchmark, oursAtMost } from './benchmark.ts'
import { startChild } from './child.ts'
import type { HostAnswers } from './host-process.ts'
import { median } from './rounds.ts'

const MEBIBYTE = 2 ** 20

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const port = await freePort()
  const config = join(scratch, 'signet.json')
  writeFileSync(config, JSON.stringify({ policy: { feedOpen: true } }))
  const start = () =>
    startProcess('authority', 'packages/authority/main.ts', [
      ...['--config', config, '--listen', `127.0.0.1:${port}`, '--state', join(scratch, 'state'), '--log-level', 'error'],
    ])
  const fresh = await start()
  const idle = await settledRss(fresh)
  const validatorBytes = await validatorMemory(`http://localhost:${port}`)
  await fresh.stop()
  const readyMs: number[] = []
  for (let round = 0; round < pace.rounds; round++) {
    const began = performance.now()
    const again = await start()
    readyMs.push(performance.now() - began)
    await again.stop()
  }
  return [
    { name: 'M1 memory of a fresh authority', ours: idle / MEBIBYTE, target: oursAtMost(120), unit: 'MiB', rounds: 1 },
    {
      name: 'M1 memory a validator adds to its host',
      ours: validatorBytes / MEBIBYTE,
      target: oursAtMost(15),
      unit: 'MiB',
      rounds: 1,
    },
    {
      name: 'M2 time until an authority on an existing store is ready',
      ours: median(readyMs),
      target: oursAtMost(1000),
      unit: 'ms',
      rounds: pace.rounds,
      note: 'from starting the process, Node included',
    },
  ]
}

/** Resident bytes once start-up is over and the garbage of it has had time to go. */
async function settledRss({ pid }: StartedProcess): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024
}

const SETTLE_MS = 3000

/** The same service with and without a validator, each in a process of its own. */
async function validatorMemory(issuer: string): Promise<number> {
  const file = fileURLToPath(new URL('host-process.ts', import.meta.url))
  const measure = async (...args: string[]) => {
    const host = await startChild<HostAnswers>(file, args, { execArgv: ['--expose-gc'] })
    const bytes = await host.ask('rss')
    await host.stop()
    return bytes
  }
  return (await measure(issuer)) - (await measure())
}
