import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addressKey, createRateLimit, networkOf } from './rate-limit.ts'

function limited(perSecond: number, burst: number, capacity?: number) {
  let now = 1000
  const limit = createRateLimit({ perSecond, burst }, { now: () => now, monotonic: () => now }, capacity)
  const pass = (milliseconds: number) => {
    now += milliseconds
  }
  return { limit, pass }
}

describe('a rate limit', () => {
  it('grants the burst at once and then the rate', () => {
    const { limit, pass } = limited(2, 3)
    assert.deepEqual([limit.take('a'), limit.take('a'), limit.take('a')], [0, 0, 0])
    assert.equal(limit.take('a'), 500)
    pass(499)
    assert.equal(limit.take('a'), 1)
    pass(1)
    assert.equal(limit.take('a'), 0)
    assert.equal(limit.take('a'), 500)
  })

  it('takes nothing while it refuses, so a flood does not lengthen its own wait', () => {
    const { limit, pass } = limited(1, 1)
    limit.take('a')
    for (let n = 0; n < 1000; n++) assert.equal(limit.take('a'), 1000)
    pass(1000)
    assert.equal(limit.take('a'), 0)
  })

  it('keeps budgets apart', () => {
    const { limit } = limited(1, 5)
    for (let n = 0; n < 50; n++) limit.take('flood')
    for (let n = 0; n < 5; n++) assert.equal(limit.take('quiet'), 0)
  })

  it('never grants more than burst plus rate over any time', () => {
    const { limit, pass } = limited(10, 20)
    let granted = 0
    for (let n = 0; n < 5000; n++) {
      if (limit.take('a') === 0) granted++
      pass(1)
    }
    assert.equal(granted, 20 + 49)
  })

  it('holds a bounded number of askers and does not forget one that goes on asking', () => {
    const { limit, pass } = limited(1, 2, 100)
    limit.take('steady')
    limit.take('steady')
    for (let n = 0; n < 10_000; n++) {
      limit.take(`asker ${n}`)
      if (n % 25 === 0) {
        pass(1000)
        assert.equal(limit.take('steady'), 0)
        assert.notEqual(limit.take('steady'), 0)
      }
    }
  })
})

describe('the network of an address', () => {
  it('is the /24 of IPv4 and the /48 of IPv6, however written', () => {
    assert.equal(networkOf('192.0.2.77'), '192.0.2')
    assert.equal(networkOf('::ffff:192.0.2.78'), '192.0.2')
    assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1')
    assert.equal(networkOf('2001:0db8:0001::6'), '2001:db8:1')
    assert.equal(networkOf('2001:db8::6'), '2001:db8:0')
    assert.equal(networkOf('::1'), '0:0:0')
    assert.equal(networkOf('fe80::'), 'fe80:0:0')
  })

  it('is told apart from the address as far as one customer goes', () => {
    assert.equal(addressKey('192.0.2.77'), '192.0.2.77')
    assert.equal(addressKey('::ffff:192.0.2.77'), '192.0.2.77')
    assert.equal(addressKey('2001:db8:1:2:3:4:5:6'), addressKey('2001:db8:1:2::9'))
    assert.notEqual(addressKey('2001:db8:1:2::9'), addressKey('2001:db8:1:3::9'))
  })
})
