/** What is to be done in how much time: pairs of fault and store, two at once, and how many rounds each of them gets. */
import type { Engine } from './cluster.ts'
import type { Fault } from './faults/fault.ts'

export interface Pair {
  readonly fault: Fault
  readonly engine: Engine
}

export interface Share {
  readonly pair: Pair
  readonly rounds: number
  /** By `performance.now()`: no round but the first begins later. */
  readonly untilMs: number
}

export interface Plan {
  /** The next pair for a lane; undefined when none is left. */
  next(): Share | undefined
  /** It is over. */
  done(pair: Pair): void
  /** About how long all that is left will take, milliseconds. */
  leftMs(): number
}

/** A round is mostly waiting, so two clusters have room beside each other; one of each store, as long as there are such. */
export const LANES = 2

/** On a quiet machine, milliseconds: a cluster is set up, looked at and torn down; a round goes by. What is left of the plan learns by how much it is wrong. */
const CLUSTER_MS: Readonly<Record<Engine, number>> = { sqlite: 6000, postgres: 12_000 }
const roundMs = ({ lastsMs: [least, most], wellWithinMs }: Fault): number =>
  wellWithinMs === undefined ? 1000 + (least + most) / 2 : wellWithinMs

/** `rounds` of each pair at most; fewer, and of each the same number, where they do not fit into `budgetMs`. */
export function makePlan(pairs: readonly Pair[], rounds: number, budgetMs = Infinity): Plan {
  const began = performance.now()
  const waiting = [...pairs]
  const running = new Map<Pair, { readonly began: number; readonly guessMs: number }>()
  let guessedMs = 0
  let tookMs = 0
  const pace = () => (guessedMs === 0 ? 1 : tookMs / guessedMs)
  const guess = ({ fault, engine }: Pair, rounds: number) => CLUSTER_MS[engine] + rounds * roundMs(fault)
  const total = (list: readonly Pair[], rounds: number) => list.reduce((sum, pair) => sum + guess(pair, rounds), 0) * pace()
  const underWayMs = () =>
    [...running.values()].reduce(
      (sum, { began, guessMs }) => sum + Math.max(0, guessMs * pace() - (performance.now() - began)),
      0,
    )
  /** So many of each that is left. */
  const fitting = () => {
    const roomMs = (began + budgetMs - performance.now()) * LANES - underWayMs()
    let fits = rounds
    while (fits > 1 && total(waiting, fits) > roomMs) fits--
    return fits
  }
  return {
    next() {
      if (waiting.length === 0) return undefined
      const beside = new Set([...running.keys()].map(({ engine }) => engine))
      const fits = fitting()
      const other = waiting.findIndex(({ engine }) => !beside.has(engine))
      const [pair] = waiting.splice(Math.max(0, other), 1) as [Pair]
      running.set(pair, { began: performance.now(), guessMs: guess(pair, fits) })
      return { pair, rounds: fits, untilMs: began + budgetMs }
    },
    done(pair) {
      const { began, guessMs } = running.get(pair) as { began: number; guessMs: number }
      running.delete(pair)
      guessedMs += guessMs
      tookMs += performance.now() - began
    },
    leftMs: () => (underWayMs() + total(waiting, fitting())) / Math.min(LANES, Math.max(1, waiting.length + running.size)),
  }
}
