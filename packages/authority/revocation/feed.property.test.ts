import assert from 'node:assert/strict'
import { it } from 'node:test'
import { fromBase64Url } from '@signet/kernel/bytes.ts'
import type { BatchPayload, SnapshotPayload } from '@signet/kernel/feed.ts'
import type { Revocation, Salt } from '@signet/kernel/revocation.ts'
import { createRevocationView, type Position, type RevocationView } from '@signet/kernel/revocation-view.ts'
import { encodeRecords, unframeSnapshot } from '@signet/kernel/snapshot.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import type { LogEntry } from '../store/ports/revocations.ts'
import { type FeedReader, openFeed } from './feed.ts'
import { frameBatch } from './feed-frames.ts'
import { createSnapshotMaker, type FeedSnapshot } from './feed-snapshot.ts'
import { openWorld, WHY, type World } from './world.testkit.ts'

const NOW = 1_800_000_000_000
const LIMIT = { nowMs: NOW + 10 ** 10, guardMs: 32_000 }
/** Signing is proven elsewhere; here the payload is what matters. */
const sign = (_typ: string, payload: object): string => JSON.stringify(payload)

const contents = (view: RevocationView) =>
  new Map([...view.entries()].map((e) => [Buffer.from(e.key).toString('hex'), `${e.cutoffMs}/${e.dropAfter}`]))

function decodeBatch(bytes: Uint8Array) {
  const [, id, data] = /^id: (.*)\nevent: batch\ndata: (.*)\n\n$/.exec(new TextDecoder().decode(bytes)) ?? []
  const { epoch, from, to, salt_version, entries } = JSON.parse(data ?? '') as BatchPayload
  assert.equal(id, `${epoch}:${to}`)
  assert.equal(entries.length, to - from + 1)
  const decoded = entries.map(
    ([key, cutoffMs, dropAfter]): Revocation => ({ key: fromBase64Url(key) as Uint8Array, cutoffMs, dropAfter }),
  )
  return { epoch, from, to, saltVersion: salt_version, entries: decoded }
}

function decodeSnapshot(snapshot: FeedSnapshot) {
  const body = Buffer.concat(snapshot.pieces)
  assert.equal(body.length, snapshot.length)
  const { jws, records } = unframeSnapshot(body) as { jws: string; records: Uint8Array }
  const { epoch, seq, salt, salt_version, count } = JSON.parse(jws) as SnapshotPayload
  assert.equal(records.length, count * 27)
  return { epoch, seq, salt: { version: salt_version, bytes: fromBase64Url(salt) as Uint8Array }, records }
}

it('any interleaving of batches and snapshots gives what folding the log gives', async () => {
  const salt: Salt = { version: 1, bytes: new Uint8Array(16).fill(3) }
  const about = { issuer: 'https://a.example', saltVersion: 1, nowMs: NOW }
  const { clock, timers } = manualSurroundings()
  const keyOf = (n: number) => new Uint8Array(16).fill(n + 1)
  const entry = fc.record({
    n: fc.nat(9),
    cutoffMs: fc.integer({ min: NOW, max: NOW + 2000 }),
    dropAfter: fc.integer({ min: 1_900_000_000, max: 1_900_000_050 }),
  })
  const arrival = fc.record({ snapshot: fc.boolean(), at: fc.nat(), length: fc.nat(8) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { minLength: 1, maxLength: 30 }),
      fc.array(arrival, { maxLength: 25 }),
      async (drawn, arrivals) => {
        const log = drawn.map(
          ({ n, ...rest }, i): LogEntry => ({
            ...rest,
            key: keyOf(n),
            seq: i + 1,
            epoch: 'e',
            atMs: NOW,
            kind: 'subject',
            issuer: 'i',
            target: `${n}`,
            reason: 'r',
            actor: 'system',
          }),
        )
        const folded = new Map<string, { cutoffMs: number; dropAfter: number }>()
        for (const e of log) {
          const id = Buffer.from(e.key).toString('hex')
          const known = folded.get(id) ?? { cutoffMs: 0, dropAfter: 0 }
          folded.set(id, { cutoffMs: Math.max(known.cutoffMs, e.cutoffMs), dropAfter: Math.max(known.dropAfter, e.dropAfter) })
        }
        const snapshotAt = async (seq: number) => {
          const view = createRevocationView()
          view.replace({ epoch: 'e', seq, salt, records: encodeRecords(log.slice(0, seq)) }, LIMIT)
          const maker = createSnapshotMaker({ view, issuer: about.issuer, sign, clock, timers, canResume: () => true })
          return decodeSnapshot(await maker.get())
        }
        const view = createRevocationView()
        view.replace(await snapshotAt(0), LIMIT)
        for (const { snapshot, at, length } of arrivals) {
          const from = at % log.length
          if (snapshot) view.replace(await snapshotAt(from + 1), LIMIT)
          else view.applyBatch(decodeBatch(frameBatch(log.slice(from, from + 1 + length), about, sign).bytes), LIMIT)
        }
        const { seq } = view.position as Position
        if (seq < log.length) {
          assert.equal(view.applyBatch(decodeBatch(frameBatch(log.slice(seq), about, sign).bytes), LIMIT), 'applied')
        }
        assert.equal(view.position?.seq, log.length)
        assert.deepEqual(contents(view), new Map([...folded].map(([id, e]) => [id, `${e.cutoffMs}/${e.dropAfter}`])))
      },
    ),
    { numRuns: 150 },
  )
})

/** A reader that does what docs/protocol/feed.md says, without a network. */
class ModelReader implements FeedReader {
  readonly owner = 'model'
  readonly view: RevocationView
  gone = false
  wantsSnapshot = false
  constructor(view: RevocationView) {
    this.view = view
  }
  open(): void {}
  write(bytes: Uint8Array): void {
    const text = new TextDecoder().decode(bytes)
    if (text.startsWith('event: reset')) this.wantsSnapshot = true
    if (!text.startsWith('id: ')) return
    const outcome = this.view.applyBatch(decodeBatch(bytes), LIMIT)
    assert.ok(outcome === 'applied' || outcome === 'duplicate', outcome)
  }
  pending(): number {
    return 0
  }
  async drained(): Promise<void> {}
  end(): void {
    this.gone = true
  }
  destroy(): void {
    this.gone = true
  }
}

const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('revoke' as const), n: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('break' as const), n: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), n: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), n: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), n: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('undo' as const), n: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const), n: fc.integer({ min: 1, max: 60 }) }) },
)

it('readers that break off, lag, meet purges and new epochs end with what the log says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const world = await openWorld()
      let hub = openFeed({ ...world, sign })
      const readers = Array.from({ length: 3 }, () => new ModelReader(createRevocationView()))
      const turns = async () => {
        for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve))
      }
      const connect = async (n: number) => {
        const before = readers[n] as ModelReader
        if (!before.gone && before.view.position !== undefined) return
        const reader = new ModelReader(before.view)
        readers[n] = reader
        if (before.wantsSnapshot || reader.view.position === undefined)
          reader.view.replace(decodeSnapshot(await hub.snapshot()), LIMIT)
        hub.join(reader, reader.view.position as Position)
      }
      const breakOff = (n: number) => {
        const reader = readers[n] as ModelReader
        hub.leave(reader)
        reader.end()
      }
      for (const one of steps) {
        if (one.do === 'revoke')
          await world.revoker.revoke({ kind: 'subject', id: `s${one.n}`, issuer: 'https://f.example' }, WHY)
        if (one.do === 'break') breakOff(one.n)
        if (one.do === 'wait') {
          world.advance(one.n)
          await turns()
        }
        if (one.do === 'restart') {
          // Another node, which remembers no batches.
          for (let n = 0; n < 3; n++) breakOff(n)
          hub.close()
          hub = openFeed({ ...world, sign })
        }
        if (one.do === 'undo') await undoOne(world, one.n)
        if (one.do === 'purge') await world.store.purge(world.clock.now() + 31 * 86_400_000, one.n)
        if (one.do === 'connect') await connect(one.n)
      }
      // Quiet: everybody connects and catches up.
      for (let round = 0; round < 20; round++) {
        await world.registry.lookNow()
        await turns()
        for (let n = 0; n < 3; n++) await connect(n)
        world.advance(5001) // A snapshot from before is not given any more.
        await turns()
      }
      const head = await world.store.revocations.head()
      const log = await world.log()
      for (const { view } of readers) {
        assert.deepEqual(view.position, { epoch: head.epoch, seq: head.seq })
        for (const e of log) assert.ok(view.cutoff(e.key) >= e.cutoffMs)
        // Nothing more either, unless it was purged from the log and not forgotten yet.
        const keys = new Set(log.map((e) => Buffer.from(e.key).toString('hex')))
        if (!steps.some((one) => one.do === 'purge')) assert.deepEqual(new Set(contents(view).keys()), keys)
      }
      hub.close()
      await world.close()
    }),
    { numRuns: 40 },
  )
})

async function undoOne(world: World, n: number): Promise<void> {
  const { epoch } = await world.store.revocations.head()
  const log = await world.log()
  const entry = log[n % Math.max(1, log.length)]
  if (entry !== undefined) await world.revoker.undo({ epoch, seqs: [entry.seq] }, WHY)
}
