/**
 * The authority's process: `serve` (default), `migrate` and `restore FILE`. Reads flags, environment and file (config.ts), builds everything
 * (compose.ts), says where it listens, and stops cleanly on SIGTERM and SIGINT.
 */
import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { Fault } from '@signet/kernel/errors.ts'
import { failureText, isAboutUsage, UsageError } from '@signet/kernel/failure.ts'
import { NO_SETTINGS, unknownVariables } from '@signet/kernel/variables.ts'
import { composeAuthority, takeMasterKeyVariable } from './compose.ts'
import { type Config, loadConfig } from './config.ts'
import { giveBackMemory } from './spare-memory.ts'
import { realSurroundings } from './surroundings.ts'
import { createLog } from './telemetry/log.ts'

const USAGE = `Usage: authority [serve] [flags]
       authority migrate [flags]
       authority restore BACKUP [flags]

  --config FILE            settings as JSON (SIGNET_CONFIG)
  --listen HOST:PORT       default 127.0.0.1:4800 (SIGNET_LISTEN)
  --issuer URL             default http://localhost:PORT (SIGNET_ISSUER)
  --state DIR              store, master key, credentials; default .signet (SIGNET_STATE)
  --database URL           "sqlite" (default) or postgres://… (SIGNET_DATABASE)
  --database-file FILE     a file that holds what --database would say (SIGNET_DATABASE_FILE)
  --migrations HOW         auto (default), or off: refuse a schema that is not up to date (SIGNET_MIGRATIONS)
  --database-direct URL    past a pooler that --database leads to, for LISTEN (SIGNET_DATABASE_DIRECT)
  --bus URL[,URL…]         "auto" (default) or nats:// or tls:// servers of NATS (SIGNET_BUS)
  --bus-credentials-file FILE   a NATS credentials file, an nkey seed or USER:PASSWORD (SIGNET_BUS_CREDENTIALS_FILE)
  --bus-ca-file FILE       whose certificates the NATS servers have, PEM (SIGNET_BUS_CA_FILE)
  --failover HOW           may-lose (default) or lossless: only standbys that have everything are promoted (SIGNET_FAILOVER)
  --operations HOST:PORT   health details and metrics; default off (SIGNET_OPERATIONS)
  --master-key-file FILE   default DIR/master.key (SIGNET_MASTER_KEY_FILE, or the key itself in SIGNET_MASTER_KEY)
  --trusted-proxies N      proxies in front whose X-Forwarded-For is believed; default 0 (SIGNET_TRUSTED_PROXIES)
  --fleet-memory-seconds N how long validators that are gone are remembered; default 3600 (SIGNET_FLEET_MEMORY_SECONDS)
  --drain-seconds N        told to stop, serve on for so long and say "not ready"; default 0 (SIGNET_DRAIN_SECONDS)
  --log-level LEVEL        debug, info, warn, error, fatal or silent; default info (SIGNET_LOG_LEVEL)
  --insecure-plain-bus true     plain nats:// over a network (SIGNET_INSECURE_PLAIN_BUS)
  --insecure-http-issuer true   an http issuer over a network (SIGNET_INSECURE_HTTP_ISSUER)
  --json                   what keeps it from its work is said as JSON
`

const FAILED = {
  what: 'The authority did not start',
  advice: 'Mend that and start it again; `signet serve --help` and docs/operating.md say what it takes.',
  code: 'serve',
}

/** Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or configuration, 3 the database server cannot be used now. */
async function main(argv: readonly string[]): Promise<number> {
  const flag = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      config: flag,
      listen: flag,
      issuer: flag,
      state: flag,
      database: flag,
      failover: flag,
      'database-file': flag,
      migrations: flag,
      'insecure-plain-bus': flag,
      'insecure-http-issuer': flag,
      'database-direct': flag,
      bus: flag,
      'bus-credentials-file': flag,
      'bus-ca-file': flag,
      operations: flag,
      'master-key-file': flag,
      'trusted-proxies': flag,
      'drain-seconds': flag,
      'fleet-memory-seconds': flag,
      'log-level': flag,
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return 0
  }
  const { help: _, json: __, ...flags } = values
  const config = loadConfig(flags, process.env)
  const [command = 'serve', file, ...rest] = positionals
  try {
    if (command === 'serve' && file === undefined) return await serve(config)
    if (command === 'migrate' && file === undefined) return await migrate(config)
    if (command === 'restore' && file !== undefined && rest.length === 0) return await restoreFrom(config, file)
    throw new UsageError(command === 'restore' ? 'restore takes one BACKUP' : `There is no command "${positionals.join(' ')}"`)
  } catch (error) {
    const isServers = config.database.engine === 'postgres' && error instanceof Fault && /^store_/.test(error.code)
    throw isServers ? new DatabaseTrouble(error) : error
  }
}

async function serve(config: Config): Promise<number> {
  const log = createLog(config.logLevel)
  const variables = unknownVariables(process.env).map(({ name }) => name)
  if (variables.length > 0) log.warn({ variables }, NO_SETTINGS)
  const authority = await composeAuthority(config, { surroundings: realSurroundings(), log })
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  giveBackMemory()
  flushCompileCache() // Else at the end alone, and who is killed time and again would start slowly time and again.
  log.info(
    { issuer: config.issuer, listen: `${config.host}:${authority.port}`, store: config.database.engine, bus: config.bus.engine },
    'listening',
  )
  // For whoever started this process: one line of JSON on standard output once it answers.
  const setup = authority.setupLink
  process.stdout.write(
    `${JSON.stringify({ ready: true, issuer: config.issuer, port: authority.port, ...(setup ? { setup } : {}) })}\n`,
  )
  const signal = await stopped
  log.info({ signal, drainSeconds: config.drainSeconds }, 'stopping')
  const now = new AbortController()
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => now.abort()) // A second one: without the wait.
  await authority.close(now.signal)
  return 0
}

/** For a job that runs before the nodes of a new version: they then need no right to change the schema. */
async function migrate(config: Config): Promise<number> {
  const { migrateStore } = await import('./open-store.ts')
  const schemaVersion = await migrateStore(config, realSurroundings())
  process.stdout.write(`${JSON.stringify({ migrated: true, store: config.database.engine, schema_version: schemaVersion })}\n`)
  return 0
}

async function restoreFrom(config: Config, file: string): Promise<number> {
  const { restore } = await import('./restore.ts')
  const report = await restore(config, file, { surroundings: realSurroundings(), masterKey: takeMasterKeyVariable() })
  process.stdout.write(`${JSON.stringify(report)}\n`)
  return 0
}

/** The server that a setting leads to cannot be reached, or does not do its work. */
class DatabaseTrouble extends Error {
  constructor({ cause }: Fault) {
    super('database: cannot be used now', { cause })
  }
}

const args = process.argv.slice(2)
try {
  process.exitCode = await main(args)
} catch (error) {
  const how = { json: args.includes('--json'), debug: process.env.SIGNET_DEBUG !== undefined }
  process.stderr.write(`${failureText(error, FAILED, how)}\n`)
  process.exitCode = isAboutUsage(error) ? 2 : error instanceof DatabaseTrouble ? 3 : 1
}
// Sockets of slow clients must not keep a node that was told to stop.
setTimeout(() => process.exit(), 2000).unref()
