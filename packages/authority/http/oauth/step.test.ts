import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStep } from './step.ts'

test('all who ask in one turn go on together at its end, who asks later with the next', async () => {
  const turns: (() => void)[] = []
  const step = createStep({ soon: (task) => void turns.push(task) })
  const went: string[] = []
  const go = (name: string) => step().then(() => went.push(name))
  const early = [go('a'), go('b')]
  await Promise.resolve()
  assert.deepEqual([turns.length, went], [1, []], 'one wait for both')
  turns[0]?.()
  const late = go('c')
  await Promise.all(early)
  assert.deepEqual([turns.length, went], [2, ['a', 'b']])
  turns[1]?.()
  await late
  assert.deepEqual(went, ['a', 'b', 'c'])
})
