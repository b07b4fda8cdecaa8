/**
 * Regions as an operator would run them: each a PostgreSQL cluster and nodes of its own, all processes; every region follows every other
 * over a network that can be cut. People reach the first under the issuer's name.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { type PostgresServer, startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { startTcpProxy, type TcpProxy } from '@signet/testkit/tcp-proxy.ts'
import { until } from '@signet/testkit/until.ts'
import { createValidator, type Validator } from '@signet/validator'
import { type StartedProcess, startProcess } from '../packages/cli/start/process.ts'
import { API, Browser, grant, patientRequest, type Tokens, type tokenRequest } from './world.ts'

export interface Region {
  readonly name: string
  readonly url: string
  readonly database: PostgresServer
  readonly nodes: readonly StartedProcess[]
  /** The way of the others to its last node. */
  readonly network: TcpProxy
  readonly admin: AdminClient
  /** At one of its nodes, however the first is. */
  adminAt(node: number): AdminClient
  /** Registered in every region, each with a secret of its own. */
  readonly shop: { readonly id: string; readonly client_secret: string }
  /** Of a service near this region, which knows nothing but the issuer's name. */
  readonly validator: Validator
  /** Answered also with 503 when it is another region that cannot be asked. */
  refresh(token: string): ReturnType<typeof tokenRequest>
  /** Until whoever has it has been asked: he may have stood still. */
  refreshAtLast(token: string): ReturnType<typeof tokenRequest>
  start(): Promise<void>
}

export interface RegionsWorld {
  readonly issuer: string
  readonly regions: readonly Region[]
  /** Everybody has heard of everybody in the last seconds. */
  isWhole(): Promise<boolean>
  /** Somebody signs in in the first region. */
  signIn(login: { readonly username: string; readonly password: string }): Promise<Tokens>
  close(): Promise<void>
}

const CALLBACK = 'http://127.0.0.1:9/callback'
const SERVICE = {
  platform: 'service',
  auth_method: 'client_secret_basic',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  first_party: true,
} as const

/** `nodes`: how many each region has, by name. */
export async function startRegions(nodes: Readonly<Record<string, number>>): Promise<RegionsWorld> {
  const closing: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of closing.reverse()) await end()
  }
  try {
    const places: Place[] = []
    for (const [name, count] of Object.entries(nodes)) {
      const place = await prepare(name, count, places[0])
      closing.push(place.close)
      places.push(place)
    }
    const issuer = (places[0] as Place).issuer
    const regions: Region[] = []
    for (const place of places) await furnish(place, places)
    for (const place of places) regions.push(await open(place, places))
    closing.push(() => Promise.all(regions.map(({ validator }) => validator.close())))
    const isWhole = async () => {
      const known = await Promise.all(regions.map(async ({ admin }) => (await admin.call('listRegions')).items))
      return known.flat().every(({ problem, age_ms }) => problem === undefined && age_ms !== null && age_ms < 5000)
    }
    await until(isWhole)
    for (const { validator } of regions) await validator.ready()
    const [first] = regions as [Region]
    const app = { ...first.shop, redirect_uris: [CALLBACK] }
    return { issuer, regions, isWhole, signIn: (login) => grant({ issuer }, new Browser(), app, login), close }
  } catch (error) {
    await close()
    throw error
  }
}

interface Place {
  readonly name: string
  readonly issuer: string
  readonly state: string
  readonly ports: readonly number[]
  readonly database: PostgresServer
  readonly network: TcpProxy
  readonly credentials: Credentials
  /** Secrets of clients at this region, by id. */
  readonly secrets: Map<string, string>
  readonly nodes: StartedProcess[]
  args(port: number): readonly string[]
  register(body: Record<string, unknown>): Promise<void>
  close(): Promise<unknown>
}

/** Its store and first administrator, made by a node that runs until the region is opened. */
async function prepare(name: string, count: number, first: Place | undefined): Promise<Place> {
  const database = await startPostgresServer({ listen: 'tcp' })
  const state = await mkdtemp(join(tmpdir(), `signet-${name}-`))
  const ports = await Promise.all(Array.from({ length: count }, () => freePort()))
  const issuer = first?.issuer ?? `http://localhost:${ports[0]}`
  if (first !== undefined) await copyFile(join(first.state, 'master.key'), join(state, 'master.key'))
  const config = join(state, 'signet.json')
  await writeFile(config, '{}')
  const args = (port: number) => [
    ...['--config', config, '--state', state, '--listen', `127.0.0.1:${port}`, '--issuer', issuer],
    ...['--database', database.url, '--log-level', 'error'],
  ]
  const nodes = [await startProcess(name, MAIN, args(ports[0] as number))]
  const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
  const admin = createAdminClient({ credentials, server: `http://localhost:${ports[0]}` })
  const network = await startTcpProxy(ports.at(-1) as number)
  const secrets = new Map<string, string>()
  return {
    ...{ name, issuer, state, ports, database, network, credentials, secrets, nodes, args },
    async register(body) {
      const made = await admin.call('createClient', { body: { ...SERVICE, ...body } as never })
      secrets.set(made.id, made.client_secret as string)
    },
    async close() {
      await Promise.all(nodes.map((node) => node.stop()))
      await network.close()
      await database.close()
      await rm(state, { recursive: true, force: true })
    },
  }
}

const MAIN = 'packages/authority/main.ts'

async function open(place: Place, all: readonly Place[]): Promise<Region> {
  const { name, issuer, state, ports, database, network, secrets, nodes } = place
  const url = `http://localhost:${ports[0]}`
  const adminAt = (node: number) =>
    createAdminClient({ credentials: place.credentials, server: `http://localhost:${ports[node]}` })
  const admin = adminAt(0)
  const peers = all.filter((other) => other !== place)

  const links = []
  for (const other of peers) {
    const clientSecretFile = join(state, `${other.name}.secret`)
    await writeFile(clientSecretFile, `${other.secrets.get(`region-${name}`)}\n`, { mode: 0o600 })
    links.push({ name: other.name, url: `http://localhost:${other.network.port}`, clientSecretFile })
  }
  await writeFile(join(state, 'signet.json'), JSON.stringify({ region: { name, peers: links } }))
  const start = async () => {
    await Promise.all(nodes.splice(0).map((node) => node.stop()))
    for (const port of ports) nodes.push(await startProcess(name, MAIN, place.args(port)))
  }
  await start()
  const shop = { id: 'shop', client_secret: secrets.get('shop') as string }
  const validator = createValidator({
    issuer,
    audience: API,
    feedCredentials: { clientId: 'notes-service', clientSecret: secrets.get('notes-service') as string },
    permissions: { 'notes:read': { maxStalenessSeconds: 3600 }, 'notes:write': { maxStalenessSeconds: 8 } },
    // The issuer's name leads to this region, as the nearest would.
    fetch: (input, init) => fetch(String(input).replace(issuer, url), init),
  })
  const refresh = (token: string) => patientRequest(url, shop, { grant_type: 'refresh_token', refresh_token: token })
  return {
    ...{ name, url, database, nodes, network, admin, adminAt, shop, validator, start, refresh },
    async refreshAtLast(token) {
      let answer = await refresh(token)
      await until(async () => {
        if (answer.status === 503) answer = await refresh(token)
        return answer.status !== 503
      }, 'the token is known somewhere')
      return answer
    },
  }
}

/** What every region has registered: the API, a shop, a service, and the other regions. */
async function furnish(place: Place, all: readonly Place[]): Promise<void> {
  const { issuer, ports, credentials } = place
  const admin = createAdminClient({ credentials, server: `http://localhost:${ports[0]}` })
  const scopes = ['notes:read', 'notes:write'].map((scope) => ({ name: scope, description: scope }))
  await admin.call('putResource', { params: { uri: API }, body: { name: 'Notes', scopes } })
  await place.register({ name: 'Notes', id: 'notes-service', scopes: ['signet:feed'], resources: [issuer] })
  const grants = ['authorization_code', 'refresh_token', 'client_credentials']
  const app = { platform: 'web', grant_types: grants, redirect_uris: [CALLBACK] }
  await place.register({ ...app, name: 'Shop', id: 'shop', scopes: ['notes:read', 'notes:write'], resources: [API] })
  for (const other of all.filter((one) => one !== place))
    await place.register({ name: 'Link', id: `region-${other.name}`, scopes: ['signet:region'], resources: [issuer] })
}
