/**
 * Interleaved rounds. Every contestant has a turn in every round, in changing order, so that what the rest of the machine
 * does falls on all alike; what counts is the median, and for a ratio the median of the rounds' own ratios.
 */
import type { Pace, Row, Target } from './benchmark.ts'

/** Figures of one contestant, one per round. */
export type Figures = readonly number[]

/** Gives each contestant one warm-up turn and then `rounds` turns; the answer has one value per round and contestant. */
export async function interleave<Name extends string, T>(
  contestants: Readonly<Record<Name, (turnMs: number) => T | Promise<T>>>,
  pace: Pace,
): Promise<Record<Name, readonly T[]>> {
  const names = Object.keys(contestants) as Name[]
  const results = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<Name, T[]>
  for (const name of names) await contestants[name](pace.warmUpMs)
  for (let round = 0; round < pace.rounds; round++) {
    const order = [...names.slice(round % names.length), ...names.slice(0, round % names.length)]
    for (const name of order) results[name].push(await contestants[name](pace.turnMs))
  }
  return results
}

export function median(figures: Figures): number {
  return quantile(figures, 0.5)
}

/** The value below which a share `q` of the figures lies, by linear interpolation; NaN when there are none. */
export function quantile(figures: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(figures).sort()
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? Number.NaN
  return below + (above - below) * (at - Math.floor(at))
}

/** A row from the figures of two contestants in the same rounds. */
export function comparison(
  row: { name: string; unit: string; target?: Target; note?: string },
  ours: Figures,
  theirs: Figures,
): Row {
  const ratios = ours.map((figure, round) => figure / (theirs[round] as number))
  return { ...row, ours: median(ours), theirs: median(theirs), ratio: median(ratios), rounds: ours.length }
}

/** Calls `operation` for about `turnMs`, in batches between looks at the clock; gives operations per second. */
export function ratePerSecond(operation: () => unknown, turnMs: number): number {
  let done = 0
  const began = performance.now()
  let elapsed = 0
  while (elapsed < turnMs) {
    for (let i = 0; i < BATCH; i++) operation()
    done += BATCH
    elapsed = performance.now() - began
  }
  return done / (elapsed / 1000)
}

/** The same for an operation that gives a promise, with `inFlight` of them under way at any time. */
export async function ratePerSecondAsync(operation: () => Promise<unknown>, turnMs: number, inFlight: number): Promise<number> {
  let done = 0
  const began = performance.now()
  const lane = async () => {
    while (performance.now() - began < turnMs) {
      await operation()
      done++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return done / ((performance.now() - began) / 1000)
}

const BATCH = 32
