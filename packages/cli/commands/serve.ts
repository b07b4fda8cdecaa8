/** Starts the authority, and puts a backup in its place: both are the authority's own program, run with this Node. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Cli } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { handOver, objectOf, runJob, runProgram } from '../program.ts'
import { EXIT, type ExitCode, Trouble } from '../trouble.ts'

interface ServeFlags {
  readonly config?: string
  readonly listen?: string
  readonly issuer?: string
  readonly state?: string
  readonly database?: string
  readonly databaseFile?: string
  readonly migrations?: string
  readonly databaseDirect?: string
  readonly bus?: string
  readonly busCredentialsFile?: string
  readonly busCaFile?: string
  readonly insecurePlainBus?: string
  readonly failover?: string
  readonly operations?: string
  readonly masterKeyFile?: string
  readonly trustedProxies?: string
  readonly fleetMemorySeconds?: string
  readonly drainSeconds?: string
  readonly logLevel?: string
  readonly insecureHttpIssuer?: string
}

type RestoreFlags = Pick<
  ServeFlags,
  'config' | 'state' | 'database' | 'databaseFile' | 'databaseDirect' | 'issuer' | 'masterKeyFile'
> & {
  readonly yes: boolean
}

const FLAGS = {
  config: flag.optional('Settings as JSON (SIGNET_CONFIG)', 'FILE'),
  listen: flag.optional('Default 127.0.0.1:4800 (SIGNET_LISTEN)', 'HOST:PORT'),
  issuer: flag.optional('Default http://localhost:PORT (SIGNET_ISSUER)', 'URL'),
  state: flag.optional('Store, master key, credentials; default .signet (SIGNET_STATE)', 'DIR'),
  database: flag.optional('"sqlite" or postgres://… (SIGNET_DATABASE)', 'URL'),
  databaseFile: flag.optional('Holds what --database would say (SIGNET_DATABASE_FILE)', 'FILE'),
  migrations: flag.optional('auto, or off: refuse a schema that is not up to date (SIGNET_MIGRATIONS)', 'HOW'),
  databaseDirect: flag.optional('Past a pooler that --database leads to, for LISTEN (SIGNET_DATABASE_DIRECT)', 'URL'),
  bus: flag.optional('"auto" or NATS servers, with commas between them (SIGNET_BUS)', 'URL'),
  busCredentialsFile: flag.optional('Who this node is to NATS (SIGNET_BUS_CREDENTIALS_FILE)', 'FILE'),
  busCaFile: flag.optional('Whose certificates the NATS servers have (SIGNET_BUS_CA_FILE)', 'FILE'),
  insecurePlainBus: flag.optional('"true": plain nats:// over a network (SIGNET_INSECURE_PLAIN_BUS)', 'true'),
  failover: flag.optional('may-lose, or lossless: only standbys that have everything are promoted (SIGNET_FAILOVER)', 'HOW'),
  operations: flag.optional('Health details and metrics; default off (SIGNET_OPERATIONS)', 'HOST:PORT'),
  masterKeyFile: flag.optional('Default DIR/master.key (SIGNET_MASTER_KEY_FILE)', 'FILE'),
  trustedProxies: flag.optional('Proxies in front whose X-Forwarded-For is believed; default 0', 'N'),
  drainSeconds: flag.optional('Told to stop, serve on for so long and say "not ready"; default 0', 'SECONDS'),
  fleetMemorySeconds: flag.optional('How long validators that are gone are remembered; default 3600', 'SECONDS'),
  logLevel: flag.optional('debug, info, warn, error, fatal or silent; default info', 'LEVEL'),
  insecureHttpIssuer: flag.optional('"true": an http issuer over a network (SIGNET_INSECURE_HTTP_ISSUER)', 'true'),
} as const

export const serve = command({
  brief: 'Start the authority',
  about: 'Settings come from flags, then the environment, then the file, then defaults. Ctrl-C or SIGTERM stops it cleanly.',
  flags: FLAGS,
  async run(cli: Cli, flags: ServeFlags): Promise<ExitCode> {
    const args = ['serve', ...passedOn(flags), ...(cli.json ? ['--json'] : [])]
    handOver(AUTHORITY, args)
    return runProgram(AUTHORITY, args, (line) => announce(cli, line))
  },
})

export const migrate = command({
  brief: 'Bring the schema of the store up to date, and end',
  about: `For a job that runs before the nodes of a new version start, which then need no right to change the schema (\`--migrations off\`).
On PostgreSQL nodes of the version before may go on meanwhile; the embedded store must not be in use. Needs no master key.`,
  flags: {
    config: FLAGS.config,
    state: FLAGS.state,
    database: FLAGS.database,
    databaseFile: FLAGS.databaseFile,
    databaseDirect: FLAGS.databaseDirect,
  },
  async run(cli: Cli, flags: Pick<ServeFlags, 'config' | 'state' | 'database' | 'databaseFile' | 'databaseDirect'>) {
    await runJob(AUTHORITY, ['migrate', ...passedOn(flags)], NOT_MIGRATED, (line) => {
      const done = objectOf(line) as { schema_version?: number; store?: string } | undefined
      cli.show(done ?? line, () =>
        details([['schema', cli.out.good(`version ${done?.schema_version}, on ${printable(String(done?.store))}`)]], cli.out),
      )
    })
  },
})

export const restore = command({
  brief: 'Put a backup in the place of the embedded store',
  about: `Stop the authority first. Nothing that was revoked since the backup comes back to life: people sign in again, API keys have
to be made anew. The store that was there is kept beside it. The argument is a file, or the name of a backup. On PostgreSQL its own tools
put a copy back; write - then, which ends what may have been revoked since that copy.`,
  flags: {
    config: FLAGS.config,
    state: FLAGS.state,
    database: FLAGS.database,
    databaseFile: FLAGS.databaseFile,
    databaseDirect: FLAGS.databaseDirect,
    issuer: FLAGS.issuer,
    masterKeyFile: FLAGS.masterKeyFile,
    yes: flag.yes,
  },
  args: arg('BACKUP', 'A file, or the name that `signet backup` gave it; - on PostgreSQL'),
  async run(cli: Cli, { yes, ...flags }: RestoreFlags, file: string) {
    const state = flags.state ?? cli.env.SIGNET_STATE ?? '.signet'
    const put =
      file === PUT_BACK
        ? 'End what may have been revoked since the copy that the database was put back to?'
        : `Put ${printable(file)} in the place of the store in ${printable(state)}?`
    await cli.confirm(`${put} Everybody has to sign in again.`, yes)
    const from = file === PUT_BACK ? file : fileOf(file, state)
    const failed = file === PUT_BACK ? NOT_ENDED : NOT_RESTORED
    await runJob(AUTHORITY, ['restore', from, ...passedOn(flags)], failed, (line) => reportRestored(cli, line))
  },
})

/** A file, or else a name in the backups folder of the state directory. */
function fileOf(named: string, state: string): string {
  const folder = join(state, 'backups')
  return [named, join(folder, named), join(folder, `${named}.db`)].find((path) => existsSync(path)) ?? named
}

const NOT_MIGRATED = {
  what: 'The schema is not up to date',
  advice: 'Mend that and run it again: migrations that are done stay done.',
  code: 'migrate',
}
const NOT_RESTORED = {
  what: 'The backup was not put in the place of the store',
  advice: 'Nothing was changed. Mend that and run it again; `signet restore --help` says what it needs.',
  code: 'restore',
}

const NOT_ENDED = { ...NOT_RESTORED, what: 'What may have been revoked since the copy was not ended' }

/** Instead of a backup: the database was put back by its own tools. */
const PUT_BACK = '-'

const AUTHORITY = fileURLToPath(new URL('../../authority/main.ts', import.meta.url))

/** Named flags of ours as named flags of the authority's program. */
function passedOn(flags: ServeFlags): string[] {
  const names: Readonly<Record<keyof ServeFlags, string>> = {
    config: 'config',
    listen: 'listen',
    issuer: 'issuer',
    state: 'state',
    database: 'database',
    databaseFile: 'database-file',
    migrations: 'migrations',
    databaseDirect: 'database-direct',
    bus: 'bus',
    busCredentialsFile: 'bus-credentials-file',
    busCaFile: 'bus-ca-file',
    insecurePlainBus: 'insecure-plain-bus',
    failover: 'failover',
    operations: 'operations',
    masterKeyFile: 'master-key-file',
    trustedProxies: 'trusted-proxies',
    fleetMemorySeconds: 'fleet-memory-seconds',
    drainSeconds: 'drain-seconds',
    logLevel: 'log-level',
    insecureHttpIssuer: 'insecure-http-issuer',
  }
  return (Object.keys(names) as (keyof ServeFlags)[]).flatMap((name) => {
    const value = flags[name]
    return value === undefined ? [] : [`--${names[name]}`, value]
  })
}

function announce(cli: Cli, line: string): void {
  const ready = objectOf(line) as { ready?: boolean; issuer?: string; port?: number; setup?: string } | undefined
  cli.line(ready ?? line, () => {
    if (ready?.ready !== true) return printable(line)
    const { out } = cli
    return details(
      [
        ['authority', out.bold(out.good(printable(String(ready.issuer))))],
        ['metadata', `${printable(String(ready.issuer))}/.well-known/oauth-authorization-server`],
        [
          'set up',
          ready.setup === undefined
            ? undefined
            : `${out.accent(printable(ready.setup))} ${out.dim('once, to become the administrator')}`,
        ],
      ],
      out,
    )
  })
}

function reportRestored(cli: Cli, line: string): void {
  const report = objectOf(line) as { restored?: string; previous?: string; epoch?: string } | undefined
  if (report?.restored === undefined)
    throw new Trouble({
      what: 'The restore gave no report',
      why: printable(line),
      advice: 'Look at the state directory before you start the authority.',
      exit: EXIT.refused,
      code: 'restore',
    })
  cli.show(report, () =>
    details(
      [
        [
          'restored',
          cli.out.good(report.restored === PUT_BACK ? 'the database, by its own tools' : printable(String(report.restored))),
        ],
        ['kept before', report.previous === undefined ? undefined : printable(report.previous)],
        ['epoch', printable(String(report.epoch))],
        ['ended', 'every session, grant, access token and API key of before: API keys have to be made anew'],
        ['next', 'start the authority: `signet serve`'],
      ],
      cli.out,
    ),
  )
}
