/**
 * What is broken on purpose: authority nodes on one store behind a load balancer, validators in processes of their own, with every way between
 * them one that can be broken. Three nodes on PostgreSQL (with a synchronous standby) and NATS where it is installed, or one on SQLite.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type AdminClient, createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { startNats, type TestNats } from '@signet/testkit/nats.ts'
import { startBalancer } from './balancer.ts'
import { type Database, startDatabase } from './database.ts'
import { insist } from './insist.ts'
import { type Link, startLink } from './link.ts'
import type { Namespace } from './namespace.ts'
import { createProcess, type Proc, type Surroundings } from './process.ts'
import { machineMs } from './recorder.ts'
import type { Question, Said, Seen } from './validator-process.ts'

export type Engine = 'sqlite' | 'postgres'

export interface ClusterOptions extends Surroundings {
  readonly engine: Engine
  readonly validators: number
  /** Environment of the first node, of the store's server: for libraries to be preloaded. */
  readonly nodeEnv?: Readonly<Record<string, string>>
  readonly databaseEnv?: Readonly<Record<string, string>>
  readonly databaseSettings?: Readonly<Record<string, string>>
  /** What operators say of their standbys (docs/operating.md, Failover); `lossless` unless given. */
  readonly failover?: 'may-lose' | 'lossless'
  /** The network of the last node. */
  readonly apart?: Namespace
  /** Nodes reach the database and the bus themselves, not by links that could be broken: for measuring. */
  readonly unlinked?: boolean
  /** Settings of the nodes. */
  readonly policy?: Readonly<Record<string, unknown>>
  /** Where the store lies; a directory of the run unless given. */
  readonly storeDirectory?: string
}

export interface Node {
  readonly proc: Proc
  readonly port: number
  /** To PostgreSQL and to NATS. */
  readonly store: Link | undefined
  readonly bus: Link | undefined
  /** How long its starts took, milliseconds. */
  readonly starts: number[]
  start(): Promise<void>
  ready(): Promise<boolean>
}

export interface WatchedToken {
  readonly name: string
  readonly token: string
}

export interface Watcher {
  readonly proc: Proc
  readonly link: Link
  /** What it said last of its knowledge, and when by the machine's clock. */
  readonly latest: Seen | undefined
  start(): Promise<void>
  tell(question: Question): void
  /** Its last word on these tokens, into the history. */
  lastWords(tokens: readonly WatchedToken[]): Promise<void>
}

export interface Cluster {
  readonly engine: Engine
  readonly issuer: string
  readonly admin: AdminClient
  readonly state: string
  readonly nodes: readonly Node[]
  readonly watchers: readonly Watcher[]
  readonly database: Database | undefined
  readonly nats: TestNats | undefined
  readonly apart: Namespace | undefined
  readonly surroundings: Surroundings
  /** Every validator judges it from now on, also one that starts later. */
  watch(token: WatchedToken): void
  forget(name: string): void
  /** Arguments of the authority's program for this cluster. */
  authorityArgs(): readonly string[]
  close(): Promise<void>
}

const HERE = '127.0.0.1'
export const API = 'https://api.example/notes'
/** A permission that bears little, so that validators probe often; and one that bears much, so that they go on saying yes. */
const PERMISSIONS = {
  write: { scopes: ['notes:write'], maxStalenessSeconds: 2 },
  read: { scopes: ['notes:read'], maxStalenessSeconds: 3600 },
}

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { engine, recorder, janitor, directory } = options
  const surroundings = { recorder, janitor, directory }
  const closers: (() => Promise<unknown> | undefined)[] = []
  const close = async () => {
    const troubles: unknown[] = []
    for (let one = closers.pop(); one !== undefined; one = closers.pop()) await one()?.catch((trouble) => troubles.push(trouble))
    if (troubles.length > 0) throw troubles[0]
  }
  try {
    const state = join(options.storeDirectory ?? directory, 'state')
    await mkdir(state, { mode: 0o700, recursive: true })
    const { databaseEnv: env, databaseSettings: settings, storeDirectory: within } = options
    const databaseOptions = {
      ...(env !== undefined && { env }),
      ...(settings !== undefined && { settings }),
      ...(within !== undefined && { within }),
    }
    const database = engine === 'postgres' ? await startDatabase(databaseOptions) : undefined
    closers.push(() => database?.close())
    const started = engine === 'postgres' ? await startNats() : { skip: 'one node needs no bus' }
    const nats = 'skip' in started ? undefined : started
    closers.push(() => nats?.stop())

    const { apart } = options
    const count = engine === 'postgres' ? 3 : 1
    const places: { host: string; port: number; near: string }[] = []
    for (let i = 1; i <= count; i++) {
      const isApart = apart !== undefined && i === count
      places.push({ host: isApart ? apart.far : HERE, port: await freePort(), near: isApart ? apart.near : HERE })
    }
    const balancer = await startBalancer(places)
    closers.push(() => balancer.close())
    const issuer = `http://localhost:${balancer.port}`
    const config = join(directory, 'signet.json')
    await writeFile(config, JSON.stringify({ policy: options.policy ?? {} }))

    const commonArgs = ['--config', config, '--state', state, '--issuer', issuer, '--log-level', 'warn']
    commonArgs.push('--failover', options.failover ?? 'lossless')
    const nodes: Node[] = []
    const watchers: Watcher[] = []
    const links: Link[] = []
    closers.push(
      () => Promise.all(links.map((link) => link.close())),
      () => Promise.all(nodes.map(({ proc }) => proc.stop())),
      () => Promise.all(watchers.map(({ proc }) => proc.stop())),
    )
    for (const [index, { host, port, near }] of places.entries()) {
      const store = options.unlinked ? undefined : database && (await startLink(database.port, near))
      if (database !== undefined && store !== undefined) database.links.push(store)
      const bus = options.unlinked ? undefined : nats && (await startLink(nats.port, near))
      const databasePort = store?.port ?? database?.port
      const busPort = bus?.port ?? nats?.port
      links.push(...[store, bus].filter((link) => link !== undefined))
      const proc = createProcess(
        {
          name: `node-${index + 1}`,
          script: 'packages/authority/main.ts',
          args: [
            ...commonArgs,
            ...['--listen', `${host}:${port}`],
            ...(databasePort === undefined ? [] : ['--database', `postgres://postgres@${near}:${databasePort}/postgres`]),
            ...(busPort === undefined ? [] : ['--bus', `nats://${near}:${busPort}`, '--insecure-plain-bus', 'true']),
          ],
          ...(host === HERE ? {} : { command: apart?.command ?? [] }),
          ...(index === 0 && options.nodeEnv !== undefined ? { env: options.nodeEnv } : {}),
        },
        surroundings,
      )
      const starts: number[] = []
      nodes.push({
        proc,
        port,
        store,
        bus,
        starts,
        start: async () => void starts.push(await proc.start()),
        ready: () =>
          fetch(`http://${host}:${port}/readyz`, { signal: AbortSignal.timeout(1000) }).then(
            async (answer) => {
              await answer.arrayBuffer()
              return answer.status === 200
            },
            () => false,
          ),
      })
      if (index === 0) await nodes[0]?.start() // It makes the master key and the schema.
    }
    await Promise.all(nodes.slice(1).map((node) => node.start()))
    const credentials = JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials
    const admin = createAdminClient({ credentials })
    const scopes = ['notes:read', 'notes:write'].map((name) => ({ name, description: `May ${name}` }))
    await insist(() => admin.call('putResource', { params: { uri: API }, body: { name: 'Notes', scopes } }))
    const feedClient = {
      body: {
        name: 'Notes service',
        platform: 'service',
        auth_method: 'client_secret_basic',
        grant_types: ['client_credentials'],
        scopes: ['signet:feed'],
        resources: [issuer],
      } as never,
    }
    const feed = await insist(() => admin.call('createClient', feedClient))

    const watched = new Map<string, WatchedToken>()
    for (let i = 0; i < options.validators; i++) {
      const link = await startLink(balancer.port)
      links.push(link)
      const validatorOptions = {
        issuer,
        audience: API,
        permissions: PERMISSIONS,
        feedCredentials: { clientId: feed.id, clientSecret: feed.client_secret as string },
        validatorId: `validator-${i + 1}`,
        cacheFile: join(directory, `validator-${i + 1}.cache`),
        port: link.port,
      }
      watchers.push(createWatcher(`validator-${i + 1}`, validatorOptions, { link, watched, surroundings }))
    }
    await Promise.all(watchers.map((watcher) => watcher.start()))
    return {
      engine,
      issuer,
      admin,
      state,
      nodes,
      watchers,
      database,
      nats,
      apart,
      surroundings,
      watch(token) {
        watched.set(token.name, token)
        for (const watcher of watchers) watcher.tell({ watch: [token] })
      },
      forget(name) {
        watched.delete(name)
        for (const watcher of watchers) watcher.tell({ forget: [name] })
      },
      authorityArgs: () => [
        ...commonArgs,
        ...(database === undefined ? [] : ['--database', `postgres://postgres@127.0.0.1:${database.port}/postgres`]),
      ],
      close,
    }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

function createWatcher(
  name: string,
  options: object,
  parts: { link: Link; watched: ReadonlyMap<string, WatchedToken>; surroundings: Surroundings },
): Watcher {
  const { link, watched, surroundings } = parts
  const { recorder } = surroundings
  let latest: Seen | undefined
  let spoken: (() => void) | undefined
  const onLine = (line: string) => {
    const { seen, done } = JSON.parse(line) as Said
    for (const one of seen) {
      const { token, at, allowed, reason, last, stalenessMs, epoch, seq } = one
      const place = { validator: name, stalenessMs: stalenessMs ?? Number.POSITIVE_INFINITY, epoch, seq }
      if (token === undefined) {
        latest = one
        recorder.note({ is: 'knows', ...place }, at)
      } else {
        const why = reason === undefined ? {} : { reason }
        recorder.note({ is: 'verdict', ...place, token, allowed: allowed === true, ...why, ...(last && { last }) }, at)
      }
    }
    if (done) spoken?.()
  }
  const proc = createProcess(
    { name, script: 'chaos/validator-process.ts', args: [JSON.stringify(options)], onLine },
    surroundings,
  )
  const tell = (question: Question) => proc.write(JSON.stringify(question))
  return {
    proc,
    link,
    get latest() {
      return latest
    },
    async start() {
      latest = undefined
      await proc.start()
      tell({ watch: [...watched.values()] })
    },
    tell,
    async lastWords(tokens) {
      const heard = new Promise<void>((resolve) => {
        spoken = resolve
      })
      tell({ last: tokens })
      await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS).unref())])
    },
  }
}

const LAST_WORDS_MS = 30_000

/** How old what it said last is by now, milliseconds. */
export const ageOf = (watcher: Watcher): number =>
  watcher.latest?.stalenessMs == null ? Number.POSITIVE_INFINITY : machineMs() - watcher.latest.at + watcher.latest.stalenessMs
