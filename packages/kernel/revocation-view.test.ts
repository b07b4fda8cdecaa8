import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Revocation, Salt } from './revocation.ts'
import { createRevocationView, type RevocationBatch, type RevocationView } from './revocation-view.ts'
import { encodeRecords } from './snapshot.ts'

const NOW = 1_800_000_000_000
const LIMIT = { nowMs: NOW, guardMs: 2000 }
const SALT: Salt = { version: 1, bytes: new Uint8Array(16).fill(7) }
const EPOCH = 'e1'

const keyOf = (n: number): Uint8Array => {
  const key = new Uint8Array(16).fill(0xa5)
  new DataView(key.buffer).setUint32(0, Math.imul(n + 1, 0x9e3779b1) >>> 0)
  new DataView(key.buffer).setUint32(4, Math.imul(n + 1, 0x85ebca6b) >>> 0)
  return key
}
const entry = (n: number, cutoffMs = NOW, dropAfter = 2_000_000_000): Revocation => ({ key: keyOf(n), cutoffMs, dropAfter })
const batch = (from: number, entries: readonly Revocation[], more: Partial<RevocationBatch> = {}): RevocationBatch => ({
  epoch: EPOCH,
  from,
  to: from + Math.max(entries.length, 1) - 1,
  saltVersion: 1,
  entries,
  ...more,
})
function begun(seq = 0): RevocationView {
  const view = createRevocationView()
  view.begin({ epoch: EPOCH, seq }, SALT)
  return view
}
function contents(view: RevocationView): Map<string, string> {
  return new Map([...view.entries()].map((e) => [Buffer.from(e.key).toString('hex'), `${e.cutoffMs}/${e.dropAfter}`]))
}

// A log with few keys, so that entries meet; and every way its parts may come in.
const log = fc.array(
  fc.record({
    n: fc.integer({ min: 0, max: 12 }),
    cutoffMs: fc.integer({ min: NOW - 1000, max: NOW + 2000 }),
    dropAfter: fc.integer({ min: 1_800_000_000, max: 1_800_000_100 }),
  }),
  { minLength: 1, maxLength: 40 },
)

test('the registry is the same whatever the order, duplication and interleaving of snapshot and stream', () => {
  fc.assert(
    fc.property(log, fc.array(fc.tuple(fc.nat(), fc.nat(), fc.boolean()), { maxLength: 30 }), (entries, arrivals) => {
      const whole = entries.map((e) => entry(e.n, e.cutoffMs, e.dropAfter))
      const straight = begun()
      straight.applyBatch(batch(1, whole), LIMIT)

      const winding = begun()
      const snapshotAt = (seq: number): void => {
        const part = begun()
        if (seq > 0) part.applyBatch(batch(1, whole.slice(0, seq)), LIMIT)
        winding.replace({ epoch: EPOCH, seq, salt: SALT, records: encodeRecords([...part.entries()]) }, LIMIT)
      }
      for (const [a, b, asSnapshot] of arrivals) {
        const from = (a % whole.length) + 1
        const to = Math.min(whole.length, from + (b % 7))
        const before = winding.position?.seq ?? 0
        if (asSnapshot) snapshotAt(to)
        else winding.applyBatch(batch(from, whole.slice(from - 1, to)), LIMIT)
        // Never back, and never past what is complete.
        const after = winding.position?.seq ?? 0
        assert.ok(after >= before)
        for (const e of whole.slice(0, after)) assert.ok(winding.cutoff(e.key) >= e.cutoffMs)
      }
      // Heal: go on from the position.
      const { seq } = winding.position as { seq: number }
      if (seq < whole.length) assert.equal(winding.applyBatch(batch(seq + 1, whole.slice(seq)), LIMIT), 'applied')
      assert.deepEqual(winding.position, straight.position)
      assert.deepEqual(contents(winding), contents(straight))
    }),
    { numRuns: 300 },
  )
})

// Few first and second words, so that keys crowd into the same segment and the same slots, and run over its end.
const crowded = fc.record({
  words: fc.tuple(fc.nat(2), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 2 ** 29, 2 ** 32 - 1), fc.nat(3), fc.nat(60)),
  cutoffMs: fc.oneof(fc.integer({ min: 1, max: 2 ** 41 }), fc.integer({ min: 1, max: 1000 })),
  dropAfter: fc.integer({ min: 0, max: 2000 }),
})

test('the table answers like a map, through growth, forgetting and collisions of hash', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(crowded, { maxLength: 120 }), fc.integer({ min: 0, max: 1500 })), {
        minLength: 1,
        maxLength: 4,
      }),
      (turns) => {
        const view = begun()
        const model = new Map<string, { cutoffMs: number; dropAfter: number }>()
        const limit = { nowMs: 2 ** 41, guardMs: 0 }
        const same = (): void => {
          assert.equal(view.size, model.size)
          assert.deepEqual(contents(view), new Map([...model].map(([id, e]) => [id, `${e.cutoffMs}/${e.dropAfter}`])))
          for (const [id, e] of model) assert.equal(view.cutoff(Buffer.from(id, 'hex')), e.cutoffMs)
          // The quick question may say yes too often, never no too often.
          const words = (id: string) => [0, 8, 16, 24].map((at) => Number.parseInt(id.slice(at, at + 8), 16))
          const absent = [1, 2, 3, 4]
          for (const id of model.keys()) assert.ok(view.mayHoldAny(Uint32Array.from([...absent, ...words(id)]), 2))
          assert.equal(createRevocationView().mayHoldAny(Uint32Array.from(absent), 1), false)
        }
        let seq = 0
        for (const [entries, nowAt] of turns) {
          for (const { words, cutoffMs, dropAfter } of entries) {
            const key = new Uint8Array(16)
            words.forEach((word, at) => {
              new DataView(key.buffer).setUint32(at * 4, word)
            })
            const id = Buffer.from(key).toString('hex')
            const known = model.get(id) ?? { cutoffMs: 0, dropAfter: 0 }
            model.set(id, {
              cutoffMs: Math.max(known.cutoffMs, cutoffMs),
              dropAfter: Math.max(known.dropAfter, dropAfter),
            })
            assert.equal(view.applyBatch(batch(++seq, [{ key, cutoffMs, dropAfter }]), limit), 'applied')
          }
          same()
          let dead = 0
          for (const [id, e] of model) if (e.dropAfter < nowAt && model.delete(id)) dead++
          assert.equal(view.forget(nowAt), dead)
          same()
        }
      },
    ),
  )
})

test('an absent key has no cutoff', () => {
  const view = begun()
  view.applyBatch(batch(1, [entry(1)]), LIMIT)
  assert.equal(view.cutoff(keyOf(2)), 0)
  assert.equal(view.has(keyOf(1)), true)
  assert.equal(view.has(keyOf(2)), false)
})

test('a gap is told, and nothing after it is taken in until it is healed', () => {
  const view = begun(4)
  assert.equal(view.applyBatch(batch(7, [entry(7)]), LIMIT), 'gap')
  assert.equal(view.has(keyOf(7)), false)
  assert.deepEqual(view.position, { epoch: EPOCH, seq: 4 })
  assert.equal(view.applyBatch(batch(5, [entry(5), entry(6), entry(7)]), LIMIT), 'applied')
  assert.deepEqual(view.position, { epoch: EPOCH, seq: 7 })
  assert.equal(view.applyBatch(batch(5, [entry(5)]), LIMIT), 'duplicate')
})

test('a batch of another epoch or salt changes nothing', () => {
  const view = begun(4)
  assert.equal(view.applyBatch(batch(5, [entry(5)], { epoch: 'e2' }), LIMIT), 'other_epoch')
  assert.equal(view.applyBatch(batch(5, [entry(5)], { saltVersion: 2 }), LIMIT), 'other_epoch')
  assert.equal(createRevocationView().applyBatch(batch(1, [entry(1)]), LIMIT), 'other_epoch')
  assert.equal(view.size, 0)
})

test('one cutoff beyond now + guard spoils its whole batch and its whole snapshot', () => {
  const view = begun()
  const before = view.version
  assert.equal(view.applyBatch(batch(1, [entry(1), entry(2, NOW + 2001)]), LIMIT), 'poisoned')
  const records = encodeRecords([entry(1), entry(2, NOW + 2001)])
  assert.equal(view.replace({ epoch: 'e2', seq: 9, salt: SALT, records }, LIMIT), 'poisoned')
  assert.equal(view.size, 0)
  assert.equal(view.version, before)
  assert.deepEqual(view.position, { epoch: EPOCH, seq: 0 })
  assert.equal(view.applyBatch(batch(1, [entry(1), entry(2, NOW + 2000)]), LIMIT), 'applied')
})

test('what is malformed is refused whole', () => {
  const view = begun()
  const bad: Revocation[] = [
    { key: new Uint8Array(15).fill(1), cutoffMs: NOW, dropAfter: 1 },
    { key: keyOf(1), cutoffMs: 0, dropAfter: 1 },
    { key: keyOf(1), cutoffMs: Number.NaN, dropAfter: 1 },
    { key: keyOf(1), cutoffMs: NOW, dropAfter: -1 },
    { key: keyOf(1), cutoffMs: NOW, dropAfter: Number.POSITIVE_INFINITY },
  ]
  for (const one of bad) assert.equal(view.applyBatch(batch(1, [entry(1), one]), LIMIT), 'poisoned')
  assert.equal(view.applyBatch(batch(0, [entry(1)]), LIMIT), 'poisoned')
  assert.equal(view.applyBatch({ ...batch(3, [entry(1)]), to: 2 }, LIMIT), 'poisoned')
  assert.equal(view.replace({ epoch: EPOCH, seq: 1, salt: SALT, records: new Uint8Array(26) }, LIMIT), 'poisoned')
  assert.equal(view.size, 0)
})

test('a snapshot of another epoch replaces the map, one of the same epoch only adds', () => {
  const view = begun()
  view.applyBatch(batch(1, [entry(1), entry(2)]), LIMIT)
  const same = { epoch: EPOCH, seq: 1, salt: SALT, records: encodeRecords([entry(3)]) }
  assert.equal(view.replace(same, LIMIT), 'merged')
  assert.equal(view.has(keyOf(1)), true)
  assert.deepEqual(view.position, { epoch: EPOCH, seq: 2 })
  const salt = { version: 2, bytes: new Uint8Array(16).fill(9) }
  assert.equal(view.replace({ epoch: 'e2', seq: 1, salt, records: encodeRecords([entry(4)]) }, LIMIT), 'replaced')
  assert.deepEqual([...contents(view).keys()], [Buffer.from(keyOf(4)).toString('hex')])
  assert.deepEqual(view.position, { epoch: 'e2', seq: 1 })
  assert.equal(view.salt?.version, 2)
})

test('more entries than it may hold are refused', () => {
  const view = createRevocationView({ maxEntries: 3 })
  view.begin({ epoch: EPOCH, seq: 0 }, SALT)
  assert.equal(
    view.applyBatch(
      batch(
        1,
        [1, 2, 3].map((n) => entry(n)),
      ),
      LIMIT,
    ),
    'applied',
  )
  assert.equal(view.applyBatch(batch(4, [entry(4)]), LIMIT), 'full')
  assert.deepEqual(view.position, { epoch: EPOCH, seq: 3 })
})

test('the version moves exactly when an answer may, and listeners hear what came', () => {
  const view = begun()
  const heard: string[] = []
  const stop = view.subscribe((change) => heard.push(change.kind === 'all' ? 'all' : `${change.entries.length}`))
  const at = view.version
  view.applyBatch(batch(1, [entry(1)]), LIMIT)
  assert.equal(view.version, at + 1)
  view.applyBatch(batch(2, [entry(1, NOW - 5)]), LIMIT) // A lower cutoff for a known key.
  view.applyBatch(batch(3, []), LIMIT)
  view.forget(2_100_000_000)
  assert.equal(view.version, at + 1)
  view.replace({ epoch: 'e2', seq: 1, salt: SALT, records: new Uint8Array(0) }, LIMIT)
  stop()
  view.applyBatch(batch(2, [entry(3)], { epoch: 'e2' }), LIMIT)
  assert.deepEqual(heard, ['1', 'all'])
})

test('forgetting by shares gets round the whole table', () => {
  const view = begun()
  view.applyBatch(
    batch(
      1,
      Array.from({ length: 500 }, (_, n) => entry(n, NOW, 100)),
    ),
    LIMIT,
  )
  let forgotten = 0
  for (let i = 0; i < 16; i++) forgotten += view.forget(101, 1 / 16)
  assert.equal(forgotten, 500)
  assert.equal(view.size, 0)
})

test('two hundred thousand entries cost at most 45 bytes each', () => {
  const view = begun()
  const count = 200_000
  for (let i = 0; i < count; i += 1000) {
    view.applyBatch(
      batch(
        i + 1,
        Array.from({ length: 1000 }, (_, n) => entry(i + n)),
      ),
      LIMIT,
    )
  }
  assert.equal(view.size, count)
  assert.ok(view.bytes / count <= 45, `${view.bytes / count}`)
  for (let n = 0; n < count; n += 777) assert.equal(view.cutoff(keyOf(n)), NOW)
})
