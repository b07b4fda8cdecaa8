/** What a benchmark is: something that measures, and rows of figures with the target they are held against. */

/** Measures, and gives the rows. `scratch` is an empty folder of its own. */
export type Benchmark = (run: { readonly pace: Pace; readonly scratch: string }) => Promise<readonly Row[]>

/** How long to measure. Ratios are medians over interleaved rounds, so more rounds mean less noise. */
export interface Pace {
  readonly quick: boolean
  readonly rounds: number
  /** Length of one contestant's turn in one round, milliseconds. */
  readonly turnMs: number
  /** Each contestant's first turn, which does not count: by its end, what is measured has been compiled. */
  readonly warmUpMs: number
}

export const FULL: Pace = { quick: false, rounds: 5, turnMs: 1000, warmUpMs: 2000 }
export const QUICK: Pace = { quick: true, rounds: 3, turnMs: 300, warmUpMs: 700 }

export interface Row {
  /** Target id of the plan where there is one, then what was measured: `I2 refresh rotation, durable`. */
  readonly name: string
  readonly ours: number
  /** The contestant compared with; absent when the figure stands by itself. */
  readonly theirs?: number
  /** `ours / theirs`: the median of the rounds' own ratios. */
  readonly ratio?: number
  /** What is asked, in words, and whether it was met; absent when the row is told for information. */
  readonly target?: Target
  readonly unit: string
  readonly rounds: number
  /** What must be known to read the figure right. */
  readonly note?: string
}

/** A bound on the ratio, or on our figure itself. */
export interface Target {
  readonly on: 'ratio' | 'ours'
  readonly is: 'at least' | 'at most'
  readonly bound: number
}

export const ratioAtLeast = (bound: number): Target => ({ on: 'ratio', is: 'at least', bound })
export const ratioAtMost = (bound: number): Target => ({ on: 'ratio', is: 'at most', bound })
export const oursAtMost = (bound: number): Target => ({ on: 'ours', is: 'at most', bound })

/** Undefined when there is nothing to meet. */
export function isMet({ target, ours, ratio }: Row): boolean | undefined {
  if (target === undefined) return undefined
  const figure = target.on === 'ours' ? ours : (ratio ?? Number.NaN)
  return target.is === 'at least' ? figure >= target.bound : figure <= target.bound
}
