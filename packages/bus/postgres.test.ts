import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { startPostgres, type TestPostgres } from '@signet/testkit/postgres.ts'
import { until } from '@signet/testkit/until.ts'
import { Client } from 'pg'
import { busContract } from './bus.contract.ts'
import type { Bus } from './bus.ts'
import { createPostgresBus } from './postgres.ts'

const server = await startPostgres()

if ('skip' in server) {
  it('PostgreSQL bus', { skip: server.skip }, () => {})
} else {
  after(() => server.stop())
  suite(server)
}

function suite(postgres: TestPostgres): void {
  const surroundings = realSurroundings()
  const linked = async (...buses: Bus[]) => {
    await until(() => buses.every((bus) => bus.linked()))
  }
  const openPair = async () => {
    const url = await postgres.freshDatabase()
    const losses = { one: 0, other: 0 }
    const member = (name: keyof typeof losses) =>
      createPostgresBus({ url, surroundings, observe: { link: (up) => void (up || losses[name]++) } })
    const [one, other] = [member('one'), member('other')]
    await linked(one, other)
    return { one, other, losses, url, close: async () => void (await Promise.all([one.close(), other.close()])) }
  }

  busContract('PostgreSQL', openPair)

  describe('PostgreSQL bus', () => {
    let pair: Awaited<ReturnType<typeof openPair>>
    before(async () => {
      pair = await openPair()
    })
    after(() => pair.close())

    it('comes back after its connection was killed, and wakes everybody for what it missed', async () => {
      let woken = 0
      pair.other.subscribe('revocations', () => void woken++)
      const admin = new Client({ connectionString: pair.url })
      await admin.connect()
      const kill =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet bus' and datname = current_database()"
      const { losses } = pair
      const before = { ...losses }
      await admin.query(kill)
      // Each comes back when it may, so there need be no moment at which neither is linked.
      await until(() => losses.one > before.one && losses.other > before.other, 'both lose their links')
      pair.one.publish('revocations') // Maybe nobody hears it now.
      await linked(pair.one, pair.other)
      await until(() => woken > 0)
      const wokenBefore = woken
      pair.one.publish('revocations')
      await until(() => woken > wokenBefore)
      await admin.end()
    })

    it('sends one statement for a burst', async () => {
      const admin = new Client({ connectionString: pair.url })
      await admin.connect()
      let notifications = 0
      admin.on('notification', () => void notifications++)
      await admin.query('LISTEN signet_policy')
      for (let i = 0; i < 5000; i++) pair.one.publish('policy')
      await until(() => notifications > 0)
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.ok(notifications <= 5, `${notifications} notifications`)
      await admin.end()
    })
  })

  it('works without a server: publishing is nothing, and closing ends the attempts', async () => {
    const links: boolean[] = []
    const bus = createPostgresBus({
      url: 'postgres://nobody@127.0.0.1:1/none',
      surroundings,
      observe: { link: (up) => links.push(up) },
    })
    let woken = 0
    bus.subscribe('keys', () => void woken++)
    bus.publish('keys')
    await until(() => woken === 1) // This process needs no server.
    await until(() => links.length === 1)
    assert.equal(bus.linked(), false)
    await bus.close()
  })
}
