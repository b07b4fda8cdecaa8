/** The validators: who has come how far, as all nodes of the authority heard it. */
import type { AdminClient } from '@signet/api/client.ts'
import type { Fleet, FleetReceipt, FleetValidator, Following } from '@signet/api/schema.ts'
import type { Cli } from '../cli.ts'
import { command, flag } from '../command.ts'
import { printable } from '../output/printable.ts'
import { type Column, table } from '../output/table.ts'
import { relative, short } from '../output/time.ts'
import { patiently } from '../patience.ts'

export const fleet = command({
  brief: 'Show which validators have applied what, who lags, who is gone',
  about: `Validators report with their freshness probes, and soon after they applied something. One that was not heard of for a minute is gone,
and how stale it is nobody knows. Last seen is precise to ten seconds.`,
  flags: { watch: flag.on('Look again every second until Ctrl-C, also while the authority is away') },
  async run(cli: Cli, { watch }: { watch: boolean }) {
    const admin = await cli.admin()
    if (!watch) {
      const whole = await wholeFleet(admin)
      return void cli.show(whole, () => draw(cli, whole))
    }
    await admin.metadata() // A wrong address is told at once.
    const givenUp = {
      what: 'Could not go on watching the validators',
      advice: '`signet doctor` says what is wrong with the authority.',
    }
    while (!cli.interrupted.aborted) {
      const whole = await patiently(cli, () => wholeFleet(admin), givenUp)
      cli.frame(whole, (rows) => draw(cli, whole, rows))
      await cli.pause(LOOK_MS)
    }
  },
})

const LOOK_MS = 1000
const PAGE = 500

/** All pages as one; the counts are those of the last. */
async function wholeFleet(admin: AdminClient): Promise<Fleet> {
  const items: FleetValidator[] = []
  for (let after: string | undefined; ; ) {
    const page: Fleet = await admin.call('listFleet', { query: { limit: PAGE, ...(after === undefined ? {} : { after }) } })
    items.push(...page.items)
    after = page.next
    if (after === undefined) return { ...page, items }
  }
}

/** All pages of a receipt as one. */
export async function wholeReceipt(admin: AdminClient, seq: number, epoch?: string): Promise<FleetReceipt> {
  const items: FleetReceipt['items'] = []
  for (let after: string | undefined; ; ) {
    const query = { limit: PAGE, ...(epoch === undefined ? {} : { epoch }), ...(after === undefined ? {} : { after }) }
    const page: FleetReceipt = await admin.call('showRevocation', { params: { seq }, query })
    items.push(...page.items)
    after = page.next
    if (after === undefined) return { ...page, items }
  }
}

const ORDER: Readonly<Record<Following, number>> = { lagging: 0, gone: 1, applied: 2 }

/** Those to look at first. */
export const byTrouble = (a: { state: Following; id: string }, b: { state: Following; id: string }): number =>
  ORDER[a.state] - ORDER[b.state] || (a.id < b.id ? -1 : 1)

export function drawState(cli: Cli, state: Following, applied = 'applied'): string {
  if (state === 'applied') return cli.out.good(applied)
  return state === 'lagging' ? cli.out.warn('lagging') : cli.out.bad('gone')
}

/** `47 of 50 applied it, 2 lag, 1 is gone`. */
export function drawCounts(cli: Cli, { applied, lagging, gone }: Fleet['counts'], done: string): string {
  const { out } = cli
  const parts = [`${applied} of ${applied + lagging + gone} ${done}`]
  if (lagging > 0) parts.push(out.warn(`${lagging} ${lagging === 1 ? 'lags' : 'lag'}`))
  if (gone > 0) parts.push(out.bad(`${gone} ${gone === 1 ? 'is' : 'are'} gone`))
  return lagging + gone === 0 ? out.good(parts.join('')) : parts.join(', ')
}

function draw(cli: Cli, { epoch, seq, now_ms, counts, items }: Fleet, mostRows = Number.POSITIVE_INFINITY): string {
  const { out } = cli
  const head = `${out.bold(`sequence ${seq}`)} ${out.dim(`in epoch ${printable(epoch)}`)}`
  if (items.length === 0)
    return `${head}\n${out.dim('No validator has reported. They need feed credentials and a name: see packages/validator.')}`
  const sorted = [...items].sort(byTrouble)
  const room = Math.max(1, mostRows - HEAD_ROWS)
  const shown = sorted.slice(0, room)
  const columns: Column<FleetValidator>[] = [
    { title: 'validator', cell: (row) => out.bold(printable(row.id)), flexible: true },
    { title: 'client', cell: (row) => (row.client === '' ? out.dim('open') : printable(row.client)) },
    { title: 'state', cell: (row) => drawState(cli, row.state, 'current') },
    { title: 'applied', cell: (row) => String(row.applied), align: 'right' },
    { title: 'behind', cell: (row) => (row.behind === 0 ? out.dim('0') : out.warn(String(row.behind))), align: 'right' },
    { title: 'stale', cell: (row) => (row.staleness_ms === null ? out.dim('unknown') : short(row.staleness_ms)), align: 'right' },
    { title: 'last seen', cell: (row) => relative(row.seen_at_ms, now_ms) },
    { title: 'version', cell: (row) => (row.version === '' ? out.dim('unknown') : printable(row.version)) },
  ]
  const rest = sorted.length > shown.length ? `\n${out.dim(`and ${sorted.length - shown.length} more`)}` : ''
  return `${head}\n${drawCounts(cli, counts, 'are current')}\n\n${table(shown, columns, out, cli.width)}${rest}`
}

/** Lines around the rows: two of the head, one empty, the titles, what is left out, and the cursor's. */
const HEAD_ROWS = 6
