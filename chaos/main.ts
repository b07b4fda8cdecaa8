/**
 * `npm run chaos`: real processes, real databases, real faults, and an independent checker (docs/reliability.md). The exit code is 1 when a promise
 * was broken.
 */
import { styleText } from 'node:util'
import { providePrograms } from '../tools/debian.ts'
import { readFlags, refuseUsage } from '../tools/flags.ts'
import type { Engine } from './cluster.ts'
import { FAULTS } from './faults/faults.ts'
import { quantile } from './figures.ts'
import { type Janitor, startJanitor } from './janitor.ts'
import { keep, writeReport } from './report.ts'
import { type RunResult, runFaults } from './run.ts'
import { type SoakResult, soak } from './soak.ts'

const USAGE = `Usage: npm run chaos -- [flags]

  --list                     the faults there are
  --fault NAME               this one alone; may be given several times
  --store sqlite|postgres    on this store alone
  --rounds N                 of each fault; default 20
  --soak MINUTES             instead of faults: 50 validators, 200 revocations a second, with the bus and then without
  --report                   write what was found, now and by earlier runs here, into docs/reliability.md;
                             alone: every fault, then a soak of 10 minutes with the bus and 1 without, then the report
`

const { values: flags } = readFlags(USAGE, {
  list: { type: 'boolean', default: false },
  fault: { type: 'string', multiple: true, default: [] },
  store: { type: 'string' },
  rounds: { type: 'string' },
  soak: { type: 'string' },
  report: { type: 'boolean', default: false },
})
const VALIDATORS = 5
const ROUNDS = 20
/** Without the bus a soak shows its worst within seconds. */
const SOAK_MINUTES = { withBus: 10, without: 1 }

process.exitCode = await main()

async function main(): Promise<number> {
  const unknown = flags.fault.filter((name) => !FAULTS.some((fault) => fault.name === name))
  if (unknown.length > 0) refuseUsage(`There is no fault "${unknown.join('", "')}"; --list shows them`)
  if (![undefined, 'sqlite', 'postgres'].includes(flags.store))
    refuseUsage(`--store takes sqlite or postgres, not "${flags.store}"`)
  for (const name of ['rounds', 'soak'] as const)
    if (flags[name] !== undefined && !(Number(flags[name]) > 0))
      refuseUsage(`--${name} takes a number above 0, not "${flags[name]}"`)
  const { paths } = await providePrograms(['SIGNET_NATS_SERVER', 'SIGNET_FAKETIME'])
  Object.assign(process.env, paths)
  if (flags.list) {
    for (const { name, about, engines, missing } of FAULTS) {
      const why = missing?.()
      console.log(`${name.padEnd(24)} ${engines.join(', ').padEnd(18)} ${about}${why === undefined ? '' : ` (not here: ${why})`}`)
    }
    return 0
  }
  const janitor = startJanitor()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130)) // The janitor clears up.
  const isAll =
    flags.report &&
    flags.fault.length === 0 &&
    flags.store === undefined &&
    flags.soak === undefined &&
    flags.rounds === undefined
  try {
    const results = flags.soak === undefined ? await breakThings(janitor) : []
    const soaks =
      flags.soak !== undefined
        ? await soakBoth(janitor, Number(flags.soak), Number(flags.soak))
        : isAll
          ? await soakBoth(janitor, SOAK_MINUTES.withBus, SOAK_MINUTES.without)
          : []
    if (flags.report) writeReport()
    return results.some(({ breaches }) => breaches.length > 0) || soaks.some(({ lost }) => lost > 0) ? 1 : 0
  } finally {
    await janitor.close()
  }
}

/** The stores side by side: most of a round is waiting. */
async function breakThings(janitor: Janitor): Promise<readonly RunResult[]> {
  const engines = (['postgres', 'sqlite'] as const).filter((engine) => flags.store === undefined || flags.store === engine)
  return (await Promise.all(engines.map((engine) => breakStore(engine, janitor)))).flat()
}

async function breakStore(engine: Engine, janitor: Janitor): Promise<readonly RunResult[]> {
  const results: RunResult[] = []
  for (const fault of FAULTS) {
    if (!fault.engines.includes(engine) || (flags.fault.length > 0 && !flags.fault.includes(fault.name))) continue
    const why = fault.missing?.()
    if (why !== undefined) {
      console.log(`${styleText('yellow', '–')} ${fault.name} on ${engine}: not here, ${why}`)
      continue
    }
    const result = await runOne(fault.name, engine, janitor)
    results.push(result)
    keep([result], [])
    tell(result)
  }
  return results
}

function runOne(name: string, engine: Engine, janitor: Janitor): Promise<RunResult> {
  const faults = FAULTS.filter((fault) => fault.name === name)
  return runFaults({ name, faults, engine, rounds: Number(flags.rounds ?? ROUNDS), validators: VALIDATORS, janitor })
}

async function soakBoth(janitor: Janitor, withBus: number, without: number): Promise<readonly SoakResult[]> {
  const results: SoakResult[] = []
  for (const [minutes, bus] of [
    [withBus, true],
    [without, false],
  ] as const) {
    const result = await soak(minutes, bus, janitor)
    results.push(result)
    keep([], [result])
    const { validators, revocations, failed, p50, p99, most, lost } = result
    console.log(
      `${lost === 0 ? styleText('green', '✔') : styleText('red', '✖')} ${validators} validators, ${revocations} revocations in ${minutes} min ${bus ? 'with' : 'without'} the bus: ` +
        `acknowledgment to last accept p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, at most ${most.toFixed(1)} ms; ${failed} were told to try again, ${lost} lost`,
    )
  }
  return results
}

function tell({ fault, engine, rounds, breaches, figures, history }: RunResult): void {
  const mark = breaches.length === 0 ? styleText('green', '✔') : styleText('red', '✖')
  const well = figures.rounds.map(({ wellMs }) => wellMs)
  const failing = figures.rounds.map(({ errorsMs }) => errorsMs)
  console.log(
    `${mark} ${fault} on ${engine}: ${rounds} rounds, ${breaches.length} breaches; ${figures.errors} of ${figures.requests} requests failed, ` +
      `up to ${Math.round(Math.max(0, ...failing))} ms after the fault; well ${Math.round(quantile(well, 0.5))} ms after its end, ` +
      `${Math.round(Math.max(0, ...well))} ms at most; ${figures.revocations} revocations, ${figures.verdicts} verdicts`,
  )
  for (const { promise, at, detail } of breaches) console.log(`    ${(at / 1000).toFixed(3)} s  ${promise}: ${detail}`)
  if (history !== undefined) console.log(`    history and logs: ${history}`)
}
