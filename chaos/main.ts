/**
 * `npm run chaos`: real processes, real databases, real faults, and an independent checker (docs/reliability.md). The exit code is 1 when a promise
 * was broken, or when the harness failed somewhere.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { styleText } from 'node:util'
import { providePrograms } from '../tools/debian.ts'
import { readFlags, refuseUsage } from '../tools/flags.ts'
import { FAULTS } from './faults/faults.ts'
import { quantile } from './figures.ts'
import type { Order } from './pair-process.ts'
import { LANES, makePlan, type Pair, type Plan } from './plan.ts'
import { forgetAll, isMeasured, keep, writeReport } from './report.ts'
import { type RunResult, reasonOf } from './run.ts'
import { type SoakResult, soak } from './soak.ts'
import { within } from './within.ts'

const USAGE = `Usage: npm run chaos -- [flags]

  --list                     the faults there are
  --fault NAME               this one alone; may be given several times
  --store sqlite|postgres    on this store alone
  --rounds N                 of each fault; default 20
  --minutes N                all of it within about so long, with fewer rounds if need be, of each fault the same number
  --keep                     histories and logs also of what went well
  --soak MINUTES             instead of faults: 50 validators, 200 revocations a second, with the bus and then without
  --report                   write what was found, now and by earlier runs here, into docs/reliability.md, after each fault;
                             alone: anew every fault, then a soak of 10 minutes with the bus and one without
  --resume                   go on where a run with --report ended early: leave out what it has measured of this commit
`

const { values: flags } = readFlags(USAGE, {
  list: { type: 'boolean', default: false },
  fault: { type: 'string', multiple: true, default: [] },
  store: { type: 'string' },
  rounds: { type: 'string' },
  minutes: { type: 'string' },
  keep: { type: 'boolean', default: false },
  soak: { type: 'string' },
  report: { type: 'boolean', default: false },
  resume: { type: 'boolean', default: false },
})
const VALIDATORS = 5
const ROUNDS = 20
const SOAK_MINUTES = 10
/** Of the minutes of a run no more than this go to each of the two soaks. */
const SOAK_SHARE = 0.2
/** To set up what soaks. */
const AROUND_A_SOAK_MS = 30_000

/** No pair takes longer, whatever happens: for its cluster, and for each round. */
const CLUSTER_WITHIN_MS = 600_000
const ROUND_WITHIN_MS = 240_000

const began = performance.now()
/** What nobody was waiting for: the run goes on, and ends with a failure. */
const strays: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    strays.push(reasonOf(error))
    console.log(`${styleText('red', '!')} the harness: ${(error as Error)?.stack ?? error}`)
  })
}
process.exitCode = await main()
process.exit() // Whatever a step that was given up still waits for.

async function main(): Promise<number> {
  const unknown = flags.fault.filter((name) => !FAULTS.some((fault) => fault.name === name))
  if (unknown.length > 0) refuseUsage(`There is no fault "${unknown.join('", "')}"; --list shows them`)
  if (![undefined, 'sqlite', 'postgres'].includes(flags.store))
    refuseUsage(`--store takes sqlite or postgres, not "${flags.store}"`)
  for (const name of ['rounds', 'minutes', 'soak'] as const)
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
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130)) // The janitors clear up.
  const isAll =
    flags.report && flags.fault.length === 0 && [flags.store, flags.soak, flags.rounds].every((value) => value === undefined)
  if (isAll && !flags.resume) forgetAll()
  const soaks = soaksOf(isAll)
  const soaksMs = soaks.reduce((sum, { minutes }) => sum + minutes * 60_000 + AROUND_A_SOAK_MS, 0)
  const isWell = [...(flags.soak === undefined ? await breakThings(soaksMs) : []), ...(await soakAll(soaks))]
  return isWell.every(Boolean) && strays.length === 0 ? 0 : 1
}

function budgetMs(): number {
  return flags.minutes === undefined ? Infinity : Number(flags.minutes) * 60_000
}

function soaksOf(isAll: boolean): readonly { readonly minutes: number; readonly bus: boolean }[] {
  if (!isAll && flags.soak === undefined) return []
  const minutes = flags.soak === undefined ? Math.min(SOAK_MINUTES, (budgetMs() / 60_000) * SOAK_SHARE) : Number(flags.soak)
  return [
    { minutes, bus: true },
    { minutes, bus: false },
  ].filter(({ bus }) => !(flags.resume && isMeasured({ bus })))
}

/** Whether each pair was without a breach and the harness without a failure. `reservedMs` of the run's time are for what follows. */
async function breakThings(reservedMs: number): Promise<readonly boolean[]> {
  const rounds = Number(flags.rounds ?? ROUNDS)
  const pairs = pairsOf()
  const plan = makePlan(pairs, rounds, budgetMs() - (performance.now() - began) - reservedMs)
  const isWell: boolean[] = []
  const lane = async () => {
    for (let share = plan.next(); share !== undefined; share = plan.next()) {
      const { pair, rounds, untilMs } = share
      const { fault, engine } = pair
      const until = untilMs === Infinity ? {} : { leftMs: Math.max(0, untilMs - performance.now()) }
      const order: Order = { fault: fault.name, engine, rounds, validators: VALIDATORS, keep: flags.keep, ...until }
      const result = await carriedOut(order).catch((error: unknown) => nothingOf(order, reasonOf(error)))
      plan.done(pair)
      isWell.push(result.breaches.length === 0 && result.failures.length === 0)
      keep([result], [])
      if (flags.report) writeReport()
      tell(result)
      progress(isWell.length, pairs.length, plan, reservedMs)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return isWell
}

async function carriedOut(order: Order): Promise<RunResult> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'pair-process.ts'), JSON.stringify(order)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.on('error', () => {}) // It has ended.
  try {
    const bound = CLUSTER_WITHIN_MS + order.rounds * ROUND_WITHIN_MS
    return (await within(bound, `for ${order.fault} on ${order.engine}`, json(child.stdout))) as RunResult
  } finally {
    child.kill('SIGKILL') // Its janitor clears up what it leaves.
  }
}

function nothingOf({ fault, engine }: Order, reason: string): RunResult {
  const figures = { rounds: [], requests: 0, errors: 0, revocations: 0, verdicts: 0, startMs: [] }
  const tookMs = { setUp: 0, rounds: 0, end: 0 }
  return { fault, engine, rounds: 0, breaches: [], figures, failures: [{ round: 0, reason }], histories: [], tookMs }
}

function pairsOf(): readonly Pair[] {
  const pairs: Pair[] = []
  for (const fault of FAULTS) {
    if (flags.fault.length > 0 && !flags.fault.includes(fault.name)) continue
    const why = fault.missing?.()
    if (why !== undefined) console.log(`${styleText('yellow', '–')} ${fault.name}: not here, ${why}`)
    else for (const engine of fault.engines) pairs.push({ fault, engine })
  }
  return pairs
    .filter(({ engine }) => flags.store === undefined || flags.store === engine)
    .filter(({ fault, engine }) => !(flags.resume && isMeasured({ fault: fault.name, engine })))
}

async function soakAll(soaks: ReturnType<typeof soaksOf>): Promise<readonly boolean[]> {
  const isWell: boolean[] = []
  for (const { minutes, bus } of soaks) {
    const result = await soak(minutes, bus).catch((error: unknown) => reasonOf(error))
    isWell.push(typeof result !== 'string' && result.lost === 0)
    if (typeof result === 'string') {
      console.log(`${styleText('red', '!')} the harness failed in a soak ${bus ? 'with' : 'without'} the bus: ${result}`)
      continue
    }
    keep([], [result])
    if (flags.report) writeReport()
    tellSoak(result)
  }
  return isWell
}

function inMinutes(milliseconds: number): string {
  return `${(milliseconds / 60_000).toFixed(1)} min`
}

function progress(done: number, all: number, plan: Plan, reservedMs: number): void {
  const goneMs = performance.now() - began
  console.log(`  ${done} of ${all}, ${inMinutes(goneMs)} gone, about ${inMinutes(plan.leftMs() + reservedMs)} to go`)
}

function tell({ fault, engine, rounds, breaches, figures, failures, histories, tookMs }: RunResult): void {
  const mark = breaches.length === 0 && failures.length === 0 ? styleText('green', '✔') : styleText('red', '✖')
  const well = figures.rounds.map(({ wellMs }) => wellMs)
  const failing = figures.rounds.map(({ errorsMs }) => errorsMs)
  const seconds = (milliseconds: number) => (milliseconds / 1000).toFixed(1)
  console.log(
    `${mark} ${fault} on ${engine}: ${rounds} rounds, ${breaches.length} breaches; ${figures.errors} of ${figures.requests} requests failed, ` +
      `up to ${Math.round(Math.max(0, ...failing))} ms after the fault; well ${Math.round(quantile(well, 0.5))} ms after its end, ` +
      `${Math.round(Math.max(0, ...well))} ms at most; ${figures.revocations} revocations, ${figures.verdicts} verdicts; ` +
      `${seconds(tookMs.setUp)} s to set up, ${seconds(tookMs.rounds / Math.max(1, rounds))} s a round, ${seconds(tookMs.end)} s to end`,
  )
  for (const { promise, at, detail } of breaches) console.log(`    ${(at / 1000).toFixed(3)} s  ${promise}: ${detail}`)
  for (const { round, reason } of failures) console.log(`    the harness failed in round ${round}: ${reason}`)
  for (const history of histories) console.log(`    history and logs: ${history}`)
}

function tellSoak({ validators, revocations, minutes, bus, failed, p50, p99, most, lost }: SoakResult): void {
  console.log(
    `${lost === 0 ? styleText('green', '✔') : styleText('red', '✖')} ${validators} validators, ${revocations} revocations in ${Number(minutes.toFixed(1))} min ${bus ? 'with' : 'without'} the bus: ` +
      `acknowledgment to last accept p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, at most ${most.toFixed(1)} ms; ${failed} were told to try again, ${lost} lost`,
  )
}
