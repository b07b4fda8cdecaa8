import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { HEAD_TYPE, PROBES_OF_NETWORK, SNAPSHOT_MEDIA_TYPE } from '@signet/kernel/feed.ts'
import { revocationKey } from '@signet/kernel/revocation.ts'
import { createRevocationView } from '@signet/kernel/revocation-view.ts'
import type { Allow } from '@signet/kernel/verdict.ts'
import { manualClock } from '@signet/testkit/surroundings.ts'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { readHead, readSnapshot } from '@signet/validator/feed-messages.ts'
import { createHeadReader } from '../revocation/feed-head.ts'
import { issuerStanding } from '../revocation/standing.ts'
import { asAnotherNode, ISSUER, WHY } from '../revocation/world.testkit.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { type FeedWorld, openFeedWorld, range } from './feed.testkit.ts'
import type { FeedRouteParts } from './feed.ts'

let world: FeedWorld
afterEach(() => world.close())

const PROBE = 'a-probe-of-thirty-two-characters'
const foreign = (id: string) => ({ kind: 'subject', id, issuer: 'https://idp.example' }) as const
const revoke = (id: string) => world.revoker.revoke(foreign(id), WHY)
const revokeMany = (from: number, to: number) => Promise.all(range(from, to).map((n) => revoke(`s${n}`)))
const epochNow = async () => (await world.store.revocations.head()).epoch
const caughtUp = (seq: number) => until(() => (world.registry.position?.seq ?? 0) >= seq)

describe('head, open to everyone', () => {
  it('is not signed without end for one network, whatever addresses it has', async () => {
    const clock = manualClock()
    let signed = 0
    const hub = { head: async () => `head ${++signed}`, close() {} } as unknown as FeedRouteParts['hub']
    world = await openFeedWorld({ routes: { open: true, hub, clock } })
    const probe = async (remoteAddress: string) =>
      (await world.app.inject({ url: '/feed/head?probe=a-probe-of-16-characters', remoteAddress })).statusCode
    for (let n = 0; n < PROBES_OF_NETWORK.burst; n++) assert.equal(await probe(`2001:db8:1:2::${n.toString(16)}`), 200)
    assert.deepEqual([await probe('2001:db8:1:2:3:4:5:6'), signed], [429, PROBES_OF_NETWORK.burst])
    assert.equal(await probe('2001:db8:1:3::1'), 200, 'others are not to blame')
    clock.advance(1)
    assert.equal(await probe('2001:db8:1:2::1'), 200)
  })
})

describe('snapshot, under load', () => {
  it('keeps half of the places for others when one reader takes all it can get', async () => {
    let client = 'greedy'
    const authorize = async () => ({ allowed: true, claims: { client_id: client, exp: 2 ** 40 } }) as unknown as Allow
    const served: string[] = []
    const never = {
      snapshot() {
        served.push(client)
        return new Promise(() => {})
      },
      close() {},
    } as unknown as FeedRouteParts['hub']
    world = await openFeedWorld({ routes: { authorize, hub: never } })
    const stop = new AbortController()
    const ask = () =>
      fetch(`${world.url}/feed/snapshot`, { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]) }).then(
        ({ status }) => status,
        () => 'waited',
      )
    const asking = range(1, 32).map(ask)
    await until(() => served.length === 32, 'it has taken its places')
    assert.equal(await ask(), 503)
    client = 'modest'
    asking.push(ask())
    await until(() => served.includes('modest'), 'others have theirs')
    stop.abort()
    assert.deepEqual(new Set(await Promise.all(asking)), new Set(['waited']))
  })
})

describe('stream', () => {
  it('brings what is revoked, signed, dense and in order, to everybody who reads', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    const readers = await Promise.all(range(1, 5).map(() => world.read({ epoch, after: 0 })))
    assert.equal(readers[0]?.headers['content-type'], 'text/event-stream')
    for (let n = 1; n <= 20; n++) await revoke(`s${n}`)
    for (const reader of readers) {
      await until(() => reader.seqs().length >= 20)
      assert.deepEqual(reader.seqs(), range(1, 20))
      assert.equal(reader.ids.at(-1), `${epoch}:20`)
    }
    const { salt } = await world.store.revocations.head()
    const keys = readers[0]?.batches.flatMap(({ entries }) => entries.map(({ key }) => Buffer.from(key).toString('hex')))
    const expected = range(1, 20).map((n) =>
      Buffer.from(revocationKey(sha256, salt, 'subject', 'https://idp.example', `s${n}`)).toString('hex'),
    )
    assert.deepEqual(keys, expected)
    for (const reader of readers) reader.close()
    await until(() => world.hub.readers === 0)
  })

  it('goes on for a reader that comes back from where it was, wherever that is', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    await revokeMany(1, 50)
    await caughtUp(50)
    const first = await world.read({ epoch, after: 0 })
    await until(() => first.seqs().length >= 50)
    first.close()
    await revokeMany(51, 2600) // More than one batch holds.
    const again = await world.read({ last: first.ids.at(-1) as string })
    await until(() => (again.seqs().at(-1) ?? 0) >= 2600)
    assert.deepEqual([...new Set([...first.seqs(), ...again.seqs()])], range(1, 2600))
    const current = await world.read({ epoch, after: 2600 })
    await revoke('last')
    await until(() => current.seqs().includes(2601) && again.seqs().includes(2601))
    assert.deepEqual(current.seqs(), [2601])
  })

  it('serves what this node has never seen itself from the log', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    await revokeMany(1, 30)
    // A node that starts now has a snapshot of them, and no batches.
    const other = await openFeedWorld({ store: asAnotherNode(world.store) })
    const readers = await Promise.all(range(0, 9).map((after) => other.read({ epoch, after })))
    for (const [after, reader] of readers.entries()) {
      await until(() => reader.seqs().at(-1) === 30)
      assert.deepEqual(reader.seqs(), range(after + 1, 30))
    }
    await revoke('more') // The bus of the other process does not reach this one: its poll does.
    await until(() => readers.every((reader) => reader.seqs().at(-1) === 31))
    for (const reader of readers) reader.close()
    await other.app.close()
    other.hub.close()
    other.registry.close()
  })

  it('turns away a reader whose place is gone: another epoch, forgotten entries, numbers that never were', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    await revokeMany(1, 3)
    await caughtUp(3)
    for (const place of [
      { epoch: 'another', after: 1 },
      { epoch, after: 4 },
    ]) {
      const reader = await world.read(place)
      await until(() => reader.state.ended)
      assert.equal(reader.state.resets, 1)
      assert.deepEqual(reader.seqs(), [])
    }
    await world.store.purge(world.clock.now() + 40 * 86_400_000, 100)
    assert.equal((await world.store.revocations.head()).floor, 3)
    const other = await openFeedWorld({ store: world.store })
    const behind = await other.read({ epoch, after: 1 })
    await until(() => behind.state.ended)
    assert.equal(behind.state.resets, 1)
    await other.app.close()
    other.hub.close()
    other.registry.close()
  })

  it('turns everybody away when a new epoch begins, and serves its snapshot and stream', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    await revokeMany(1, 3)
    const reader = await world.read({ epoch, after: 0 })
    await until(() => reader.seqs().length === 3)
    const undone = await world.revoker.undo({ epoch, seqs: [2] }, WHY)
    await until(() => reader.state.ended)
    assert.equal(reader.state.resets, 1)
    const snapshot = await readSnapshot(await takeSnapshot(), world.trust)
    assert.deepEqual([snapshot.epoch, snapshot.seq, snapshot.records.length], [undone.epoch, undone.seq, 54])
    assert.ok(undone.seq > 3, 'numbers go on above those of before')
    const again = await world.read({ epoch: snapshot.epoch, after: snapshot.seq })
    await revoke('s4')
    await until(() => again.seqs().length === 1)
    assert.equal(again.batches[0]?.saltVersion, snapshot.salt.version)
  })

  it('lets a reader go that does not read, and nobody else notices', async () => {
    const dropped: string[] = []
    world = await openFeedWorld({ observe: { dropped: (why) => dropped.push(why) } })
    const epoch = await epochNow()
    const quick = await world.read({ epoch, after: 0 })
    const slow = await world.read({ epoch, after: 0 })
    slow.response.pause()
    let n = 0
    // Kernel buffers take some megabytes before ours grows.
    while (dropped.length === 0 && n < 300_000) {
      n = await append(5000)
      await until(() => quick.last() >= n)
    }
    assert.deepEqual(dropped, ['slow'])
    assert.deepEqual(quick.seqs(), range(1, n))
    assert.equal(quick.state.ended, false)
    assert.equal(world.hub.readers, 1)
    slow.response.resume()
    await until(() => slow.state.ended)
    await slow.settled()
    // What it did get is whole, and it can go on from there.
    assert.deepEqual(slow.seqs(), range(1, slow.seqs().length))
    const back = await world.read({ epoch, after: slow.seqs().length })
    await until(() => back.seqs().at(-1) === n)
  })

  it('sends what was committed together in one batch', async () => {
    world = await openFeedWorld()
    const reader = await world.read({ epoch: await epochNow(), after: 0 })
    await revoke('warm')
    await until(() => reader.seqs().length === 1)
    await append(500)
    await until(() => reader.last() === 501)
    assert.equal(reader.batches.length, 2)
  })

  it('has a bounded number of places, and half of them for one owner', async () => {
    world = await openFeedWorld({ maxReaders: 4 })
    const epoch = await epochNow()
    const readers = [await world.read({ epoch, after: 0 }), await world.read({ epoch, after: 0 })]
    const refused = await world.read({ epoch, after: 0 })
    assert.equal(refused.status, 503)
    assert.ok(Number(refused.headers['retry-after']) > 0)
    readers[0]?.close()
    await until(() => world.hub.readers === 1)
    assert.equal((await world.read({ epoch, after: 0 })).status, 200)
  })

  it('ends with the token it was opened with, by expiry or by revocation', async () => {
    const watched: (() => void)[] = []
    let stopped = 0
    let exp = 2 ** 31
    world = await openFeedWorld({
      routes: {
        authorize: async () => ({ allowed: true, claims: { client_id: 'c', exp } }) as unknown as Allow,
        watch(_verdict, ended) {
          watched.push(ended)
          return () => void stopped++
        },
      },
    })
    const epoch = await epochNow()
    const revoked = await world.read({ epoch, after: 0 })
    await until(() => watched.length === 1)
    watched[0]?.()
    await until(() => revoked.state.ended)
    await until(() => stopped === 1 && world.hub.readers === 0)
    exp = Math.ceil(Date.now() / 1000) + 1
    const expiring = await world.read({ epoch, after: 0 })
    await until(() => expiring.state.ended)
    assert.ok(Date.now() >= exp * 1000 - 5)
  })

  it('refuses whoever may not read, before anything else', async () => {
    world = await openFeedWorld({
      routes: {
        authorize: async () => {
          throw Object.assign(new Error('no'), { statusCode: 401 })
        },
      },
    })
    for (const path of ['head?probe=x', 'stream?after=x', 'snapshot']) {
      assert.equal((await fetch(`${world.url}/feed/${path}`)).status, 401)
    }
    assert.equal((await fetch(`${world.url}/feed/jwks`)).status, 200)
  })

  it('refuses malformed questions in words', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    const questions: readonly (readonly [string, string])[] = [
      ['stream', 'malformed_place'],
      [`stream?epoch=${epoch}&after=-1`, 'malformed_place'],
      [`stream?epoch=${epoch}&after=1e3`, 'malformed_place'],
      [`stream?epoch=${epoch}&after=1&after=2`, 'malformed_place'],
      [`stream?epoch=%0a&after=1`, 'malformed_place'],
      ['head', 'malformed_probe'],
      ['head?probe=short', 'malformed_probe'],
      [`head?probe=${'x'.repeat(129)}`, 'malformed_probe'],
      [`head?probe=${PROBE}&validator=a%20b`, 'malformed_validator'],
      [`head?probe=${PROBE}&validator=a&applied=x&epoch=${epoch}`, 'malformed_place'],
    ]
    for (const [path, reason] of questions) {
      const response = await fetch(`${world.url}/feed/${path}`)
      assert.equal(response.status, 400, path)
      assert.equal(((await response.json()) as { reason: string }).reason, reason, path)
    }
    assert.equal((await fetch(`${world.url}/feed/stream?epoch=${epoch}&after=0`, { method: 'HEAD' })).status, 404)
  })

  it('is closed with the server, and readers come back elsewhere', async () => {
    world = await openFeedWorld()
    const reader = await world.read({ epoch: await epochNow(), after: 0 })
    await world.app.close()
    await until(() => reader.state.ended)
  })
})

describe('head', () => {
  it('answers each probe with what the store says after it was asked', async () => {
    world = await openFeedWorld()
    await revoke('a')
    const text = await (await fetch(`${world.url}/feed/head?probe=${PROBE}`)).text()
    const head = await readHead(text, PROBE, world.trust)
    assert.deepEqual([head.epoch, head.seq, head.age_ms, head.iss], [await epochNow(), 1, 0, ISSUER])
    assert.equal(JSON.parse(Buffer.from(text.split('.')[0] as string, 'base64url').toString()).typ, HEAD_TYPE)
  })

  it('shares a read among probes that were there before it began, and only among them', async () => {
    world = await openFeedWorld()
    let reads = 0
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    const slow: Pick<Store, 'revocations'> = {
      revocations: {
        ...world.store.revocations,
        async head() {
          reads++
          await answered
          return world.store.revocations.head()
        },
      },
    }
    const heads = createHeadReader({ store: slow, timers: world.timers })
    const first = Promise.all(range(1, 50).map(() => heads.read()))
    const { seq } = await world.revoker.revoke(foreign('during'), WHY)
    const later = Promise.all(range(1, 50).map(() => heads.read()))
    answer()
    await first
    for (const head of await later) assert.ok(head.seq >= seq)
    assert.equal(reads, 2)
  })

  it('takes no number that cannot be told from the next: nobody could read the fleet any more', async () => {
    world = await openFeedWorld()
    const at = `${world.url}/feed/head?probe=${PROBE}&validator=liar&epoch=${await epochNow()}`
    const answers = await Promise.all([
      fetch(`${at}&applied=9999999999999999`),
      fetch(`${at}&applied=1&staleness=9007199254740992`),
      fetch(`${world.url}/feed/stream?epoch=e&after=9007199254740993`),
    ])
    await world.fleet.close() // Writes what it has heard.
    assert.deepEqual(await world.store.fleet.list({ limit: 10 }), [])
    assert.deepEqual(
      answers.map(({ status }) => status),
      [400, 400, 400],
    )
  })

  it('remembers what validators say they have applied', async () => {
    world = await openFeedWorld()
    const epoch = await epochNow()
    await fetch(`${world.url}/feed/head?probe=${PROBE}&validator=orders-1&applied=7&epoch=${epoch}`)
    await fetch(`${world.url}/feed/head?probe=${PROBE}&validator=orders-2&applied=6&epoch=${epoch}`)
    await fetch(`${world.url}/feed/head?probe=${PROBE}&validator=orders-1&applied=8&epoch=${epoch}`)
    await fetch(`${world.url}/feed/head?probe=${PROBE}&validator=orders-3`) // Has applied nothing yet.
    await world.fleet.close() // Writes what it heard.
    const fleet = (await world.store.fleet.list({ limit: 10 })).map(({ validator, client, applied }) => [
      validator,
      client,
      applied,
    ])
    assert.deepEqual(fleet, [
      ['orders-1', 'reader', 8],
      ['orders-2', 'reader', 6],
    ])
  })
})

describe('snapshot', () => {
  it('is everything up to its number, and the stream goes on from there', async () => {
    world = await openFeedWorld()
    await revokeMany(1, 300)
    await caughtUp(300)
    const response = await fetch(`${world.url}/feed/snapshot`)
    assert.equal(response.headers.get('content-type'), SNAPSHOT_MEDIA_TYPE)
    const snapshot = await readSnapshot(new Uint8Array(await response.arrayBuffer()), world.trust)
    assert.equal(snapshot.seq, 300)
    const view = createRevocationView()
    assert.equal(view.replace(snapshot, { nowMs: Date.now(), guardMs: 32_000 }), 'replaced')
    for (const entry of await world.log()) assert.equal(view.cutoff(entry.key), entry.cutoffMs)
    const etag = response.headers.get('etag') as string
    const again = await fetch(`${world.url}/feed/snapshot`, { headers: { 'if-none-match': etag } })
    assert.equal(again.status, 304)
  })

  it('is given again for a while although the log goes on, for the stream continues from it', async () => {
    // Its time stands still, so that however slow the machine is, that while is not over.
    world = await openFeedWorld({ surroundings: { ...realSurroundings(), clock: manualClock(Date.now()) } })
    await revokeMany(1, 10)
    await caughtUp(10)
    const first = await readSnapshot(await takeSnapshot(), world.trust)
    await revokeMany(11, 20)
    await caughtUp(20)
    const second = await readSnapshot(await takeSnapshot(), world.trust)
    assert.equal(second.seq, first.seq)
    const reader = await world.read({ epoch: second.epoch, after: second.seq })
    await until(() => reader.seqs().at(-1) === 20)
    assert.deepEqual(reader.seqs(), range(11, 20))
  })
})

it('keeps the issuer’s standing beside the feed', async () => {
  world = await openFeedWorld()
  await world.revoker.revoke({ kind: 'issuer', id: ISSUER }, WHY)
  await caughtUp(1)
  await until(() => world.registry.issuerStanding().revokedMs > 0)
  assert.deepEqual(world.registry.issuerStanding(), await issuerStanding(world.store))
})

/** Straight into the log, in one commit; the number of the last. */
async function append(count: number): Promise<number> {
  const place = await world.store.transact(async (tx) => {
    await tx.revocations.head()
    const entry = { kind: 'subject', issuer: 'https://idp.example', target: 'x', reason: 'r', actor: 'system' } as const
    const span = { cutoffMs: tx.nowMs, dropAfter: Math.floor(tx.nowMs / 1000) + 600 }
    let last = { seq: 0 }
    for (let i = 0; i < count; i++) last = tx.revocations.append({ ...entry, ...span, key: world.chance.bytes(16) })
    return last
  })
  world.bus.publish('revocations')
  return place.seq
}

async function takeSnapshot(): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(`${world.url}/feed/snapshot`)).arrayBuffer())
}
