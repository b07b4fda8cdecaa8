/** What a revocation is proven by: its place in the log, how long it took, and which validators have applied it. */
import type { AdminClient } from '@signet/api/client.ts'
import type { FleetCounts, FleetReceipt, Receipt } from '@signet/api/schema.ts'
import type { Cli } from '../cli.ts'
import { arg, command, flag } from '../command.ts'
import { printable } from '../output/printable.ts'
import { type Column, details, table } from '../output/table.ts'
import { isDuration, moment, parseDuration, relative, short } from '../output/time.ts'
import { patiently } from '../patience.ts'
import { EXIT, type ExitCode, Trouble } from '../trouble.ts'
import { byTrouble, drawCounts, drawState, wholeReceipt } from './fleet.ts'

/** What is waited for: so many validators of so many, or all that are there; and how long at most. */
export interface Wait {
  readonly count?: number
  readonly total?: number
  readonly seconds: number
}

export const WAIT = {
  kind: 'parsed',
  parse: parseWait,
  optional: true,
  placeholder: 'COUNT/TOTAL,TIME',
  brief:
    'Wait until so many of your validators have applied it (47/50), or all that are there, one at least; at most so long (10s)',
} as const

const DEFAULT_WAIT_SECONDS = 30

/** `50/50`, `10s`, or both with a comma between. */
export function parseWait(text: string): Wait {
  const [first = '', ...more] = text.split(',')
  const counted = /^(\d{1,6})\/(\d{1,6})$/.exec(first)
  const [longest, ...rest] = counted === null ? [first, ...more] : more
  const [count, total] = [Number(counted?.[1]), Number(counted?.[2])]
  if (rest.length > 0 || (longest !== undefined && !isDuration(longest)) || count > total)
    throw new Error('write 47/50, a duration such as 10s, or both: 47/50,10s')
  const seconds = longest === undefined ? DEFAULT_WAIT_SECONDS : parseDuration(longest)
  return counted === null ? { seconds } : { count, total, seconds }
}

export const receipt = command({
  brief: 'Show who has applied a revocation, and since when that is known',
  about: `By its sequence number, as on the receipt of \`signet revoke\`. A validator reports soon after it applied something, so the time is when it
certainly had it, not when it got it. Exit code 1 when some have not. Of an epoch that is over no numbers are kept: with one such, whatever
it is, the receipt says who has come to the present epoch, which takes over all that was not undone.`,
  flags: { epoch: flag.optional('Of the number, when it is not the present one', 'EPOCH'), wait: WAIT },
  args: arg('SEQ', 'The sequence number'),
  async run(cli: Cli, { epoch, wait }: { epoch?: string; wait?: Wait }, text: string): Promise<ExitCode> {
    const seq = readSeq(text)
    const admin = await cli.admin()
    await admin.metadata() // A wrong address is told at once.
    const reached =
      wait === undefined ? undefined : await followed(cli, admin, { seq, ...(epoch === undefined ? {} : { epoch }) }, wait)
    const whole = await wholeReceipt(admin, seq, epoch)
    cli.show(whole, () => drawReceipt(cli, whole, epoch === undefined, wait?.total))
    if (wait !== undefined && reached !== undefined) advise(cli, seq, reached, wait)
    const done = reached?.reached ?? whole.counts.lagging + whole.counts.gone === 0
    return done ? EXIT.done : EXIT.refused
  },
})

function readSeq(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new Trouble({
    what: `${printable(text)} is no sequence number`,
    why: 'they are whole numbers from 1 on',
    advice: '`signet feed tail --since 1h` shows the last ones',
    exit: EXIT.usage,
    code: 'usage',
  })
}

function drawReceipt(cli: Cli, whole: FleetReceipt, isPresent: boolean, expected = 0): string {
  const { out } = cli
  const entry = whole.revocation
  const head = details(
    [
      ['sequence', `${out.bold(String(whole.seq))} ${out.dim(`in epoch ${printable(whole.epoch)}`)}`],
      [
        'revoked',
        entry === undefined
          ? out.dim(
              isPresent
                ? 'forgotten: nothing that it could match is alive'
                : 'not known: its epoch is over, or it was forgotten in this one',
            )
          : printable(`${entry.kind} ${entry.target}`),
      ],
      ['reason', entry && printable(entry.reason)],
      ['by', entry && printable(entry.actor)],
      ['committed', entry && moment(entry.at_ms, whole.now_ms)],
      [
        'validators',
        [
          whole.items.length === 0 ? out.warn('none have reported') : drawCounts(cli, whole.counts, 'have applied it'),
          ...(expected > whole.items.length ? [out.warn(`${expected} were expected, ${whole.items.length} are known`)] : []),
        ],
      ],
    ],
    out,
  )
  if (whole.items.length === 0) return head
  const columns: Column<FleetReceipt['items'][number]>[] = [
    { title: 'validator', cell: (row) => out.bold(printable(row.id)), flexible: true },
    { title: 'client', cell: (row) => (row.client === '' ? out.dim('open') : printable(row.client)) },
    { title: 'state', cell: (row) => drawState(cli, row.state) },
    { title: 'known after', cell: (row) => knownAfter(row, entry?.at_ms, whole.now_ms), align: 'right' },
    { title: 'last seen', cell: (row) => relative(row.seen_at_ms, whole.now_ms) },
  ]
  return `${head}\n\n${table([...whole.items].sort(byTrouble), columns, out, cli.width)}`
}

function knownAfter(row: FleetReceipt['items'][number], committedMs: number | undefined, nowMs: number): string {
  if (row.known_at_ms === null) return ''
  return committedMs === undefined ? relative(row.known_at_ms, nowMs) : short(Math.max(0, row.known_at_ms - committedMs))
}

interface Shown {
  readonly verb: string
  /** Undefined: don't. */
  readonly wait?: Wait | undefined
}

/**
 * Asks for a revocation and shows its receipt. Exit code 1 when validators were waited for and some did not follow in time. What keeps it from asking
 * them does not hide the receipt, nor does Ctrl-C: it ends the waiting, whenever it comes.
 */
export async function showReceipt(
  cli: Cli,
  admin: AdminClient,
  ask: () => Promise<Receipt>,
  { verb, wait }: Shown,
): Promise<ExitCode> {
  if (wait !== undefined) void cli.interrupted
  const beganMs = performance.now()
  const receipt = await ask()
  const tookMs = performance.now() - beganMs
  let trouble: unknown
  const unasked = (cause: unknown) => {
    trouble = cause
    return undefined
  }
  const fleet = wait === undefined || receipt.moot === true ? undefined : await followed(cli, admin, receipt, wait).catch(unasked)
  cli.show({ ...receipt, took_ms: Math.round(tookMs * 10) / 10, ...(fleet === undefined ? {} : { validators: fleet }) }, () =>
    details(
      receipt.moot === true
        ? drawMoot(cli, receipt, verb)
        : [
            [
              receipt.already ? 'already' : 'done',
              cli.out.bold(
                `${receipt.already ? `was ${verb}` : verb} ${printable(receipt.target.kind)} ${printable(receipt.target.id)}`,
              ),
            ],
            ['sequence', `${receipt.seq} ${cli.out.dim(`in epoch ${printable(receipt.epoch)}`)}`],
            ['cutoff', drawCutoff(cli, receipt.cutoff_ms)],
            ['answered in', short(tookMs)],
            ['validators', fleet === undefined ? undefined : drawFollowed(cli, fleet)],
          ],
      cli.out,
    ),
  )
  if (trouble !== undefined) throw trouble
  if (wait !== undefined && fleet !== undefined) advise(cli, receipt.seq, fleet, wait)
  return fleet === undefined || fleet.reached ? EXIT.done : EXIT.refused
}

/** No sequence number and no cutoff: they would be of something else. */
function drawMoot(cli: Cli, { target }: Receipt, verb: string): readonly (readonly [string, string])[] {
  return [
    ['nothing', cli.out.bold(`had to be ${verb}: ${printable(target.kind)} ${printable(target.id)}`)],
    [
      'because',
      verb === 'revoked' ? 'it has expired, or was revoked long ago, and every validator refuses it' : `it was ${verb} long ago`,
    ],
  ]
}

/** What it means stands below where a narrow terminal would break it in two. */
function drawCutoff(cli: Cli, cutoffMs: number): string | readonly string[] {
  const lines = [moment(cutoffMs, cli.now()), cli.out.dim('tokens issued before are dead')]
  return (cli.width ?? USUAL_WIDTH) < USUAL_WIDTH ? lines : lines.join(' ')
}
const USUAL_WIDTH = 80

interface Followed extends FleetCounts {
  readonly reached: boolean
  /** Validators that should be there, as was said. */
  readonly expected?: number
  /** Those that lag and those that are gone, by name; a few of them. */
  readonly late: readonly string[]
  readonly waited_ms: number
}

const LOOK_EVERY_MS = 100
const MAX_NAMES = 10

async function followed(
  cli: Cli,
  admin: AdminClient,
  { seq, epoch }: { seq: number; epoch?: string },
  wait: Wait,
): Promise<Followed> {
  const { count, total, seconds } = wait
  const beganMs = cli.now()
  const { interrupted } = cli
  const givenUp = { what: 'Which validators have applied it is not known', advice: `${askAgain(seq, wait)}.` }
  for (;;) {
    const query = { limit: 1, ...(epoch === undefined ? {} : { epoch }) }
    const look = () => admin.call('showRevocation', { params: { seq }, query })
    const { counts } = await patiently(cli, look, givenUp, seconds * 1000 - (cli.now() - beganMs))
    const waitedMs = cli.now() - beganMs
    const reached = count === undefined ? counts.lagging === 0 && counts.applied > 0 : counts.applied >= count
    if (reached || waitedMs >= seconds * 1000 || interrupted.aborted) {
      const late = counts.lagging + counts.gone === 0 ? [] : (await wholeReceipt(admin, seq, epoch)).items
      const names = late
        .filter(({ state }) => state !== 'applied')
        .sort(byTrouble)
        .slice(0, MAX_NAMES)
      return {
        ...counts,
        reached,
        ...(total === undefined ? {} : { expected: total }),
        late: names.map(({ id }) => id),
        waited_ms: waitedMs,
      }
    }
    cli.progress(cli.err.dim(`${counts.applied} of ${total ?? counts.applied + counts.lagging} validators have it …`))
    await cli.pause(LOOK_EVERY_MS)
  }
}

const askAgain = (seq: number, { count, total, seconds }: Wait): string =>
  `\`signet receipt ${seq} --wait ${count === undefined ? '' : `${count}/${total},`}${seconds}s\` asks again`

/** What to do when they did not follow in time. */
function advise(cli: Cli, seq: number, { reached, applied, lagging, gone }: Followed, wait: Wait): void {
  if (reached) return
  const lines = [
    ...(gone > 0 ? ['One that is gone gives up permissions by itself as its knowledge ages.'] : []),
    `\`signet fleet\` says who is there${applied + lagging + gone === 0 ? ' and what they need' : ''}; ${askAgain(seq, wait)}.`,
  ]
  cli.say(cli.err.warn(lines.join('\n')))
}

function drawFollowed(cli: Cli, fleet: Followed): readonly string[] {
  const { out } = cli
  const known = fleet.applied + fleet.lagging + fleet.gone
  if (known === 0) return [out.warn('none have reported')]
  const late = fleet.lagging + fleet.gone
  const names = `${fleet.late.map(printable).join(', ')}${late > fleet.late.length ? ` and ${late - fleet.late.length} more` : ''}`
  return [
    `${drawCounts(cli, fleet, 'have applied it')}${out.dim(`, ${fleet.reached ? 'known after' : 'after waiting'} ${short(fleet.waited_ms)}`)}`,
    ...(late === 0 ? [] : [`${out.dim('not')} ${names}`]),
    ...(fleet.expected === undefined || fleet.expected <= known
      ? []
      : [out.warn(`${fleet.expected} were expected, ${known} are known`)]),
  ]
}
