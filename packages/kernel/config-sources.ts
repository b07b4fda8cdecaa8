/**
 * How our processes are configured: a flag beats an environment variable beats the file beats the default. What a setting means is each
 * process's own matter; a mistake names the setting and where it came from.
 */

import { nearest } from './nearest.ts'
import { unknownVariables, type Variable } from './variables.ts'

/** Name in the file, environment variable, flag. */
export type ConfigSource = readonly [name: string, variable: Variable, flag: string]

export interface ConfigPlaces {
  /** Names the file, unless the flag `config` does. */
  readonly fileVariable: Variable
  readonly env: Readonly<Record<string, string | undefined>>
  readonly flags: Readonly<Record<string, string | undefined>>
  readonly readText: (path: string) => string
}

/** As much of a zod schema as is needed here: the kernel depends on nothing. */
interface Schema<T> {
  readonly shape: Readonly<Record<string, unknown>>
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
  readonly values?: readonly unknown[]
  readonly format?: string
  readonly origin?: string
  readonly minimum?: unknown
  readonly maximum?: unknown
}

export interface ConfigProblem {
  /** The setting and where it was given. */
  readonly path: string
  readonly message: string
}

/** The message lists every problem, one to a line. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[]
  constructor(problems: readonly ConfigProblem[]) {
    super(`${CONFIG_ERROR}:\n${problems.map(({ path, message }) => `  ${path}: ${message}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

export const CONFIG_ERROR = 'The configuration is not usable'

export interface Gathered<T> {
  readonly settings: T
  /** The setting of this path, with the place where it was given. */
  where(path: string): string
}

/** Throws a ConfigError. */
export function gatherConfig<T>(schema: Schema<T>, sources: readonly ConfigSource[], places: ConfigPlaces): Gathered<T> {
  const { fileVariable, env, flags, readText } = places
  const file = flags.config ?? (env[fileVariable] || undefined)
  const named = `config file (${flags.config === undefined ? fileVariable : '--config'})`
  const given = file === undefined ? {} : readJsonObject(named, file, readText)
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
  const where = (path: string): string => {
    const place = origin.get(topOf(path))
    return place === undefined ? path : `${path} (${place})`
  }
  const slips = unknownVariables(env).filter(({ meant }) => meant !== undefined)
  const problems: ConfigProblem[] = slips.map(({ name, meant }) => ({ path: name, message: noSetting(meant) }))
  const parsed = schema.safeParse(given)
  if (!parsed.success) {
    for (const { path, message } of problemsOf(parsed.error.issues, schema)) {
      const [, variable, flag] = sources.find(([name]) => name === path && !origin.has(name)) ?? []
      const isMissing = variable === undefined ? undefined : `is missing: give --${flag} or ${variable}, or put it in the file`
      problems.push({ path: where(path), message: isMissing ?? message })
    }
  }
  if (parsed.success && problems.length === 0) return { settings: parsed.data, where }
  throw new ConfigError(problems)
}

const topOf = (path: string): string => path.split('.', 1)[0] as string

/** Of an object that the schema does not take and that stands under this path. */
export function problemsOf(issues: readonly Issue[], schema: Pick<Schema<unknown>, 'shape'>, under?: string): ConfigProblem[] {
  return issues.flatMap((issue) => {
    const { code, path, keys = [] } = issue
    const at = [...(under === undefined ? [] : [under]), ...path.map(String)]
    if (code !== 'unrecognized_keys') return [{ path: at.join('.'), message: wordsFor(issue) }]
    const names = path.length === 0 ? Object.keys(schema.shape) : []
    return keys.map((key) => ({ path: [...at, key].join('.'), message: noSetting(nearest(key, names)) }))
  })
}

/** The schema's own words speak of types to whoever wrote it; what our schemas say themselves stays. */
function wordsFor({ code, message, values = [], format, origin, minimum, maximum }: Issue): string {
  if (code === 'invalid_value') return `must be ${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
  if (code === 'invalid_format' && format === 'url') return 'must be a URL that begins with https:// or http://'
  if (code === 'too_small' && origin === 'string' && minimum === 1) return 'must not be empty'
  if (code === 'too_small' && origin === 'number') return `must not be below ${minimum}`
  if (code === 'too_big' && origin === 'number') return `must not be above ${maximum}`
  return message
}

const noSetting = (meant: string | undefined): string => `is no setting${meant === undefined ? '' : `; did you mean ${meant}?`}`

/** `what` is what the file is called in a complaint. Throws a ConfigError. */
export function readJsonObject(what: string, file: string, readText: ConfigPlaces['readText']): Record<string, unknown> {
  const text = readConfigText(what, file, readText)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // What follows the comma is a piece of the file, which may be of a secret.
    const reason = (error as Error).message.replace(/, (\.\.\.)?".*/s, '')
    throw new ConfigError([{ path: what, message: `${file}: not JSON: ${reason}` }])
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new ConfigError([{ path: what, message: `${file}: must hold a JSON object` }])
}

/** Throws a ConfigError. */
export function readConfigText(what: string, file: string, readText: ConfigPlaces['readText']): string {
  try {
    return readText(file)
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    throw new ConfigError([{ path: what, message: `${file}: ${code === 'ENOENT' ? 'not found' : message}` }])
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
