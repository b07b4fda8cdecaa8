import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { type DeviceId, newId } from '@signet/kernel/ids.ts'
import { manualClock, manualTimers, seededChance } from '@signet/testkit/surroundings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { sha256 } from '../surroundings.ts'
import { ACCOUNT, ACCOUNT_ON_NETWORK, type Attempt, giveBackTries, KNOWN_DEVICE, networkOf, takeTry } from './lockout.ts'

describe('password tries', () => {
  const clock = manualClock()
  const chance = seededChance(7)
  let store: Store
  let name = 0
  let username = ''
  before(async () => {
    store = await openSqliteStore({ path: ':memory:', surroundings: { clock, chance, timers: manualTimers(clock) } })
  })
  beforeEach(() => {
    username = `person-${++name}`
  })
  after(() => store.close())

  const attempt = (address: string, knownDevice?: DeviceId): Attempt => ({ username, address, knownDevice })
  const take = (one: Attempt) => store.transact((tx) => takeTry(tx, one, sha256))
  const takeMany = async (one: Attempt, times: number) => {
    let allowed = 0
    for (let i = 0; i < times; i++) if ((await take(one)).allowed) allowed++
    return allowed
  }

  test('a stranger on one network gets a few tries, then is told when to come back', async () => {
    assert.equal(await takeMany(attempt('198.51.100.1'), 8), ACCOUNT_ON_NETWORK.burst)
    const refused = await take(attempt('198.51.100.1'))
    assert.ok(!refused.allowed && refused.retryAfterSeconds > 0 && refused.retryAfterSeconds <= 180)
    clock.advance(refused.retryAfterSeconds * 1000)
    assert.equal((await take(attempt('198.51.100.1'))).allowed, true)
  })

  test('an attacker behind the owner’s own address can’t lock out the browser that the account knows', async () => {
    const device = newId<DeviceId>(clock.now(), chance)
    await takeMany(attempt('198.51.100.2'), 100)
    assert.equal((await take(attempt('198.51.100.2'))).allowed, false)
    assert.equal(await takeMany(attempt('198.51.100.2', device), KNOWN_DEVICE.burst), KNOWN_DEVICE.burst)
  })

  test('an attacker with a thousand networks can’t lock the owner out of a new one', async () => {
    let allowed = 0
    for (let i = 0; i < 200; i++) allowed += await takeMany(attempt(`203.0.${i}.1`), 5)
    // Each network keeps two tries once the account is under attack, where it had five before.
    assert.ok(allowed < ACCOUNT.burst + 200 * 2 + 10, `${allowed}`)
    assert.equal((await take(attempt('192.0.2.200'))).allowed, true)
  })

  test('whoever tries one password on many accounts is stopped as a network', async () => {
    let allowed = 0
    for (let i = 0; i < 100; i++) {
      username = `victim-${i}`
      if ((await take(attempt('198.51.100.9'))).allowed) allowed++
    }
    assert.equal(allowed, 60)
  })

  test('addresses of one IPv6 customer are one network', async () => {
    assert.equal(await takeMany(attempt('2001:db8:1:2::1'), 3), 3)
    assert.equal(await takeMany(attempt('2001:db8:1:2:ffff::9'), 5), 2)
    assert.equal((await take(attempt('2001:db8:9:9::1'))).allowed, true)
  })

  test('getting it right gives the tries back', async () => {
    await takeMany(attempt('198.51.100.4'), 4)
    await store.transact((tx) => giveBackTries(tx, attempt('198.51.100.4'), sha256))
    assert.equal(await takeMany(attempt('198.51.100.4'), 5), 5)
  })

  test('tries sent at once count each', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => take(attempt('198.51.100.5'))))
    assert.equal(answers.filter(({ allowed }) => allowed).length, ACCOUNT_ON_NETWORK.burst)
  })
})

test('networks are read from addresses of every form', () => {
  for (const [address, near, wide] of [
    ['192.0.2.7', '192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7', '192.0.2.7'],
    ['2001:DB8::1', '2001:db8:0:0::/64', '2001:db8:0::/48'],
    ['2001:0db8:0001:0002:3:4:5:6', '2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64', 'fe80:0:0::/48'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64', '64:ff9b:0::/48'],
    ['::1', '0:0:0:0::/64', '0:0:0::/48'],
    ['nonsense', 'nonsense', 'nonsense'],
  ] as const) {
    assert.deepEqual(networkOf(address), { near, wide }, address)
  }
})
