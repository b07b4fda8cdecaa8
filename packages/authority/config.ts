/**
 * Configuration: one schema, three sources. A flag beats an environment variable beats the file beats the default.
 * Everything is checked at start; an error names the setting, where it came from and what would be right.
 */
import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  ADDRESS_FORM,
  ConfigError,
  type ConfigProblem,
  type ConfigSource,
  gatherConfig,
  isAddress,
  splitAddress,
} from '@signet/kernel/config-sources.ts'
import { natsServersProblem } from '@signet/kernel/nats.ts'
import { postgresHosts } from '@signet/kernel/postgres-hosts.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { z } from 'zod'
import { loadSettings } from './policy/load-settings.ts'
import type { PolicySettings } from './policy/settings.ts'
import { REGION_NAME } from './regions/link-messages.ts'
import type { RegionConfig } from './regions/regions.ts'
import { isPrivate } from './surroundings.ts'

export interface Config {
  /** The issuer identifier (RFC 8414 §2): https, or http on loopback. No trailing slash. */
  readonly issuer: string
  readonly host: string
  readonly port: number
  /** Health details and metrics; on loopback unless said otherwise. */
  readonly operations: { readonly host: string; readonly port: number } | undefined
  /** Where the embedded store, the master key and the CLI's credentials live. */
  readonly stateDirectory: string
  /** `sqlite` in the state directory, or a PostgreSQL URL. */
  readonly database:
    | { readonly engine: 'sqlite'; readonly path: string }
    /** `pooled`: the URL leads to a pooler that hands out connections by transaction. */
    | { readonly engine: 'postgres'; readonly url: string; readonly pooled: boolean }
  /** Whether a node brings the schema up to date when it starts, or refuses to start on one that is not. */
  readonly migrations: 'auto' | 'off'
  /** How nodes wake each other; on NATS, the feed is carried to validators too. */
  readonly bus: BusConfig
  /** Whether a PostgreSQL that is promoted may lack what the one before had acknowledged (docs/operating.md, Failover). */
  readonly failover: 'may-lose' | 'lossless'
  readonly masterKeyFile: string
  /** Where there are several regions: this one's name, and how to reach the others. */
  readonly region?: RegionConfig | undefined
  /** How many reverse proxies in front may be believed about the client's address. */
  readonly trustedProxies: number
  /** A validator that was not seen for so long is forgotten. */
  readonly fleetMemorySeconds: number
  /** A node that is told to stop says so and serves on for so long, until load balancers have left it out. */
  readonly drainSeconds: number
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'silent'
  readonly settings: PolicySettings
}

export type BusConfig =
  | { readonly engine: 'in-process' }
  | { readonly engine: 'postgres'; readonly url: string }
  | {
      readonly engine: 'nats'
      readonly servers: readonly string[]
      readonly credentialsFile: string | undefined
      readonly caFile: string | undefined
    }

const SOURCES = [
  ['issuer', 'SIGNET_ISSUER', 'issuer'],
  ['listen', 'SIGNET_LISTEN', 'listen'],
  ['operations', 'SIGNET_OPERATIONS', 'operations'],
  ['state', 'SIGNET_STATE', 'state'],
  ['database', 'SIGNET_DATABASE', 'database'],
  ['databaseFile', 'SIGNET_DATABASE_FILE', 'database-file'],
  ['migrations', 'SIGNET_MIGRATIONS', 'migrations'],
  ['databaseDirect', 'SIGNET_DATABASE_DIRECT', 'database-direct'],
  ['bus', 'SIGNET_BUS', 'bus'],
  ['busCredentialsFile', 'SIGNET_BUS_CREDENTIALS_FILE', 'bus-credentials-file'],
  ['busCaFile', 'SIGNET_BUS_CA_FILE', 'bus-ca-file'],
  ['failover', 'SIGNET_FAILOVER', 'failover'],
  ['masterKeyFile', 'SIGNET_MASTER_KEY_FILE', 'master-key-file'],
  ['trustedProxies', 'SIGNET_TRUSTED_PROXIES', 'trusted-proxies'],
  ['fleetMemorySeconds', 'SIGNET_FLEET_MEMORY_SECONDS', 'fleet-memory-seconds'],
  ['drainSeconds', 'SIGNET_DRAIN_SECONDS', 'drain-seconds'],
  ['logLevel', 'SIGNET_LOG_LEVEL', 'log-level'],
  ['insecurePlainBus', 'SIGNET_INSECURE_PLAIN_BUS', 'insecure-plain-bus'],
  ['insecureHttpIssuer', 'SIGNET_INSECURE_HTTP_ISSUER', 'insecure-http-issuer'],
] as const satisfies readonly ConfigSource[]

/** From the environment everything is text. */
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], 'must be true or false')

/** A number, or its digits: coercion would make 0 of null and of an empty text, and speak of NaN. */
const wholeNumber = (least: number, most: number) =>
  z
    .custom<number | string>(
      (given) => {
        const value = typeof given === 'string' && /^\d{1,9}$/.test(given) ? Number(given) : given
        return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      },
      { error: ({ input }) => `must be a whole number from ${least} to ${most}, not ${JSON.stringify(input)}` },
    )
    .transform(Number)

const regionName = z.string().regex(REGION_NAME, 'must be 1 to 32 lower-case letters, digits and hyphens')

const schema = z.strictObject({
  issuer: z.url({ protocol: /^https?$/ }).optional(),
  listen: z.string().refine(isAddress, `must be ${ADDRESS_FORM}`).default('127.0.0.1:4800'),
  operations: z
    .string()
    .refine((text) => text === 'off' || isAddress(text), `must be "off" or ${ADDRESS_FORM}`)
    .default('off'),
  state: z.string().min(1).default('.signet'),
  database: z.string().default('sqlite'),
  /** Holds what `database` would say, for a URL with a password in it. */
  databaseFile: z.string().min(1).optional(),
  migrations: z.enum(['auto', 'off']).default('auto'),
  /** Past the pooler that `database` leads to, for LISTEN. */
  databaseDirect: z.string().optional(),
  /** `auto`: in the process on SQLite, NOTIFY on PostgreSQL. Else NATS servers, with commas between them or as a list. */
  bus: z.union([z.string(), z.array(z.string())], 'must be "auto" or NATS addresses').default('auto'),
  busCredentialsFile: z.string().min(1).optional(),
  busCaFile: z.string().min(1).optional(),
  /** Says in so many words that plain TCP to a NATS server over a network is wanted: who is on the way reads the credentials. */
  insecurePlainBus: flag.default(false),
  failover: z.enum(['may-lose', 'lossless']).default('may-lose'),
  masterKeyFile: z.string().min(1).optional(),
  region: z
    .strictObject({
      name: regionName,
      peers: z
        .array(
          z.strictObject({
            name: regionName,
            url: z.url({ protocol: /^https?$/ }),
            clientSecretFile: z.string().min(1),
          }),
        )
        .min(1)
        .max(8),
      /** Says in so many words that what is revoked in another region may be accepted here for as long as the link to it is cut. */
      insecureIgnorePeerStaleness: z.boolean().default(false),
      /** Says in so many words that plain http to another region over a network is wanted. */
      insecureHttpPeers: z.boolean().default(false),
    })
    .optional(),
  trustedProxies: wholeNumber(0, 10).default(0),
  fleetMemorySeconds: wholeNumber(60, 30 * 86_400).default(3600),
  drainSeconds: wholeNumber(0, 300).default(0),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  /** Says in so many words that an issuer reached by plain http over a network is wanted. */
  insecureHttpIssuer: flag.default(false),
  policy: z.unknown().optional(),
})

/** Throws a ConfigError; its message lists every problem, one to a line. */
export function loadConfig(flags: Readonly<Record<string, string | undefined>>, env: NodeJS.ProcessEnv): Config {
  const readText = (path: string) => readFileSync(path, 'utf8')
  const { settings, where } = gatherConfig(schema, SOURCES, { fileVariable: 'SIGNET_CONFIG', env, flags, readText })
  const problems: ConfigProblem[] = []
  const refuse = (path: string, message: string) => void problems.push({ path: where(path), message })
  if (settings.masterKeyFile !== undefined && env.SIGNET_MASTER_KEY)
    refuse('masterKeyFile', 'give either a file or the key itself in SIGNET_MASTER_KEY, not both')
  const config = build(settings, refuse)
  if (config === undefined || problems.length > 0) throw new ConfigError(problems)
  return config
}

type Given = z.infer<typeof schema>
/** Says that a setting will not do. */
type Refuse = (path: string, message: string) => void

function build(given: Given, refuse: Refuse): Config | undefined {
  const { host, port } = splitAddress(given.listen)
  const issuer = (given.issuer ?? `http://localhost:${port}`).replace(/\/+$/, '')
  const url = new URL(issuer)
  if (url.search !== '' || url.hash !== '' || url.username !== '')
    refuse('issuer', 'must have no query, fragment or user name (RFC 8414 §2)')
  if (url.pathname !== '/') refuse('issuer', 'must be an origin without a path')
  if (url.protocol === 'http:' && !isLoopback(url.hostname) && !given.insecureHttpIssuer) {
    refuse('issuer', 'plain http is for loopback only; use https, or set insecureHttpIssuer to true in the file if you mean it')
  }
  const database = given.databaseFile === undefined ? given.database : databaseIn(given.databaseFile, given.database, refuse)
  checkDatabase(database, given, refuse)
  const bus = busOf(given, database, refuse)
  const region = regionOf(given, refuse)
  const settings = settingsOf(given, refuse)
  const stateDirectory = resolve(given.state)
  return (
    settings && {
      issuer,
      host,
      port,
      operations: given.operations === 'off' ? undefined : splitAddress(given.operations),
      stateDirectory,
      database:
        database === 'sqlite'
          ? { engine: 'sqlite', path: join(stateDirectory, 'signet.db') }
          : { engine: 'postgres', url: database, pooled: given.databaseDirect !== undefined },
      migrations: given.migrations,
      bus,
      failover: given.failover,
      masterKeyFile: given.masterKeyFile ?? join(stateDirectory, 'master.key'),
      region,
      trustedProxies: given.trustedProxies,
      fleetMemorySeconds: given.fleetMemorySeconds,
      drainSeconds: given.drainSeconds,
      logLevel: given.logLevel,
      settings,
    }
  )
}

function settingsOf({ policy }: Given, refuse: Refuse): PolicySettings | undefined {
  try {
    return loadSettings(policy)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const { path, message } of error.problems) refuse(path, message)
    return undefined
  }
}

function regionOf({ region }: Given, refuse: Refuse): RegionConfig | undefined {
  if (region === undefined) return undefined
  const names = [region.name, ...region.peers.map(({ name }) => name)]
  if (new Set(names).size < names.length) refuse('region', 'every region needs a name of its own')
  const peers = region.peers.map(({ name, url: text, clientSecretFile }, n) => {
    const peer = `region.peers.${n}`
    const url = new URL(text)
    if (url.pathname !== '/' || url.search !== '' || url.username !== '') refuse(`${peer}.url`, 'must be an origin')
    if (url.protocol === 'http:' && !isLoopback(url.hostname) && !region.insecureHttpPeers)
      refuse(`${peer}.url`, 'plain http is for loopback only; use https, or set region.insecureHttpPeers to true if you mean it')
    const secret = readFileOf(`${peer}.clientSecretFile`, clientSecretFile, refuse, 'private')?.trim()
    if (secret === '') refuse(`${peer}.clientSecretFile`, `${clientSecretFile}: is empty`)
    return { name, url: url.origin, clientSecret: new Secret(secret ?? '') }
  })
  return { name: region.name, peers, insecureIgnorePeerStaleness: region.insecureIgnorePeerStaleness }
}

function databaseIn(file: string, database: string, refuse: Refuse): string {
  if (database !== 'sqlite')
    for (const path of ['database', 'databaseFile']) refuse(path, 'give either database or databaseFile, not both')
  return readFileOf('databaseFile', file, refuse, 'private')?.trim() ?? database
}

function checkDatabase(database: string, { databaseFile, databaseDirect }: Given, refuse: Refuse): void {
  if (database === 'sqlite') {
    if (databaseDirect !== undefined) refuse('databaseDirect', 'is for PostgreSQL, and database is "sqlite"')
    return
  }
  const place = databaseFile === undefined ? 'database' : 'databaseFile'
  for (const [path, url] of Object.entries({ [place]: database, databaseDirect })) {
    const hosts = url === undefined ? undefined : postgresHosts(url)
    if (typeof hosts === 'string') refuse(path, `${hosts}${path === place ? ', or "sqlite"' : ''}`)
  }
}

function busOf(given: Given, database: string, refuse: Refuse): BusConfig {
  const { bus, busCredentialsFile: credentialsFile, busCaFile: caFile } = given
  if (bus === 'auto') {
    for (const name of ['busCredentialsFile', 'busCaFile'] as const) {
      if (given[name] !== undefined) refuse(name, 'is for a bus on NATS, and bus is "auto"')
    }
    return database === 'sqlite' ? { engine: 'in-process' } : { engine: 'postgres', url: given.databaseDirect ?? database }
  }
  const servers = (typeof bus === 'string' ? bus.split(',') : bus).map((server) => server.trim())
  const problem = natsServersProblem(servers, given.insecurePlainBus)
  if (problem !== undefined) refuse('bus', `${problem}${/plain/.test(problem) ? PLAIN_BUS : ''}`)
  if (credentialsFile !== undefined) readFileOf('busCredentialsFile', credentialsFile, refuse, 'private')
  if (caFile !== undefined) readFileOf('busCaFile', caFile, refuse)
  if (caFile !== undefined && servers.some((server) => server.startsWith('nats:')))
    refuse('busCaFile', 'is of use only with tls:// servers')
  return { engine: 'nats', servers, credentialsFile, caFile }
}

const PLAIN_BUS = ', or set insecurePlainBus to true in the file if you mean it'

/** The text of a file that a setting names and that may be read, by its owner alone when it is private. */
function readFileOf(path: string, file: string, refuse: Refuse, privacy?: 'private'): string | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    if (privacy === undefined || isPrivate(statSync(file))) return text
    refuse(path, `${file} may be read or written by others; make it mode 0600`)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    refuse(path, `${file}: ${code === 'ENOENT' ? 'not found' : message}`)
  }
  return undefined
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
