/** docs/cli.md, written from the command definitions by tools/reference.ts. */
import type { Command, CommandContext, RouteMap } from '@stricli/core'
import { app } from './app.ts'

const COMMON = ['server', 'credentials', 'json']

export function cliReference(): string {
  const routes = app.root as RouteMap<CommandContext>
  const shown = routes.getAllEntries().filter(({ hidden }) => !hidden)
  return `# The command line

<!-- Written by tools/reference.ts from packages/cli. Change it there. -->

\`npm run signet -- …\` in a clone, or \`signet …\` where \`packages/cli/main.ts\` is linked under that name. \`--help\` behind any command says how it is used.

**Who you are.** Commands act as the client whose credentials lie in \`.signet/cli.json\`, or in the file that \`--credentials\` or \`SIGNET_CREDENTIALS\` names:
\`{"issuer", "client_id", "private_jwk"}\`, readable by its owner only. The authority writes it at its first start. \`--server\` or \`SIGNET_URL\` says where to
connect when that is not the issuer itself. Each call gets a token with the least scope that will do.

**What comes back.** Results go to standard output, remarks to standard error. \`--json\` makes results JSON in stable shapes (those of the
[admin API](admin-api.md)), one object, or one to a line where they stream; errors are then JSON on standard error. Colours appear on terminals only, and not
with \`NO_COLOR\`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused, or the answer is no: a token that is not good, a record that is not intact |
| 2 | wrong usage; nothing was asked |
| 3 | the authority cannot be reached, or cannot do it now |

**Secrets** are never arguments, which end up in shell histories and process lists: write \`-\` and pipe them in, or type them when you are asked. What cannot be
undone asks first; \`--yes\` answers for scripts.

**Times.** How long something is to be is a whole number with a unit, \`90s\`, \`15m\`, \`12h\`, \`30d\` or \`2w\`; without one it is in seconds. Since or until
when is so long ago, always with the unit, or a date: \`2026-11-21\`, which begins at midnight UTC, \`2026-11-21T08:00\` or \`2026-11-21 08:00:30\` in the time zone
of your machine, \`2026-11-21T08:00Z\` or \`2026-11-21T08:00+02:00\` in another. A number alone is refused there: \`2026\` might be a year.

Every command also takes \`--server URL\`, \`--credentials FILE\` and \`--json\`.

${shown.map(({ name, target }) => `- [\`${name.original}\`](#${name.original}) ${firstLine(target.brief)}`).join('\n')}

${shown.map(({ name, target }) => section([name.original], target, 2)).join('\n')}`
}

function section(path: readonly string[], target: RouteMap<CommandContext> | Command<CommandContext>, depth: number): string {
  const title = `${'#'.repeat(depth)} ${depth === 2 ? path[0] : `signet ${path.join(' ')}`}`
  if ('getAllEntries' in target) {
    const entries = target.getAllEntries().filter(({ hidden }) => !hidden)
    const inner = entries.map((entry) => section([...path, entry.name['convert-camel-to-kebab']], entry.target, depth + 1))
    return `${title}\n\n${target.fullDescription ?? `${target.brief}.`}\n\n${inner.join('\n')}`
  }
  const { flags = {}, positional } = target.parameters
  const own = Object.entries(flags).filter(([name]) => !COMMON.includes(name))
  const usage = ['signet', ...path, ...argumentsOf(positional)].join(' ')
  const [brief, ...about] = (target.fullDescription ?? target.brief).split('\n\n')
  return [
    title,
    '',
    `\`${usage}\``,
    '',
    [`${brief}.`, ...about].join('\n\n'),
    '',
    ...(own.length === 0 ? [] : ['| flag | |', '|---|---|', ...own.map(([name, flag]) => flagRow(name, flag)), '']),
  ].join('\n')
}

type Parameters = Command<CommandContext>['parameters']
type Flag = NonNullable<Parameters['flags']>[string]

function argumentsOf(positional: Parameters['positional']): string[] {
  if (positional === undefined) return []
  if (positional.kind === 'array') return [`${positional.parameter.placeholder ?? 'ARG'}…`]
  return positional.parameters.map(({ placeholder = 'ARG', optional }) => (optional === true ? `[${placeholder}]` : placeholder))
}

function flagRow(name: string, flag: Flag): string {
  const kebab = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  const value =
    flag.kind === 'enum' ? ` ${flag.values.join('\\|')}` : flag.kind === 'parsed' ? ` ${flag.placeholder ?? 'VALUE'}` : ''
  const isRequired = flag.optional !== true && flag.kind !== 'boolean' && !('default' in flag)
  const negated = flag.kind === 'boolean' && flag.optional === true ? ` \`--no-${kebab}\`` : ''
  return `| \`--${kebab}${value}\`${negated} | ${flag.brief.replaceAll('|', '\\|')}${isRequired ? ' (required)' : ''} |`
}

const firstLine = (text: string): string => text.split('\n')[0] ?? ''
