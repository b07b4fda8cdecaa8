import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RECORD_BYTES } from './feed.ts'
import { decodeRecords, encodeRecords, frameSnapshot, MAX_SNAPSHOT_HEADER_BYTES, unframeSnapshot } from './snapshot.ts'

const entry = fc.record(
  {
    key: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    cutoffMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    dropAfter: fc.integer({ min: 0, max: 2 ** 40 - 1 }),
  },
  { noNullPrototype: true },
)

test('records say again what was written, field by field', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 50 }), (entries) => {
      const records = encodeRecords(entries)
      assert.equal(records.length, entries.length * RECORD_BYTES)
      assert.deepEqual(decodeRecords(records), entries)
    }),
  )
})

test('a record is laid out as the protocol says', () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
  const records = encodeRecords([{ key, cutoffMs: 0x0102030405ff, dropAfter: 0x0a0b0c0d0e }])
  assert.equal(Buffer.from(records).toString('hex'), '0102030405060708090a0b0c0d0e0f100102030405ff0a0b0c0d0e')
})

test('records torn in the middle are nothing', () => {
  assert.equal(decodeRecords(new Uint8Array(RECORD_BYTES - 1)), undefined)
})

test('a value that does not fit its field is a mistake of the writer', () => {
  const key = new Uint8Array(16)
  assert.throws(() => encodeRecords([{ key, cutoffMs: 2 ** 48, dropAfter: 0 }]), RangeError)
  assert.throws(() => encodeRecords([{ key, cutoffMs: 1, dropAfter: -1 }]), RangeError)
  assert.throws(() => encodeRecords([{ key: new Uint8Array(15), cutoffMs: 1, dropAfter: 1 }]), RangeError)
})

test('a frame comes apart as it was put together, and not when it is torn', () => {
  const frame = frameSnapshot('a.b.c', new Uint8Array([1, 2, 3]))
  assert.deepEqual(unframeSnapshot(frame), { jws: 'a.b.c', records: new Uint8Array([1, 2, 3]) })
  assert.equal(unframeSnapshot(frame.subarray(0, 6)), undefined)
  assert.equal(unframeSnapshot(new Uint8Array(3)), undefined)
  const endless = new Uint8Array(MAX_SNAPSHOT_HEADER_BYTES + 100)
  new DataView(endless.buffer).setUint32(0, MAX_SNAPSHOT_HEADER_BYTES + 1)
  assert.equal(unframeSnapshot(endless), undefined)
})
