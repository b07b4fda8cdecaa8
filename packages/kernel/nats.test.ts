import assert from 'node:assert/strict'
import { test } from 'node:test'
import { natsPlace, natsServersProblem } from './nats.ts'

test('a NATS server listens where its address says', () => {
  for (const [server, host, port] of [
    ['nats://a.example', 'a.example', 4222],
    ['nats://a.example/', 'a.example', 4222],
    ['tls://a.example:4333', 'a.example', 4333],
    ['nats://a.example:80', 'a.example', 80],
    ['tls://a.example:443/', 'a.example', 443],
    ['nats://[::1]', '::1', 4222],
    ['nats://[::1]:4333', '::1', 4333],
    ['nats://127.0.0.1:1', '127.0.0.1', 1],
  ] as const) {
    assert.equal(natsServersProblem([server], true), undefined)
    assert.deepEqual(natsPlace(server), { host, port })
  }
})
