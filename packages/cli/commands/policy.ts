/** The settings in force. */
import type { Cli } from '../cli.ts'
import { command } from '../command.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { span } from '../output/time.ts'

export const policy = command({
  brief: 'Show the policy in force: lifetimes, limits, cadences',
  about: 'Names are those of the API; in the settings file they stand under `policy` in camelCase, such as accessTokenSeconds.',
  async run(cli: Cli) {
    const shown = await (await cli.admin()).call('showPolicy')
    const { out } = cli
    cli.show(shown, () =>
      details(
        [
          ['version', `${out.bold(printable(shown.version))} ${out.dim('tokens carry it as pv')}`],
          ...Object.entries(shown.settings).map(([name, value]) => [printable(name), valueText(name, value, out.dim)] as const),
        ],
        out,
      ),
    )
  },
})

function valueText(name: string, value: unknown, dim: (text: string) => string): string {
  if (value === null || value === undefined) return dim('not set')
  const text = printable(typeof value === 'object' ? JSON.stringify(value) : String(value))
  return name.endsWith('_seconds') && typeof value === 'number' && value >= 60 ? `${text} ${dim(`(${span(value)})`)}` : text
}
