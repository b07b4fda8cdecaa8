/** A thousand readers of which a tenth stops reading, and readers behind one relay: what it costs the node and those beside them. */
import { join } from 'node:path'
import { type Benchmark, oursAtMost, type Pace, type Row } from './benchmark.ts'
import { type Child, startChild } from './child.ts'
import type { AuthorityAnswers } from './ours/authority.ts'
import type { RelayAnswers } from './ours/relay.ts'
import type { PausingAnswers } from './pausing-process.ts'
import type { ReadersAnswers } from './readers-process.ts'

type Authority = Child<AuthorityAnswers>
type Readers = Child<ReadersAnswers>

/** More a second than is asked of a thousand readers, so that the node holds something for who does not read: the system's buffers come first. */
const CROWD = { processes: 2, each: 450, slow: 100, perSecond: 1000 }
/** When the others have gone, until every buffer is full. */
const FILL = { perSecond: 5000, seconds: 12 }
const RELAYED = { readers: 200, perSecond: 200 }
const SETTLE_MS = 1500
/** A reader that was let go is back, and has everything, within so long. */
const BACK_MS = 20_000

export const benchmark: Benchmark = async ({ pace, scratch }) => {
  const authority = await startChild<AuthorityAnswers>(file('ours/authority.ts'), ['sqlite', scratch])
  try {
    return [...(await besideSlow(authority, pace)), ...(await behindRelay(authority, scratch, pace))]
  } finally {
    await authority.stop()
  }
}

const file = (name: string): string => join(import.meta.dirname, name)
const startReaders = (): Promise<Readers> => startChild<ReadersAnswers>(file('readers-process.ts'))
const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** The same pace twice: with everybody reading, and from when a tenth does not. */
async function besideSlow(authority: Authority, pace: Pace): Promise<Row[]> {
  const issuer = await authority.ask('issuer')
  const crowds = await Promise.all(Array.from({ length: CROWD.processes }, startReaders))
  const slow = await startChild<PausingAnswers>(file('pausing-process.ts'))
  try {
    for (const readers of crowds) await readers.ask('follow', { issuer, count: CROWD.each })
    await slow.ask('follow', { issuer, count: CROWD.slow })
    const before = await burst(authority, crowds, pace.quick ? 3 : 10)
    await slow.ask('pause')
    const rss = await authority.ask('rss')
    const looking = mostOf(() => authority.ask('rss'))
    const during = await burst(authority, crowds, pace.quick ? 8 : 40)
    await Promise.all(crowds.map((readers) => readers.stop()))
    const fill = await burst(authority, [], pace.quick ? 2 : FILL.seconds, FILL.perSecond)
    const grown = (await looking.stop()) - rss
    const back = await slow.ask('goOn', { number: fill.last, withinMs: BACK_MS })
    const who = `${CROWD.processes * CROWD.each} readers, ${CROWD.perSecond}/s`
    const beside = `beside ${CROWD.slow} that do not read`
    return [
      figure(`commit to ${who}, p50`, before.p50, 'ms'),
      figure(`commit to ${who}, ${beside}, p50`, during.p50, 'ms'),
      figure(`commit to ${who}, p99`, before.p99, 'ms'),
      figure(`commit to ${who}, ${beside}, p99`, during.p99, 'ms'),
      { ...figure(`dropped, or something missed, of ${who}, ${beside}`, during.lost, ''), target: oursAtMost(0) },
      {
        ...figure(`still held of ${CROWD.slow} that do not read`, CROWD.slow - back.dropped, ''),
        ...(pace.quick ? {} : { target: oursAtMost(0) }), // What comes in a few seconds fits in the system's buffers.
      },
      {
        ...figure('of these, not back from where they stood, or something missed', CROWD.slow - back.whole, ''),
        target: oursAtMost(0),
      },
      figure('the last of these has everything, after it reads again', back.tookMs, 'ms'),
      figure(`memory of the node while ${CROWD.slow} do not read, more than before, at most`, grown / 2 ** 20, 'MiB'),
    ]
  } finally {
    await Promise.all([...crowds, slow].map((readers) => readers.stop()))
  }
}

const figure = (name: string, ours: number, unit: string): Row => ({ name, ours, unit, rounds: 1 })

async function burst(authority: Authority, crowds: readonly Readers[], seconds: number, perSecond = CROWD.perSecond) {
  const sent = await authority.ask('burst', { perSecond, count: perSecond * seconds })
  await wait(SETTLE_MS)
  const found = await Promise.all(crowds.map((readers) => readers.ask('delays', sent)))
  const each = found.map(({ open, missing }) => CROWD.each - open + missing)
  return {
    p50: Math.max(...found.map(({ p50 }) => p50)),
    p99: Math.max(...found.map(({ p99 }) => p99)),
    lost: each.reduce((sum, one) => sum + one, 0),
    last: Math.max(...sent.map(([, number]) => number)),
  }
}

function mostOf(look: () => Promise<number>) {
  let most = 0
  let goesOn = true
  const looking = (async () => {
    while (goesOn) {
      most = Math.max(most, await look())
      await wait(250)
    }
  })()
  return {
    async stop(): Promise<number> {
      goesOn = false
      await looking
      return most
    },
  }
}

/** As many readers at the node as behind a relay that reads from it, at once: the difference is the relay's. */
async function behindRelay(authority: Authority, scratch: string, pace: Pace): Promise<Row[]> {
  const issuer = await authority.ask('issuer')
  const relay = await startChild<RelayAnswers>(file('ours/relay.ts'), [issuer, scratch])
  const [near, far] = await Promise.all([startReaders(), startReaders()])
  try {
    const { readers: count, perSecond } = RELAYED
    await near.ask('follow', { issuer, count })
    await far.ask('follow', { issuer, count, relay: await relay.ask('url') })
    const sent = await authority.ask('burst', { perSecond, count: perSecond * (pace.quick ? 3 : 15) })
    await wait(SETTLE_MS)
    const [direct, relayed] = await Promise.all([near.ask('delays', sent), far.ask('delays', sent)])
    const who = `${count} readers, ${perSecond}/s`
    return [
      figure(`commit to ${who}, at the node, p50`, direct.p50, 'ms'),
      figure(`commit to ${who}, behind a relay beside these, p50`, relayed.p50, 'ms'),
      figure(`commit to ${who}, at the node, p99`, direct.p99, 'ms'),
      figure(`commit to ${who}, behind a relay beside these, p99`, relayed.p99, 'ms'),
      {
        ...figure(`dropped, or something missed, behind the relay`, count - relayed.open + relayed.missing, ''),
        target: oursAtMost(0),
      },
      figure('memory of the relay', (await relay.ask('rss')) / 2 ** 20, 'MiB'),
    ]
  } finally {
    await Promise.all([near.stop(), far.stop(), relay.stop()])
  }
}
