/**
 * Two regions, each with a PostgreSQL cluster, a node and a validator of its own, linked over loopback: from the acknowledgment of a
 * revocation to its refusal in the region that was asked, and in the other. The same revocations are seen by both.
 */
import { fileURLToPath } from 'node:url'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { startPostgresServer } from '@signet/testkit/postgres-server.ts'
import type { Benchmark, Row } from './benchmark.ts'
import { type Child, startChild } from './child.ts'
import { accessTokens } from './ours/access-tokens.ts'
import type { AuthorityAnswers, Cluster } from './ours/authority.ts'
import { type Act, allRefusals, delaysSince, revokeSteadily } from './refusals.ts'
import { comparison, median, quantile } from './rounds.ts'
import type { ValidatorsAnswers } from './validators-process.ts'

type Authority = Child<AuthorityAnswers>
type Validators = Child<ValidatorsAnswers>

/** One at a time, so that each has to wait for the link by itself; and more than the link has questions in a second. */
const PACES = [5, 100] as const
/** Regions know each other by then, or something is wrong. */
const LINKED_MS = 30_000

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const closing: (() => Promise<unknown>)[] = []
  const started = async <C extends { stop(): Promise<void> }>(child: Promise<C>): Promise<C> => {
    const running = await child
    closing.push(() => running.stop())
    return running
  }
  const ports = { west: await freePort(), east: await freePort() }
  const region = async (name: 'west' | 'east', other: 'west' | 'east', first?: Cluster['first']): Promise<Authority> => {
    const database = await startPostgresServer()
    closing.push(() => database.close())
    const place = { name, port: ports[name], peers: { [other]: ports[other] } }
    const cluster: Cluster = { region: place, ...(first === undefined ? {} : { first }) }
    const args = [database.url, scratch, JSON.stringify(cluster)]
    return started(startChild<AuthorityAnswers>(file('ours/authority.ts'), args))
  }
  try {
    const west = await region('west', 'east')
    const issuer = await west.ask('issuer')
    const east = await region('east', 'west', { issuer, state: await west.ask('state') })
    const admins = [await adminOf(west), await adminOf(east)] as const
    await linked(admins)
    const validator = async (port: number): Promise<Validators> => {
      const child = await started(startChild<ValidatorsAnswers>(file('validators-process.ts')))
      await child.ask('start', { issuer, count: 1, at: `http://localhost:${port}` })
      return child
    }
    const [near, far] = [await validator(ports.west), await validator(ports.east)]
    const rows: Row[] = []
    for (const perSecond of PACES) {
      const turns: Turn[] = []
      for (let round = -1; round < pace.rounds; round++) {
        // At least some of them, however slowly.
        const tokens = await accessTokens(west, Math.max(LEAST, Math.ceil((perSecond * pace.turnMs) / 1000)))
        for (const each of [near, far]) await each.ask('watch', tokens)
        const acts = await revokeSteadily(admins[0], tokens, perSecond)
        const turn = {
          acts,
          near: await allRefusals([near], tokens.length, 1),
          far: await allRefusals([far], tokens.length, 1),
        }
        if (round >= 0) turns.push(turn) // By then what is measured has been compiled.
      }
      rows.push(...rowsOf(turns, perSecond))
    }
    return rows
  } finally {
    for (const close of closing.reverse()) await close()
  }
}

const LEAST = 10

interface Turn {
  readonly acts: readonly Act[]
  readonly near: readonly (readonly number[])[]
  readonly far: readonly (readonly number[])[]
}

/** The quotient is of what begins when the revocation is asked for: the same region often refuses before the answer has arrived. */
function rowsOf(turns: readonly Turn[], perSecond: number): Row[] {
  const rows: Row[] = []
  for (const [figure, q] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    const each = (since: keyof Act, where: 'near' | 'far'): readonly number[] =>
      turns.map(({ acts, ...seen }) =>
        quantile(
          delaysSince(
            acts.map((act) => act[since]),
            seen[where],
          ),
          q,
        ),
      )
    const row = (where: 'near' | 'far', words: string): Row => ({
      name: `acknowledgment to refusal in the ${words} region, ${perSecond}/s, ${figure}`,
      ours: median(each('acknowledgedMs', where)),
      unit: 'ms',
      rounds: turns.length,
    })
    rows.push(
      row('near', 'same'),
      row('far', 'other'),
      comparison(
        { name: `request to refusal, the other region against the same, ${perSecond}/s, ${figure}`, unit: 'ms' },
        each('askedMs', 'far'),
        each('askedMs', 'near'),
      ),
    )
  }
  return rows
}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

async function adminOf(region: Authority): Promise<AdminClient> {
  const { port } = await region.ask('describe')
  return createAdminClient({ credentials: await region.ask('credentials'), server: `http://localhost:${port}` })
}

async function linked(admins: readonly AdminClient[]): Promise<void> {
  const end = performance.now() + LINKED_MS
  const follows = async (admin: AdminClient) =>
    (await admin.call('listRegions')).items.every(({ age_ms }) => age_ms !== null && age_ms < 1000)
  while (!(await Promise.all(admins.map(follows))).every((is) => is)) {
    if (performance.now() > end) throw new Error('the regions do not follow each other')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
