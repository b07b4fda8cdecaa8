import assert from 'node:assert/strict'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import { manualClock, seededChance } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { jwtVerify } from 'jose'
import { clientAssertion } from './feed-token.ts'
import { fetchTransport, fetchWhole, HttpTrouble, isAllowedUrl, nodeTransport } from './http.ts'
import { testKey } from './issuer.testkit.ts'
import { Backoff } from './pace.ts'
import { readEvents, type SseEvent, SseTooLong } from './sse.ts'
import { realSurroundings } from './surroundings.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})
async function serving(listener: RequestListener): Promise<string> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

for (const [name, transport] of [
  ['Node’s client', nodeTransport()],
  ['a Fetch function', fetchTransport(fetch)],
] as const) {
  describe(`an exchange through ${name}`, () => {
    const { timers } = realSurroundings()
    const get = (url: string, bounds = { timeoutMs: 30_000, maxBytes: 1000 }) =>
      fetchWhole({ transport, timers }, { url, method: 'GET', headers: {} }, bounds)
    const trouble = (kind: HttpTrouble['kind']) => (cause: unknown) => cause instanceof HttpTrouble && cause.kind === kind

    test('brings the body and the headers', async () => {
      const url = await serving((_q, r) => r.writeHead(200, { 'x-a': 'b' }).end('hello'))
      const { bytes, header } = await get(url)
      assert.equal(Buffer.from(bytes).toString(), 'hello')
      assert.equal(header('x-a'), 'b')
    })
    test('sends a form', async () => {
      const url = await serving((q, r) => void q.pipe(r))
      const request = { url, method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'é=1' } as const
      const { bytes } = await fetchWhole({ transport, timers }, request, { timeoutMs: 30_000, maxBytes: 100 })
      assert.equal(Buffer.from(bytes).toString(), 'é=1')
    })
    test('does not follow a redirect', async () => {
      const url = await serving((q, r) => (q.url === '/x' ? r.end('there') : r.writeHead(302, { location: '/x' }).end()))
      await assert.rejects(get(url), trouble('status'))
    })
    test('ends when its time is over, before the answer and in the middle of it', async () => {
      const url = await serving((q, r) => q.url === '/half' && void r.write('a'))
      await assert.rejects(get(url, { timeoutMs: 50, maxBytes: 10 }), trouble('timeout'))
      await assert.rejects(get(`${url}half`, { timeoutMs: 50, maxBytes: 10 }), trouble('timeout'))
    })
    test('ends when the body is longer than the bound', async () => {
      const url = await serving((_q, r) => r.end('x'.repeat(5000)))
      await assert.rejects(get(url), trouble('too_large'))
    })
    test('says that nobody is there, and nothing of what was sent', async () => {
      const url = await serving(() => {})
      server?.close()
      await assert.rejects(get(`${url}path?secret=1`), (cause: Error) => {
        assert.ok(trouble('unreachable')(cause))
        assert.ok(cause.message.includes('/path') && !cause.message.includes('secret'))
        return true
      })
    })
  })
}

test('https may be spoken to, http on this machine too, other http when the operator says so', () => {
  for (const url of ['https://a.example', 'http://localhost:1', 'http://127.0.0.1', 'http://[::1]:80/x', 'http://a.localhost']) {
    assert.ok(isAllowedUrl(url, false), url)
  }
  for (const url of [
    'http://a.example',
    'ftp://localhost',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'x',
    'https://u:p@a.example',
  ]) {
    assert.ok(!isAllowedUrl(url, false), url)
  }
  assert.ok(isAllowedUrl('http://a.example', true))
  assert.ok(!isAllowedUrl('ftp://a.example', true))
})

describe('server-sent events', () => {
  async function* chunks(...parts: Uint8Array[]) {
    yield* parts
  }
  async function read(bytes: Uint8Array, cuts: readonly number[], maxChars = 1000): Promise<SseEvent[]> {
    const events: SseEvent[] = []
    const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((x, y) => x - y), bytes.length]
    const parts = places.slice(1).map((to, i) => bytes.subarray(places[i], to))
    await readEvents(chunks(...parts), maxChars, { onEvent: (event) => void events.push(event), onBytes() {} })
    return events
  }
  test('are the same wherever the bytes are cut', async () => {
    const text =
      ': hello\n\nid: e:1\nevent: batch\ndata: é\ndata:second\n\nretry: 5\n\ndata\n\nevent: reset\r\ndata: {}\r\n\r\ndata: torn'
    const expected = [
      { name: 'batch', data: 'é\nsecond' },
      { name: '', data: '' },
      { name: 'reset', data: '{}' },
    ]
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 8 }), async (cuts) => {
        assert.deepEqual(await read(Buffer.from(text), cuts), expected)
      }),
    )
  })
  test('longer than the bound end the reading, in one line or in many', async () => {
    await assert.rejects(read(Buffer.from(`data: ${'x'.repeat(2000)}`), []), SseTooLong)
    await assert.rejects(read(Buffer.from(`data: ${'x'.repeat(90)}\n`.repeat(20)), [], 1000), SseTooLong)
  })
})

test('pauses grow to their bound and begin anew when things go well', () => {
  const backoff = new Backoff(seededChance(1), 10_000)
  assert.ok(backoff.nextMs() <= 100)
  let last = 0
  for (let i = 0; i < 30; i++) {
    last = backoff.nextMs()
    assert.ok(last <= 10_000)
  }
  assert.ok(last >= 5000)
  backoff.reset()
  assert.ok(backoff.nextMs() <= 100)
})

test('a client assertion is one that jose takes (RFC 7523)', async () => {
  for (const alg of ['ES256', 'EdDSA', 'RS256'] as const) {
    const key = testKey('client-key', alg)
    const privateJwk = { ...key.privateKey.export({ format: 'jwk' }), kid: 'client-key' }
    const surroundings = { clock: manualClock(Date.now()), chance: seededChance(2) }
    const jwt = clientAssertion({ clientId: 'reader', privateJwk }, 'https://id.example', surroundings)
    const { payload, protectedHeader } = await jwtVerify(jwt, key.publicKey, {
      audience: 'https://id.example',
      issuer: 'reader',
      subject: 'reader',
    })
    assert.deepEqual(protectedHeader, { alg, typ: 'client-authentication+jwt', kid: 'client-key' })
    assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 60)
    assert.ok(payload.jti)
  }
})

test('a memory of two generations keeps what was asked for lately, and never more than its bound', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('get', 'set', 'delete'), fc.nat(12)), { maxLength: 200 }), (steps) => {
      const memory = new TwoGenerations<number, number>(8)
      const model = new Map<number, number>()
      const recent: number[] = []
      for (const [what, key] of steps) {
        if (what === 'set') {
          memory.set(key, key * 2)
          model.set(key, key * 2)
          recent.push(key)
        } else if (what === 'delete') {
          memory.delete(key)
          model.delete(key)
        } else {
          const value = memory.get(key)
          if (value !== undefined) assert.equal(value, model.get(key))
        }
        assert.ok(memory.size <= 8)
        for (const one of new Set(recent.slice(-4))) assert.equal(memory.get(one), model.get(one))
      }
    }),
  )
})
