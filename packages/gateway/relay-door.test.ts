/** What a relay that anyone may read gives to each. */
import assert from 'node:assert/strict'
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { PROBES_OF_NETWORK } from '@signet/kernel/feed.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import type { TappedFeed } from '@signet/validator/index.ts'
import { createRelayDoor } from './relay-door.ts'
import { createRelayedFeed } from './relayed-feed.ts'

test('one network cannot make an open relay sign without end, whatever addresses it has', async () => {
  const { clock, timers } = manualSurroundings()
  let signed = 0
  const sign = () => `signature ${++signed}`
  const feed = createRelayedFeed({
    ...{ issuer: 'https://auth.example', sign, clock, timers, probeEveryMs: 50 },
    kept: async () => undefined,
  })
  feed.tap.attach({ stalenessMs: () => 0 } as TappedFeed)
  feed.tap.took({ kind: 'snapshot', frame: new Uint8Array(0), epoch: 'e1', seq: 1 })
  const validator = {
    validate: () => assert.fail('an open relay asks nobody'),
    watch: () => () => {},
    dpopNonce: () => undefined,
  }
  const door = createRelayDoor({
    ...{ issuer: 'https://auth.example', feed, validator, open: true, jwks: {}, clock, timers, ready: () => true },
  })
  async function probe(remoteAddress: string): Promise<number> {
    const request = new IncomingMessage({ remoteAddress } as Socket)
    Object.assign(request, { method: 'GET', url: '/feed/head?probe=a-probe-of-16-characters' })
    const response = new ServerResponse(request)
    door(request, response)
    for (let n = 0; n < 5; n++) await Promise.resolve()
    return response.statusCode
  }
  for (let n = 0; n < PROBES_OF_NETWORK.burst; n++) assert.equal(await probe(`2001:db8:1:2::${(n % 60_000).toString(16)}`), 200)
  assert.equal(await probe('2001:db8:1:2:3:4:5:6'), 429)
  assert.equal(signed, PROBES_OF_NETWORK.burst)
  assert.equal(await probe('2001:db8:1:3::1'), 200, 'others are not to blame')
  clock.advance(Math.ceil(1000 / PROBES_OF_NETWORK.perSecond))
  assert.equal(await probe('2001:db8:1:2::1'), 200)
})
