/** A relay's process. Reads flags, environment and file (config.ts), says where it listens, and stops cleanly on SIGTERM and SIGINT. */
import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { failureText, isAboutUsage } from '@signet/kernel/failure.ts'
import { NO_SETTINGS, unknownVariables } from '@signet/kernel/variables.ts'
import { destination, pino, stdTimeFunctions } from 'pino'
import { loadRelayConfig } from './config.ts'
import { startRelay } from './relay.ts'

const USAGE = `Usage: relay --issuer URL [flags]

  --config FILE              settings as JSON (SIGNET_RELAY_CONFIG)
  --issuer URL               the authority whose feed is relayed (SIGNET_ISSUER)
  --listen HOST:PORT         default 127.0.0.1:4810 (SIGNET_RELAY_LISTEN)
  --upstream URL             another relay to read from; default: the authority (SIGNET_RELAY_UPSTREAM)
  --upstream-keys FILE|URL   that relay's keys (SIGNET_RELAY_UPSTREAM_KEYS)
  --authority-keys FILE      the authority's feed keys; default: asked for once, at the issuer (SIGNET_RELAY_AUTHORITY_KEYS)
  --client-id ID             client with the scope signet:feed; its secret in SIGNET_RELAY_CLIENT_SECRET (SIGNET_RELAY_CLIENT_ID)
  --client-secret-file FILE  or in this file (SIGNET_RELAY_CLIENT_SECRET_FILE)
  --open-to-everyone true    serve the feed without asking for a token (SIGNET_RELAY_OPEN_TO_EVERYONE)
  --state DIR                its key and what it knows; default .signet-relay (SIGNET_RELAY_STATE)
  --operations HOST:PORT     health and metrics; default off (SIGNET_RELAY_OPERATIONS)
  --id NAME                  its name in the authority's overview; default relay@HOST (SIGNET_RELAY_ID)
  --log-level LEVEL          debug, info, warn, error, fatal or silent; default info (SIGNET_LOG_LEVEL)
  --json                     what keeps it from its work is said as JSON
`

const FAILED = {
  what: 'The relay did not start',
  advice: 'Mend that and start it again; `signet relay --help` and docs/relays.md say what it takes.',
  code: 'relay',
}

/** Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or configuration. */
async function main(argv: readonly string[]): Promise<number> {
  const flag = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...argv],
    options: {
      config: flag,
      issuer: flag,
      listen: flag,
      upstream: flag,
      'upstream-keys': flag,
      'authority-keys': flag,
      'client-id': flag,
      'client-secret-file': flag,
      'open-to-everyone': flag,
      state: flag,
      operations: flag,
      id: flag,
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
  const config = loadRelayConfig(flags, process.env)
  delete process.env.SIGNET_RELAY_CLIENT_SECRET // Not for whoever looks at this process's environment later.
  const log = pino(
    {
      level: config.logLevel,
      base: null,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ dest: 2, sync: true }),
  )
  const variables = unknownVariables(process.env).map(({ name }) => name)
  if (variables.length > 0) log.warn({ variables }, NO_SETTINGS)
  const troubles = createTroubles((what, why) => log.warn({ what, why }, 'something does not work at present'))
  const relay = await startRelay(config, { trouble: troubles.tell })
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const { issuer, upstream, host } = config
  flushCompileCache() // As the authority does: else at the end alone, which one that is killed does not come to.
  log.info({ issuer, upstream: upstream?.url ?? issuer, listen: `${host}:${relay.port}` }, 'relaying')
  // For whoever started this process: one line of JSON on standard output once it answers.
  const ready = { ready: true, issuer, port: relay.port, operations: relay.operationsPort, kid: relay.jwks.keys[0]?.kid }
  process.stdout.write(`${JSON.stringify(ready)}\n`)
  log.info({ signal: await stopped }, 'stopping')
  await relay.close()
  return 0
}

/** The same trouble of the same kind is told once a minute. */
function createTroubles(say: (what: string, why: string) => void) {
  const toldAt = new Map<string, number>()
  return {
    tell(what: string, cause: unknown): void {
      // Messages of the validator name host and path, never a header or a body.
      const why = cause instanceof Error ? cause.message : String(cause)
      const now = performance.now()
      if (now - (toldAt.get(what) ?? Number.NEGATIVE_INFINITY) < 60_000) return
      toldAt.set(what, now)
      say(what, why)
    },
  }
}

const args = process.argv.slice(2)
try {
  process.exitCode = await main(args)
} catch (error) {
  const how = { json: args.includes('--json'), debug: process.env.SIGNET_DEBUG !== undefined }
  process.stderr.write(`${failureText(error, FAILED, how)}\n`)
  process.exitCode = isAboutUsage(error) ? 2 : 1
}
// Sockets of slow readers must not keep a relay that was told to stop.
setTimeout(() => process.exit(), 2000).unref()
