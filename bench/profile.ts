/**
 * One kind of request put to one or more authorization servers in turns: requests per second, time, processor time; with `--profile` the functions
 * that it goes to (docs/performance.md).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { readFlags, refuseUsage } from '../tools/flags.ts'
import type { Contestant, Turn } from './http/contest.ts'
import { startOurs, startPeer } from './http/contestants.ts'
import { startLoadGenerator } from './http/load.ts'
import { type Asked, OPERATIONS } from './http/operations.ts'
import type { Profile } from './http/profiler.ts'
import { interleave, quantile } from './rounds.ts'

const TURN_MS = 250
const WARM_UP_MS = 2000
const SHOWN = 40

const START = {
  memory: (scratch: string, _: Url, checkout?: string) => startOurs(':memory:', scratch, checkout),
  sqlite: (scratch: string, _: Url, checkout?: string) => startOurs('sqlite', scratch, checkout),
  postgres: async (scratch: string, url: Url, checkout?: string) => startOurs(await url(), scratch, checkout),
  peer: () => startPeer(),
  'peer-postgres': async (_: string, url: Url) => startPeer(await url()),
}
type Url = () => Promise<string>

const USAGE = `Usage: node tools/run.mjs bench/profile.ts OPERATION [flags]

  OPERATION         ${Object.keys(OPERATIONS).join(', ')}
  --on WHO          ${Object.keys(START).join(', ')}; WHO@CHECKOUT takes ours from another folder; may be given several times
  --seconds N       default 5
  --connections N   default 32
  --profile         the functions that the time goes to
`

await main()

async function main(): Promise<void> {
  const { values, positionals } = readFlags(
    USAGE,
    {
      on: { type: 'string', multiple: true, default: ['sqlite'] },
      seconds: { type: 'string', default: '5' },
      connections: { type: 'string', default: '32' },
      profile: { type: 'boolean', default: false },
    },
    true,
  )
  const named = (OPERATIONS as Readonly<Record<string, Asked>>)[positionals[0] ?? '']
  if (named === undefined) return refuseUsage(`Name one of ${Object.keys(OPERATIONS).join(', ')}`)
  const { operation, expect } = named
  process.env.NODE_ENV = 'production'
  const scratch = mkdtempSync(join(tmpdir(), 'signet-profile-'))
  const postgres = values.on.some((name) => name.includes('postgres')) ? await startPostgres() : undefined
  const url = () => {
    if (postgres === undefined || 'skip' in postgres) throw new Error(`no PostgreSQL: ${postgres?.skip}`)
    return postgres.freshDatabase()
  }
  const generator = await startLoadGenerator()
  const contestants: Record<string, Contestant> = {}
  try {
    for (const name of values.on) {
      const [which, checkout] = name.split('@') as [keyof typeof START, string | undefined]
      contestants[name] = await START[which](scratch, url, checkout)
    }
    const contest = { generator, connections: Number(values.connections), expect }
    const turns = Object.fromEntries(Object.entries(contestants).map(([name, who]) => [name, operation(contest, who)]))
    const pace = {
      quick: false,
      rounds: Math.ceil((Number(values.seconds) * 1000) / TURN_MS),
      turnMs: TURN_MS,
      warmUpMs: WARM_UP_MS,
    }
    const results = await interleave(turns, pace)
    for (const [name, done] of Object.entries(results)) console.log(`${name.slice(0, 24).padEnd(24)} ${figures(done)}`)
    if (!values.profile) return
    for (const [name, { server }] of Object.entries(contestants)) {
      await server.ask('startProfile')
      await turns[name]?.(Number(values.seconds) * 1000)
      console.log(`\n${name}\n${table(await server.ask('stopProfile'))}`)
    }
  } finally {
    await Promise.all(Object.values(contestants).map(({ server }) => server.stop()))
    await generator.stop()
    if (postgres !== undefined && !('skip' in postgres)) await postgres.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Medians, and the turns that neighbours on the machine disturbed least: the best tenth. */
function figures(turns: readonly Turn[]): string {
  const of = (figure: keyof Turn, q = 0.5) =>
    quantile(
      turns.map((turn) => turn[figure] as number),
      q,
    )
  return (
    `${of('perSecond').toFixed(0).padStart(6)} /s (${of('perSecond', 0.9).toFixed(0)})` +
    `  processor ${of('cpuMicroseconds').toFixed(0).padStart(4)} µs each (${of('cpuMicroseconds', 0.1).toFixed(0)})` +
    `, main thread ${of('threadMicroseconds').toFixed(0).padStart(4)} (${of('threadMicroseconds', 0.1).toFixed(0)})` +
    `  p50 ${of('p50').toFixed(2)} ms (${of('p50', 0.1).toFixed(2)})  p99 ${of('p99').toFixed(2)} ms (${of('p99', 0.1).toFixed(2)})`
  )
}

function table({ idle, functions }: Profile): string {
  const percent = (share: number) => (100 * share).toFixed(1).padStart(5)
  const top = (by: 'self' | 'inclusive') =>
    functions
      .toSorted((a, b) => b[by] - a[by])
      .slice(0, SHOWN)
      .map((hot) => `${percent(hot.self)} ${percent(hot.inclusive)}  ${hot.name}`)
      .join('\n')
  return `idle ${percent(idle)} %; of the busy time, self and inclusive:\n${top('self')}\n\nby inclusive time:\n${top('inclusive')}`
}
