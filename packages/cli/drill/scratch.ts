/**
 * A scratch environment for a drill: authority nodes and a service with a validator, each a process, on ports and in a directory of their own. The
 * store is SQLite, or a PostgreSQL database that the operator gives for it: an empty one, for it is written to.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { Browser } from '../start/browser.ts'
import { freePort } from '../start/free-port.ts'
import { type StartedProcess, startProcess } from '../start/process.ts'
import { registerSample } from '../start/register.ts'
import { EXIT, Trouble } from '../trouble.ts'
import { type Gate, openGate } from './gate.ts'
import { type Answer, asClient, authorize, type DrillClient, REDIRECT, redeeming } from './oauth.ts'

export interface ScratchOptions {
  /** `sqlite`, or the URL of an empty PostgreSQL database. */
  readonly database: string
  readonly bus?: string
  readonly nodes: 1 | 2
  /** The way to the store, or to the bus, can be cut. */
  readonly gated?: 'database' | 'bus'
}

export interface Scratch {
  readonly issuer: string
  /** Of the second node: its own way in. */
  readonly other: string
  readonly admin: AdminClient
  readonly state: string
  readonly client: DrillClient
  /** What was said to be gated. */
  readonly gate: Gate
  person(): Promise<{ readonly id: string; readonly username: string; readonly password: string }>
  signIn(person: { username: string; password: string }): Promise<Answer>
  refresh(refreshToken: string): Promise<Answer>
  credentials(): Promise<Answer>
  introspect(token: string): Promise<boolean>
  /** What the service answers to a call with this token. */
  call(token: string): Promise<number>
  stop(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

const SAMPLE = 'examples/sample-service/main.ts'
const AUTHORITY = 'packages/authority/main.ts'

const open = new Set<() => Promise<void>>()

/** For whoever is interrupted in the middle of a drill. */
export async function closeScratch(): Promise<void> {
  for (const close of open) await close()
}

export async function openScratch(options: ScratchOptions): Promise<Scratch> {
  if (!existsSync(fileURLToPath(new URL(`../../../${SAMPLE}`, import.meta.url)))) {
    throw new Trouble({
      what: 'There is no service to drill with',
      why: 'a scratch environment uses the sample service, which comes with the source',
      advice: 'Run it in a clone of the source.',
      exit: EXIT.usage,
      code: 'no_sample',
    })
  }
  const state = await mkdtemp(join(tmpdir(), 'signet-drill-'))
  const closers: (() => Promise<unknown>)[] = [() => rm(state, { recursive: true, force: true })]
  const close = async () => {
    open.delete(close)
    for (let one = closers.pop(); one !== undefined; one = closers.pop()) await one()
  }
  open.add(close)
  try {
    const gate = await openGate(options)
    closers.push(() => gate.close())
    const [port, otherPort, samplePort] = [await freePort(), await freePort(), await freePort()]
    const issuer = `http://localhost:${port}`
    const sampleUrl = `http://localhost:${samplePort}`
    let nodes: StartedProcess[] = []
    const start = async () => {
      for (const each of [port, otherPort].slice(0, options.nodes)) {
        const args = [
          ...['--state', state, '--issuer', issuer, '--listen', `127.0.0.1:${each}`],
          ...['--database', gate.database, '--log-level', 'fatal'],
          ...(gate.bus === undefined ? [] : ['--bus', gate.bus]),
        ]
        nodes.push(await startProcess('authority', AUTHORITY, args))
      }
    }
    const stop = async () => {
      for (const node of nodes) await node.stop()
      nodes = []
    }
    await start()
    closers.push(stop)
    const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
    const admin = createAdminClient({ credentials })
    const sample = await startProcess('sample service', SAMPLE, [await registerSample({ state, issuer, sampleUrl })])
    closers.push(sample.stop)
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
    const post = asClient(issuer, client)
    return {
      issuer,
      other: `http://localhost:${otherPort}`,
      admin,
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
      refresh: (refreshToken) => post('/token', { grant_type: 'refresh_token', refresh_token: refreshToken }),
      credentials: () => post('/token', { grant_type: 'client_credentials', resource, scope: 'notes:read' }),
      introspect: async (token) => (await post('/introspect', { token })).body.active === true,
      async call(token) {
        const answer = await fetch(`${sampleUrl}/api/notes`, { headers: { authorization: `Bearer ${token}` } })
        await answer.arrayBuffer()
        return answer.status
      },
      start,
      stop,
      close,
    }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}
