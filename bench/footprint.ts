/** What it takes to be there: the memory of a fresh authority, what a validator adds to the service it lives in, and the time to be ready. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@signet/testkit/free-port.ts'
import { type StartedProcess, startProcess } from '../packages/cli/start/process.ts'
import { build } from '../tools/build.ts'
import { type Benchmark, oursAtMost } from './benchmark.ts'
import { startChild } from './child.ts'
import type { HostAnswers } from './host-process.ts'
import { median } from './rounds.ts'

const MEBIBYTE = 2 ** 20

/** As an image has it, and as a clone has it from its second start on, when what was compiled has been kept. */
const FORMS = {
  built: { authority: 'bench/out/dist/packages/authority/main.js', validator: 'out/dist/packages/validator/index.js' },
  source: { authority: 'packages/authority/main.ts', validator: '../packages/validator/index.ts' },
} as const
type Form = (typeof FORMS)[keyof typeof FORMS]

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  build(fileURLToPath(new URL('out/dist', import.meta.url))) // In the repository, whose node_modules it needs.
  const port = await freePort()
  const config = join(scratch, 'signet.json')
  writeFileSync(config, JSON.stringify({ policy: { feedOpen: true } }))
  const start = ({ authority }: Form) =>
    startProcess('authority', authority, [
      ...['--config', config, '--listen', `127.0.0.1:${port}`, '--state', join(scratch, 'state'), '--log-level', 'error'],
    ])
  const measure = async (form: Form) => {
    await (await start(form)).stop() // The store is there now, and what was compiled is kept.
    const fresh = await start(form)
    const idle = await settledRss(fresh)
    await validatorMemory(`http://localhost:${port}`, form)
    const validator = await validatorMemory(`http://localhost:${port}`, form)
    await fresh.stop()
    const readyMs: number[] = []
    for (let round = 0; round < pace.rounds; round++) {
      const began = performance.now()
      const again = await start(form)
      readyMs.push(performance.now() - began)
      await again.stop()
    }
    return { idle: idle / MEBIBYTE, validator: validator / MEBIBYTE, readyMs: median(readyMs) }
  }
  const built = await measure(FORMS.built)
  const source = await measure(FORMS.source)
  const memory = { unit: 'MiB', rounds: 1 }
  const ready = { unit: 'ms', rounds: pace.rounds, note: 'from starting the process, Node included' }
  return [
    { name: 'M1 memory of a fresh authority, built', ours: built.idle, target: oursAtMost(120), ...memory },
    { name: 'M1 memory a validator adds to its host, built', ours: built.validator, target: oursAtMost(15), ...memory },
    {
      name: 'M2 time until an authority on an existing store is ready, built',
      ours: built.readyMs,
      target: oursAtMost(1000),
      ...ready,
    },
    { name: 'M1 memory of a fresh authority, from source', ours: source.idle, target: oursAtMost(120), ...memory },
    { name: 'M1 memory a validator adds to its host, from source', ours: source.validator, target: oursAtMost(15), ...memory },
    {
      name: 'M2 time until an authority on an existing store is ready, from source',
      ours: source.readyMs,
      target: oursAtMost(1000),
      ...ready,
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
async function validatorMemory(issuer: string, { validator }: Form): Promise<number> {
  const file = fileURLToPath(new URL('host-process.ts', import.meta.url))
  const measure = async (...args: string[]) => {
    const host = await startChild<HostAnswers>(file, args, { execArgv: ['--expose-gc'] })
    const bytes = await host.ask('rss')
    await host.stop()
    return bytes
  }
  return (await measure(issuer, new URL(validator, import.meta.url).href)) - (await measure())
}
