/**
 * `npm run bench [-- --quick] [--only NAME …]`: measures Signet beside its peers and writes `bench/out/latest.json`. Figures of different
 * runs do not compare; the ratios of one run do.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readFlags, refuseUsage } from '../tools/flags.ts'
import { FULL, isMet, type Pace, QUICK, type Row } from './benchmark.ts'
import { BENCHMARKS, type BenchmarkName } from './benchmarks.ts'
import { startChild } from './child.ts'
import { describeMachine, machineLines } from './machine.ts'
import { printRows, toJson } from './report.ts'
import type { OneAnswers } from './run-one.ts'

const USAGE = `Usage: npm run bench -- [--quick] [--only NAME]…

  --quick      short rounds, for a look: about two minutes instead of ten
  --only NAME  this benchmark alone; may be given several times

${Object.entries(BENCHMARKS)
  .map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`)
  .join('\n')}
`
const PEERS = ['jose', 'fast-jwt', 'oidc-provider']

process.exitCode = await main()

async function main(): Promise<number> {
  const { values } = readFlags(USAGE, {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
  })
  const unknown = values.only.filter((name) => !(name in BENCHMARKS))
  if (unknown.length > 0) refuseUsage(`There is no benchmark "${unknown.join('", "')}"`)
  const names = (Object.keys(BENCHMARKS) as BenchmarkName[]).filter((name) =>
    values.only.length === 0 ? !('apart' in BENCHMARKS[name]) : values.only.includes(name),
  )
  return measure(names, values.quick ? QUICK : FULL)
}

/** The exit code: 1 when a benchmark broke down. A target that was missed is told, but is no error: machines differ. */
async function measure(names: readonly BenchmarkName[], pace: Pace): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'signet-bench-'))
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  const began = performance.now()
  const rows: Row[] = []
  let broken = 0
  const machine = describeMachine(scratch, PEERS)
  for (const line of machineLines(machine)) console.log(line)
  for (const name of names) {
    console.log(`\n${name}: ${BENCHMARKS[name].about}`)
    try {
      const found = await runOne(name, pace, scratch)
      printRows(found)
      rows.push(...found)
    } catch (error) {
      broken++
      console.log(`  broke down: ${(error as Error).message}`)
    }
  }
  const out = fileURLToPath(new URL('out/', import.meta.url))
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'latest.json'), toJson(rows))
  writeFileSync(join(out, 'machine.json'), `${JSON.stringify({ ...machine, quick: pace.quick }, undefined, 2)}\n`)
  const judged = rows.map(isMet).filter((met) => met !== undefined)
  const minutes = ((performance.now() - began) / 60_000).toFixed(1)
  console.log(
    `\n${judged.filter((met) => met).length} of ${judged.length} targets met, in ${minutes} minutes; bench/out/latest.json has the rows`,
  )
  return broken === 0 && rows.length > 0 ? 0 : 1
}

/** Each in a process of its own, so that none measures the garbage of another. */
async function runOne(name: BenchmarkName, pace: Pace, scratch: string): Promise<readonly Row[]> {
  const file = fileURLToPath(new URL('run-one.ts', import.meta.url))
  const child = await startChild<OneAnswers>(file, [], { execArgv: ['--expose-gc'] })
  try {
    return await child.ask('run', { name, pace, scratch })
  } finally {
    await child.stop()
  }
}
