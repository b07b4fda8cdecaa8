/** What the runs found: kept from run to run beside this file, and written into docs/reliability.md between its markers. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { PROMISES, type Promised } from './checker.ts'
import { FAULTS } from './faults/faults.ts'
import { quantile } from './figures.ts'
import type { Failure, RunResult } from './run.ts'
import { POLICY, type SoakResult } from './soak.ts'

/** One row: a fault on a store. */
interface Row {
  readonly fault: string
  readonly engine: string
  readonly commit: string
  readonly rounds: number
  readonly breaches: number
  /** The promises that were broken, and the first thing that was seen of each. */
  readonly broken: readonly { readonly promise: string; readonly detail: string }[]
  readonly failures: readonly Failure[]
  readonly requests: number
  readonly errors: number
  /** Of those, from a fault to everybody's well-being. */
  readonly errorsMeanwhile: number
  readonly errorsMs: number
  readonly wellMs: { readonly p50: number; readonly most: number }
  readonly revocations: number
  readonly startMs: number
}
interface Kept {
  rows: Row[]
  soaks: (SoakResult & { readonly commit: string })[]
}

const ROOT = join(import.meta.dirname, '..')
const OUT = join(import.meta.dirname, 'out')
const FILE = join(OUT, 'results.json')
const DOCUMENT = join(ROOT, 'docs/reliability.md')
const MARKERS = ['<!-- chaos: begin -->', '<!-- chaos: end -->'] as const
const commit = commitOf()

export function keep(results: readonly RunResult[], soaks: readonly SoakResult[]): void {
  const kept = read()
  for (const { fault, engine, rounds, breaches, figures, failures } of results) {
    const well = figures.rounds.map(({ wellMs }) => wellMs)
    const row: Row = {
      fault,
      engine,
      commit,
      rounds,
      breaches: breaches.length,
      broken: breaches
        .filter(({ promise }, index) => breaches.findIndex((other) => other.promise === promise) === index)
        .map(({ promise, detail }) => ({ promise, detail })),
      failures,
      requests: figures.requests,
      errors: figures.errors,
      errorsMeanwhile: figures.rounds.reduce((sum, { errors }) => sum + errors, 0),
      errorsMs: Math.max(0, ...figures.rounds.map(({ errorsMs }) => errorsMs)),
      wellMs: { p50: quantile(well, 0.5), most: Math.max(0, ...well) },
      revocations: figures.revocations,
      startMs: quantile(figures.startMs, 0.5),
    }
    kept.rows = [...kept.rows.filter((other) => other.fault !== fault || other.engine !== engine), row]
  }
  for (const soak of soaks) kept.soaks = [...kept.soaks.filter(({ bus }) => bus !== soak.bus), { ...soak, commit }]
  write(kept)
}

/** A report begins anew. */
export const forgetAll = (): void => write({ rows: [], soaks: [] })

/** Whether this commit has a result: of a fault, or of a soak. */
export function isMeasured(what: { readonly fault: string; readonly engine: string } | { readonly bus: boolean }): boolean {
  const { rows, soaks } = read()
  return 'bus' in what
    ? soaks.some((soak) => soak.bus === what.bus && soak.commit === commit)
    : rows.some((row) => row.fault === what.fault && row.engine === what.engine && row.commit === commit && row.rounds > 0)
}

function write(kept: Kept): void {
  mkdirSync(OUT, { recursive: true })
  writeFileSync(FILE, `${JSON.stringify(kept, undefined, 2)}\n`)
}

function read(): Kept {
  try {
    const { rows, soaks } = JSON.parse(readFileSync(FILE, 'utf8')) as Kept
    return { rows: rows.filter(({ errorsMeanwhile }) => errorsMeanwhile !== undefined), soaks } // An older harness wrote down less.
  } catch {
    return { rows: [], soaks: [] }
  }
}

function commitOf(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  try {
    // The report itself, which a run writes time and again, is no change of what is measured.
    const changes = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!docs/reliability.md')
    return git('rev-parse', '--short', 'HEAD') + (changes === '' ? '' : ' with changes')
  } catch {
    return 'unknown'
  }
}

/** Puts the tables into the document. */
export function writeReport(): void {
  const text = readFileSync(DOCUMENT, 'utf8')
  const [begin, end] = MARKERS.map((marker) => text.indexOf(marker)) as [number, number]
  if (begin < 0 || end < begin) throw new Error('docs/reliability.md has lost its markers')
  writeFileSync(DOCUMENT, `${text.slice(0, begin + MARKERS[0].length)}\n\n${report(read())}\n${text.slice(end)}`)
}

function report({ rows, soaks }: Kept): string {
  const order = FAULTS.map(({ name }) => name)
  const sorted = [...rows].sort((a, b) => order.indexOf(a.fault) - order.indexOf(b.fault) || b.engine.localeCompare(a.engine))
  const commits = [...new Set([...rows, ...soaks].map(({ commit }) => commit))].join(', ')
  const total = rows.reduce((sum, { rounds }) => sum + rounds, 0)
  const breaches = rows.reduce((sum, row) => sum + row.breaches, 0)
  const failures = rows.reduce((sum, row) => sum + row.failures.length, 0)
  const processor = `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`
  return [
    `${total} rounds, ${breaches} breaches${failures === 0 ? '' : `, ${failures} rounds in which the harness failed`}; ${new Date().toISOString().slice(0, 10)}, commit ${commits}; ${processor}, ${platform()} ${release()}, Node ${process.versions.node}.`,
    '',
    '| fault | store | rounds | harness failed | breaches | requests failed | longest after the fault | well after its end: median | at most |',
    '|---|---|---|---|---|---|---|---|---|',
    ...sorted.map(
      (row) =>
        `| ${row.fault} | ${row.engine} | ${row.rounds} | ${row.failures.length} | ${row.breaches} | ${row.errors} of ${row.requests} | ${seconds(row.errorsMs)} | ${seconds(row.wellMs.p50)} | ${seconds(row.wellMs.most)} |`,
    ),
    '',
    ...listed(sorted),
    '| what was aimed at | measured | |',
    '|---|---|---|',
    ...aims(rows, soaks).map(({ aim, found, met }) => `| ${aim} | ${found} | ${met ? 'met' : '**missed**'} |`),
    '',
  ].join('\n')
}

/** What was broken, and where the harness failed. */
function listed(rows: readonly Row[]): readonly string[] {
  const lines = rows.flatMap(({ fault, engine, broken, failures }) => [
    ...broken.map(({ promise, detail }) => `- **${fault} on ${engine}** broke "${PROMISES[promise as Promised]}": ${detail}`),
    ...failures.map(({ round, reason }) => `- The harness failed in round ${round} of ${fault} on ${engine}: ${reason}`),
  ])
  return lines.length === 0 ? [] : [...lines, '']
}

const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(2)} s`

function aims(rows: readonly Row[], soaks: readonly SoakResult[]): readonly { aim: string; found: string; met: boolean }[] {
  const found = (fault: string, engine = 'postgres') =>
    rows.find((row) => row.fault === fault && row.engine === engine && row.rounds > 0)
  const nodeKill = found('node-kill')
  const failover = found('failover')
  const bus = rows.filter(({ fault }) => fault.startsWith('bus-') || fault === 'partition-node-bus')
  const busErrors = bus.reduce((sum, { errorsMeanwhile }) => sum + errorsMeanwhile, 0)
  const start = Math.max(0, ...rows.filter(({ fault }) => fault === 'node-kill').map(({ startMs }) => startMs))
  return [
    ...(nodeKill === undefined
      ? []
      : [
          {
            aim: 'one of three nodes killed: errors for at most 2 s',
            found: seconds(nodeKill.errorsMs),
            met: nodeKill.errorsMs <= 2000,
          },
        ]),
    ...(failover === undefined
      ? []
      : [
          {
            aim: 'failover: issuing is back within 10 s of promotion',
            found: seconds(failover.wellMs.most),
            met: failover.wellMs.most <= 10_000,
          },
        ]),
    ...(bus.length === 0
      ? []
      : [
          { aim: 'bus lost: no error at all', found: `${busErrors} errors in ${bus.length} kinds of loss`, met: busErrors === 0 },
        ]),
    ...(start === 0
      ? []
      : [{ aim: 'cold start of a node under load: at most 3 s', found: `${seconds(start)}, median`, met: start <= 3000 }]),
    ...soaks.map(({ bus: isBus, minutes, perSecond, validators, p50, p99, most, revocations }) => {
      const bound = isBus ? 250 : 1000
      return {
        aim: `${validators} validators, ${perSecond} revocations a second for ${Number(minutes.toFixed(1))} min, feed signed with ${POLICY.feedSigningAlgorithm}, ${isBus ? 'with' : 'without'} the bus: acknowledgment to last accept ${isBus ? 'p50 ≤ 20 ms, ' : ''}p99 ≤ ${bound} ms, never over 2 s`,
        found: `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, at most ${most.toFixed(0)} ms, of ${revocations} revocations`,
        met: (!isBus || p50 <= 20) && p99 <= bound && most <= 2000,
      }
    }),
  ]
}
