import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Engine } from './cluster.ts'
import type { Fault } from './faults/fault.ts'
import { makePlan, type Pair } from './plan.ts'

const ENGINES: readonly Engine[] = ['sqlite', 'postgres']
const fault = (name: string): Fault => ({ name, about: '', engines: ENGINES, inject() {}, lastsMs: [1000, 3000], heal() {} })
const PAIRS: readonly Pair[] = ['a', 'b', 'c', 'd'].flatMap((name) => ENGINES.map((engine) => ({ fault: fault(name), engine })))

/** All of it, pair by pair: how many rounds each had. */
function roundsOf(budgetMs?: number): number[] {
  const plan = makePlan(PAIRS, 20, budgetMs)
  const rounds: number[] = []
  for (let share = plan.next(); share !== undefined; share = plan.next()) {
    rounds.push(share.rounds)
    plan.done(share.pair)
  }
  return rounds
}

describe('a plan', () => {
  it('gives each pair all rounds when there is time', () => {
    assert.deepEqual(
      roundsOf(),
      PAIRS.map(() => 20),
    )
  })

  it('gives fewer rounds to all alike when there is not, and never none', () => {
    const plan = makePlan(PAIRS, 20, 120_000)
    const [one, other] = [plan.next(), plan.next()]
    assert.ok(one !== undefined && other !== undefined && one.rounds > 1 && one.rounds < 20, `${one?.rounds}`)
    assert.ok(Math.abs(one.rounds - other.rounds) <= 1)
    assert.deepEqual(
      roundsOf(-1), // Over before it has begun, however fast this machine is.
      PAIRS.map(() => 1),
    )
  })

  it('runs one of each store side by side, as long as there are such', () => {
    const plan = makePlan(PAIRS, 1)
    const one = plan.next()
    const other = plan.next()
    assert.notEqual(one?.pair.engine, other?.pair.engine)
    plan.done(one?.pair as Pair)
    assert.equal(plan.next()?.pair.engine, one?.pair.engine)
  })

  it('says how long is left, and learns', async () => {
    const plan = makePlan(PAIRS, 20)
    const before = plan.leftMs()
    plan.done(plan.next()?.pair as Pair) // Over at once.
    assert.ok(plan.leftMs() < before / 10, `${plan.leftMs()} of ${before}`)
  })
})
