/**
 * `npm run chaos -- --soak MINUTES`: fifty validators and 200 revocations a second, and how long after its acknowledgment a token is accepted by the
 * last of them; with the bus, then without it. One revocation in fifty is of a token that all validators hold open, for each of them has to verify
 * it first; the others are of ids that nobody has, which is the same work for the nodes and the feed. The feed is signed with RS256.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newId } from '@signet/kernel/ids.ts'
import { API, type Cluster, startCluster } from './cluster.ts'
import { quantile } from './figures.ts'
import { insist } from './insist.ts'
import { type Janitor, startJanitor } from './janitor.ts'
import { createProcess, type Proc } from './process.ts'
import { createRecorder, machineMs } from './recorder.ts'
import { createRequests } from './requests.ts'
import type { Ended, Hold } from './soak-process.ts'
import { within } from './within.ts'

export interface SoakResult {
  readonly bus: boolean
  readonly minutes: number
  readonly perSecond: number
  readonly validators: number
  readonly revocations: number
  /** From the acknowledgment to the moment when the last validator refused, milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly most: number
  /** Revocations that were answered by "try again": nobody was promised anything. */
  readonly failed: number
  /** Tokens that somebody never refused. */
  readonly lost: number
}

const PER_SECOND = 200
const SAMPLE = 50
const PROCESSES = 2
const EACH = 25
/** What is asked at once, at most: beyond, the pace is not kept, and said so. */
const MAX_UNDER_WAY = 500

/** As docs/capacity.md advises where validators share processors. */
export const POLICY = { feedSigningAlgorithm: 'RS256' }
const PATIENCE_MS = 10_000
/** By itself, `fetch` takes a tenth of what there is of such a machine at this pace. */
const agent = new Agent({ keepAlive: true, maxSockets: MAX_UNDER_WAY })

/** Until it must be over, beyond the minutes asked for. */
const AROUND_MS = 300_000

export async function soak(minutes: number, bus: boolean): Promise<SoakResult> {
  const janitor = startJanitor()
  try {
    return await within(minutes * 60_000 + AROUND_MS, 'to soak', soakWith(janitor, minutes, bus))
  } finally {
    await janitor.close()
  }
}

async function soakWith(janitor: Janitor, minutes: number, bus: boolean): Promise<SoakResult> {
  const directory = await mkdtemp(join(tmpdir(), 'signet-chaos-'))
  const forget = janitor.add('directory', directory)
  const recorder = createRecorder(join(directory, 'history.jsonl'))
  const cluster = await startCluster({
    engine: 'postgres',
    validators: 0,
    recorder,
    janitor,
    directory,
    unlinked: true,
    policy: POLICY,
  })
  const holders: Proc[] = []
  try {
    const ended = new Map<string, number[]>()
    const held = new Map<string, number>()
    const feed = await cluster.admin.call('createClient', {
      body: {
        name: 'Fleet',
        platform: 'service',
        auth_method: 'client_secret_basic',
        grant_types: ['client_credentials'],
        scopes: ['signet:feed'],
        resources: [cluster.issuer],
      } as never,
    })
    const credentials = { clientId: feed.id, clientSecret: feed.client_secret }
    for (let i = 0; i < PROCESSES; i++) {
      const options = { issuer: cluster.issuer, audience: API, feedCredentials: credentials, count: EACH }
      const holder = createProcess(
        {
          name: `holder-${i + 1}`,
          script: 'chaos/soak-process.ts',
          args: [JSON.stringify(options)],
          onLine(line) {
            const said = JSON.parse(line) as Ended | { held: string }
            if ('held' in said) held.set(said.held, (held.get(said.held) ?? 0) + 1)
            else ended.get(said.token)?.push(said.atMs)
          },
        },
        { recorder, janitor, directory },
      )
      holders.push(holder)
      await holder.start()
    }
    if (!bus) await cluster.nats?.kill()
    return {
      bus,
      minutes,
      perSecond: PER_SECOND,
      validators: PROCESSES * EACH,
      ...(await run(cluster, holders, minutes, held, ended)),
    }
  } finally {
    for (const holder of holders) await holder.stop()
    await cluster.close()
    await recorder.close()
    await rm(directory, { recursive: true, force: true })
    forget()
  }
}

async function run(
  cluster: Cluster,
  holders: readonly Proc[],
  minutes: number,
  held: ReadonlyMap<string, number>,
  ended: Map<string, number[]>,
): Promise<Pick<SoakResult, 'revocations' | 'failed' | 'p50' | 'p99' | 'most' | 'lost'>> {
  const { admin, issuer } = cluster
  const requests = createRequests(issuer, cluster.surroundings.recorder)
  const made = await admin.call('createClient', {
    body: {
      name: 'Soak',
      platform: 'service',
      auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      scopes: ['notes:read'],
      resources: [API],
    } as never,
  })
  const client = { id: made.id, secret: made.client_secret as string }
  const acknowledged = new Map<string, number>()
  const ready: string[] = []
  const under = new Set<Promise<void>>()
  let broke: unknown
  let failed = 0
  let revocations = 0

  const stock = async () => {
    const { accessToken, ids } = await requests.machine(client)
    if (accessToken === undefined || ids?.token === undefined) return
    ended.set(ids.token, [])
    const hold: Hold = { name: ids.token, token: accessToken }
    for (const holder of holders) holder.write(JSON.stringify(hold))
    ready.push(ids.token)
  }
  const revoke = async (id: string) => {
    const { access_token } = await insist(() => admin.accessToken('signet:admin'))
    const body = JSON.stringify({ target: { kind: 'token', id }, reason: 'soak' })
    // Torn or too late: nobody was promised anything.
    const status = await post(`${issuer}/admin/v1/revocations`, access_token, body).catch(() => undefined)
    if (status === undefined || status === 503 || status === 429) return void failed++
    if (status >= 300) throw new Error(`a revocation was answered ${status}`)
    revocations++
    if (ended.has(id)) acknowledged.set(id, machineMs())
  }
  const launch = (work: Promise<void>) => {
    under.add(work)
    work.catch((error) => (broke ??= error)).finally(() => under.delete(work))
  }

  const began = performance.now()
  const total = minutes * 60 * PER_SECOND
  for (let count = 0; count < total && broke === undefined; ) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1000) * PER_SECOND))
    for (; count < due && under.size < MAX_UNDER_WAY; count++) {
      const [next] = ready
      const isHeld = next !== undefined && held.get(next) === holders.length
      if (count % SAMPLE === 0 && isHeld) launch(revoke(ready.shift() as string))
      else launch(revoke(newId(Date.now(), { bytes: randomBytes })))
      if (count % SAMPLE === SAMPLE / 2 && ready.length < PER_SECOND) launch(stock())
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await Promise.all(under).catch(() => {})
  if (broke !== undefined) throw broke
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const everybody = PROCESSES * EACH
  const delays: number[] = []
  let lost = 0
  for (const [token, atMs] of acknowledged) {
    const moments = ended.get(token) ?? []
    if (moments.length < everybody) lost++
    else delays.push(Math.max(...moments) - atMs)
  }
  return { revocations, failed, lost, p50: quantile(delays, 0.5), p99: quantile(delays, 0.99), most: Math.max(0, ...delays) }
}

/** The status of the answer, once that is whole. */
function post(url: string, token: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    }
    const asked = request(url, { method: 'POST', agent, headers, timeout: PATIENCE_MS }, (answer) => {
      answer.on('error', reject)
      answer.on('end', () => resolve(answer.statusCode as number))
      answer.resume()
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', reject)
    asked.end(body)
  })
}
