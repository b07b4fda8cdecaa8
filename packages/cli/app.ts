/** The map of the commands. */

import { nearest } from '@signet/kernel/nearest.ts'
import {
  ArgumentScannerError,
  buildApplication,
  buildRouteMap,
  formatMessageForArgumentScannerError,
  help,
  text_en,
  version,
} from '@stricli/core'
import type { Context } from './cli.ts'
import { apiKey } from './commands/api-key.ts'
import { audit } from './commands/audit.ts'
import { backup } from './commands/backup.ts'
import { batch } from './commands/batch.ts'
import { client } from './commands/client.ts'
import { complete, completion } from './commands/completion.ts'
import { doctor } from './commands/doctor.ts'
import { drill } from './commands/drill.ts'
import { feed } from './commands/feed.ts'
import { fleet } from './commands/fleet.ts'
import { keys } from './commands/keys.ts'
import { lineage } from './commands/lineage.ts'
import { policy } from './commands/policy.ts'
import { receipt } from './commands/receipt.ts'
import { region } from './commands/region.ts'
import { relay } from './commands/relay.ts'
import { resource } from './commands/resource.ts'
import { revoke } from './commands/revoke.ts'
import { migrate, restore, serve } from './commands/serve.ts'
import { resume, suspend } from './commands/suspend.ts'
import { token } from './commands/token.ts'
import { user } from './commands/user.ts'
import { printable } from './output/printable.ts'
import { wrongValue } from './trouble.ts'
import { VERSION } from './version.ts'

const root = buildRouteMap<string, Context>({
  docs: {
    brief: 'Issue tokens, take them back everywhere, prove what happened',
    fullDescription: `Issue tokens, take them back everywhere, prove what happened.

Exit codes: 0 done, 1 refused or the answer is no, 2 wrong usage, 3 the authority cannot be reached.
With --json results are JSON on standard output, and errors JSON on standard error.`,
    hideRoute: { __complete: true },
  },
  routes: {
    serve,
    relay,
    client,
    resource,
    user,
    token,
    revoke,
    receipt,
    suspend,
    resume,
    batch,
    keys,
    'api-key': apiKey,
    feed,
    fleet,
    region,
    audit,
    lineage,
    policy,
    backup,
    migrate,
    restore,
    doctor,
    drill,
    completion,
    __complete: complete,
  },
})

/** Ends what is said of each mistake in the arguments of a command. */
export const HOW_TO_GO_ON = 'Add --help to see how it is used.'

export const app = buildApplication<Context>(
  root,
  {
    name: 'signet',
    scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
    documentation: { caseStyle: 'convert-camel-to-kebab' },
    localization: {
      text: {
        ...text_en,
        briefs: { ...text_en.briefs, argumentEscapeSequence: 'What follows is arguments, not flags' },
        exceptionWhileParsingArguments: (error) =>
          `${error instanceof ArgumentScannerError ? wrongArguments(error) : `${(error as Error).message}.`} ${HOW_TO_GO_ON}`,
        noCommandRegisteredForInput: ({ input, corrections }) =>
          input.startsWith('-')
            ? `Flags come after the command: signet COMMAND ${input} …`
            : `There is no command ${input}.${meant(input, corrections)} With --help in its place you see what there is.`,
      },
    },
  },
  {
    help: help({
      brief: 'Show how it is used',
      defaultForRouteMap: true,
      formatting: { caseStyle: 'convert-camel-to-kebab', useAliasInUsageLine: false, onlyRequiredInUsageLine: true },
    }),
    version: version({ brief: 'Show the version', info: { currentVersion: VERSION } }),
  },
)

/** A whole sentence or two. */
function wrongArguments(error: ArgumentScannerError): string {
  return formatMessageForArgumentScannerError(error, {
    AliasNotFoundError: ({ input }) => `There is no flag -${printable(input)}.`,
    ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, input, exception }) =>
      // Placeholders are in capitals, and are not typed.
      wrongValue(/^[a-z]/.test(name) ? flagName(name) : name, input, formOf(exception)),
    EnumValidationError: ({ externalFlagName, input, values }) => {
      const near = nearest(input, values)
      const form = `write ${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
      return `${wrongValue(flagName(externalFlagName), input, form)}.${near === undefined ? '' : ` Did you mean ${near}?`}`
    },
    FlagNotFoundError: ({ input, corrections }) =>
      `There is no flag --${printable(input)}.${meant(input, corrections.map(flagName))}`,
    InvalidNegatedFlagSyntaxError: ({ externalFlagName }) => `${flagName(externalFlagName)} takes no value.`,
    UnexpectedFlagError: ({ externalFlagName, previousInput, input }) =>
      `${flagName(externalFlagName)} takes one value, and is given "${printable(previousInput)}" and "${printable(input)}".`,
    UnsatisfiedFlagError: ({ externalFlagName, nextFlagName }) =>
      nextFlagName === undefined
        ? `${flagName(externalFlagName)} is missing, or its value.`
        : `${flagName(externalFlagName)} has no value: ${flagName(nextFlagName)} follows it.`,
    UnsatisfiedPositionalError: ({ placeholder }) => `${placeholder} is missing.`,
    UnexpectedPositionalError: ({ input }) => `${printable(input)} is one argument too many.`,
  }).replace(/[^.?]$/, '$&.')
}

/** What our own parsers say is how to write it; a boolean's is the library's. */
const formOf = (exception: unknown): string =>
  exception instanceof SyntaxError ? 'write yes or no, or no value at all' : (exception as Error).message

/** As people write it. */
const flagName = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** Only what may have been a slip. */
function meant(input: string, corrections: readonly string[]): string {
  const near = corrections.filter((text) => nearest(input, [text.replaceAll('`', '').replace(/^-+/, '')]) !== undefined)
  return near.length === 0 ? '' : ` Did you mean ${near.join(' or ')}?`
}
