/**
 * A world for a story: an authority in a process of its own on either store, people and clients in it, and tokens got the way
 * everybody gets them. Everything is reached over HTTP; nothing of the authority's code runs in the test's process.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { type Balancer, startBalancer } from '@signet/testkit/balancer.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { startTcpProxy, type TcpProxy } from '@signet/testkit/tcp-proxy.ts'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import { Browser } from '../packages/cli/start/browser.ts'
import { type StartedProcess, startProcess } from '../packages/cli/start/process.ts'

export type Engine = 'sqlite' | 'postgres'

export interface WorldOptions {
  readonly engine?: Engine
  /** Policy settings that differ from the defaults. */
  readonly policy?: Readonly<Record<string, unknown>>
  /** Everybody but the administrator reaches the authority through a network that can be cut. */
  readonly proxied?: boolean
  /** More than one, behind a load balancer that knows no sessions; on PostgreSQL. */
  readonly nodes?: number
  /** Instead of a database of its own; whoever gave it drops it. */
  readonly database?: string
  /** What the first nodes run instead of this program: the path of its main file. */
  readonly programs?: readonly string[]
  /** Environment of the first nodes, beside this process's own. */
  readonly environments?: readonly Readonly<Record<string, string>>[]
  /** Each node serves health and metrics on a port of its own. */
  readonly operations?: boolean
  /** More settings, as in the file. */
  readonly settings?: Readonly<Record<string, unknown>>
}

/** One node of the authority. */
export interface WorldNode {
  readonly port: number
  /** A metric's value, as the node's operations address gives it; undefined when there is none. `name` with its labels. */
  metric(name: string): Promise<number | undefined>
  /** What its operations address says about its readiness. */
  readiness(): Promise<{ readonly ready: boolean; readonly failed: readonly string[] }>
  readonly process: StartedProcess
  start(): Promise<void>
  /** It dies as by a power cut of its process. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export interface Tokens {
  readonly access_token: string
  readonly refresh_token?: string
  readonly id_token?: string
  readonly token_type: string
  readonly expires_in: number
  readonly scope?: string
}

export const API = 'https://api.example/notes'

/** Why a world on this engine cannot be had here, or undefined. */
export async function unavailable(engine: Engine): Promise<string | undefined> {
  if (engine === 'sqlite') return undefined
  const server = await startPostgres()
  if ('skip' in server) return server.skip
  await server.stop() // Each world has its own hold on it.
  return undefined
}

export async function createWorld(options: WorldOptions = {}) {
  const state = await mkdtemp(join(tmpdir(), 'signet-e2e-'))
  const ports = await Promise.all(Array.from({ length: options.nodes ?? 1 }, () => freePort()))
  const port = ports[0] as number
  const proxy = options.proxied ? await startTcpProxy(port) : undefined
  const balancer = ports.length > 1 ? await startBalancer(ports) : undefined
  const issuer = `http://localhost:${balancer?.port ?? proxy?.port ?? port}`
  const given = options.database
  const database =
    given === undefined ? await databaseFor(options.engine ?? 'sqlite') : { url: given, drop: () => Promise.resolve() }
  const config = join(state, 'signet.json')
  await writeFile(config, JSON.stringify({ ...options.settings, policy: options.policy ?? {} }))
  const nodes: WorldNode[] = []
  const close = async () => {
    await Promise.all(nodes.map((node) => node.stop()))
    await balancer?.close()
    await proxy?.close()
    await database.drop()
    await rm(state, { recursive: true, force: true })
  }
  try {
    for (const [n, each] of ports.entries()) {
      const settings = { config, state, listen: `127.0.0.1:${each}`, issuer, database: database.url, 'log-level': 'error' }
      const operations = options.operations ? await freePort() : undefined
      const program = options.programs?.[n] ?? 'packages/authority/main.ts'
      nodes.push(await startNode(each, settings, operations, { program, env: options.environments?.[n] ?? {} }))
    }
  } catch (error) {
    await close() // What goes on would keep the test's process from ending.
    throw error
  }
  const authority = nodes[0] as WorldNode
  const setup = authority.process.ready.setup as string
  const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
  const admin: AdminClient = createAdminClient({ credentials, server: `http://localhost:${balancer?.port ?? port}` })

  return {
    issuer,
    port,
    state,
    setup,
    admin,
    credentialsFile: join(state, 'cli.json'),
    database: database.url,
    proxy: proxy as TcpProxy,
    nodes,
    balancer: balancer as Balancer,
    get authority() {
      return authority.process
    },
    start: () => authority.start(),
    kill: () => authority.kill(),
    stop: () => authority.stop(),
    close,
    resource: (scopes: readonly string[] = ['notes:read', 'notes:write'], uri: string = API) =>
      admin.call('putResource', {
        params: { uri },
        body: { name: 'Notes', scopes: scopes.map((name) => ({ name, description: `May ${name}` })) },
      }),
    client: (body: Record<string, unknown> = {}) =>
      admin.call('createClient', {
        body: {
          name: 'Shop',
          platform: 'web',
          auth_method: 'client_secret_basic',
          grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
          redirect_uris: ['http://127.0.0.1:9/callback'],
          scopes: ['openid', 'profile', 'email', 'notes:read', 'notes:write'],
          resources: [API],
          first_party: true,
          ...body,
        } as never,
      }),
    /** What a service follows the revocation feed with: a client of its own. */
    async feedCredentials(): Promise<{ clientId: string; clientSecret: string }> {
      const { id, client_secret } = await this.client({
        platform: 'service',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        scopes: ['signet:feed'],
        resources: [issuer],
      })
      return { clientId: id, clientSecret: client_secret as string }
    },
    /** A person with a password, signed in nowhere yet. */
    async person(username = `p${randomBytes(4).toString('hex')}`) {
      const password = randomBytes(15).toString('base64url')
      const subject = await admin.call('createSubject', { body: { username, password } })
      return { id: subject.id, username, password }
    },
    /** Gets tokens as clients do. */
    token: (client: { id: string; client_secret?: string | undefined }, form: Readonly<Record<string, string>>) =>
      patientRequest(issuer, client, form),
    introspect: (client: { id: string; client_secret?: string | undefined }, token: string) => introspect(issuer, client, token),
  }
}

async function startNode(
  port: number,
  settings: Readonly<Record<string, string>>,
  operations: number | undefined,
  { program, env }: { readonly program: string; readonly env: Readonly<Record<string, string>> },
): Promise<WorldNode> {
  const place = operations === undefined ? {} : { operations: `127.0.0.1:${operations}` }
  const args = Object.entries({ ...settings, ...place }).flatMap(([name, value]) => [`--${name}`, value])
  const start = () => startProcess('authority', program, args, env)
  let process = await start()
  return {
    port,
    async metric(name) {
      const text = await (await fetch(`http://127.0.0.1:${operations}/metrics`)).text()
      const line = text.split('\n').find((each) => each.startsWith(`${name} `))
      return line === undefined ? undefined : Number(line.slice(name.length + 1))
    },
    async readiness() {
      const answer = await fetch(`http://127.0.0.1:${operations}/readyz`)
      const { checks } = (await answer.json()) as { checks: readonly { name: string; state: string }[] }
      return { ready: answer.ok, failed: checks.filter(({ state }) => state === 'failed').map(({ name }) => name) }
    },
    get process() {
      return process
    },
    async start() {
      process = await start()
    },
    kill: () => process.kill(),
    stop: () => process.stop(),
  }
}

export type World = Awaited<ReturnType<typeof createWorld>>

/** What clients do when they are told to come back: a machine that stood still for a second knows too little to mint, and its store was late. */
async function persistently<T extends Awaited<ReturnType<typeof tokenRequest>>>(ask: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    const answer = await ask()
    const { status, body } = answer
    const isLate = status === 503 && (body.reason === 'store_unavailable' || body.reason === 'overloaded')
    if (!isLate || performance.now() > end) return answer
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** One form to one endpoint, until it is answered. */
export const patientRequest = (...request: Parameters<typeof tokenRequest>): ReturnType<typeof tokenRequest> =>
  persistently(() => tokenRequest(...request))

/** RFC 7662, asked by a client about a token of its own. Who gives no answer has not said that it is not active. */
export async function introspect(
  server: string,
  client: { id: string; client_secret?: string | undefined },
  token: string,
): Promise<{ active: boolean }> {
  const { status, body } = await patientRequest(server, client, { token }, '/introspect')
  if (status !== 200) throw new Error(`/introspect answers ${status}: ${JSON.stringify(body)}`)
  return body as unknown as { active: boolean }
}

/** One form to one endpoint, with HTTP Basic when the client has a secret. */
export async function tokenRequest(
  issuer: string,
  client: { id: string; client_secret?: string | undefined },
  form: Readonly<Record<string, string>>,
  path = '/token',
): Promise<{ status: number; body: Tokens & { error?: string; reason?: string }; headers: Headers }> {
  const secret = client.client_secret
  const response = await fetch(issuer + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(secret === undefined
        ? {}
        : {
            authorization: `Basic ${Buffer.from(`${encodeURIComponent(client.id)}:${encodeURIComponent(secret)}`).toString('base64')}`,
          }),
    },
    body: new URLSearchParams(secret === undefined ? { client_id: client.id, ...form } : form),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : JSON.parse(text), headers: response.headers }
}

/** Where a browser begins. */
export function authorizationUrl(
  world: Pick<World, 'issuer'>,
  client: { id: string; redirect_uris: readonly string[] },
  verifier: string,
  extra: Readonly<Record<string, string>> = {},
): string {
  const url = new URL('/authorize', world.issuer)
  url.search = new URLSearchParams({
    client_id: client.id,
    redirect_uri: client.redirect_uris[0] as string,
    response_type: 'code',
    scope: 'notes:read notes:write',
    state: 's',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...extra,
  }).toString()
  return url.href
}

/** Signs in (once per browser; later calls ride on the session) and redeems the code. */
export async function grant(
  world: Pick<World, 'issuer'>,
  browser: Browser,
  client: { id: string; client_secret?: string | undefined; redirect_uris: readonly string[] },
  person: { username: string; password: string },
  extra: Readonly<Record<string, string>> = {},
): Promise<Tokens> {
  const verifier = randomBytes(32).toString('base64url')
  const redirectUri = client.redirect_uris[0] as string
  const callback = await followToCallback(browser, authorizationUrl(world, client, verifier, extra), redirectUri, person)
  const code = callback.searchParams.get('code')
  if (code === null) throw new Error(`no code: ${callback.search}`)
  const form = { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier }
  const answer = await patientRequest(world.issuer, client, form)
  if (answer.status !== 200) throw new Error(`code refused: ${JSON.stringify(answer.body)}`)
  return answer.body
}

async function followToCallback(
  browser: Browser,
  url: string,
  redirectUri: string,
  person: { username: string; password: string },
): Promise<URL> {
  browser.stopAt = redirectUri
  const isThere = () => browser.url.startsWith(redirectUri)
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    browser.status = 0
    await browser.open(url)
    for (let pages = 0; pages < 4 && !isThere() && browser.status !== 503; pages++) {
      await browser.submit({ username: person.username, password: person.password })
    }
    if (isThere()) return new URL(browser.url)
    // "Come back", after the machine stood still: what was begun is begun again.
    if (browser.status !== 503 || performance.now() > end)
      throw new Error(`stopped at ${browser.url}: ${browser.status} ${browser.heading()}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function databaseFor(engine: Engine): Promise<{ url: string; drop(): Promise<void> }> {
  if (engine === 'sqlite') return { url: 'sqlite', drop: async () => {} }
  const server = await startPostgres()
  if ('skip' in server) throw new Error(server.skip)
  return { url: await server.freshDatabase(), drop: () => server.stop() }
}

export const claimsOf = (
  token: string,
): Record<string, unknown> & { jti: string; gid: string; sid: string; did: string; sub: string } =>
  JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString())
export { Browser }
