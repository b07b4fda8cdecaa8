/** When a command cannot do what was asked: what happened, why, what to do now; and the exit code that scripts read. */
import type { ApiError } from '@signet/api/errors.ts'
import type { Paint } from './output/paint.ts'
import { printable } from './output/printable.ts'

/** 0 done · 1 refused, or the answer is no · 2 wrong usage · 3 the authority cannot be reached or cannot do it now. */
export const EXIT = { done: 0, refused: 1, usage: 2, unreachable: 3 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export class Trouble extends Error {
  readonly why: string
  readonly advice: string
  readonly exit: ExitCode
  /** Stable word for `--json`. */
  readonly code: string
  readonly details: readonly { readonly path: string; readonly message: string }[]
  constructor(told: {
    what: string
    why: string
    advice: string
    exit: ExitCode
    code: string
    details?: readonly { path: string; message: string }[]
    cause?: unknown
  }) {
    super(told.what, { cause: told.cause })
    this.name = 'Trouble'
    this.why = told.why
    this.advice = told.advice
    this.exit = told.exit
    this.code = told.code
    this.details = told.details ?? []
  }
}

/** That a flag or argument cannot have this value, in one wording everywhere; `form` is how to write it, and begins with "write". */
export const wrongValue = (name: string, value: string, form: string): string =>
  `${name} cannot be "${printable(value)}": ${form}`

/** The same where it is found once the command runs. */
export const wrongFlag = (name: string, value: string, form: string, why = 'it is not in a form that this flag takes'): Trouble =>
  new Trouble({
    what: `${name} cannot be "${value}"`,
    why,
    advice: form,
    exit: EXIT.usage,
    code: 'usage',
  })

/** What Stricli found wrong before any command ran, a sentence or two for each mistake. */
export const wrongUsage = (mistakes: readonly string[]): Trouble =>
  new Trouble({
    what: 'Nothing was done',
    why: mistakes.join(' '),
    advice: 'Put --help behind a command to see how it is used.',
    exit: EXIT.usage,
    code: 'usage',
  })

/** Any error as something a person can act on; a bug of ours keeps its stack for the report. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof Trouble) return error
  if (isApiError(error)) {
    return new Trouble({
      what: error.message,
      why: error.kind === 'invalid' && error.details.length > 0 ? 'the authority does not take these values:' : error.why,
      advice: (error.reason === undefined ? undefined : ADVICE_FOR_REASON[error.reason]) ?? ADVICE[error.kind] ?? error.advice,
      exit: error.kind === 'unreachable' || error.kind === 'unavailable' ? EXIT.unreachable : EXIT.refused,
      code: error.code ?? error.kind,
      details: error.details,
      cause: error,
    })
  }
  return new Trouble({
    what: 'This command failed in a way it should not',
    why:
      error instanceof Error
        ? process.env.SIGNET_DEBUG === undefined
          ? error.message
          : (error.stack ?? error.message)
        : String(error),
    advice: 'Run it again with SIGNET_DEBUG=1 and report what it prints.',
    exit: EXIT.refused,
    code: 'bug',
    cause: error,
  })
}

/** What the command line can say better than the client library. */
const ADVICE: Partial<Record<ApiError['kind'], string>> = {
  unreachable: 'Start it with `signet serve`, or name another with --server URL or SIGNET_URL.',
  unavailable: 'Try again in a moment; `signet doctor` says what the authority waits for.',
  incompatible: 'Check --server; if it is right, bring the CLI and the authority to the same version.',
  unauthenticated: 'Check that the credentials file is of this authority and its client still exists.',
  forbidden: 'Use credentials of a client that has the scope, or add it: `signet client update <id> --scope …`.',
  invalid: 'Correct the values named; --help lists what is accepted.',
}

/** The same where the authority's reason alone says what to do. */
const ADVICE_FOR_REASON: Readonly<Record<string, string>> = {
  batch_state:
    '`signet batch list` says how it stands. To undo one that runs or is paused, cancel it first; one that was undone does not go on.',
  blast_radius_not_accepted: '`signet batch show BATCH` says how much it touches; give that number with --accept.',
  unknown_revocation:
    '`signet feed status` says how far the log is, `signet feed tail --since 1h` shows the last ones. A number of an epoch that is over needs --epoch, as on its receipt.',
  unknown_batch: '`signet batch list` shows all.',
  unknown_client: '`signet client list` shows all.',
  unknown_grant: '`signet user grants USER` shows those of a person.',
  unknown_session: '`signet user sessions USER` shows those of a person.',
  unknown_device: '`signet user devices USER` shows those of a person.',
  unknown_token: '`signet token inspect -` says what a token is, and its id (jti).',
  plan_too_old: 'Plan it again with `signet batch plan`.',
  backup_not_here:
    'Copy it with pg_dump. After going back to such a copy run `signet restore -` before any node starts: it ends what may have been revoked since.',
}

/** Known by name, so that the client library with its schemas is loaded only by commands that use it. */
const isApiError = (error: unknown): error is ApiError => error instanceof Error && error.name === 'ApiError'

export function troubleText(trouble: Trouble, paint: Paint): string {
  const lines = [
    `${paint.bad('error')}  ${paint.bold(sentence(trouble.message))}`,
    `${paint.dim('  why')}  ${sentence(trouble.why)}`,
  ]
  for (const { path, message } of trouble.details) lines.push(`       ${paint.warn(printable(path))} ${printable(message)}`)
  lines.push(`${paint.dim('   do')}  ${sentence(trouble.advice)}`)
  return lines.join('\n')
}

export function troubleJson(trouble: Trouble): object {
  return {
    error: {
      code: trouble.code,
      what: trouble.message,
      why: trouble.why,
      advice: trouble.advice,
      ...(trouble.details.length === 0 ? {} : { details: trouble.details }),
    },
  }
}

function sentence(text: string): string {
  const clean = printable(text).trim()
  const capital = clean.charAt(0).toUpperCase() + clean.slice(1)
  return /[.!?…:`]$/.test(capital) ? capital : `${capital}.`
}
