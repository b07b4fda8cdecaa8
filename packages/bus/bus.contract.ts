/** What every bus does. An engine's test runs it with two members that share one medium; for a bus of one process they are the same. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import type { Bus, SUBJECTS, WokenBy } from './bus.ts'

export interface BusPair {
  readonly one: Bus
  readonly other: Bus
  close(): Promise<void>
}

export function busContract(name: string, open: () => Promise<BusPair>): void {
  describe(`bus: ${name}`, () => {
    let pair: BusPair
    before(async () => {
      pair = await open()
    })
    after(() => pair.close())

    it('wakes the subscribers of every member, its own too', async () => {
      const [here, there] = [listen(pair.one), listen(pair.other)]
      await settled(pair)
      const counts = [here.count(), there.count()]
      pair.one.publish('revocations')
      await until(() => here.count() > (counts[0] as number) && there.count() > (counts[1] as number))
      here.stop()
      there.stop()
    })

    it('says whether anybody else published', async () => {
      await settled(pair)
      const heard: { here: WokenBy[]; there: WokenBy[] } = { here: [], there: [] }
      const here = pair.one.subscribe('revocations', (by) => void heard.here.push(by))
      const there = pair.other.subscribe('revocations', (by) => void heard.there.push(by))
      pair.one.publish('revocations')
      await until(() => heard.here.length > 0 && heard.there.length > 0)
      assert.deepEqual(heard, { here: [pair.one === pair.other ? 'others' : 'own'], there: ['others'] })
      pair.other.publish('revocations')
      await until(() => heard.here.length > 1)
      assert.equal(heard.here.at(-1), 'others')
      here.stop()
      there.stop()
    })

    it('calls nobody before publish has returned', () => {
      const here = listen(pair.one)
      pair.one.publish('revocations')
      assert.equal(here.count(), 0)
      here.stop()
    })

    it('keeps subjects apart', async () => {
      await settled(pair)
      const keys = listen(pair.other, 'keys')
      const revocations = listen(pair.other)
      pair.one.publish('revocations')
      await until(() => revocations.count() > 0)
      await settled(pair)
      assert.equal(keys.count(), 0)
      pair.one.publish('keys')
      await until(() => keys.count() > 0)
      keys.stop()
      revocations.stop()
    })

    it('merges a burst into few wake-ups and still wakes after the last of it', async () => {
      await settled(pair)
      const there = listen(pair.other)
      for (let i = 0; i < 10_000; i++) pair.one.publish('revocations')
      await until(() => there.count() > 0)
      await settled(pair)
      assert.ok(there.count() < 100, `${there.count()} wake-ups for one burst`)
      const before = there.count()
      pair.one.publish('revocations')
      await until(() => there.count() > before)
      there.stop()
    })

    it('wakes after a publish from within a wake-up', async () => {
      await settled(pair)
      let rounds = 0
      const subscription = pair.one.subscribe('policy', () => {
        if (++rounds < 3) pair.one.publish('policy')
      })
      pair.one.publish('policy')
      await until(() => rounds >= 3)
      subscription.stop()
    })

    it('does not call a subscriber that stopped, and does call its twin', async () => {
      let calls = 0
      const wake = () => void calls++
      const first = pair.one.subscribe('clients', wake)
      const second = pair.one.subscribe('clients', wake)
      first.stop()
      first.stop()
      pair.one.publish('clients')
      await until(() => calls > 0)
      second.stop()
      const before = calls
      pair.one.publish('clients')
      await settled(pair)
      assert.equal(calls, before)
    })

    it('is silent once closed', async () => {
      const closing = await open()
      const there = listen(closing.other)
      const here = listen(closing.one)
      await closing.one.close()
      await closing.close()
      const counts = [here.count(), there.count()]
      closing.one.publish('revocations')
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.deepEqual([here.count(), there.count()], counts)
    })
  })
}

function listen(bus: Bus, subject: (typeof SUBJECTS)[number] = 'revocations') {
  let count = 0
  const subscription = bus.subscribe(subject, () => void count++)
  return { count: () => count, stop: () => subscription.stop() }
}

/** Every wake-up that was under way has arrived: a later one, on the subject nobody else uses, has overtaken none. */
async function settled(pair: BusPair): Promise<void> {
  for (const [from, to] of [
    [pair.one, pair.other],
    [pair.other, pair.one],
  ] as const) {
    let arrived = false
    const subscription = to.subscribe('clients', () => {
      arrived = true
    })
    from.publish('clients')
    await until(() => arrived)
    subscription.stop()
  }
}
