/** Starts a relay: the gateway's own program, run with this Node. */
import { fileURLToPath } from 'node:url'
import type { Cli } from '../cli.ts'
import { command, flag } from '../command.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { handOver, objectOf, runProgram } from '../program.ts'
import type { ExitCode } from '../trouble.ts'

const FLAGS = {
  config: flag.optional('Settings as JSON (SIGNET_RELAY_CONFIG)', 'FILE'),
  issuer: flag.optional('The authority whose feed is relayed (SIGNET_ISSUER)', 'URL'),
  listen: flag.optional('Default 127.0.0.1:4810 (SIGNET_RELAY_LISTEN)', 'HOST:PORT'),
  upstream: flag.optional('Another relay to read from; default the authority (SIGNET_RELAY_UPSTREAM)', 'URL'),
  upstreamKeys: flag.optional("That relay's keys (SIGNET_RELAY_UPSTREAM_KEYS)", 'FILE|URL'),
  authorityKeys: flag.optional("The authority's feed keys; default asked for once (SIGNET_RELAY_AUTHORITY_KEYS)", 'FILE'),
  clientId: flag.optional('A client with the scope signet:feed (SIGNET_RELAY_CLIENT_ID)', 'ID'),
  clientSecretFile: flag.optional('Its secret, if not in SIGNET_RELAY_CLIENT_SECRET', 'FILE'),
  openToEveryone: flag.optional('"true": serve the feed without asking for a token', 'true'),
  state: flag.optional('Its key and what it knows; default .signet-relay (SIGNET_RELAY_STATE)', 'DIR'),
  operations: flag.optional('Health and metrics; default off (SIGNET_RELAY_OPERATIONS)', 'HOST:PORT'),
  id: flag.optional("Its name in the authority's overview; default relay@HOST (SIGNET_RELAY_ID)", 'NAME'),
  logLevel: flag.optional('debug, info, warn, error, fatal or silent; default info', 'LEVEL'),
} as const

type RelayFlags = { readonly [Name in keyof typeof FLAGS]?: string }

const RELAY = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url))

export const relay = command({
  brief: 'Serve the revocation feed on to others',
  about: `Follows the feed of an authority, or of another relay, and serves it to any number of validators. Settings come from flags, then
the environment, then the file, then defaults. Ctrl-C or SIGTERM stops it cleanly. See docs/relays.md.`,
  flags: FLAGS,
  async run(cli: Cli, flags: RelayFlags): Promise<ExitCode> {
    const args = (Object.keys(FLAGS) as (keyof RelayFlags)[]).flatMap((name) => {
      const value = flags[name]
      return value === undefined ? [] : [`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, value]
    })
    if (cli.json) args.push('--json')
    handOver(RELAY, args)
    return runProgram(RELAY, args, (line) => announce(cli, line))
  },
})

function announce(cli: Cli, line: string): void {
  const ready = objectOf(line) as { ready?: boolean; issuer?: string; port?: number; kid?: string } | undefined
  cli.line(ready ?? line, () => {
    if (ready?.ready !== true) return printable(line)
    return details(
      [
        ['relay of', cli.out.bold(cli.out.good(printable(String(ready.issuer))))],
        ['port', String(ready.port)],
        ['its key', `${printable(String(ready.kid))} ${cli.out.dim('what its readers trust: GET /feed/jwks')}`],
      ],
      cli.out,
    )
  })
}
