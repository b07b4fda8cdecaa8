/**
 * The environment variables that programs of ours read, all of them: one environment is often given to several. What else is called
 * SIGNET_… is a slip, or somebody else's.
 */
import { nearest } from './nearest.ts'

const VARIABLES = [
  // The authority.
  'SIGNET_CONFIG',
  'SIGNET_ISSUER',
  'SIGNET_LISTEN',
  'SIGNET_OPERATIONS',
  'SIGNET_STATE',
  'SIGNET_DATABASE',
  'SIGNET_DATABASE_FILE',
  'SIGNET_DATABASE_DIRECT',
  'SIGNET_MIGRATIONS',
  'SIGNET_BUS',
  'SIGNET_BUS_CREDENTIALS_FILE',
  'SIGNET_BUS_CA_FILE',
  'SIGNET_FAILOVER',
  'SIGNET_MASTER_KEY',
  'SIGNET_MASTER_KEY_FILE',
  'SIGNET_TRUSTED_PROXIES',
  'SIGNET_FLEET_MEMORY_SECONDS',
  'SIGNET_DRAIN_SECONDS',
  'SIGNET_LOG_LEVEL',
  'SIGNET_INSECURE_PLAIN_BUS',
  'SIGNET_INSECURE_HTTP_ISSUER',
  // A relay.
  'SIGNET_RELAY_CONFIG',
  'SIGNET_RELAY_LISTEN',
  'SIGNET_RELAY_OPERATIONS',
  'SIGNET_RELAY_STATE',
  'SIGNET_RELAY_UPSTREAM',
  'SIGNET_RELAY_UPSTREAM_KEYS',
  'SIGNET_RELAY_AUTHORITY_KEYS',
  'SIGNET_RELAY_CLIENT_ID',
  'SIGNET_RELAY_CLIENT_SECRET',
  'SIGNET_RELAY_CLIENT_SECRET_FILE',
  'SIGNET_RELAY_OPEN_TO_EVERYONE',
  'SIGNET_RELAY_ID',
  // The command line.
  'SIGNET_URL',
  'SIGNET_CREDENTIALS',
  'SIGNET_DEBUG',
] as const

export type Variable = (typeof VARIABLES)[number]
type Environment = Readonly<Record<string, string | undefined>>

export interface UnknownVariable {
  readonly name: string
  /** The one that it is nearly called. */
  readonly meant: Variable | undefined
}

/** Those that none of our programs reads. One without a value counts as not given, as everywhere. */
export function unknownVariables(env: Environment): readonly UnknownVariable[] {
  return Object.entries(env)
    .filter(([name, value]) => name.startsWith(PREFIX) && value && !KNOWN.has(name) && !isServiceLink(name, value))
    .map(([name]) => ({ name, meant: meantBy(name) }))
}

/** For the log of a program that goes on nevertheless. */
export const NO_SETTINGS = 'these environment variables are no settings, though they are called as ours are'

const PREFIX = 'SIGNET_'
const KNOWN = new Set<string>(VARIABLES)

function meantBy(name: string): Variable | undefined {
  // SIGNET_DATABASE_URL is more than a slip away from SIGNET_DATABASE, and clearly means it.
  const [longest] = VARIABLES.filter((known) => name.startsWith(`${known}_`)).sort((a, b) => b.length - a.length)
  // What all of them begin with makes no two alike.
  const near = nearest(
    name.slice(PREFIX.length),
    VARIABLES.map((known) => known.slice(PREFIX.length)),
  )
  return longest ?? VARIABLES.find((known) => known === PREFIX + near)
}

/**
 * Kubernetes tells every container of the services in its namespace. Those of a service called `signet` or `signet-…` look like ours,
 * and may appear at any restart (kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
 */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_HOST$|_PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$/.test(name) ||
  (/_SERVICE_PORT(_\w+)?$/.test(name) && /^\d+$/.test(value)) ||
  (/_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value))
