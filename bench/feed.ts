/**
 * The feed at scale: a registry of a million entries fetched whole, two hundred readers at five thousand revocations a second beside the
 * same lines over plain TCP, a thousand readers for a while.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { RECORD_BYTES } from '@signet/kernel/feed.ts'
import { createRevocationView } from '@signet/kernel/revocation-view.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { readSnapshot } from '@signet/validator/feed-messages.ts'
import { SIGNET_ALGORITHMS } from '@signet/validator/jwk.ts'
import { KeySet } from '@signet/validator/key-set.ts'
import { type Benchmark, oursAtMost, type Pace, type Row, ratioAtMost } from './benchmark.ts'
import { type Child, startChild } from './child.ts'
import type { AuthorityAnswers } from './ours/authority.ts'
import { steadily } from './pace.ts'
import type { ReadersAnswers } from './readers-process.ts'
import { comparison, interleave, median } from './rounds.ts'
import { sharedMs } from './shared-clock.ts'

type Authority = Child<AuthorityAnswers>
type Readers = Child<ReadersAnswers>

const MILLION = 1_000_000
/** What has not arrived after this has got lost. */
const SETTLE_MS = 1500
/** Readers in two processes, since to read costs as much as to write. */
const CROWD = { processes: 2, each: 500, perSecond: 200, seconds: 20 }
const MANY = { readers: 200, perSecond: 5000, groupMs: 5 }

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const authority = await startChild<AuthorityAnswers>(file('ours/authority.ts'), ['sqlite', scratch])
  try {
    return [
      ...(await manyReaders(authority, pace)),
      ...(await crowd(authority, pace)),
      ...(await snapshots('SQLite', authority, pace)),
      ...(pace.quick ? [] : await snapshotsOnPostgres(scratch, pace)),
    ]
  } finally {
    await authority.stop()
  }
}

const file = (name: string): string => join(import.meta.dirname, name)
const startReaders = (): Promise<Readers> => startChild<ReadersAnswers>(file('readers-process.ts'))
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SETTLE_MS))

/** P3. What is compared with writes each group of lines to every socket, with nothing signed and nothing kept. */
async function manyReaders(authority: Authority, pace: Pace): Promise<Row[]> {
  const [ours, theirs] = await Promise.all([startReaders(), startReaders()])
  try {
    await ours.ask('follow', { issuer: await authority.ask('issuer'), count: MANY.readers })
    const port = await theirs.ask('listenForMany')
    const sockets = await Promise.all(Array.from({ length: MANY.readers }, () => opened(port)))
    const { perSecond } = MANY
    const count = Math.ceil((perSecond * pace.turnMs) / 1000)
    const turns = await interleave(
      {
        async ours() {
          const sent = await authority.ask('burst', { perSecond, count })
          await settle()
          return complete(await ours.ask('delays', sent))
        },
        async tcp() {
          const sent = await inGroups(sockets, perSecond, count)
          await settle()
          return complete(await theirs.ask('delays', sent))
        },
      },
      pace,
    )
    for (const socket of sockets) socket.destroy()
    return (['p50', 'p99'] as const).map((figure) =>
      comparison(
        {
          name: `P3 revocation to ${MANY.readers} readers, ${perSecond}/s, against TCP in ${MANY.groupMs} ms groups, ${figure}`,
          unit: 'ms',
          ...(figure === 'p99' ? { target: ratioAtMost(1.5) } : {}),
        },
        turns.ours.map((turn) => turn[figure]),
        turns.tcp.map((turn) => turn[figure]),
      ),
    )
  } finally {
    await Promise.all([ours.stop(), theirs.stop()])
  }
}

async function opened(port: number): Promise<Socket> {
  const socket = connect({ port, host: 'localhost', noDelay: true })
  await once(socket, 'connect')
  return socket
}

async function inGroups(sockets: readonly Socket[], perSecond: number, count: number) {
  let waiting = ''
  const timer = setInterval(() => {
    const lines = Buffer.from(waiting)
    waiting = ''
    if (lines.length > 0) for (const socket of sockets) socket.write(lines)
  }, MANY.groupMs)
  const sent = await steadily(perSecond, count, async (index) => {
    waiting += `${index} ${PADDING}\n`
    return [sharedMs(), index] as const
  })
  await new Promise((resolve) => setTimeout(resolve, 4 * MANY.groupMs))
  clearInterval(timer)
  return sent
}
/** As long as an entry of the feed. */
const PADDING = '.'.repeat(64)

function complete<T extends { readonly missing: number }>(found: T): T {
  if (found.missing > 0) throw new Error(`${found.missing} messages did not arrive`)
  return found
}

/** A thousand streams from one node, for a while: nobody may be dropped. */
async function crowd(authority: Authority, pace: Pace): Promise<Row[]> {
  const issuer = await authority.ask('issuer')
  const rss = await authority.ask('rss')
  const crowds = await Promise.all(Array.from({ length: CROWD.processes }, startReaders))
  try {
    for (const readers of crowds) await readers.ask('follow', { issuer, count: CROWD.each })
    const perReader = ((await authority.ask('rss')) - rss) / (CROWD.processes * CROWD.each)
    const seconds = pace.quick ? 3 : CROWD.seconds
    const cpu = await authority.ask('cpu')
    const sent = await authority.ask('burst', { perSecond: CROWD.perSecond, count: CROWD.perSecond * seconds })
    const used = (await authority.ask('cpu')).whole - cpu.whole
    await settle()
    const found = await Promise.all(crowds.map((readers) => readers.ask('delays', sent)))
    const all = CROWD.processes * CROWD.each
    const name = `${all} readers, ${CROWD.perSecond}/s for ${seconds} s`
    const most = (figure: 'p50' | 'p99') => Math.max(...found.map((one) => one[figure]))
    const open = found.reduce((sum, one) => sum + one.open, 0)
    const missing = found.reduce((sum, one) => sum + one.missing, 0)
    return [
      { name: `commit to ${name}, p50`, ours: most('p50'), unit: 'ms', rounds: 1, target: oursAtMost(50) },
      { name: `commit to ${name}, p99`, ours: most('p99'), unit: 'ms', rounds: 1, target: oursAtMost(250) },
      {
        name: `dropped, or something missed, of ${name}`,
        ours: all - open + missing,
        unit: '',
        rounds: 1,
        target: oursAtMost(0),
      },
      { name: `processor used by the node, ${name}`, ours: used / (seconds * 10_000), unit: '%', rounds: 1 },
      { name: 'memory of the node per reader', ours: perReader / 1024, unit: 'KiB', rounds: 1, target: oursAtMost(100) },
    ]
  } finally {
    await Promise.all(crowds.map((readers) => readers.stop()))
  }
}

/** Asked for, made, signed, sent, checked and taken in: as whoever starts anew does it. */
async function snapshots(store: string, authority: Authority, pace: Pace): Promise<Row[]> {
  const count = pace.quick ? MILLION / 10 : MILLION
  const issuer = await authority.ask('issuer')
  await authority.ask('fill', count)
  const keys = new KeySet(SIGNET_ALGORITHMS, { version: 0 })
  keys.replace(await (await fetch(`${issuer}/feed/jwks`)).json())
  const taken: number[] = []
  for (let round = 0; round < 2; round++) {
    // One more entry, and long enough ago that the node makes another.
    await authority.ask('burst', { perSecond: 100, count: 1 })
    await new Promise((resolve) => setTimeout(resolve, REMADE_AFTER_MS))
    const began = performance.now()
    const frame = new Uint8Array(await (await fetch(`${issuer}/feed/snapshot`)).arrayBuffer())
    const snapshot = await readSnapshot(frame, { issuer, keys, seek: async () => {} })
    const outcome = createRevocationView().replace(snapshot, { nowMs: Date.now(), guardMs: 60_000 })
    if (outcome !== 'replaced' || snapshot.records.length / RECORD_BYTES < count) throw new Error(`it was ${outcome}`)
    taken.push(performance.now() - began)
  }
  const size = count === MILLION ? '1 M' : `${count / 1000} k`
  const row: Row = {
    name: `snapshot of ${size} entries, made, sent and taken in, ${store}`,
    ours: median(taken),
    unit: 'ms',
    rounds: 2,
  }
  return [{ ...row, target: oursAtMost(2000) }]
}

const REMADE_AFTER_MS = 5500

async function snapshotsOnPostgres(scratch: string, pace: Pace): Promise<Row[]> {
  const server = await startPostgres()
  if ('skip' in server) return []
  const authority = await startChild<AuthorityAnswers>(file('ours/authority.ts'), [await server.freshDatabase(), scratch])
  try {
    return await snapshots('PostgreSQL', authority, pace)
  } finally {
    await authority.stop()
    await server.stop()
  }
}
