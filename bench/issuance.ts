/**
 * Issuing, refreshing, introspecting and revoking over HTTP, beside oidc-provider: memory against memory, ours durable against its memory, and both
 * on PostgreSQL. The load comes from a process of its own, so on two cores each server has one.
 */
import { fileURLToPath } from 'node:url'
import { startPostgres, type TestPostgres } from '@signet/testkit/postgres.ts'
import { type Benchmark, type Pace, type Row, ratioAtLeast, ratioAtMost, type Target } from './benchmark.ts'
import { startChild } from './child.ts'
import { type Contest, type Contestant, refreshTurns, stockTurns, type Turn, turn } from './http/contest.ts'
import { type LoadGenerator, startLoadGenerator } from './http/load.ts'
import { basic, formHead, formPost } from './http/request.ts'
import {
  API_CLIENT,
  APP_CLIENT,
  CODE_VERIFIER,
  REDIRECT_URI,
  RESOURCE,
  SERVICE_CLIENT,
  type ServerAnswers,
} from './http/server.ts'
import { comparison, interleave } from './rounds.ts'

/** A contestant's way to spend its turns on one kind of request. */
type Operation = (contest: Contest, contestant: Contestant) => (milliseconds: number) => Promise<Turn>

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

// ── The requests ───────────────────────────────────────────────────────────────────────────────────────────────────

const clientCredentials: Operation = (contest, contestant) => {
  const request = post(contestant, 'token', SERVICE_CLIENT, {
    grant_type: 'client_credentials',
    scope: 'orders:read',
    resource: RESOURCE,
  })
  return (milliseconds) => turn(contest, contestant, { kind: 'cycle', requests: [request] }, milliseconds)
}

const refresh: Operation = (contest, contestant) => {
  const { port, paths } = contestant.description
  const head = formHead({ port, path: paths.token }, basic(APP_CLIENT))
  return refreshTurns(contest, contestant, head, 'grant_type=refresh_token&refresh_token=')
}

/** A thousand different tokens, over and over. */
const introspection =
  (kind: 'refresh' | 'opaque', caller: { id: string; secret: string }): Operation =>
  (contest, contestant) => {
    let requests: readonly string[] = []
    return async (milliseconds) => {
      if (requests.length === 0) {
        const tokens = await contestant.server.ask('stock', { kind, count: 1000 })
        requests = tokens.map((token) => post(contestant, 'introspect', caller, { token }))
      }
      return turn(contest, contestant, { kind: 'cycle', requests }, milliseconds)
    }
  }

const revocation: Operation = (contest, contestant) =>
  stockTurns(contest, contestant, 'refresh', (token) =>
    post(contestant, 'revoke', APP_CLIENT, { token, token_type_hint: 'refresh_token' }),
  )

const codeExchange: Operation = (contest, contestant) =>
  stockTurns(contest, contestant, 'code', (code) =>
    post(contestant, 'token', APP_CLIENT, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: REDIRECT_URI,
      code_verifier: CODE_VERIFIER,
    }),
  )

function post(
  { description }: Contestant,
  path: keyof Contestant['description']['paths'],
  client: { id: string; secret: string },
  form: Readonly<Record<string, string>>,
): string {
  return formPost({ port: description.port, path: description.paths[path] }, basic(client), form)
}

/** One kind of request, and what is asked of it. */
interface Case {
  readonly name: string
  readonly operation: Operation
  /** What every answer must contain. */
  readonly expect: string
  readonly target: Target
  readonly cpuTarget?: Target
  readonly note?: string
}

const TOKENS = '"access_token"'
const ACTIVE = '"active":true'

const CASES: readonly Case[] = [
  {
    name: 'I1 client credentials',
    operation: clientCredentials,
    expect: TOKENS,
    target: ratioAtLeast(3.5),
    cpuTarget: ratioAtMost(0.33),
  },
  { name: 'I2 refresh rotation', operation: refresh, expect: TOKENS, target: ratioAtLeast(4) },
  { name: 'I4 code exchange, three tokens', operation: codeExchange, expect: TOKENS, target: ratioAtLeast(3) },
  {
    name: 'I4 introspection of a refresh token',
    operation: introspection('refresh', APP_CLIENT),
    expect: ACTIVE,
    target: ratioAtLeast(4.5),
  },
  {
    name: 'I4 introspection by an API',
    operation: introspection('opaque', API_CLIENT),
    expect: ACTIVE,
    target: ratioAtLeast(4.5),
    note: 'of an API key at ours, of an opaque access token at theirs: both are looked up',
  },
  { name: 'I4 revocation of a grant', operation: revocation, expect: '', target: ratioAtLeast(3.5) },
]

// ── The field ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function startField(scratch: string, postgres: TestPostgres | undefined): Promise<Field> {
  const start = async (file: string, ...args: string[]): Promise<Contestant> => {
    const server = await startChild<ServerAnswers>(fileURLToPath(new URL(file, import.meta.url)), args)
    return { server, description: await server.ask('describe') }
  }
  const ours = 'ours/authority.ts'
  const theirs = 'peers/oidc-provider.ts'
  const field: Field = {
    memory: await start(ours, ':memory:', scratch),
    durable: await start(ours, 'sqlite', scratch),
    peer: await start(theirs),
  }
  if (postgres === undefined) return field
  return {
    ...field,
    postgres: await start(ours, await postgres.freshDatabase(), scratch),
    peerOnPostgres: await start(theirs, await postgres.freshDatabase()),
  }
}
