/** What a command may use: where to print, whom to ask, the authority to talk to. */

import { setTimeout as wait } from 'node:timers/promises'
import type { AdminClient } from '@signet/api/client.ts'
import type { CommandContext, StricliDynamicCommandContext } from '@stricli/core'
import { credentialsPath, readCredentials } from './credentials.ts'
import { type Paint, paintFor } from './output/paint.ts'
import { jsonText, printable } from './output/printable.ts'
import { type Column, cut, table } from './output/table.ts'
import { EXIT, Trouble, troubleJson, troubleText } from './trouble.ts'

export interface Context extends CommandContext {
  /** What commands run in. */
  readonly own: NodeJS.Process
}

/** `stderr` is where Stricli complains of wrong usage; its own type of `env` and that of Node differ in what may be absent. */
export const contextOf = (own: NodeJS.Process, stderr: Context['process']['stderr'] = own.stderr) =>
  ({ own, process: { stdout: own.stdout, stderr, env: own.env } }) as StricliDynamicCommandContext<Context>

/** Flags that every command takes. */
export interface CommonFlags {
  readonly server?: string
  readonly credentials?: string
  readonly json: boolean
}

export interface Cli {
  readonly json: boolean
  readonly env: NodeJS.ProcessEnv
  /** Styles for standard output and for standard error. */
  readonly out: Paint
  readonly err: Paint
  /** Whether a person sits there who can be asked. */
  readonly interactive: boolean
  /** Ends when the person presses Ctrl-C. */
  readonly interrupted: AbortSignal
  /** Waits so long, or until then. */
  pause(milliseconds: number): Promise<void>
  readonly credentialsFile: string
  readonly server: string | undefined
  now(): number
  /** The result: as JSON with `--json`, else as `human` draws it. On standard output. */
  show(value: unknown, human: () => string): void
  /** Columns of the terminal; undefined where there is none. */
  readonly width: number | undefined
  /** What is looked at again and again: on a terminal in place of the one before, `rows` lines at most. JSON to a line with `--json`. */
  frame(value: unknown, human: (rows: number | undefined) => string): void
  /** One line of a result that grows: JSON to a line with `--json`. */
  line(value: unknown, human: () => string): void
  /** A listing: `{ items, … }` with `--json`, else a table, or `empty` as a remark. */
  list<Row>(
    reply: { readonly items: readonly Row[]; readonly next?: string | number | undefined },
    columns: readonly Column<Row>[],
    empty: string,
  ): void
  /** Remarks for people, on standard error; nothing with `--json`. */
  say(text: string): void
  /** A remark that the next one overwrites, cut to one row; only on a terminal. */
  progress(text: string): void
  /** Why it could not be done, on standard error: as JSON with `--json`. */
  complain(trouble: Trouble): void
  admin(): Promise<AdminClient>
  /** Goes on only when the person agrees or `--yes` was given. `word`: they must type exactly this. */
  confirm(question: string, yes: boolean, word?: string): Promise<void>
  /** What a `-` argument stands for: standard input without its last line end. Or the argument itself, with a warning when it is secret. */
  given(argument: string, secret?: 'token' | 'password' | 'secret', longest?: number): Promise<string>
}

export function createCli(process: NodeJS.Process, flags: CommonFlags): Cli {
  const { stdout, stderr, env } = process
  const out = paintFor(stdout)
  const err = paintFor(stderr)
  let interruption: AbortController | undefined
  let admin: Promise<AdminClient> | undefined
  let progressShown = false

  const print = (text: string) => {
    clearProgress()
    stdout.write(`${text}\n`)
  }
  const say = (text: string) => {
    clearProgress()
    if (!flags.json) stderr.write(`${text}\n`)
  }
  const clearProgress = () => {
    if (progressShown) stderr.write('\r\u001b[2K')
    progressShown = false
  }
  const cli: Cli = {
    json: flags.json,
    env,
    out,
    err,
    interactive: process.stdin.isTTY === true && stderr.isTTY === true,
    // Only a command that asks for it takes Ctrl-C into its own hands; a second one ends the process as usual.
    get interrupted() {
      if (interruption === undefined) {
        const made = new AbortController()
        process.once('SIGINT', () => made.abort())
        interruption = made
      }
      return interruption.signal
    },
    pause: (milliseconds) => wait(milliseconds, undefined, { signal: cli.interrupted }).catch(() => {}),
    credentialsFile: credentialsPath(flags.credentials, env),
    server: flags.server ?? (env.SIGNET_URL === '' ? undefined : env.SIGNET_URL),
    now: () => Date.now(),
    show: (value, human) => print(flags.json ? jsonText(value, 2) : human()),
    width: stdout.isTTY ? stdout.columns : undefined,
    frame(value, human) {
      if (flags.json) return print(jsonText(value))
      if (!stdout.isTTY) return print(`${human(undefined)}\n`)
      stdout.write(`\u001b[H\u001b[2J${human(stdout.rows)}\n`)
    },
    line: (value, human) => print(flags.json ? jsonText(value) : human()),
    list(reply, columns, empty) {
      if (flags.json) return print(jsonText(reply, 2))
      if (reply.items.length === 0 && reply.next === undefined) return say(empty)
      if (reply.items.length > 0) print(table(reply.items, columns, out, cli.width))
      if (reply.next !== undefined) say(err.dim(`There are more: --after ${printable(String(reply.next))}`))
    },
    say,
    progress(text) {
      if (flags.json || !stderr.isTTY) return
      stderr.write(`\r\u001b[2K${cut(text, (stderr.columns || USUAL_WIDTH) - 1)}`) // Not in the last column, where some begin a new row.
      progressShown = true
    },
    complain(trouble) {
      clearProgress()
      stderr.write(`${flags.json ? jsonText(troubleJson(trouble)) : troubleText(trouble, err)}\n`)
    },
    admin: () => (admin ??= connect(cli)),
    async confirm(question, yes, word) {
      if (yes) return
      if (!cli.interactive) {
        throw new Trouble({
          what: 'Nothing was done',
          why: `this needs a yes and nobody is there to be asked: ${question}`,
          advice: 'Add --yes if you mean it.',
          exit: EXIT.usage,
          code: 'confirmation_needed',
        })
      }
      const answer = await ask(
        process,
        `${err.warn('?')} ${question} ${err.dim(word === undefined ? '[y/N]' : `Type ${word} to go on:`)} `,
      )
      if (word === undefined ? /^y(es)?$/i.test(answer) : answer === word) return
      throw new Trouble({
        what: 'Nothing was done',
        why: 'you did not agree',
        advice: 'Run it again when you are sure.',
        exit: EXIT.refused,
        code: 'not_confirmed',
      })
    },
    async given(argument, secret, longest = LONGEST_INPUT) {
      if (argument === '-') {
        const text = process.stdin.isTTY ? await askHidden(process, secret ?? 'value') : await readAll(process.stdin, longest)
        if (text !== '') return text
        throw new Trouble({
          what: `There is no ${secret ?? 'value'}`,
          why: 'standard input was empty',
          advice: 'Pipe it in, such as `pass show it | signet …`, or type it when you are asked.',
          exit: EXIT.usage,
          code: 'nothing_given',
        })
      }
      if (secret !== undefined) {
        say(
          err.warn(
            `The ${secret} is now in your shell's history and was visible in the process list. Next time pipe it in and write -`,
          ),
        )
      }
      return argument
    },
  }
  return cli
}

const USUAL_WIDTH = 80

async function connect(cli: Cli): Promise<AdminClient> {
  const credentials = await readCredentials(cli.credentialsFile)
  const { createAdminClient } = await import('@signet/api/client.ts')
  return createAdminClient({ credentials, ...(cli.server === undefined ? {} : { server: cli.server }) })
}

async function ask(process: NodeJS.Process, question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await lines.question(question)).trim()
  } catch (error) {
    throw (error as Error).name === 'AbortError' ? stopped() : error
  } finally {
    lines.close()
  }
}

/** By Ctrl-C, where something was asked. */
const stopped = (): Trouble =>
  new Trouble({
    what: 'Nothing was done',
    why: 'you stopped it',
    advice: 'Run it again when you are sure.',
    exit: EXIT.refused,
    code: 'not_confirmed',
  })

/** Asks without showing what is typed. */
async function askHidden(process: NodeJS.Process, what: string): Promise<string> {
  const { createInterface } = await import('node:readline')
  const { Writable } = await import('node:stream')
  process.stderr.write(`${what} (not shown): `)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve)
      lines.once('SIGINT', () => reject(stopped()))
    })
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

const LONGEST_INPUT = 64 * 1024

async function readAll(input: NodeJS.ReadStream, longest: number): Promise<string> {
  let text = ''
  for await (const chunk of input.setEncoding('utf8')) {
    text += chunk
    if (text.length > longest) {
      throw new Trouble({
        what: 'Could not read standard input',
        why: `it is longer than ${longest} characters`,
        advice: 'Pipe in less.',
        exit: EXIT.usage,
        code: 'input_too_long',
      })
    }
  }
  return text.replace(/\r?\n$/, '')
}
