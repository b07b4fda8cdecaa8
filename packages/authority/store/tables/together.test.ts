import assert from 'node:assert/strict'
import { test } from 'node:test'
import { together } from './together.ts'

test('who asks in the same moment shares a question, and each gets his own answer', async () => {
  const questions: number[][] = []
  const find = together(async (keys: readonly number[]) => {
    questions.push([...keys])
    return keys.map((key) => key * 10)
  })
  assert.deepEqual(await Promise.all([3, 1, 2, 1].map(find)), [30, 10, 20, 10])
  assert.equal(await find(7), 70)
  assert.deepEqual(questions, [[3, 1, 2, 1], [7]])
})

test('a crowd is asked for in bounded parts', async () => {
  const sizes: number[] = []
  const find = together(async (keys: readonly number[]) => {
    sizes.push(keys.length)
    return keys
  })
  const crowd = Array.from({ length: 300 }, (_, n) => n)
  assert.deepEqual(await Promise.all(crowd.map(find)), crowd)
  assert.deepEqual(sizes, [128, 128, 44])
})

test('a question that fails fails those who shared it and nobody after', async () => {
  let isDown = true
  const find = together(async (keys: readonly number[]) => {
    if (isDown) throw new Error('down')
    return keys
  })
  const both = await Promise.allSettled([find(1), find(2)])
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  isDown = false
  assert.equal(await find(3), 3)
})
