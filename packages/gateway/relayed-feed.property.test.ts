/**
 * Whatever comes in and whoever comes and goes: a reader that does as docs/protocol/feed.md says holds, at the position it claims,
 * everything that the authority's log had there.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Position } from '@signet/kernel/revocation-view.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import type { TappedFeed } from '@signet/validator/index.ts'
import fc from 'fast-check'
import { createRelayedFeed, type RelayedFeed, type RelayReader } from './relayed-feed.ts'

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** The authority's log: entries are their numbers, of one epoch at a time. */
class Log {
  epoch = 'e1'
  seq = 0
  newEpoch(): void {
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`
    this.seq = 0
  }
}

/** A reader over a link that may hold back what is written, and break. */
class Reader implements RelayReader {
  readonly owner = 'reader'
  gone = true
  held: string[] = []
  epoch = ''
  readonly known = new Set<number>()
  seq = -1
  #waiting: (() => void)[] = []
  open(): void {
    this.gone = false
    this.held = []
  }
  write(bytes: Uint8Array): void {
    if (!this.gone) this.held.push(new TextDecoder().decode(bytes))
  }
  pending(): number {
    return this.held.reduce((sum, text) => sum + text.length, 0)
  }
  drained(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
  end(): void {
    this.read()
    this.gone = true
  }
  destroy(): void {
    this.gone = true
    this.held = []
    this.#wake()
  }
  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
  needsSnapshot = true

  /** Takes in what has come. */
  read(): void {
    for (const text of this.held.splice(0)) {
      if (text.includes('event: reset')) this.needsSnapshot = true
      const data = /data: (\{"from.*)/.exec(text)?.[1]
      if (data === undefined) continue
      const { from, to, epoch } = JSON.parse(data) as { from: number; to: number; epoch: string }
      if (epoch !== this.epoch || this.needsSnapshot || to <= this.seq) continue
      assert.ok(from <= this.seq + 1, `a gap: from ${from} after ${this.seq}`)
      for (let n = from; n <= to; n++) this.known.add(n)
      this.seq = to
    }
    this.#wake()
  }
  async takeSnapshot(feed: RelayedFeed): Promise<void> {
    const { epoch, seq } = await feed.snapshot()
    if (epoch !== this.epoch) {
      this.known.clear()
      this.seq = 0
      this.epoch = epoch
    }
    for (let n = 1; n <= seq; n++) this.known.add(n)
    this.seq = Math.max(this.seq, seq)
    this.needsSnapshot = false
  }
}

type Step =
  | { readonly do: 'append'; readonly entries: number; readonly overlap: number }
  | { readonly do: 'snapshot' }
  | { readonly do: 'jump'; readonly entries: number }
  | { readonly do: 'epoch' }
  | { readonly do: 'join' | 'read' | 'cut'; readonly reader: number }

const READERS = 3
const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant('append' as const), entries: fc.integer({ min: 1, max: 4 }), overlap: fc.nat(3) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('snapshot' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('jump' as const), entries: fc.integer({ min: 1, max: 4 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('epoch' as const) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom('join' as const, 'read' as const, 'cut' as const),
        reader: fc.nat(READERS - 1),
      }),
    },
  ),
  { maxLength: 60 },
) as fc.Arbitrary<readonly Step[]>

test('whatever comes in and whoever comes and goes, a reader has everything up to the position it claims', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const log = new Log()
      const feed = createRelayedFeed({
        issuer: 'https://auth.example',
        sign: () => 'jws',
        ...manualSurroundings(),
        probeEveryMs: 1000,
        kept: async () => undefined,
      })
      const tookSnapshot = (): void =>
        feed.tap.took({ kind: 'snapshot', frame: new Uint8Array(0), epoch: log.epoch, seq: log.seq })
      const source: TappedFeed = {
        takeSnapshot: async () => tookSnapshot(),
        feedKeys: () => ({ jwks: [], atMs: 0 }),
        stalenessMs: () => 0,
        freshAtMs: () => 0,
      }
      feed.tap.attach(source)
      tookSnapshot()
      const readers = Array.from({ length: READERS }, () => new Reader())
      const holds = (reader: Reader): void => {
        for (let n = 1; n <= reader.seq; n++) assert.ok(reader.known.has(n), `${n} of ${reader.seq} is missing`)
      }
      const join = async (reader: Reader): Promise<void> => {
        if (!reader.gone) return
        if (reader.needsSnapshot || reader.epoch === '') await reader.takeSnapshot(feed)
        const place: Position = { epoch: reader.epoch, seq: reader.seq }
        feed.join(reader, place)
        await turns()
      }
      for (const step of plan) {
        if (step.do === 'append') {
          const from = Math.max(1, log.seq + 1 - step.overlap)
          log.seq += step.entries
          const { epoch, seq: to } = log
          feed.tap.took({ kind: 'batch', jws: JSON.stringify({ from, to, epoch }), epoch, from, to })
        } else if (step.do === 'snapshot') tookSnapshot()
        else if (step.do === 'jump') {
          log.seq += step.entries // Entries that the relay missed, and took by snapshot.
          tookSnapshot()
        } else if (step.do === 'epoch') {
          log.newEpoch()
          tookSnapshot()
        } else {
          const reader = readers[step.reader] as Reader
          if (step.do === 'join') await join(reader)
          if (step.do === 'read') reader.read()
          if (step.do === 'cut') {
            feed.leave(reader)
            reader.destroy()
          }
        }
        readers.forEach(holds)
      }
      // In the end all of them are where the relay is.
      for (const reader of readers) {
        for (let i = 0; i < 4 && !(reader.epoch === log.epoch && reader.seq === log.seq); i++) {
          await join(reader)
          reader.read()
          await turns()
        }
        holds(reader)
        assert.deepEqual([reader.epoch, reader.seq], [log.epoch, log.seq])
      }
      feed.close()
    }),
    { numRuns: 300 },
  )
})
