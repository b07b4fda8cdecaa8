/** Registries of any size, as snapshots that a view takes in. Their keys are random, as digests are. */
import { randomFillSync } from 'node:crypto'
import { RECORD_BYTES } from '@signet/kernel/feed.ts'
import { KEY_BYTES, type Salt } from '@signet/kernel/revocation.ts'
import type { RevocationSnapshot } from '@signet/kernel/revocation-view.ts'
import { writeRecord } from '@signet/kernel/snapshot.ts'

export const BENCH_SALT: Salt = { version: 1, bytes: new Uint8Array(16).fill(7) }
export const BENCH_EPOCH = 'bench'

/** `count` revocations that no token of a benchmark meets. */
export function randomSnapshot(count: number): RevocationSnapshot {
  const records = new Uint8Array(count * RECORD_BYTES)
  const now = Date.now()
  const key = new Uint8Array(KEY_BYTES)
  const pool = new Uint8Array(65_536)
  for (let i = 0, used = pool.length; i < count; i++, used += KEY_BYTES) {
    if (used + KEY_BYTES > pool.length) {
      randomFillSync(pool)
      used = 0
    }
    key.set(pool.subarray(used, used + KEY_BYTES))
    writeRecord(records, i * RECORD_BYTES, { key, cutoffMs: now, dropAfter: Math.floor(now / 1000) + 600 })
  }
  return { epoch: BENCH_EPOCH, seq: count, salt: BENCH_SALT, records }
}
