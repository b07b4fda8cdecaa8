/** A server that holds its connections and answers nothing: whoever asks is told soon, and what became of it is found when it answers again. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fault } from '@signet/kernel/errors.ts'
import { startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { until } from '@signet/testkit/until.ts'
import { realSurroundings } from '../surroundings.ts'
import { openPostgresStore } from './postgres.ts'

/**
 * What a caller may wait is three seconds; two bounds one after the other are more than this. Counted in beats of this process, the only one that
 * moves: while something holds it up there are none.
 */
const SOON_MS = 3900
const BEAT_MS = 50
const FROZEN_MS = 7000

const server = await startPostgresServer({ listen: 'tcp' })
after(() => server.close())

test('everybody is told of a fault soon, whenever he came, and repeating what may have been done does it once', async () => {
  const store = await openPostgresStore({ url: server.url, surroundings: realSurroundings() })
  const asking: Promise<void>[] = []
  const waits: number[] = []
  let beats = 0
  const heart = setInterval(() => beats++, BEAT_MS)
  const timed = async (ask: () => Promise<unknown>): Promise<void> => {
    const began = beats
    await assert.rejects(ask(), (error) => error instanceof Fault && error.code === 'store_unavailable')
    waits.push((beats - began) * BEAT_MS)
  }
  const made: string[] = []
  try {
    await store.meta.get('warm')
    server.pause()
    const end = performance.now() + FROZEN_MS
    for (let n = 0; performance.now() < end; n++) {
      const name = `once-${n}`
      made.push(name)
      asking.push(timed(() => store.transact((tx) => tx.meta.put(name, 'x'))))
      asking.push(timed(() => store.meta.get('warm')))
      asking.push(timed(() => store.now()))
      await wait(150)
    }
    await Promise.all(asking)
  } finally {
    server.resume()
    clearInterval(heart)
  }
  assert.ok(Math.max(...waits) < SOON_MS, `somebody waited ${Math.max(...waits)} ms`)
  // Again, as callers do: the outcome of the first is unknown, and this is all the same.
  for (const name of made) await until(() => done(name), `${name} is written`)
  for (const name of made) assert.equal(await store.meta.get(name), 'x')
  await store.close()

  async function done(name: string): Promise<boolean> {
    const written = store.transact((tx) => tx.meta.put(name, 'x'))
    return written.then(
      () => true,
      (error) => {
        if (!(error instanceof Fault)) throw error
        return false
      },
    )
  }
})
