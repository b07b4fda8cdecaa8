/** What a revocation is proven by: its place in the log, how long it took, and which validators have applied it. */
import type { AdminClient } from '@signet/api/client.ts'
import type { Feed, Receipt } from '@signet/api/schema.ts'
import type { Cli } from '../cli.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { moment, short } from '../output/time.ts'
import { EXIT, type ExitCode } from '../trouble.ts'

interface Shown {
  readonly verb: string
  readonly tookMs: number
  /** Seconds to wait for the validators; undefined: don't. */
  readonly wait?: number | undefined
}

/** Exit code 1 when validators were waited for and some did not follow in time. */
export async function showReceipt(
  cli: Cli,
  admin: AdminClient,
  receipt: Receipt,
  { verb, tookMs, wait }: Shown,
): Promise<ExitCode> {
  const fleet = wait === undefined ? undefined : await followed(cli, admin, receipt, wait)
  cli.show({ ...receipt, took_ms: tookMs, ...(fleet === undefined ? {} : { validators: fleet }) }, () =>
    details(
      [
        [
          receipt.already ? 'already' : 'done',
          cli.out.bold(
            `${receipt.already ? `was ${verb}` : verb} ${printable(receipt.target.kind)} ${printable(receipt.target.id)}`,
          ),
        ],
        ['sequence', `${receipt.seq} ${cli.out.dim(`in epoch ${printable(receipt.epoch)}`)}`],
        ['cutoff', `${moment(receipt.cutoff_ms, cli.now())} ${cli.out.dim('tokens issued before are dead')}`],
        ['answered in', short(tookMs)],
        ['validators', fleet === undefined ? undefined : drawFleet(cli, fleet)],
      ],
      cli.out,
    ),
  )
  return fleet === undefined || fleet.lagging.length === 0 ? EXIT.done : EXIT.refused
}

export interface Fleet {
  readonly applied: number
  readonly known: number
  /** Those that have not, by name. */
  readonly lagging: readonly string[]
  readonly waited_ms: number
}

const LOOK_EVERY_MS = 100
/** A validator that has not asked for so long is gone, not late. */
export const PRESENT_WITHIN_MS = 60_000

async function followed(cli: Cli, admin: AdminClient, receipt: Receipt, seconds: number): Promise<Fleet> {
  const beganMs = cli.now()
  for (;;) {
    const feed = await admin.call('showFeed')
    const fleet = fleetAt(feed, receipt, cli.now(), cli.now() - beganMs)
    if (fleet.lagging.length === 0 || cli.now() - beganMs >= seconds * 1000) return fleet
    cli.progress(cli.err.dim(`${fleet.applied} of ${fleet.known} validators have it …`))
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

function fleetAt(feed: Feed, receipt: Receipt, nowMs: number, waitedMs: number): Fleet {
  const present = feed.validators.filter((validator) => nowMs - validator.seen_at_ms <= PRESENT_WITHIN_MS)
  const lagging = present.filter((validator) => validator.epoch === receipt.epoch && validator.applied < receipt.seq)
  return {
    applied: present.length - lagging.length,
    known: present.length,
    lagging: lagging.map(({ id }) => id),
    waited_ms: waitedMs,
  }
}

function drawFleet(cli: Cli, fleet: Fleet): string {
  if (fleet.known === 0) return cli.out.warn('none have reported in the last minute')
  // They report with their freshness probes, so this is when it was known, not when it was done.
  const counted = `${fleet.applied} of ${fleet.known} report it applied, known after ${short(fleet.waited_ms)}`
  return fleet.lagging.length === 0
    ? cli.out.good(counted)
    : `${cli.out.warn(counted)}; late: ${fleet.lagging.map(printable).join(', ')}`
}
