import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createRateLimit, type RateLimit } from '@signet/kernel/rate-limit.ts'
import { type ManualClock, manualClock } from '@signet/testkit/surroundings.ts'
import { createSharedRateLimit } from './shared-rate-limit.ts'

const RATE = { perSecond: 10, burst: 64 }
const SHARE = RATE.burst / 16

/** The store's bucket; every question takes a turn of the event loop. */
function bucketOf(clock: ManualClock) {
  const whole = createRateLimit(RATE, clock)
  const bucket = {
    asked: 0,
    away: false,
    async take(key: string, count: number) {
      bucket.asked++
      await new Promise((resolve) => setImmediate(resolve))
      if (bucket.away) throw new Error('away')
      for (let granted = 0; granted < count; granted++) {
        const retryAfterMs = whole.take(key)
        if (retryAfterMs > 0) return { granted, retryAfterMs }
      }
      return { granted: count, retryAfterMs: 0 }
    },
  }
  return bucket
}

describe('a budget of several nodes', () => {
  const given = (nodes: number) => {
    const clock = manualClock()
    const bucket = bucketOf(clock)
    const limits: RateLimit[] = Array.from({ length: nodes }, () => createSharedRateLimit(RATE, clock, bucket.take))
    return { clock, bucket, limits }
  }

  it('grants the whole burst to one who comes to one node alone, all at once', async () => {
    const { limits, bucket } = given(1)
    const answers = await Promise.all(Array.from({ length: 100 }, async () => limits[0]?.take('a')))
    assert.equal(answers.filter((ms) => ms === 0).length, RATE.burst)
    assert.ok(bucket.asked < 10, `${bucket.asked} questions`)
  })

  it('is not exceeded by more than a share for each node, whatever comes to whichever node', async () => {
    const { clock, limits } = given(3)
    let granted = 0
    for (let second = 0; second < 20; second++) {
      for (let n = 0; n < 60; n++) {
        const answers = await Promise.all(limits.map(async (limit) => limit.take('a')))
        granted += answers.filter((ms) => ms === 0).length
        clock.advance(1000 / 60)
      }
    }
    const whole = RATE.burst + 20 * RATE.perSecond
    assert.ok(granted <= whole + 3 * SHARE, `${granted} of ${whole}`)
    assert.ok(granted >= whole - 3 * SHARE, `${granted} of ${whole}: honest ones were refused`)
  })

  it('costs the store one question for many requests, and none for one who comes seldom', async () => {
    const { clock, limits, bucket } = given(1)
    for (let n = 0; n < 1000; n++) {
      assert.equal(await limits[0]?.take('a'), 0)
      clock.advance(1000 / RATE.perSecond)
    }
    assert.ok(bucket.asked <= 1000 / (SHARE / 2) + 1, `${bucket.asked} questions`)
    const before = bucket.asked
    assert.equal(await limits[0]?.take('seldom'), 0)
    assert.equal(bucket.asked, before)
  })

  it('is each node’s own while the store is away', async () => {
    const { limits, bucket } = given(1)
    bucket.away = true
    const answers = []
    for (let n = 0; n < RATE.burst + 10; n++) answers.push(await limits[0]?.take('a'))
    assert.equal(answers.filter((ms) => ms === 0).length, RATE.burst)
  })

  it('says when there is more', async () => {
    const { clock, limits } = given(2)
    for (let n = 0; n < 200; n++) await limits[n % 2]?.take('a')
    const waitMs = (await limits[0]?.take('a')) as number
    assert.ok(waitMs > 0 && waitMs <= 1000 / RATE.perSecond, String(waitMs))
    clock.advance(waitMs * (2 * SHARE + 1)) // What both were ahead is paid for first.
    assert.equal(await limits[0]?.take('a'), 0)
  })
})
