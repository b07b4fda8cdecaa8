/**
 * The registry of revocations in memory: what an entry weighs, what a look-up costs, how fast a snapshot is taken in. Compared with what
 * one would write first, a Map from base64url text to cutoff.
 */
import { freemem } from 'node:os'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { RECORD_BYTES } from '@signet/kernel/feed.ts'
import { KEY_BYTES } from '@signet/kernel/revocation.ts'
import { readWords } from '@signet/kernel/revocation-table.ts'
import { createRevocationView, type RevocationSnapshot, type RevocationView } from '@signet/kernel/revocation-view.ts'
import { recordCutoffMs } from '@signet/kernel/snapshot.ts'
import { type Benchmark, oursAtMost, type Pace, type Row } from './benchmark.ts'
import { randomSnapshot } from './revocations.ts'
import { comparison, interleave, median } from './rounds.ts'

const MILLION = 1_000_000
/** Keys that are looked up, over and over: more than the processor's nearer caches keep together with the table. */
const ASKED = 100_000

export const benchmark: Benchmark = async ({ pace }) => {
  const rows = await ofSize(MILLION, pace, 45)
  // Ten million need about 1 GB while the snapshot is taken in.
  if (!pace.quick && freemem() > 3 * 2 ** 30) rows.push(...(await tenMillion()))
  return rows
}

async function ofSize(count: number, pace: Pace, bytesPerEntry: number): Promise<Row[]> {
  const snapshot = randomSnapshot(count)
  // Before anything else, since what is garbage by then would be taken off.
  const empty = ownBytes()
  const { view } = takeIn(snapshot)
  const weight = (ownBytes() - empty) / count
  const times = Array.from({ length: pace.rounds }, () => takeIn(snapshot).milliseconds)
  const before = heapBytes()
  const map = mapOf(snapshot)
  const mapBytes = heapBytes() - before
  const absent = keysOf(randomSnapshot(ASKED))
  const present = keysOf({ ...snapshot, records: snapshot.records.subarray(0, ASKED * RECORD_BYTES) })
  const turns = await interleave(
    {
      ours: (turnMs) => ({
        absent: nsPerLookUp(ASKED, 0, turnMs / 2, () => inView(view, absent)),
        present: nsPerLookUp(ASKED, ASKED, turnMs / 2, () => inView(view, present)),
      }),
      map: (turnMs) => ({
        absent: nsPerLookUp(ASKED, 0, turnMs / 2, () => inMap(map, absent)),
        present: nsPerLookUp(ASKED, ASKED, turnMs / 2, () => inMap(map, present)),
      }),
    },
    pace,
  )
  const lookUp = (what: 'absent' | 'present') =>
    comparison(
      { name: `R1 look-up, ${what}, 1 M entries`, unit: 'ns', target: oursAtMost(150) },
      turns.ours.map((turn) => turn[what]),
      turns.map.map((turn) => turn[what]),
    )
  return [
    {
      name: 'R1 memory per entry, 1 M entries',
      ours: view.bytes / view.size,
      theirs: mapBytes / count,
      ratio: view.bytes / view.size / (mapBytes / count),
      target: oursAtMost(bytesPerEntry),
      unit: 'B',
      rounds: 1,
    },
    {
      name: 'R1 memory per entry in the process, 1 M entries, heap included',
      ours: weight,
      target: oursAtMost(60),
      unit: 'B',
      rounds: 1,
    },
    lookUp('absent'),
    lookUp('present'),
    {
      name: 'R1 snapshot of 1 M taken in',
      ours: median(times),
      target: oursAtMost(1000),
      unit: 'ms',
      rounds: pace.rounds,
    },
  ]
}

async function tenMillion(): Promise<Row[]> {
  const { view, milliseconds } = takeIn(randomSnapshot(10 * MILLION))
  return [
    { name: 'R1 memory per entry, 10 M entries', ours: view.bytes / view.size, target: oursAtMost(36), unit: 'B', rounds: 1 },
    { name: 'R1 snapshot of 10 M taken in', ours: milliseconds, unit: 'ms', rounds: 1 },
  ]
}

interface TakenIn {
  readonly view: RevocationView
  readonly milliseconds: number
}

function takeIn(snapshot: RevocationSnapshot): TakenIn {
  const view = createRevocationView()
  const began = performance.now()
  const outcome = view.replace(snapshot, { nowMs: Date.now(), guardMs: 2000 })
  if (outcome !== 'replaced') throw new Error(`the snapshot was not taken in: ${outcome}`)
  return { view, milliseconds: performance.now() - began }
}

interface Keys {
  /** Four words per key, side by side. */
  readonly words: Uint32Array
  readonly texts: readonly string[]
}

function keysOf({ records }: RevocationSnapshot): Keys {
  const count = records.length / RECORD_BYTES
  const words = new Uint32Array(count * 4)
  const texts: string[] = []
  for (let i = 0; i < count; i++) {
    readWords(records, i * RECORD_BYTES, words, i * 4)
    texts.push(textOf(records, i))
  }
  return { words, texts }
}

function textOf(records: Uint8Array, index: number): string {
  return toBase64Url(records.subarray(index * RECORD_BYTES, index * RECORD_BYTES + KEY_BYTES))
}

function mapOf({ records }: RevocationSnapshot): Map<string, number> {
  const map = new Map<string, number>()
  for (let i = 0; i < records.length / RECORD_BYTES; i++) map.set(textOf(records, i), recordCutoffMs(records, i * RECORD_BYTES))
  return map
}

/** Nanoseconds per look-up over many passes; `expected` of the keys must be there, or what was timed was something else. */
function nsPerLookUp(keys: number, expected: number, turnMs: number, pass: () => number): number {
  const began = performance.now()
  let passes = 0
  let found = 0
  while (passes === 0 || performance.now() - began < turnMs) {
    found += pass()
    passes++
  }
  const elapsed = performance.now() - began
  if (found !== expected * passes) throw new Error(`found ${found / passes} of ${keys} keys, not ${expected}`)
  return (elapsed * 1e6) / (passes * keys)
}

function inView(view: RevocationView, { words }: Keys): number {
  let found = 0
  for (let at = 0; at < words.length; at += 4) if (view.cutoffOfWords(words, at) > 0) found++
  return found
}

function inMap(map: ReadonlyMap<string, number>, { texts }: Keys): number {
  let found = 0
  for (const text of texts) if ((map.get(text) ?? 0) > 0) found++
  return found
}

/** What this process holds, in the heap and outside it. */
function ownBytes(): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function heapBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
