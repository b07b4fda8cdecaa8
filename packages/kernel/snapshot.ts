/**
 * Snapshot records: how a whole registry travels and rests. One record is `RECORD_BYTES` bytes, big-endian: key 16, cutoff in
 * epoch milliseconds 6, drop-after in epoch seconds 5. Their order means nothing. Around them, on the wire, stands a
 * signed header: `u32be length ‖ JWS ‖ records` (docs/protocol/feed.md).
 */
import { RECORD_BYTES } from './feed.ts'
import { KEY_BYTES, type Revocation } from './revocation.ts'

const MAX_CUTOFF = 2 ** 48 - 1
const MAX_DROP_AFTER = 2 ** 40 - 1
/** A signed snapshot header is far smaller; a longer one is refused. */
export const MAX_SNAPSHOT_HEADER_BYTES = 8192

/** The records of these revocations, one after the other. Throws a RangeError for a value that does not fit its field. */
export function encodeRecords(entries: readonly Revocation[]): Uint8Array {
  const records = new Uint8Array(entries.length * RECORD_BYTES)
  entries.forEach((entry, index) => {
    writeRecord(records, index * RECORD_BYTES, entry)
  })
  return records
}

/** Writes one record at `at`. */
export function writeRecord(records: Uint8Array, at: number, entry: Revocation): void {
  if (entry.key.length !== KEY_BYTES) throw new RangeError('a revocation key has 16 bytes')
  if (!isCount(entry.cutoffMs, MAX_CUTOFF)) throw new RangeError('a cutoff is a 48-bit millisecond')
  if (!isCount(entry.dropAfter, MAX_DROP_AFTER)) throw new RangeError('drop-after is a 40-bit second')
  records.set(entry.key, at)
  writeNumber(records, at + KEY_BYTES, 6, entry.cutoffMs)
  writeNumber(records, at + KEY_BYTES + 6, 5, entry.dropAfter)
}

/** The revocations of these records, or undefined when the bytes end in the middle of one. */
export function decodeRecords(records: Uint8Array): Revocation[] | undefined {
  if (records.length % RECORD_BYTES !== 0) return undefined
  const entries: Revocation[] = []
  for (let at = 0; at < records.length; at += RECORD_BYTES) {
    entries.push({
      key: records.slice(at, at + KEY_BYTES),
      cutoffMs: recordCutoffMs(records, at),
      dropAfter: recordDropAfter(records, at),
    })
  }
  return entries
}

/** Cutoff of the record at `at`, epoch milliseconds. */
export const recordCutoffMs = (records: Uint8Array, at: number): number => readNumber(records, at + KEY_BYTES, 6)

/** Drop-after of the record at `at`, epoch seconds. */
export const recordDropAfter = (records: Uint8Array, at: number): number => readNumber(records, at + KEY_BYTES + 6, 5)

/** Puts the signed header before the records, as `GET /feed/snapshot` answers. */
export function frameSnapshot(jws: string, records: Uint8Array): Uint8Array {
  const header = new TextEncoder().encode(jws)
  const frame = new Uint8Array(4 + header.length + records.length)
  writeNumber(frame, 0, 4, header.length)
  frame.set(header, 4)
  frame.set(records, 4 + header.length)
  return frame
}

/** Takes the frame apart again; undefined when it is torn or its header is longer than the bound. */
export function unframeSnapshot(frame: Uint8Array): { jws: string; records: Uint8Array } | undefined {
  if (frame.length < 4) return undefined
  const length = readNumber(frame, 0, 4)
  if (length > MAX_SNAPSHOT_HEADER_BYTES || 4 + length > frame.length) return undefined
  return { jws: new TextDecoder().decode(frame.subarray(4, 4 + length)), records: frame.subarray(4 + length) }
}

const isCount = (value: number, max: number): boolean => Number.isInteger(value) && value >= 0 && value <= max

function writeNumber(bytes: Uint8Array, at: number, width: number, value: number): void {
  let rest = value
  for (let i = width - 1; i >= 0; i--) {
    bytes[at + i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

function readNumber(bytes: Uint8Array, at: number, width: number): number {
  let value = 0
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + i] as number)
  return value
}
