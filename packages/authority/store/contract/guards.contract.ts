/** What refuses a second time: replays, attempts, repeated requests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Store } from '../store.ts'
import { bytes } from './samples.contract.ts'

export function guardsContract(given: () => Store): void {
  test('a proof is remembered once, and again only when it has expired', async () => {
    const store = given()
    const nowAt = Math.floor((await store.now()) / 1000)
    const [key, old] = [bytes(32), bytes(16)]
    const remember = (k: Uint8Array, at: number) => store.transact((tx) => tx.replay.remember(k, at))
    const answers = await Promise.all(Array.from({ length: 60 }, () => remember(key, nowAt + 60)))
    assert.equal(answers.filter(Boolean).length, 1)
    assert.equal(await remember(key, nowAt + 900), false)
    assert.equal(await remember(old, nowAt - 10), true)
    assert.equal(await remember(old, nowAt + 10), true)
    assert.equal(await remember(old, nowAt + 10), false)
    const other = await Promise.all(Array.from({ length: 40 }, () => remember(bytes(32), nowAt + 60)))
    assert.ok(other.every(Boolean))
  })

  test('attempts are let through up to the burst, then one per interval', async () => {
    const store = given()
    const key = bytes(20)
    const limit = { intervalMs: 60_000.5, burst: 5 }
    const answers = await Promise.all(Array.from({ length: 12 }, () => store.transact((tx) => tx.throttle.take(key, limit))))
    const refused = answers.filter((answer) => !answer.allowed)
    assert.equal(refused.length, 7)
    for (const { retryAfterMs } of refused) assert.ok(retryAfterMs > 50_000 && retryAfterMs <= 60_001, String(retryAfterMs))
    assert.equal((await store.transact((tx) => tx.throttle.take(bytes(20), limit))).allowed, true)
    await store.transact((tx) => tx.throttle.clear(key))
    assert.equal((await store.transact((tx) => tx.throttle.take(key, limit))).allowed, true)
  })

  test('of many requests with one idempotency key, one acts and all get its answer', async () => {
    const store = given()
    const expiresAt = Math.floor((await store.now()) / 1000) + 600
    const [key, counter] = [bytes(32), `counter-${Buffer.from(bytes(4)).toString('hex')}`]
    const act = (n: number) =>
      store.transact(async (tx) => {
        const before = await tx.idempotency.find(key)
        if (before !== undefined) return before
        await tx.meta.put(counter, String(Number((await tx.meta.get(counter)) ?? 0) + 1))
        await tx.idempotency.put(key, `answer ${n}`, expiresAt)
        return `answer ${n}`
      })
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => act(n)))
    assert.equal(new Set(answers).size, 1)
    assert.equal(await store.meta.get(counter), '1')
    await store.transact((tx) => tx.idempotency.put(bytes(32), 'x', expiresAt))
  })

  test('an expired answer is none', async () => {
    const store = given()
    const [key, nowAt] = [bytes(32), Math.floor((await store.now()) / 1000)]
    await store.transact((tx) => tx.idempotency.put(key, 'old', nowAt - 5))
    assert.equal(await store.transact((tx) => tx.idempotency.find(key)), undefined)
    await store.transact((tx) => tx.idempotency.put(key, 'new', nowAt + 50))
    assert.equal(await store.transact((tx) => tx.idempotency.find(key)), 'new')
  })

  test('a raised number never falls', async () => {
    const store = given()
    const name = `raised-${Buffer.from(bytes(4)).toString('hex')}`
    const stood = await Promise.all([5, 900, 20, 100, 7].map((value) => store.transact((tx) => tx.meta.raise(name, value))))
    assert.equal(Math.max(...stood), 900)
    assert.equal(await store.transact((tx) => tx.meta.raise(name, 10)), 900)
    assert.equal(await store.meta.get(name), '900')
    await store.transact((tx) => tx.meta.delete(name))
    assert.equal(await store.meta.get(name), undefined)
  })
}
