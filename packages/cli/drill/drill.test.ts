import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '@signet/api/errors.ts'
import { EXIT, Trouble } from '../trouble.ts'
import { type Leftover, playOut, type Run, type Step } from './drill.ts'
import { comingBack } from './oauth.ts'

/** Plays it; `stop` is Ctrl-C. */
function played(play: (run: Run, stop: () => void) => Promise<void>) {
  const stopping = new AbortController()
  const told: Step[] = []
  const watching = { told: (step: Step) => void told.push(step), doing: () => {}, leftovers: [] as Leftover[] }
  return playOut((run) => play(run, () => stopping.abort()), { ...watching, interrupted: stopping.signal })
}

const away = () =>
  Promise.reject(new ApiError('unreachable', { what: 'Could not ask', why: 'nothing listens at a.example', advice: 'Start it.' }))

test('what a drill made is put away when it is over, the newest first', async () => {
  for (const end of ['well', 'broken', 'unmet', 'stopped'] as const) {
    const order: string[] = []
    const { left, interrupted, broke, steps } = await played(async (run, stop) => {
      for (const what of ['one', 'two']) run.leaves({ what, byHand: `rm ${what}`, putAway: async () => void order.push(what) })
      if (end === 'broken') throw new Error('torn')
      if (end === 'unmet') run.demand('a token', false)
      if (end === 'stopped') stop()
      run.check('the end', true)
    })
    assert.deepEqual(order, ['two', 'one'], end)
    assert.deepEqual(left, [], end)
    assert.equal(interrupted, end === 'stopped')
    assert.equal((broke as Error | undefined)?.message, end === 'broken' ? 'torn' : undefined)
    assert.deepEqual(
      steps.map(({ what }) => what),
      end === 'well' ? ['the end'] : end === 'unmet' ? ['a token'] : [],
    )
  }
})

test('what could not be put away is named with how to do it by hand, and the rest is put away', async () => {
  const done: string[] = []
  const { left } = await played(async (run) => {
    run.leaves({ what: 'the folder', byHand: 'rm -r it', putAway: async () => void done.push('the folder') })
    run.leaves({ what: 'the client', byHand: 'signet client delete it', putAway: () => Promise.reject(new Error('forbidden')) })
    run.leaves({ what: 'a process', putAway: () => Promise.reject(new Error('it ends with us')) })
  })
  assert.deepEqual(left, [{ what: 'the client', byHand: 'signet client delete it' }])
  assert.deepEqual(done, ['the folder'])
})

test('who is away for a moment is asked again, when waiting and when putting away', async () => {
  let [asked, tried] = [0, 0]
  const outcome = await played(async (run) => {
    run.leaves({ what: 'the client', byHand: 'by hand', putAway: () => (++tried < 2 ? away() : Promise.resolve()) })
    assert.equal(await run.until('it is so', 20_000, () => (++asked < 3 ? away() : Promise.resolve(true))), true)
  })
  assert.deepEqual([outcome.broke, outcome.left, asked, tried], [undefined, [], 3, 2])
})

test('nobody knows whether it is so when nobody answers: that is told as what it is', async () => {
  for (const [ask, why] of [
    [away, 'nothing listens at a.example'],
    [() => new Promise<boolean>(() => {}), 'there was no answer'],
  ] as const) {
    const { broke, steps } = await played(async (run) => {
      await run.until('the service refuses it', 50, ask)
      run.check('never said', true)
    })
    assert.ok(broke instanceof Trouble)
    assert.deepEqual([broke.exit, broke.why], [EXIT.unreachable, why])
    assert.match(broke.message, /whether the service refuses it/)
    assert.deepEqual(
      steps.map(({ ok }) => ok),
      [false],
    )
  }
})

test('it is not so where that was the last answer, though the end cut a look off', async () => {
  for (const unanswered of [Number.POSITIVE_INFINITY, 2]) {
    let asked = 0
    const isSo = () => (++asked < unanswered ? Promise.resolve(false) : new Promise<boolean>(() => {}))
    const { broke, steps } = await played(async (run) => void (await run.until('it is so', 200, isSo)))
    assert.deepEqual([broke, steps.map(({ ok }) => ok)], [undefined, [false]])
  }
})

test('a drill that is stopped does not go on, whatever it was at', async () => {
  const { interrupted, steps, broke } = await played(async (run, stop) => {
    run.check('first', true)
    await run.until('never', 60_000, async () => {
      stop()
      return new Promise(() => {})
    })
    run.check('second', true)
  })
  assert.deepEqual([interrupted, steps.length, broke], [true, 1, undefined])
})

test('who is told to come back does, and it is counted; any other answer is the answer', async () => {
  const answer = (status: number, retryAfter = false) => ({ status, retryAfter, body: {} })
  for (const [answers, told] of [
    [[answer(503, true), answer(200)], 1],
    [[answer(400, true)], 0],
    [[answer(503)], 0],
    [[answer(0)], 0],
  ] as const) {
    let [asked, late] = [0, 0]
    const post = comingBack(
      async () => answers[asked++] as (typeof answers)[number],
      () => late++,
    )
    assert.equal(await post('/token', {}), answers.at(-1))
    assert.deepEqual([asked, late], [answers.length, told])
  }
})
