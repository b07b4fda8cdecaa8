import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { edits, nearest } from './nearest.ts'

describe('a suggestion', () => {
  test('is the nearest that could be a slip, or none', () => {
    assert.equal(nearest('wroker', ['worker', 'walker']), 'worker')
    assert.equal(nearest('SHOP', ['shop', 'shop-2']), 'shop')
    assert.equal(nearest('work', ['worker']), 'worker')
    assert.equal(nearest('completely-else', ['worker']), undefined)
    assert.equal(nearest('x', []), undefined)
  })

  test('counts edits the same both ways', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 8 }),
        fc.string({ maxLength: 8 }),
        (a, b) => edits(a, b) === edits(b, a) && (edits(a, b) === 0) === (a === b),
      ),
    )
  })
})
