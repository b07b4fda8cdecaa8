/**
 * From the acknowledgment of a revocation to its refusal in other processes: for one validator and for two hundred, and for each kind of
 * target. Every validator is a library in another process that follows the feed over HTTP; what is timed ends when it has said no.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import { KEY_KINDS } from '@signet/kernel/revocation.ts'
import { delays, SETTLE_MS } from './arrivals.ts'
import { type Benchmark, oursAtMost, type Pace, type Row, ratioAtMost } from './benchmark.ts'
import { type Answers, type Child, startChild } from './child.ts'
import { accessTokens, idOf } from './ours/access-tokens.ts'
import type { AuthorityAnswers } from './ours/authority.ts'
import { steadily } from './pace.ts'
import type { ReadersAnswers } from './readers-process.ts'
import { allRefusals, delaysSince, revoke, revokeSteadily } from './refusals.ts'
import { comparison, interleave, median, quantile } from './rounds.ts'
import { sharedMs } from './shared-clock.ts'
import type { ValidatorsAnswers } from './validators-process.ts'

type Authority = Child<AuthorityAnswers>
type Validators = Child<ValidatorsAnswers>

const PER_SECOND = 200
/** Real validators check each batch's signature; two hundred of them on one machine can do that for so many revocations a second. */
const CROWD = { processes: 2, each: 100, perSecond: 10 }
/** And so many readers can be served at full pace, if most of them are on machines of their own, that is: only read. */
const AUDIENCE = { readers: 180, validators: 20 }
export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const authority = await startChild<AuthorityAnswers>(file('ours/authority.ts'), ['sqlite', scratch])
  const admin = createAdminClient({ credentials: await authority.ask('credentials') })
  const issuer = await authority.ask('issuer')
  const running: Child<Answers>[] = []
  const startValidators = async (count: number) => {
    const child = await startChild<ValidatorsAnswers>(file('validators-process.ts'))
    running.push(child)
    await child.ask('start', { issuer, count })
    return child
  }
  const startReaders = async () => {
    const child = await startChild<ReadersAnswers>(file('readers-process.ts'))
    running.push(child)
    return child
  }
  try {
    const single = await startValidators(1)
    const rows = [
      ...(await paced({ name: '1 validator', perSecond: PER_SECOND, validators: [single], each: 1 }, authority, admin, pace)),
      ...(await eachKind(authority, admin, single, pace)),
      await staleness(single, pace),
      ...(await againstTcp(authority, single, await startReaders(), pace)),
    ]
    await (await startReaders()).ask('read', { issuer, count: AUDIENCE.readers })
    const audience = { validators: [await startValidators(AUDIENCE.validators)], each: AUDIENCE.validators }
    rows.push(
      ...(await paced(
        {
          ...audience,
          name: '200 readers of the feed, 20 of them validators',
          perSecond: PER_SECOND,
          bounds: { p50: 5, p99: 25 },
          note: 'the others only read: to check 200 signatures per revocation would take this pace 3 processors',
        },
        authority,
        admin,
        pace,
      )),
    )
    while (running.length > 0) await running.pop()?.stop()
    const crowd: Validators[] = []
    for (let i = 0; i < CROWD.processes; i++) crowd.push(await startValidators(CROWD.each))
    const all = { validators: crowd, each: CROWD.each, perSecond: CROWD.perSecond }
    rows.push(...(await paced({ ...all, name: '200 validators on this machine' }, authority, admin, pace)))
    return rows
  } finally {
    await Promise.all(running.map((child) => child.stop()))
    await authority.stop()
  }
}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

interface Audience {
  readonly name: string
  readonly perSecond: number
  /** Processes, and how many validators are in each. */
  readonly validators: readonly Validators[]
  readonly each: number
  readonly bounds?: { readonly p50: number; readonly p99: number }
  readonly note?: string
}

/** Tokens revoked one by one through the admin API, at a steady pace. */
async function paced(audience: Audience, authority: Authority, admin: AdminClient, pace: Pace): Promise<Row[]> {
  const { name, perSecond, validators, each, bounds, note } = audience
  const p50: number[] = []
  const p99: number[] = []
  for (let round = 0; round < pace.rounds; round++) {
    const tokens = await accessTokens(authority, Math.ceil((perSecond * pace.turnMs) / 1000))
    await Promise.all(validators.map((child) => child.ask('watch', tokens)))
    const acknowledged = (await revokeSteadily(admin, tokens, perSecond)).map(({ acknowledgedMs }) => acknowledgedMs)
    const delays = delaysSince(acknowledged, await allRefusals(validators, tokens.length, each))
    p50.push(quantile(delays, 0.5))
    p99.push(quantile(delays, 0.99))
  }
  const row = (figure: 'p50' | 'p99', figures: readonly number[]): Row => ({
    name: `P2 acknowledgment to refusal, ${name}, ${perSecond}/s, ${figure}`,
    ours: median(figures),
    unit: 'ms',
    rounds: pace.rounds,
    ...(bounds && { target: oursAtMost(bounds[figure]) }),
  })
  return [{ ...row('p50', p50), ...(note !== undefined && { note }) }, row('p99', p99)]
}

/** One token at a time, each felled by another of its keys. Key, issuer and scope come last: they take more than that one with them. */
async function eachKind(authority: Authority, admin: AdminClient, validator: Validators, pace: Pace): Promise<Row[]> {
  const rows: Row[] = []
  for (const kind of KEY_KINDS) {
    const delays: number[] = []
    for (let round = 0; round < pace.rounds; round++) {
      const tokens = await accessTokens(authority, 1)
      await validator.ask('watch', tokens)
      const cutoffMs = await revoke(admin, kind, idOf(tokens[0] as string, kind))
      const acknowledged = sharedMs()
      const [[refused]] = (await allRefusals([validator], 1, 1)) as [[number]]
      delays.push(refused - acknowledged)
      // The same client signs the next person in, but not with what was agreed to before the cutoff.
      if (kind === 'client' || kind === 'issuer') await new Promise((resolve) => setTimeout(resolve, cutoffMs - Date.now() + 100))
    }
    rows.push({ name: `acknowledgment to refusal, target ${kind}`, ours: median(delays), unit: 'ms', rounds: pace.rounds })
  }
  return rows
}

/** How old a validator's knowledge gets between two probes, when all is well. */
async function staleness(validator: Validators, pace: Pace): Promise<Row> {
  const looks = await validator.ask('staleness', { milliseconds: pace.quick ? 2500 : 10_000 })
  return { name: 'staleness of a validator in good health, p99', ours: quantile(looks, 0.99), unit: 'ms', rounds: 1 }
}

/**
 * From the wish to revoke, inside the authority, over a durable commit and the signed feed, to a validator that has it; beside a line of
 * text over a plain TCP connection, at the same pace.
 */
async function againstTcp(authority: Authority, validator: Validators, far: Child<ReadersAnswers>, pace: Pace): Promise<Row[]> {
  const socket = connect({ port: await far.ask('listen'), host: 'localhost', noDelay: true })
  await once(socket, 'connect')
  const rows: Row[] = []
  for (const perSecond of [100, 5000]) {
    const count = Math.ceil((perSecond * pace.turnMs) / 1000)
    const turns = await interleave(
      {
        async ours() {
          await validator.ask('applied') // What came before is not looked at.
          const burst = await authority.ask('burst', { perSecond, count })
          await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
          return delays(burst, await validator.ask('applied'))
        },
        async tcp() {
          const sent = await steadily(perSecond, count, async (index) => {
            const atMs = sharedMs()
            socket.write(`${index}\n`)
            return [atMs, index] as const
          })
          await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
          return delays(sent, await far.ask('heard'))
        },
      },
      pace,
    )
    for (const [figure, q] of [
      ['p50', 0.5],
      ['p99', 0.99],
    ] as const) {
      const of = (contestant: keyof typeof turns) => turns[contestant].map((found) => quantile(found, q))
      const target = perSecond === 5000 && figure === 'p99' ? { target: ratioAtMost(4) } : {}
      rows.push(
        comparison(
          { name: `P1 revocation to validator, ${perSecond}/s, against TCP, ${figure}`, unit: 'ms', ...target },
          of('ours'),
          of('tcp'),
        ),
      )
    }
  }
  socket.destroy()
  return rows
}
