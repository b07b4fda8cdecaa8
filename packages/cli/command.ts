/** How commands are made: the shared flags, one way to fail, and the exit code. */
import { buildCommand, type Command, type FlagParametersForType, type TypedPositionalParameters } from '@stricli/core'
import { type Cli, type CommonFlags, type Context, createCli } from './cli.ts'
import { parseDuration } from './output/time.ts'
import { type ExitCode, troubleOf } from './trouble.ts'

type Flags<F> = Readonly<Partial<Record<keyof F, unknown>>>

export interface CommandSpec<F extends Flags<F>, A extends readonly unknown[]> {
  /** One line for the list of commands. */
  readonly brief: string
  /** What one should know before using it; shown by --help. */
  readonly about?: string
  readonly flags?: NoInfer<FlagParametersForType<F, Context>>
  readonly args?: NoInfer<TypedPositionalParameters<A, Context>>
  /** Throws to fail; returns an exit code where the answer itself is a no. */
  readonly run: (cli: Cli, flags: F & CommonFlags, ...args: A) => Promise<ExitCode | undefined>
}

export function command<const F extends Flags<F> = NonNullable<unknown>, const A extends readonly unknown[] = []>(
  spec: CommandSpec<F, A>,
): Command<Context> {
  return buildCommand<Record<string, unknown>, readonly unknown[], Context>({
    docs: { brief: spec.brief, ...(spec.about === undefined ? {} : { fullDescription: `${spec.brief}\n\n${spec.about}` }) },
    parameters: {
      flags: { ...(spec.flags ?? {}), ...common } as never,
      positional: (spec.args ?? { kind: 'tuple', parameters: [] }) as never,
    },
    async func(this: Context, flags, ...args) {
      const given = flags as unknown as F & CommonFlags
      const cli = createCli(this.own, given)
      try {
        const exit = await spec.run(cli, given, ...(args as unknown as A))
        this.own.exitCode = exit ?? 0
      } catch (error) {
        const trouble = troubleOf(error)
        cli.complain(trouble)
        this.own.exitCode = trouble.exit
      }
    },
  })
}

const common = {
  server: {
    kind: 'parsed',
    parse: parseServer,
    optional: true,
    placeholder: 'URL',
    brief: 'The authority (SIGNET_URL; else the issuer in the credentials)',
  },
  credentials: {
    kind: 'parsed',
    parse: String,
    optional: true,
    placeholder: 'FILE',
    brief: 'Who you are (SIGNET_CREDENTIALS; else .signet/cli.json)',
  },
  json: { kind: 'boolean', default: false, withNegated: false, brief: 'Print the result as JSON on standard output' },
} as const

function parseServer(text: string): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error('write a URL such as https://id.example.com')
  return text
}

/** Building blocks for flags. */
export const flag = {
  text: (brief: string, placeholder = 'TEXT') => ({ kind: 'parsed', parse: String, brief, placeholder }) as const,
  optional: (brief: string, placeholder = 'TEXT') =>
    ({ kind: 'parsed', parse: String, optional: true, brief, placeholder }) as const,
  /** Given several times, or once with commas. */
  many: (brief: string, placeholder = 'NAME') =>
    ({ kind: 'parsed', parse: String, optional: true, variadic: ',', brief, placeholder }) as const,
  /** Given several times; values may hold commas. */
  each: (brief: string, placeholder = 'VALUE') =>
    ({ kind: 'parsed', parse: String, optional: true, variadic: true, brief, placeholder }) as const,
  duration: (brief: string) => ({ kind: 'parsed', parse: parseDuration, optional: true, brief, placeholder: 'TIME' }) as const,
  number: (brief: string) => ({ kind: 'parsed', parse: parseCount, optional: true, brief, placeholder: 'N' }) as const,
  yes: { kind: 'boolean', default: false, withNegated: false, brief: "Don't ask, do it" },
  on: (brief: string) => ({ kind: 'boolean', default: false, withNegated: false, brief }) as const,
  /** Leaves things as they are unless given. */
  change: (brief: string) => ({ kind: 'boolean', optional: true, brief }) as const,
  after: {
    kind: 'parsed',
    parse: String,
    optional: true,
    brief: 'Go on after this row (as the page before said)',
    placeholder: 'ID',
  },
  limit: { kind: 'parsed', parse: parseCount, optional: true, brief: 'Rows, at most 500', placeholder: 'N' },
} as const

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error('write a whole number')
  return Number(text)
}

/** One positional argument. */
export const arg = (placeholder: string, brief: string) =>
  ({ kind: 'tuple', parameters: [{ parse: String, placeholder, brief }] }) as const

/** For `findUser`. */
export const USER = arg('USER', 'Username or id')

/** Drops what was not given, so that it does not travel as `undefined`. */
export function given<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as never
}
