/** The revocation feed: who has applied what, and what passes over it. */

import type { AdminClient } from '@signet/api/client.ts'
import { lines } from '@signet/api/connection.ts'
import type { Revocation } from '@signet/api/schema.ts'
import type { BatchPayload } from '@signet/kernel/feed.ts'
import { buildRouteMap } from '@stricli/core'
import type { Cli, Context } from '../cli.ts'
import { command, flag } from '../command.ts'
import { checkSignature, decodeJws } from '../jws.ts'
import { printable } from '../output/printable.ts'
import { details } from '../output/table.ts'
import { localTime, pastOf, short } from '../output/time.ts'
import { patiently } from '../patience.ts'
import { EXIT, Trouble, troubleOf } from '../trouble.ts'
import { drawCounts } from './fleet.ts'

const status = command({
  brief: 'Show the head of the log and how many validators have applied it',
  async run(cli: Cli) {
    const feed = await (await cli.admin()).call('showFeed')
    const { out } = cli
    const { applied, lagging, gone } = feed.fleet
    cli.show(feed, () =>
      details(
        [
          ['sequence', `${out.bold(String(feed.seq))} ${out.dim(`in epoch ${printable(feed.epoch)}`)}`],
          [
            'this node',
            `${feed.node.seq === feed.seq ? out.good('current') : out.warn(`at ${feed.node.seq}`)}${feed.node.age_ms === null ? '' : out.dim(`, looked ${short(feed.node.age_ms)} ago`)}`,
          ],
          ['guard', short(feed.guard_ms)],
          ['access', feed.open ? 'open to anyone' : 'with scope signet:feed'],
          ['readers here', String(feed.readers)],
          [
            'validators',
            applied + lagging + gone === 0
              ? out.dim('none have reported')
              : `${drawCounts(cli, feed.fleet, 'are current')} ${out.dim('(signet fleet)')}`,
          ],
        ],
        out,
      ),
    )
  },
})

const tail = command({
  brief: 'Follow revocations as they are made',
  about: `Reads the very stream that validators read, checks its signatures, and looks up what each entry is about; the feed itself names
nobody. The delay is from the commit to its arrival here. Ctrl-C ends it.`,
  flags: {
    since: flag.optional('Begin with the revocations since so long ago (2h, 7d) or since a time', 'TIME'),
    count: flag.number('End after so many'),
  },
  async run(cli: Cli, { since, count = Number.POSITIVE_INFINITY }: { since?: string; count?: number }) {
    const sinceMs = since === undefined ? undefined : pastOf('--since', since, cli.now())
    const admin = await cli.admin()
    const { head } = await admin.call('listRevocations', { query: { limit: 1 } })
    let place = { epoch: head.epoch, seq: head.seq }
    let left = count
    if (sinceMs !== undefined) {
      for (const entry of await recent(admin, sinceMs, head)) if (left-- > 0) print(cli, entry, undefined)
    }
    cli.say(cli.err.dim(`Following from ${place.seq}. Ctrl-C ends it.`))
    while (left > 0 && !cli.interrupted.aborted) {
      try {
        for await (const batch of batches(cli, admin, place)) {
          const arrivedMs = cli.now()
          for (const entry of await between(admin, batch)) if (left-- > 0) print(cli, entry, arrivedMs - entry.at_ms)
          place = { epoch: batch.epoch, seq: batch.to }
          if (left <= 0) break
        }
      } catch (error) {
        if (cli.interrupted.aborted) break
        if (troubleOf(error).exit !== EXIT.unreachable) throw error
      }
      if (left > 0 && !cli.interrupted.aborted) place = await again(cli, admin, place)
    }
  },
})

export const feed = buildRouteMap<string, Context>({
  docs: { brief: 'Watch revocations travel' },
  routes: { status, tail },
})

/** Batches after a place, until the connection ends or our place is gone. */
async function* batches(cli: Cli, admin: AdminClient, place: { epoch: string; seq: number }): AsyncGenerator<BatchPayload> {
  const { signet_feed } = await admin.metadata()
  if (signet_feed === undefined) {
    throw new Trouble({
      what: 'Could not follow the feed',
      why: 'the authority names none in its metadata',
      advice: 'Bring the CLI and the authority to the same version.',
      exit: EXIT.refused,
      code: 'no_feed',
    })
  }
  const jwks = (await (await admin.open(signet_feed.jwks_uri, undefined)).json()) as { keys: Record<string, unknown>[] }
  const ending = new AbortController()
  const signal = AbortSignal.any([cli.interrupted, ending.signal])
  const url = `${signet_feed.stream}?after=${place.seq}&epoch=${encodeURIComponent(place.epoch)}`
  const answer = await admin.open(url, signet_feed.open === true ? undefined : 'signet:feed', signal)
  try {
    let event = ''
    for await (const line of lines(answer)) {
      if (line.startsWith('event:')) event = line.slice(6).trim()
      if (line.startsWith('data:') && event === 'batch') yield checked(line.slice(5).trim(), jwks)
      if (line === '' && event === 'reset') return
      if (line === '') event = ''
    }
  } finally {
    ending.abort()
  }
}

function checked(text: string, jwks: { keys: Record<string, unknown>[] }): BatchPayload {
  const jws = decodeJws(text)
  const finding = jws === undefined ? 'bad' : checkSignature(jws, jwks)
  if (jws !== undefined && finding === 'good') return jws.payload as unknown as BatchPayload
  throw new Trouble({
    what: 'A batch of the feed is not genuine',
    why: `its signature is ${finding.replaceAll('_', ' ')}`,
    advice:
      'Something between here and the authority alters it, or its feed key was just replaced: run this again, and if it stays, look into it.',
    exit: EXIT.refused,
    code: 'bad_signature',
  })
}

const AGAIN_MS = 500

/** After a cut: where we were, or where the log stands now when that place is gone. */
async function again(
  cli: Cli,
  admin: AdminClient,
  place: { epoch: string; seq: number },
): Promise<{ epoch: string; seq: number }> {
  cli.say(cli.err.dim('The stream ended; following again.'))
  await cli.pause(AGAIN_MS)
  const givenUp = {
    what: 'Could not go on following the revocations',
    advice: 'When the authority is back, `signet feed tail --since 10min` shows what was made meanwhile.',
  }
  const { head } = await patiently(cli, () => admin.call('listRevocations', { query: { limit: 1 } }), givenUp)
  if (head.epoch === place.epoch && place.seq >= head.floor) return place
  cli.say(cli.err.warn(`The log goes on elsewhere, at ${head.seq}: what was made meanwhile is shown by --since alone.`))
  return { epoch: head.epoch, seq: head.seq }
}

/** What the entries of a batch are about. */
async function between(admin: AdminClient, batch: BatchPayload): Promise<readonly Revocation[]> {
  const { items } = await admin.call('listRevocations', {
    query: { after: batch.from - 1, limit: Math.min(500, batch.to - batch.from + 1) },
  })
  return items
}

/** Up to the head that is followed from: what comes after it is told as it comes. */
async function recent(
  admin: AdminClient,
  fromMs: number,
  { floor, seq }: { readonly floor: number; readonly seq: number },
): Promise<Revocation[]> {
  const found: Revocation[] = []
  for (let after: number | undefined = floor; after !== undefined && after < seq; ) {
    const page: { items: Revocation[]; next?: number | undefined } = await admin.call('listRevocations', {
      query: { after, limit: 500 },
    })
    found.push(...page.items.filter((entry) => entry.at_ms >= fromMs && entry.seq <= seq))
    after = page.next
  }
  return found
}

function print(cli: Cli, entry: Revocation, delayMs: number | undefined): void {
  const { out } = cli
  cli.line({ ...entry, ...(delayMs === undefined ? {} : { delay_ms: delayMs }) }, () => {
    const target = entry.issuer === entry.target ? '' : ` ${printable(entry.target)}`
    const delay = delayMs === undefined ? '' : out.dim(`  +${short(Math.max(0, delayMs))}`)
    return `${out.dim(localTime(entry.at_ms))}  ${String(entry.seq).padStart(6)}  ${out.warn(printable(entry.kind).padEnd(7))}${target}  ${printable(entry.reason)} ${out.dim(`by ${printable(entry.actor)}`)}${delay}`
  })
}
