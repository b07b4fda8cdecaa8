/**
 * A scratch environment for a drill: authority nodes and a service with a validator, each a process, on ports and in a directory of their own. The
 * store is SQLite, or a schema of its own in an empty PostgreSQL database that the operator gives for it.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { natsNames, natsPlace } from '@signet/kernel/nats.ts'
import { Browser } from '../start/browser.ts'
import { freePort } from '../start/free-port.ts'
import { type StartedProcess, startProcess } from '../start/process.ts'
import { registerSample } from '../start/register.ts'
import { EXIT, Trouble } from '../trouble.ts'
import { bareEnvironment } from './bare-environment.ts'
import { atPort, ownSchema, placeOf } from './database.ts'
import type { Run } from './drill.ts'
import { type Gate, openGate } from './gate.ts'
import { forgetFeed } from './nats.ts'
import { type Answer, asClient, authorize, comingBack, type DrillClient, REDIRECT, redeeming } from './oauth.ts'

/** What was found for it before it begins. */
export interface ScratchPlace {
  /** Of a server that takes writes, and an empty database; SQLite when there is none. */
  readonly database?: string
  readonly nats?: readonly string[]
}

export interface ScratchOptions extends ScratchPlace {
  readonly nodes: 1 | 2
  /** The way to the store, or to the bus, can be cut. */
  readonly gated?: 'database' | 'bus'
}

export interface Scratch {
  readonly issuer: string
  readonly admin: AdminClient
  /** At the second node. */
  readonly otherAdmin: AdminClient
  readonly state: string
  readonly client: DrillClient
  /** What was said to be gated. */
  readonly gate: Pick<Gate, 'cut' | 'heal'>
  person(): Promise<{ readonly id: string; readonly username: string; readonly password: string }>
  signIn(person: { username: string; password: string }): Promise<Answer>
  /** `once`: not again when the answer is that it cannot be now. */
  refresh(refreshToken: string, how?: 'once'): Promise<Answer>
  /** `late` hears when it cannot be now, and is asked for again. */
  credentials(late?: () => void): Promise<Answer>
  introspect(token: string): Promise<boolean>
  /** What the service answers to a call with this token; 0 when it does not. */
  call(token: string): Promise<number>
  stop(): Promise<void>
  start(): Promise<void>
}

const SAMPLE = 'examples/sample-service/main.ts'
const AUTHORITY = 'packages/authority/main.ts'

/** What it may take until a call to the service is answered. */
const PATIENCE_MS = 20_000

/** Throws when there is nothing to make one from. */
export function demandSample(): void {
  if (existsSync(fileURLToPath(new URL(`../../../${SAMPLE}`, import.meta.url)))) return
  throw new Trouble({
    what: 'There is no service to drill with',
    why: 'a scratch environment uses the sample service, which comes with the source',
    advice: 'Run it in a clone of the source.',
    exit: EXIT.usage,
    code: 'no_sample',
  })
}

/** It is closed when the drill is over. */
export async function openScratch(run: Run, { database, nats = [], nodes: count, gated }: ScratchOptions): Promise<Scratch> {
  run.doing(`starting ${count === 1 ? 'an authority' : 'two nodes'} and a service`)
  const state = await mkdtemp(join(tmpdir(), 'signet-drill-'))
  const running: StartedProcess[] = []
  run.leaves({
    what: `the folder ${state}`,
    byHand: `rm -r ${state}`,
    putAway: () => rm(state, { recursive: true, force: true }),
  })
  const [port, otherPort, samplePort] = [await freePort(), await freePort(), await freePort()]
  const issuer = `http://localhost:${port}`
  const sampleUrl = `http://localhost:${samplePort}`
  if (nats.length > 0) {
    run.leaves({
      what: `the stream ${natsNames(issuer).stream} on NATS`,
      byHand: `nats stream rm ${natsNames(issuer).stream}`,
      putAway: () => forgetFeed(nats, issuer),
    })
  }
  const isDatabaseGated = gated === 'database' && database !== undefined
  const gate = await openGate(gated === 'bus' ? nats.map(natsPlace) : isDatabaseGated ? [placeOf(database)] : [])
  run.leaves({ what: 'the gate', putAway: () => gate.close() })
  const settings = { ...bareEnvironment(), SIGNET_DATABASE: 'sqlite' }
  if (database !== undefined) {
    const schema = ownSchema(database)
    const way = isDatabaseGated ? atPort(database, gate.ports[0] as number) : database
    run.leaves(schema)
    await schema.make(way)
    settings.SIGNET_DATABASE = schema.in(way) // Not as an argument: it may hold a password.
  }
  const start = async () => {
    for (const each of [port, otherPort].slice(0, count)) {
      const args = [
        ...['--state', state, '--issuer', issuer, '--listen', `127.0.0.1:${each}`, '--log-level', 'fatal'],
        ...(gated === 'bus' ? ['--bus', gate.ports.map((one) => `nats://127.0.0.1:${one}`).join(',')] : []),
      ]
      running.push(await started('authority', AUTHORITY, args, settings))
    }
  }
  const stop = async () => {
    for (const node of running.splice(0)) await node.stop()
  }
  run.leaves({ what: 'the processes', putAway: stop })
  await start()
  const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
  const admin = createAdminClient({ credentials })
  const settingsFile = await registerSample({ state, issuer, sampleUrl })
  const sample = await started('sample service', SAMPLE, [settingsFile], bareEnvironment())
  run.leaves({ what: 'the service', putAway: sample.stop })
  const resource = `${sampleUrl}/api`
  const made = await admin.call('createClient', {
    body: {
      name: 'Drill',
      platform: 'web',
      auth_method: 'client_secret_basic',
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      redirect_uris: [REDIRECT],
      scopes: ['notes:read'],
      resources: [resource],
      introspects: [resource],
      first_party: true,
    } as never,
  })
  const client = { id: made.id, secret: made.client_secret as string, resource }
  const ask = asClient(issuer, client)
  const post = comingBack(ask)
  return {
    issuer,
    admin,
    otherAdmin: createAdminClient({ credentials, server: `http://localhost:${otherPort}` }),
    state,
    client,
    gate,
    async person() {
      const [username, password] = [`drill-${randomBytes(4).toString('hex')}`, randomBytes(15).toString('base64url')]
      const { id } = await admin.call('createSubject', { body: { username, password } })
      return { id, username, password }
    },
    async signIn(person) {
      const code = await authorize(new Browser(), issuer, client.id, person, 'notes:read')
      return post('/token', redeeming(code ?? { code: '', verifier: '' })) // A failed sign-in shows as a refusal.
    },
    refresh: (refreshToken, how) =>
      (how === 'once' ? ask : post)('/token', { grant_type: 'refresh_token', refresh_token: refreshToken }),
    credentials: (late) => comingBack(ask, late)('/token', { grant_type: 'client_credentials', resource, scope: 'notes:read' }),
    introspect: async (token) => (await post('/introspect', { token })).body.active === true,
    async call(token) {
      const headers = { authorization: `Bearer ${token}` }
      const answer = await fetch(`${sampleUrl}/api/notes`, { headers, signal: AbortSignal.timeout(PATIENCE_MS) }).catch(
        () => undefined,
      )
      await answer?.arrayBuffer().catch(() => undefined)
      return answer?.status ?? 0
    },
    start,
    stop,
  }
}

/** What it complains of is told when it ends by itself before it is ready; later, the drill's own checks tell. */
async function started(name: string, script: string, args: readonly string[], env: ReturnType<typeof bareEnvironment>) {
  try {
    return await startProcess(name, script, args, env, true)
  } catch (error) {
    throw new Trouble({
      what: `Could not start the ${name} of the drill`,
      why: (error as Error).message,
      advice: 'Mend what it says, and run the drill again.',
      exit: EXIT.refused,
      code: 'scratch',
      cause: error,
    })
  }
}
