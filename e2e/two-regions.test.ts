/**
 * Two regions as an operator would run them: two PostgreSQL clusters, two nodes in west and one in east, all processes, each region reached
 * by services over the issuer's one name. What is revoked in one dies in both; a cut link shows; what lives in west is judged there.
 */
import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { type PostgresServer, startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { until } from '@signet/testkit/regions.ts'
import { startTcpProxy } from '@signet/testkit/tcp-proxy.ts'
import { createValidator, type Validator } from '@signet/validator'
import { type StartedProcess, startProcess } from '../packages/cli/start/process.ts'
import { API, Browser, grant, tokenRequest } from './world.ts'

const MAIN = 'packages/authority/main.ts'

interface Region {
  readonly name: string
  readonly state: string
  readonly ports: readonly number[]
  readonly args: (port: number, config?: string) => readonly string[]
  readonly admin: AdminClient
  readonly processes: StartedProcess[]
}

/** Its store, first administrator and clients, made by a node that is stopped again. */
async function prepare(
  name: string,
  issuer: string,
  database: PostgresServer,
  ports: number[],
  master?: string,
): Promise<Region> {
  const state = await mkdtemp(join(tmpdir(), `signet-${name}-`))
  if (master !== undefined) await copyFile(master, join(state, 'master.key'))
  const args = (port: number, config?: string) => [
    ...(config === undefined ? [] : ['--config', config]),
    ...['--state', state, '--listen', `127.0.0.1:${port}`, '--issuer', issuer],
    ...['--database', database.url, '--log-level', 'error'],
  ]
  const first = await startProcess(name, MAIN, args(ports[0] as number))
  const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
  const server = `http://localhost:${ports[0]}`
  return { name, state, ports, args, admin: createAdminClient({ credentials, server }), processes: [first] }
}

/** A client of both regions; each makes a secret of its own. */
async function register(regions: readonly Region[], body: Record<string, unknown>) {
  const made = []
  for (const { admin } of regions) {
    const record = {
      platform: 'service',
      auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      first_party: true,
      ...body,
    }
    made.push(await admin.call('createClient', { body: record as never }))
  }
  return made as [(typeof made)[0], (typeof made)[0]]
}

/** The issuer's name leads to this region, as the nearest would. */
const near =
  (issuer: string, port: number): typeof fetch =>
  (input, init) =>
    fetch(String(input).replace(issuer, `http://localhost:${port}`), init)

const server = await startPostgres()
const skip = 'skip' in server ? server.skip : false
if (!('skip' in server)) await server.stop()

test('two regions on two PostgreSQL clusters', { skip }, async () => {
  const databases = [await startPostgresServer(), await startPostgresServer()] as const
  const ports = { west: [await freePort(), await freePort()], east: [await freePort()] }
  const issuer = `http://localhost:${ports.west[0]}`
  const west = await prepare('west', issuer, databases[0], ports.west)
  const east = await prepare('east', issuer, databases[1], ports.east, join(west.state, 'master.key'))
  // The link to west leads to its second node: the one that people do not sign in at.
  const toWest = await startTcpProxy(ports.west[1] as number)
  const toEast = await startTcpProxy(ports.east[0] as number)
  const validators: Validator[] = []
  try {
    const both = [west, east]
    const link = { name: 'Link', scopes: ['signet:region'], resources: [issuer] }
    const [eastAtWest] = await register([west], { ...link, id: 'region-east' })
    const [westAtEast] = await register([east], { ...link, id: 'region-west' })
    for (const { admin } of both) {
      const scopes = ['notes:read', 'notes:write'].map((name) => ({ name, description: name }))
      await admin.call('putResource', { params: { uri: API }, body: { name: 'Notes', scopes } })
    }
    const feeds = await register(both, { name: 'Notes', id: 'notes-service', scopes: ['signet:feed'], resources: [issuer] })
    const shops = await register(both, {
      name: 'Shop',
      id: 'shop',
      platform: 'web',
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      redirect_uris: ['http://127.0.0.1:9/callback'],
      scopes: ['notes:read', 'notes:write'],
      resources: [API],
    })
    for (const [at, other, proxy, secret] of [
      [west, east, toEast, westAtEast.client_secret],
      [east, west, toWest, eastAtWest.client_secret],
    ] as const) {
      const secretFile = join(at.state, 'link.secret')
      await writeFile(secretFile, `${secret}\n`, { mode: 0o600 })
      const peer = {
        name: other.name,
        url: `http://localhost:${proxy.port}`,
        clientSecretFile: secretFile,
      }
      const config = join(at.state, 'signet.json')
      await writeFile(config, JSON.stringify({ region: { name: at.name, peers: [peer] } }))
      await at.processes.pop()?.stop()
      for (const port of at.ports) at.processes.push(await startProcess(at.name, MAIN, at.args(port, config)))
    }
    const followed = async ({ admin }: Region) => {
      const [peer] = (await admin.call('listRegions')).items
      return peer?.problem === undefined && (peer?.age_ms ?? Number.POSITIVE_INFINITY) < 5000
    }
    await until(async () => (await followed(west)) && (await followed(east)))

    for (const [index, port] of [ports.west[0], ports.east[0]].entries()) {
      const feed = feeds[index] as (typeof feeds)[0]
      const validator = createValidator({
        issuer,
        audience: API,
        feedCredentials: { clientId: feed.id, clientSecret: feed.client_secret as string },
        permissions: { 'notes:read': { maxStalenessSeconds: 3600 }, 'notes:write': { maxStalenessSeconds: 8 } },
        fetch: near(issuer, port as number),
      })
      validators.push(validator)
      await validator.ready()
    }
    const [here, there] = validators as [Validator, Validator]
    const check = (validator: Validator, token: string, needs = 'notes:read') =>
      validator.validate({ method: 'GET', url: '/', headers: { authorization: `Bearer ${token}` } }, { needs })
    const allowed = async (validator: Validator, token: string, needs?: string) => (await check(validator, token, needs)).allowed

    // Somebody signs in in west; what he gets is good in both.
    const person = await west.admin.call('createSubject', { body: { username: 'ada', password: 'a long enough passphrase' } })
    const login = { username: 'ada', password: 'a long enough passphrase' }
    const signIn = () => grant({ issuer }, new Browser(), { ...shops[0], redirect_uris: ['http://127.0.0.1:9/callback'] }, login)
    const first = await signIn()
    for (const validator of [here, there]) await until(() => allowed(validator, first.access_token, 'notes:write'))

    // He is served in east: his refresh token lives in west, and that is where it is rotated.
    const eastUrl = `http://localhost:${ports.east[0]}`
    const refresh = (url: string, shop: (typeof shops)[0], token: string) =>
      tokenRequest(url, shop, { grant_type: 'refresh_token', refresh_token: token })
    const next = await refresh(eastUrl, shops[1], first.refresh_token as string)
    assert.equal(next.status, 200, JSON.stringify(next.body))

    // Revoked at either node of west, dead in both regions; between the regions it takes the link's time more.
    const delays: { near: number; far: number }[] = []
    for (let round = 0; round < 12; round++) {
      const job = await tokenRequest(issuer, shops[0], { grant_type: 'client_credentials', scope: 'notes:read', resource: API })
      const token = job.body.access_token
      for (const validator of validators) await until(() => allowed(validator, token))
      const jti = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).jti as string
      await west.admin.call('revoke', { body: { target: { kind: 'token', id: jti }, reason: 'story' } })
      const began = performance.now()
      const [near, far] = await Promise.all(
        validators.map(async (validator) => {
          await until(async () => !(await allowed(validator, token)))
          return performance.now() - began
        }),
      )
      delays.push({ near: near as number, far: far as number })
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]?.toFixed(1)
    process.stdout.write(
      `# refused after the acknowledgment, median of ${delays.length}: ${median(delays.map((d) => d.near))} ms in the region, ${median(delays.map((d) => d.far))} ms in the other\n`,
    )

    // Cut off from west, east knows that it grows stale: what can't bear that closes, what can goes on.
    toWest.cut()
    const last = next.body
    const { sid } = JSON.parse(Buffer.from(last.access_token.split('.')[1] as string, 'base64url').toString()) as { sid: string }
    await west.admin.call('revoke', { body: { target: { kind: 'session', id: sid }, reason: 'story' } })
    await until(async () => !(await allowed(here, last.access_token)))
    assert.equal(await allowed(there, last.access_token), true)
    await until(async () => {
      const verdict = await check(there, last.access_token, 'notes:write')
      return !verdict.allowed && verdict.status === 503
    })
    assert.equal(await allowed(there, last.access_token), true, 'an hour is not over')
    const away = await refresh(eastUrl, shops[1], last.refresh_token as string)
    assert.deepEqual([away.status, away.body.reason], [503, 'region_unavailable'])
    toWest.heal()
    await until(async () => !(await allowed(there, last.access_token)))
    const gone = await refresh(eastUrl, shops[1], last.refresh_token as string)
    assert.deepEqual([gone.status, gone.body.error], [400, 'invalid_grant'])

    // One node of west less: the other goes on telling east.
    await west.processes[0]?.kill()
    const second = createAdminClient({
      credentials: JSON.parse(await readFile(join(west.state, 'cli.json'), 'utf8')) as Credentials,
      server: `http://localhost:${ports.west[1]}`,
    })
    const receipt = await second.call('revoke', { body: { target: { kind: 'subject', id: person.id }, reason: 'story' } })
    assert.ok(receipt.seq > 0)
    await until(async () => {
      const { items } = await east.admin.call('listRevocations', { query: { limit: 50 } })
      return items.some((entry) => entry.target === person.id)
    })
  } finally {
    await Promise.all(validators.map((validator) => validator.close()))
    await Promise.all([west, east].flatMap(({ processes }) => processes.map((one) => one.stop())))
    await Promise.all([toWest.close(), toEast.close()])
    await Promise.all(databases.map((database) => database.close()))
    for (const { state } of [west, east]) await rm(state, { recursive: true, force: true })
  }
})
