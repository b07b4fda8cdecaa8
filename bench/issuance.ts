/**
 * Issuing, refreshing, introspecting and revoking over HTTP, beside oidc-provider: memory against memory, ours durable against its memory, and both
 * on PostgreSQL. The load comes from a process of its own, so on two cores each server has one.
 */
import { startPostgres, type TestPostgres } from '@signet/testkit/postgres.ts'
import { type Benchmark, type Pace, type Row, ratioAtLeast, ratioAtMost, type Target } from './benchmark.ts'
import type { Contest, Contestant } from './http/contest.ts'
import { startOurs, startPeer } from './http/contestants.ts'
import { type LoadGenerator, startLoadGenerator } from './http/load.ts'
import { type Asked, OPERATIONS, refresh, TOKENS } from './http/operations.ts'
import { comparison, interleave } from './rounds.ts'

/** Who takes part: `durable` is ours on SQLite with every commit synced, `postgres` and `peerOnPostgres` are there when a PostgreSQL is. */
interface Field {
  readonly memory: Contestant
  readonly durable: Contestant
  readonly peer: Contestant
  readonly postgres?: Contestant
  readonly peerOnPostgres?: Contestant
}

const IN_FLIGHT = 32

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const postgres = await startPostgres()
  if ('skip' in postgres) console.log(`  PostgreSQL is left out: ${postgres.skip}`)
  const generator = await startLoadGenerator()
  const field = await startField(scratch, 'skip' in postgres ? undefined : postgres)
  try {
    return await measureAll(field, generator, pace)
  } finally {
    await Promise.all(Object.values(field).map(({ server }: Contestant) => server.stop()))
    await generator.stop()
    if (!('skip' in postgres)) await postgres.stop()
  }
}

async function measureAll(field: Field, generator: LoadGenerator, pace: Pace): Promise<Row[]> {
  const rows: Row[] = []
  for (const one of CASES) {
    rows.push(...(await throughput(one, field, { generator, connections: IN_FLIGHT, expect: one.expect }, pace)))
  }
  rows.push(...(await postgresRows(field, { generator, connections: IN_FLIGHT, expect: TOKENS }, pace)))
  rows.push(...(await oneAtATime(field, { generator, connections: 1, expect: TOKENS }, pace)))
  return rows
}

/** Requests per second of ours, durable and in memory, against the peer in memory, and what a request costs the processor. */
async function throughput(one: Case, field: Field, contest: Contest, pace: Pace): Promise<Row[]> {
  const { name, operation, target, cpuTarget, note } = one
  const turns = await interleave(
    {
      durable: operation(contest, field.durable),
      memory: operation(contest, field.memory),
      peer: operation(contest, field.peer),
    },
    pace,
  )
  const rate = (contestant: keyof typeof turns) => turns[contestant].map(({ perSecond }) => perSecond)
  const cpu = (contestant: keyof typeof turns) => turns[contestant].map(({ cpuMicroseconds }) => cpuMicroseconds)
  return [
    comparison(
      { name: `${name}, ours durable`, unit: '/s', target, ...(note !== undefined && { note }) },
      rate('durable'),
      rate('peer'),
    ),
    comparison({ name: `${name}, both in memory`, unit: '/s' }, rate('memory'), rate('peer')),
    comparison(
      { name: `${name}, processor time, ours durable`, unit: 'µs', ...(cpuTarget && { target: cpuTarget }) },
      cpu('durable'),
      cpu('peer'),
    ),
  ]
}

/** Refreshing on PostgreSQL: ours against the peer on the same server, and ours on SQLite against the peer there. */
async function postgresRows({ durable, postgres, peerOnPostgres }: Field, contest: Contest, pace: Pace): Promise<Row[]> {
  if (postgres === undefined || peerOnPostgres === undefined) return []
  const turns = await interleave(
    { durable: refresh(contest, durable), postgres: refresh(contest, postgres), peer: refresh(contest, peerOnPostgres) },
    pace,
  )
  const rate = (contestant: keyof typeof turns) => turns[contestant].map(({ perSecond }) => perSecond)
  return [
    comparison(
      { name: 'I2 refresh rotation, ours durable, theirs on PostgreSQL', unit: '/s', target: ratioAtLeast(8) },
      rate('durable'),
      rate('peer'),
    ),
    comparison(
      { name: 'I3 refresh rotation, both on PostgreSQL', unit: '/s', target: ratioAtLeast(6) },
      rate('postgres'),
      rate('peer'),
    ),
  ]
}

/** How long one refresh takes when nothing else is asked: ours waits for the disk, the peer for nothing. */
async function oneAtATime({ durable, peer }: Field, contest: Contest, pace: Pace): Promise<Row[]> {
  const turns = await interleave({ durable: refresh(contest, durable), peer: refresh(contest, peer) }, pace)
  const of = (contestant: keyof typeof turns, figure: 'p50' | 'p99') => turns[contestant].map((result) => result[figure])
  return [
    comparison(
      { name: 'I5 one refresh at a time, p99, ours durable', unit: 'ms', target: ratioAtMost(0.6) },
      of('durable', 'p99'),
      of('peer', 'p99'),
    ),
    comparison({ name: 'I5 one refresh at a time, p50, ours durable', unit: 'ms' }, of('durable', 'p50'), of('peer', 'p50')),
  ]
}

/** One kind of request, and what is asked of it. */
interface Case extends Asked {
  readonly name: string
  readonly target: Target
  readonly cpuTarget?: Target
  readonly note?: string
}

const CASES: readonly Case[] = [
  {
    name: 'I1 client credentials',
    ...OPERATIONS.issue,
    target: ratioAtLeast(3.5),
    cpuTarget: ratioAtMost(0.33),
  },
  { name: 'I2 refresh rotation', ...OPERATIONS.refresh, target: ratioAtLeast(4) },
  { name: 'I4 code exchange, three tokens', ...OPERATIONS.code, target: ratioAtLeast(3) },
  {
    name: 'I4 introspection of a refresh token',
    ...OPERATIONS.introspect,
    target: ratioAtLeast(4.5),
  },
  {
    name: 'I4 introspection by an API',
    ...OPERATIONS['introspect-api'],
    target: ratioAtLeast(4.5),
    note: 'of an API key at ours, of an opaque access token at theirs: both are looked up',
  },
  { name: 'I4 revocation of a grant', ...OPERATIONS.revoke, target: ratioAtLeast(3.5) },
]

async function startField(scratch: string, postgres: TestPostgres | undefined): Promise<Field> {
  const field: Field = {
    memory: await startOurs(':memory:', scratch),
    durable: await startOurs('sqlite', scratch),
    peer: await startPeer(),
  }
  if (postgres === undefined) return field
  return {
    ...field,
    postgres: await startOurs(await postgres.freshDatabase(), scratch),
    peerOnPostgres: await startPeer(await postgres.freshDatabase()),
  }
}
