import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { type Haste, Pace } from './pace.ts'

/** Work that always has another piece, each taking so long. */
function working(haste: Haste, tookMs: number, { isShared = false } = {}) {
  const { clock, timers } = manualSurroundings()
  const pace = new Pace(clock, timers, isShared)
  const begun: number[] = []
  const piece = async () => {
    begun.push(clock.monotonic())
    clock.advance(tookMs)
  }
  /** So many milliseconds, with a request in each of them if there are any. */
  const pass = async (ms: number, asks: boolean) => {
    for (const until = clock.monotonic() + ms; clock.monotonic() < until; ) {
      if (asks) pace.asked()
      clock.advance(1)
      for (let n = 0; n < 8; n++) await turn()
    }
  }
  let stopped = false
  const goOn = async (count: number) => {
    for (let n = 0; n < count && !stopped; n++) await pace.gently(haste, piece)
  }
  const stop = async () => {
    stopped = true
    await pass(50, true)
  }
  return { pace, clock, begun, piece, pass, goOn, stop }
}

test('pieces take their part of the time while requests come, and no more', async () => {
  for (const [haste, share] of [
    ['whenever', 0.03],
    ['soon', 0.5],
  ] as const) {
    const { pass, goOn, begun, clock, stop } = working(haste, 0.5)
    void goOn(10_000)
    await pass(2000, true)
    const taken = (begun.length * 0.5) / clock.monotonic()
    await stop()
    assert.ok(taken > share * 0.6 && taken < share * 1.1, `${haste}: ${taken}`)
  }
})

test('the slower the store, the longer the pauses, up to a bound: the work always goes on', async () => {
  const { pass, goOn, begun, stop } = working('whenever', 200)
  void goOn(1000)
  await pass(10_000, true)
  await stop()
  const gaps = begun.slice(1).map((at, n) => at - (begun[n] as number) - 200)
  assert.ok(gaps.length >= 40)
  assert.ok(
    gaps.every((gap) => gap >= 25 && gap <= 27),
    String(gaps),
  )
})

test('when nobody has asked for a second there are no pauses, and the first request brings them back', async () => {
  const { pace, pass, goOn, begun, clock } = working('whenever', 0.5)
  await goOn(100)
  assert.equal(clock.monotonic(), 50)
  pace.asked()
  const before = begun.length
  void goOn(10_000)
  await pass(500, false)
  assert.ok(begun.length - before <= 32, 'it went on as if nobody had asked')
  await pass(700, false)
  assert.equal(begun.length - before, 10_000)
})

test('a store that others use too is never taken for quiet', async () => {
  const { pass, goOn, begun, stop } = working('whenever', 1, { isShared: true })
  void goOn(10_000)
  await pass(2000, false)
  await stop()
  assert.ok(begun.length <= 84, `${begun.length}`)
})

test('one piece at a time, whoever they are of; the pauses of one are not those of the other', async () => {
  const { clock, timers } = manualSurroundings()
  const pace = new Pace(clock, timers, true)
  const order: string[] = []
  let running = 0
  const piece = (name: string) => async () => {
    assert.equal(++running, 1)
    order.push(name)
    await turn()
    clock.advance(1)
    running--
  }
  const whenever = [pace.gently('whenever', piece('w')), pace.gently('whenever', piece('w'))]
  const soon = Promise.all(Array.from({ length: 5 }, () => pace.gently('soon', piece('s'))))
  const step = setInterval(() => clock.advance(1), 1)
  await Promise.all([...whenever, soon])
  clearInterval(step)
  assert.deepEqual(order, ['w', 's', 's', 's', 's', 's', 'w'])
})

test('a piece that fails tells its caller, and the next has its turn', async () => {
  const { pace, piece, begun } = working('soon', 0)
  await assert.rejects(
    pace.gently('soon', async () => {
      throw new Error('no')
    }),
    /^Error: no$/,
  )
  await pace.gently('soon', piece)
  assert.equal(begun.length, 1)
})
