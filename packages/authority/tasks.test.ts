import assert from 'node:assert/strict'
import { it } from 'node:test'
import { realSurroundings } from './surroundings.ts'
import { startTasks } from './tasks.ts'
import { createLog } from './telemetry/log.ts'

it('a task that fails is tried again, one with more to do goes on at once, and closing waits for what runs', async () => {
  const { timers } = realSurroundings()
  let now = 0
  const clock = { now: () => now, monotonic: () => now }
  const turns: string[] = []
  const enough = Promise.withResolvers<void>()
  let pieces = 3
  const tasks = startTasks(
    [
      {
        name: 'fails',
        everyMs: 5,
        async run() {
          turns.push('fails')
          throw new Error('broken')
        },
      },
      {
        name: 'pieces',
        everyMs: 5,
        async run() {
          turns.push('piece')
          now += 1000
          if (pieces-- > 0) return true
          if (turns.filter((turn) => turn === 'fails').length >= 2) enough.resolve()
          return false
        },
      },
    ],
    { clock, timers, log: createLog('silent') },
  )
  const alive = setInterval(() => {}, 1000) // The tasks' own timers keep no process alive.
  await enough.promise
  clearInterval(alive)
  await tasks.close()
  const count = turns.length
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.equal(turns.length, count, 'went on after it was closed')
  assert.deepEqual(Object.fromEntries(tasks.ages()), { fails: now, pieces: 0 }, 'only what ended well counts')
})
