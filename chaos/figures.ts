/** What a history shows beside its promises: how long requests failed, how soon everybody was well. */
import type { Fact } from './facts.ts'

export interface RoundFigures {
  readonly round: number
  readonly at: number
  /** From the fault to the last request that failed within the round, milliseconds. */
  readonly errorsMs: number
  readonly errors: number
  /** From its end to everybody's well-being. */
  readonly wellMs: number
}

export interface Figures {
  readonly rounds: readonly RoundFigures[]
  readonly requests: number
  readonly errors: number
  readonly revocations: number
  readonly verdicts: number
  readonly startMs: readonly number[]
}

export function measure(facts: readonly Fact[], startMs: readonly number[]): Figures {
  const rounds: RoundFigures[] = []
  let open: { round: number; at: number; healedAt: number; lastError: number; errors: number } | undefined
  let requests = 0
  let errors = 0
  let revocations = 0
  let verdicts = 0
  const honest = new Map<number, number>()
  const answered = new Set<number>()
  for (const fact of facts) {
    if (fact.is === 'fault' && fact.phase === 'injected')
      open = { round: fact.round, at: fact.at, healedAt: fact.at, lastError: fact.at, errors: 0 }
    else if (fact.is === 'fault' && fact.phase === 'abandoned') open = undefined
    else if (fact.is === 'fault' && open !== undefined) open.healedAt = fact.at
    else if (fact.is === 'asked' && fact.who === 'honest') honest.set(fact.call, fact.at)
    else if (fact.is === 'answered' && honest.has(fact.call)) {
      answered.add(fact.call)
      requests++
      if (fact.status === undefined || fact.status >= 500 || fact.status === 429) {
        errors++
        if (open !== undefined) {
          open.errors++
          open.lastError = fact.at
        }
      }
    } else if (fact.is === 'revoked') revocations++
    else if (fact.is === 'verdict') verdicts++
    else if (fact.is === 'well' && open !== undefined) {
      const { round, at, lastError, errors: count, healedAt } = open
      rounds.push({ round, at, errorsMs: lastError - at, errors: count, wellMs: fact.at - healedAt })
      open = undefined
    }
  }
  return { rounds, requests, errors, revocations, verdicts, startMs }
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0
}
