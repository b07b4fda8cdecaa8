import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ageMs, createRecent } from './recent.ts'

function world(maxAgeMs = 500, capacity = 100) {
  let wall = 1_000_000
  let monotonic = 0
  let loads = 0
  let answer: (key: string) => Promise<string | undefined> = async (key) => `${key} ${loads}`
  const clock = { now: () => wall, monotonic: () => monotonic }
  const recent = createRecent(
    (key) => {
      loads++
      return answer(key)
    },
    { maxAgeMs, capacity, clock },
  )
  return {
    recent,
    clock,
    loads: () => loads,
    pass: (milliseconds: number) => {
      wall += milliseconds
      monotonic += milliseconds
    },
    sleep: (milliseconds: number) => {
      wall += milliseconds
    },
    answers: (next: typeof answer) => {
      answer = next
    },
  }
}

describe('recent knowledge', () => {
  it('is asked for once while it is young enough', async () => {
    const { recent, loads, pass } = world()
    assert.equal((await recent.find('a')).value, 'a 1')
    pass(500)
    assert.equal((await recent.find('a')).value, 'a 1')
    pass(1)
    assert.equal((await recent.find('a')).value, 'a 2')
    assert.equal(loads(), 2)
  })

  it('is old after the machine slept, although the monotonic clock stood still', async () => {
    const { recent, sleep } = world()
    await recent.find('a')
    sleep(60_000)
    assert.equal((await recent.find('a')).value, 'a 2')
  })

  it('remembers that there is none', async () => {
    const { recent, loads, answers } = world()
    answers(async () => undefined)
    assert.equal((await recent.find('a')).value, undefined)
    assert.equal((await recent.find('a')).value, undefined)
    assert.equal(loads(), 1)
  })

  it('counts its age from before the question, also for those who join it', async () => {
    const { recent, clock, pass, answers } = world()
    const { promise, resolve } = Promise.withResolvers<string>()
    answers(() => promise)
    const first = recent.find('a')
    pass(300)
    const second = recent.find('a')
    resolve('late')
    assert.equal(ageMs(clock, (await first).at), 300)
    assert.equal(ageMs(clock, (await second).at), 300)
  })

  it('does not remember failures', async () => {
    const { recent, answers } = world()
    answers(async () => {
      throw new Error('cut off')
    })
    await assert.rejects(async () => recent.find('a'), /cut off/)
    answers(async () => 'back')
    assert.equal((await recent.find('a')).value, 'back')
  })

  it('does not keep an answer that was on its way when it was told to forget', async () => {
    const { recent, answers } = world()
    const { promise, resolve } = Promise.withResolvers<string>()
    answers(() => promise)
    const first = recent.find('a')
    recent.forget('a')
    answers(async () => 'new')
    assert.equal((await recent.find('a')).value, 'new')
    resolve('old')
    assert.equal((await first).value, 'old')
    assert.equal((await recent.find('a')).value, 'new')
  })

  it('is bounded', async () => {
    const { recent, loads } = world(500, 10)
    for (let n = 0; n < 1000; n++) await recent.find(`k${n}`)
    await recent.find('k0')
    assert.equal(loads(), 1001)
  })
})
