/** What a program of ours says on standard error when it cannot do its work: to people, or as one object to those who asked for JSON. */
import { CONFIG_ERROR, ConfigError } from './config-sources.ts'

export interface FailureWords {
  /** What did not happen. */
  readonly what: string
  readonly advice: string
  /** Stable word for scripts. */
  readonly code: string
}

/** `debug`: with the stacks of the error and of its causes. */
export function failureText(
  error: unknown,
  { what, advice, code }: FailureWords,
  how: { json: boolean; debug: boolean },
): string {
  const why = how.debug && !isAboutUsage(error) ? stacksOf(error) : sayWhy(error)
  if (!how.json) return why
  const isConfig = error instanceof ConfigError
  const about = { code, what, why: isConfig ? CONFIG_ERROR : why, advice, ...(isConfig && { details: error.problems }) }
  return JSON.stringify({ error: about })
}

/** Arguments that make no sense together. */
export class UsageError extends Error {}

/** Whether whoever started the program did so with wrong flags or settings. */
export const isAboutUsage = (error: unknown): boolean =>
  error instanceof ConfigError || error instanceof UsageError || isOfNode(error)

/** What Node's parser of flags throws; its second sentence on an unknown one is of no use here. */
const isOfNode = (error: unknown): boolean => (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') ?? false

/** A fault's own word says little to whoever starts a program: its cause says what is wrong. */
function sayWhy(error: unknown): string {
  const { message, cause } = error as Error
  if (isAboutUsage(error) && !(error instanceof ConfigError))
    return `${message.split(/\. (?=[A-Z])/, 1)[0]?.replace(/\.$/, '')}. --help shows how it is used.`
  return cause instanceof Error ? `${message}: ${sayWhy(cause)}` : message
}

function stacksOf(error: unknown): string {
  const { message, stack = message, cause } = error as Error
  return cause instanceof Error ? `${stack}\nbecause of ${stacksOf(cause)}` : stack
}
