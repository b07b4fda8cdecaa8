import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMet, ratioAtLeast } from './benchmark.ts'
import { toJson } from './report.ts'
import { comparison, interleave, median, quantile } from './rounds.ts'

test('every contestant warms up once and has a turn in every round, in changing order', async () => {
  const turns: string[] = []
  const contestant = (name: string) => (turnMs: number) => {
    turns.push(`${name} ${turnMs}`)
    return turns.length
  }
  const results = await interleave(
    { a: contestant('a'), b: contestant('b') },
    { quick: true, rounds: 2, turnMs: 5000, warmUpMs: 1000 },
  )
  assert.deepEqual(turns, ['a 1000', 'b 1000', 'a 5000', 'b 5000', 'b 5000', 'a 5000'])
  assert.deepEqual(results, { a: [3, 6], b: [4, 5] })
})

test('a ratio is the median of the rounds’ own ratios, so a slow moment of the machine does not count', () => {
  const row = comparison({ name: 'x', unit: '/s', target: ratioAtLeast(2) }, [20, 2, 30], [10, 1, 10])
  assert.equal(row.ratio, 2)
  assert.equal(row.ours, 20)
  assert.equal(row.theirs, 10)
  assert.equal(isMet(row), true)
})

test('quantiles are interpolated, and there are none of nothing', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(quantile([10, 20], 0.99), 19.9)
  assert.equal(quantile([], 0.5), Number.NaN)
})

test('the written rows are an array with every member that is promised', () => {
  const rows = JSON.parse(
    toJson([
      { name: 'a', ours: 3, theirs: 1, ratio: 3, target: ratioAtLeast(4), unit: '/s', rounds: 5 },
      { name: 'b', ours: 7, unit: 'ms', rounds: 1 },
    ]),
  )
  assert.deepEqual(rows, [
    { name: 'a', ours: 3, theirs: 1, ratio: 3, target: '≥ 4 ×', met: false, unit: '/s', rounds: 5 },
    { name: 'b', ours: 7, theirs: null, ratio: null, target: null, met: null, unit: 'ms', rounds: 1 },
  ])
})
