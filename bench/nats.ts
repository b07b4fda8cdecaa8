/**
 * Two nodes on one PostgreSQL: revocations are made on one, validators read at the other. NATS between the nodes beside NOTIFY; validators
 * that take the feed from NATS beside those on the stream, by the same revocations; and what it takes when NATS stands still or dies.
 */
import { fileURLToPath } from 'node:url'
import { startNats, type TestNats } from '@signet/testkit/nats.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { NATS_FALLBACK_MS } from '@signet/validator/feed-nats.ts'
import { providePrograms } from '../tools/debian.ts'
import { delays, SETTLE_MS } from './arrivals.ts'
import { type Benchmark, oursAtMost, type Pace, type Row } from './benchmark.ts'
import { type Child, startChild } from './child.ts'
import type { AuthorityAnswers, Cluster } from './ours/authority.ts'
import { comparison, interleave, quantile } from './rounds.ts'
import type { ValidatorsAnswers } from './validators-process.ts'

type Authority = Child<AuthorityAnswers>
type Validators = Child<ValidatorsAnswers>

const PER_SECOND = 100
/** Of NATS, a validator has been brought a batch by then, or something is wrong. */
const LEAD_MS = 15_000

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const { paths } = await providePrograms(['SIGNET_NATS_SERVER'])
  Object.assign(process.env, paths)
  const [postgres, nats] = [await startPostgres(), await startNats()]
  const missing = [postgres, nats].flatMap((each) => ('skip' in each ? [each.skip] : []))
  const closing: (() => Promise<unknown>)[] = []
  if (!('skip' in postgres)) closing.push(() => postgres.stop())
  if (!('skip' in nats)) closing.push(() => nats.stop())
  const started = async <A extends Child<never>>(child: Promise<A>): Promise<A> => {
    const running = await child
    closing.push(() => running.stop())
    return running
  }
  try {
    if ('skip' in postgres || 'skip' in nats) {
      console.log(`  left out: ${missing.join('; ')}`)
      return []
    }
    const node = (database: string, cluster: Cluster): Promise<Authority> =>
      started(
        startChild<AuthorityAnswers>(file('ours/authority.ts'), [database, scratch, JSON.stringify(cluster)]) as never,
      ) as never
    const pair = async (cluster: Cluster) => {
      const database = await postgres.freshDatabase()
      const near = await node(database, cluster)
      const first = { issuer: await near.ask('issuer'), state: await near.ask('state') }
      return { near, far: await node(database, { ...cluster, first }) }
    }
    const validator = async ({ near }: { near: Authority }, how: { nats?: string } = {}): Promise<Validators> => {
      const child = (await started(startChild<ValidatorsAnswers>(file('validators-process.ts')) as never)) as Validators
      await child.ask('start', { issuer: await near.ask('issuer'), count: 1, ...how })
      return child
    }
    const withNats = await pair({ nats: nats.url })
    const withNotify = await pair({})
    const [byStream, byNats, notified] = [
      await validator(withNats),
      await validator(withNats, { nats: nats.url }),
      await validator(withNotify),
    ]
    await leads(byNats, withNats.far)
    const rows = await acrossNodes({ withNats, withNotify, byStream, byNats, notified }, pace)
    for (const [what, fail, heal] of [
      ['stands still', async (server: TestNats) => server.freeze(), async (server: TestNats) => server.thaw()],
      ['is killed', (server: TestNats) => server.kill(), (server: TestNats) => server.restart()],
    ] as const) {
      const took: number[] = []
      for (let round = 0; round < pace.rounds; round++) {
        const reader = await validator(withNats, { nats: nats.url }) // A new one: it has not been disappointed yet.
        await leads(reader, withNats.far)
        await reader.ask('applied')
        await fail(nats)
        const sent = await withNats.far.ask('burst', { perSecond: PER_SECOND, count: 1 })
        await new Promise((resolve) => setTimeout(resolve, NATS_FALLBACK_MS + 1000))
        took.push(...delays(sent, await reader.ask('applied')))
        await heal(nats)
        await reader.stop()
      }
      rows.push({
        name: `N3 NATS ${what}: revocation to a validator on NATS, worst`,
        ours: Math.max(...took),
        unit: 'ms',
        rounds: pace.rounds,
        target: oursAtMost(NATS_FALLBACK_MS),
      })
    }
    return rows
  } finally {
    for (const close of closing.reverse()) await close()
  }
}

interface Field {
  readonly withNats: { readonly far: Authority }
  readonly withNotify: { readonly far: Authority }
  readonly byStream: Validators
  readonly byNats: Validators
  readonly notified: Validators
}

async function acrossNodes({ withNats, withNotify, byStream, byNats, notified }: Field, pace: Pace): Promise<Row[]> {
  const count = (turnMs: number) => Math.ceil((PER_SECOND * turnMs) / 1000)
  const turn = async (node: Authority, validators: readonly Validators[], turnMs: number) => {
    for (const each of validators) await each.ask('applied') // What came before is not looked at.
    const sent = await node.ask('burst', { perSecond: PER_SECOND, count: count(turnMs) })
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    return Promise.all(validators.map(async (each) => delays(sent, await each.ask('applied'))))
  }
  const turns = await interleave(
    {
      nats: (turnMs) => turn(withNats.far, [byStream, byNats], turnMs),
      notify: (turnMs) => turn(withNotify.far, [notified], turnMs),
    },
    pace,
  )
  if ((await byNats.ask('source')) !== 'nats') throw new Error('the validator on NATS was not on NATS at the end')
  const rows: Row[] = []
  for (const [figure, q] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    const of = (found: readonly (readonly (readonly number[])[])[], who: number) =>
      found.map((each) => quantile(each[who] as number[], q))
    const name = (what: string) => `${what}, ${PER_SECOND}/s, ${figure}`
    rows.push(
      comparison(
        { name: name('N1 revocation on another node to a validator on the stream, NATS against NOTIFY'), unit: 'ms' },
        of(turns.nats, 0),
        of(turns.notify, 0),
      ),
      comparison(
        { name: name('N2 revocation on another node to a validator, feed by NATS against the stream'), unit: 'ms' },
        of(turns.nats, 1),
        of(turns.nats, 0),
      ),
    )
  }
  return rows
}

/** It does so once NATS has brought it a batch. */
async function leads(validator: Validators, node: Authority): Promise<void> {
  const until = performance.now() + LEAD_MS
  while ((await validator.ask('source')) !== 'nats') {
    if (performance.now() > until) throw new Error('NATS does not bring the feed')
    await node.ask('burst', { perSecond: PER_SECOND, count: 1 })
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
