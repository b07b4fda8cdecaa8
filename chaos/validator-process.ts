/**
 * A service's validator in a process of its own. It judges every token that it was told to watch, over and over, and tells when its answer
 * changes, the boldest "yes" since it told last, and what it says of its knowledge. Options come as JSON in the first argument, with the port that
 * connections to the issuer go to instead: that way may be broken.
 */
import { Agent } from 'node:http'
import { createConnection } from 'node:net'
import { createInterface } from 'node:readline'
import { createValidator, type ValidatorOptions } from '@signet/validator/index.ts'
import { machineMs } from './recorder.ts'

export interface Question {
  /** By name; tokens with the same name are one. */
  readonly watch?: readonly { readonly name: string; readonly token: string }[]
  readonly forget?: readonly string[]
  /** Judge all of these once more, and say that it is the last word. */
  readonly last?: readonly { readonly name: string; readonly token: string }[]
}
/** `at` by the machine's monotonic clock, milliseconds. */
export interface Seen {
  readonly at: number
  readonly token?: string
  readonly allowed?: boolean
  readonly reason?: string
  readonly stalenessMs: number | null
  readonly epoch?: string
  readonly seq: number
  readonly last?: true
}
export interface Said {
  readonly seen: readonly Seen[]
  /** It has answered the question that asked for last words. */
  readonly done?: true
}

const LOOK_MS = 20
const TELL_MS = 1000

const { port, ...options } = JSON.parse(process.argv[2] as string) as ValidatorOptions & { port: number }
const issuerPort = new URL(options.issuer).port
Agent.prototype.createConnection = ((where: { port?: number | string }, done: never) =>
  createConnection(
    { ...where, ...(String(where.port) === issuerPort ? { port, host: '127.0.0.1' } : {}) } as never,
    done,
  )) as never

const validator = createValidator(options)
validator.events.on('trouble', ({ what, cause }) => console.error(new Date().toISOString(), what, String(cause)))
const watched = new Map<string, { readonly token: string; said: string | undefined; boldest: Seen | undefined }>()
let told = machineMs()

const position = () => {
  const { epoch, seq = -1 } = validator.stats().position ?? {}
  return { seq, ...(epoch === undefined ? {} : { epoch }) }
}
const finite = (value: number) => (Number.isFinite(value) ? value : null)

function judge(name: string, token: string): Seen {
  const at = machineMs()
  const verdict = validator.validateSync(token)
  const { allowed, stalenessMs } = verdict
  return {
    at,
    token: name,
    allowed,
    ...(allowed ? {} : { reason: verdict.reason }),
    stalenessMs: finite(stalenessMs),
    ...position(),
  }
}

const tell = (said: Said) => void process.stdout.write(`${JSON.stringify(said)}\n`)
const boldness = ({ at, stalenessMs }: Seen) => (stalenessMs === null ? Number.NEGATIVE_INFINITY : at - stalenessMs)

function look(): void {
  const at = machineMs()
  const seen: Seen[] = [{ at, stalenessMs: finite(validator.stats().stalenessMs), ...position() }]
  const isTime = at - told > TELL_MS
  for (const [name, one] of watched) {
    const now = judge(name, one.token)
    if (now.allowed === true && (one.boldest === undefined || boldness(now) >= boldness(one.boldest))) one.boldest = now
    const answer = now.allowed === true ? 'yes' : now.reason
    if (answer !== one.said || isTime) {
      if (one.boldest !== undefined) seen.push(one.boldest)
      if (answer !== one.said && answer !== 'yes') seen.push(now)
      one.boldest = undefined
    }
    one.said = answer
  }
  if (isTime) told = at
  tell({ seen })
}

process.stdout.write(`${JSON.stringify({ ready: true })}\n`)
setInterval(look, LOOK_MS)
for await (const line of createInterface({ input: process.stdin })) {
  const { watch = [], forget = [], last } = JSON.parse(line) as Question
  for (const { name, token } of watch) watched.set(name, { token, said: undefined, boldest: undefined })
  for (const name of forget) {
    const boldest = watched.get(name)?.boldest
    if (boldest !== undefined) tell({ seen: [boldest] })
    watched.delete(name)
  }
  if (last !== undefined) {
    // A key that is not known yet is looked up meanwhile.
    for (const { token } of last) await validator.validate(token)
    tell({ seen: last.map(({ name, token }) => ({ ...judge(name, token), last: true as const })), done: true })
  }
}
process.exit()
