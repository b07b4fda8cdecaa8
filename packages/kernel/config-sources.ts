/**
 * How our processes are configured: a flag beats an environment variable beats the file beats the default. What a setting means is each
 * process's own matter; a mistake names the setting and where it came from.
 */

/** Name in the file, environment variable, flag. */
export type ConfigSource = readonly [name: string, variable: string, flag: string]

export interface ConfigPlaces {
  /** Path of the file, if one is given. */
  readonly file: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly flags: Readonly<Record<string, string | undefined>>
  readonly readText: (path: string) => string
}

/** As much of a zod schema as is needed here: the kernel depends on nothing. */
interface Schema<T> {
  safeParse(
    value: unknown,
  ):
    | { readonly success: true; readonly data: T }
    | { readonly success: false; readonly error: { readonly issues: readonly Issue[] } }
}
interface Issue {
  readonly code?: string | undefined
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
}

/** The message lists every problem, one to a line. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  ${problem.replaceAll('\n', '\n  ')}`).join('\n')}`)
    this.name = 'ConfigError'
  }
}

/** Throws a ConfigError. */
export function gatherConfig<T>(schema: Schema<T>, sources: readonly ConfigSource[], places: ConfigPlaces): T {
  const { file, env, flags } = places
  const given: Record<string, unknown> = file === undefined ? {} : readJsonObject('config file', file, places.readText)
  const origin = new Map(Object.keys(given).map((name) => [name, `file ${file}`]))
  for (const [name, variable, flag] of sources) {
    if (env[variable] !== undefined && env[variable] !== '') {
      given[name] = env[variable]
      origin.set(name, variable)
    }
    if (flags[flag] !== undefined) {
      given[name] = flags[flag]
      origin.set(name, `--${flag}`)
    }
  }
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  throw new ConfigError(
    parsed.error.issues.map(({ code, path, message, keys = [] }) => {
      const name = path.map(String).join('.')
      if (code === 'unrecognized_keys') return `unknown setting: ${keys.map((key) => [...path, key].join('.')).join(', ')}`
      return `${name} (${origin.get(String(path[0])) ?? 'missing'}): ${message}`
    }),
  )
}

/** `what` is what the file is called in a complaint. Throws a ConfigError. */
export function readJsonObject(what: string, path: string, readText: ConfigPlaces['readText']): Record<string, unknown> {
  const text = readConfigText(what, path, readText)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // What follows the comma is a piece of the file, which may be of a secret.
    throw new ConfigError([`${what} ${path}: not JSON: ${(error as Error).message.replace(/, (\.\.\.)?".*/s, '')}`])
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new ConfigError([`${what} ${path}: must hold a JSON object`])
}

/** Throws a ConfigError. */
export function readConfigText(what: string, path: string, readText: ConfigPlaces['readText']): string {
  try {
    return readText(path)
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    throw new ConfigError([`${what} ${path}: ${code === 'ENOENT' ? 'not found' : message}`])
  }
}

/** HOST:PORT; the host in brackets when it is an IPv6 address. */
export const isAddress = (text: string): boolean =>
  /^(\[[0-9a-f:]+\]|[^:\s]+):\d{1,5}$/i.test(text) && splitAddress(text).port <= 65_535

export const ADDRESS_FORM = 'HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:4800'

/** Of a text that is an address. */
export function splitAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}
