/**
 * Signet's authority in a process of its own: `authority.ts (':memory:' | 'sqlite' | postgres-url) scratch [cluster as JSON]`. Composed as `npm start` composes it; the rate limits
 * are set out of reach, since the peer has none, but are still asked.
 */
import { mkdtempSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Credentials } from '@signet/api/credentials.ts'
import { composeAuthority } from '@signet/authority/compose.ts'
import type { Config } from '@signet/authority/config.ts'
import { defaultSettings } from '@signet/authority/policy/settings.ts'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { createLog } from '@signet/authority/telemetry/log.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { processorTime, serveParent } from '../child.ts'
import { createProfiler } from '../http/profiler.ts'
import type { ServerAnswers } from '../http/server.ts'
import { type Burst, type BurstQuestion, createBurst } from './burst.ts'
import { REGION_SECRET, registerClients } from './clients.ts'
import { createFill } from './fill.ts'
import { createStock } from './stock.ts'

export type AuthorityAnswers = ServerAnswers & {
  issuer(): string
  /** Its directory, for other nodes of the cluster. */
  state(): string
  /** For the admin API. */
  credentials(): Promise<Credentials>
  burst(question: BurstQuestion): Promise<Burst>
  /** Puts so many entries into the log. */
  fill(count: number): Promise<void>
  /** Resident bytes. */
  rss(): number
}

/** For one of several nodes: the bus, if it is NATS, and what it shares with the first node. */
export interface Cluster {
  readonly nats?: string
  readonly first?: { readonly issuer: string; readonly state: string }
  /** It is a region of its own: where it listens, and at which ports the others do, by name. */
  readonly region?: { readonly name: string; readonly port: number; readonly peers: Readonly<Record<string, number>> }
}

const [database, scratch, cluster = '{}'] = process.argv.slice(2) as [string, string, string?]
const { nats, first, region } = JSON.parse(cluster) as Cluster
const UNLIMITED = { perSecond: 1e9, burst: 1e9 }
const state = mkdtempSync(join(scratch, 'state-'))
const port = region?.port ?? (await freePort())
const config: Config = {
  issuer: first?.issuer ?? `http://localhost:${port}`,
  host: 'localhost',
  port,
  operations: undefined,
  stateDirectory: state,
  database: database.startsWith('postgres')
    ? { engine: 'postgres', url: database, pooled: false }
    : { engine: 'sqlite', path: database === ':memory:' ? ':memory:' : join(state, 'signet.db') },
  bus:
    nats !== undefined
      ? { engine: 'nats', servers: [nats], credentialsFile: undefined, caFile: undefined }
      : database.startsWith('postgres')
        ? { engine: 'postgres', url: database }
        : { engine: 'in-process' },
  migrations: 'auto',
  failover: 'may-lose',
  masterKeyFile: join(first?.state ?? state, 'master.key'),
  trustedProxies: 0,
  fleetMemorySeconds: 3600,
  drainSeconds: 0,
  region: region && {
    name: region.name,
    peers: Object.entries(region.peers).map(([name, at]) => ({
      name,
      url: `http://localhost:${at}`,
      clientSecret: new Secret(REGION_SECRET),
    })),
    insecureIgnorePeerStaleness: false,
  },
  logLevel: 'error',
  settings: {
    ...defaultSettings,
    // A run makes its codes beforehand.
    authorizationCodeSeconds: 600,
    clientRate: UNLIMITED,
    addressRate: UNLIMITED,
    familyRate: UNLIMITED,
    feedOpen: true,
  },
}
const surroundings = realSurroundings()
const authority = await composeAuthority(config, { surroundings, log: createLog(config.logLevel) })
if (first === undefined || region !== undefined)
  await registerClients(authority.store, { issuer: config.issuer, regions: Object.keys(region?.peers ?? {}) })
const stock = createStock(authority, config.settings, surroundings)

serveParent({
  ...createProfiler(),
  describe: () => ({ port, paths: { token: '/token', introspect: '/introspect', revoke: '/revoke' } }),
  cpu: processorTime,
  stock,
  issuer: () => config.issuer,
  state: () => state,
  credentials: async () => JSON.parse(await readFile(join(state, 'cli.json'), 'utf8')) as Credentials,
  burst: createBurst(authority.revoker, surroundings.chance),
  fill: createFill(authority.store, surroundings.chance),
  rss: () => process.memoryUsage.rss(),
} satisfies AuthorityAnswers)

process.once('SIGTERM', () => void authority.close().finally(() => process.exit(0)))
