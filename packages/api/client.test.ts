import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import { createAdminClient } from './client.ts'
import type { Credentials } from './credentials.ts'
import { ApiError, type ApiErrorKind } from './errors.ts'

const ISSUER = 'https://id.example'
const CLIENT = {
  id: 'shop',
  name: 'Shop',
  platform: 'web',
  auth_method: 'none',
  status: 'active',
  redirect_uris: [],
  post_logout_redirect_uris: [],
  grant_types: [],
  scopes: [],
  resources: [],
  introspects: [],
  jwks: [],
  secrets: [],
  dpop_bound: false,
  first_party: false,
  created_at: 1,
  revoked_ms: 0,
}

describe('the admin client', () => {
  test('asks for the least scope that will do, for the admin API itself', async () => {
    const world = worldOf([json({ items: [CLIENT] })])
    await world.admin.call('listClients')
    const form = world.tokenRequests[0]
    assert.equal(form?.get('scope'), 'signet:read')
    assert.equal(form?.get('resource'), ISSUER)
    assert.equal(form?.get('grant_type'), 'client_credentials')
    assert.equal(world.requests[0]?.headers.get('authorization'), 'Bearer token-1')
  })

  test('falls back to signet:admin for a client that has no other scope', async () => {
    const world = worldOf([json({ items: [] })], { scopes: ['signet:admin'] })
    await world.admin.call('listClients')
    assert.deepEqual(
      world.tokenRequests.map((form) => form.get('scope')),
      ['signet:read', 'signet:admin'],
    )
  })

  test('proves itself with a fresh assertion for this issuer, never the same twice', async () => {
    const world = worldOf([json({ items: [] }), json({ items: [] })], { tokenSeconds: 5 })
    await world.admin.call('listClients')
    await world.admin.call('listClients')
    const assertions = world.tokenRequests.map((form) => payloadOf(form.get('client_assertion') as string))
    assert.equal(assertions.length, 2, 'a token in its last seconds is not used again')
    assert.deepEqual(
      assertions.map(({ aud, iss, sub }) => [aud, iss, sub]),
      Array(2).fill([ISSUER, 'cli', 'cli']),
    )
    assert.notEqual(assertions[0]?.jti, assertions[1]?.jti)
  })

  test('keeps a token for the next call', async () => {
    const world = worldOf([json({ items: [] }), json({ items: [] })])
    await world.admin.call('listClients')
    await world.admin.call('listClients')
    assert.equal(world.tokenRequests.length, 1)
  })

  test('waits as long as Retry-After says and tries again, but not for ever', async () => {
    const world = worldOf([unavailable('2'), unavailable('600'), json({ items: [] })])
    await world.admin.call('listClients')
    assert.deepEqual(world.slept, [2000, 5000])
    const lost = worldOf(Array.from({ length: 9 }, () => unavailable('1')))
    await assert.rejects(lost.admin.call('listClients'), isError('unavailable'))
    assert.equal(lost.requests.length, 4)
  })

  test('never repeats what would be done twice, unless it carries an idempotency key', async () => {
    const world = worldOf([unavailable('1')])
    await assert.rejects(
      world.admin.call('createClient', {
        body: { name: 'Shop', platform: 'web', auth_method: 'none', grant_types: ['authorization_code'] },
      }),
    )
    assert.equal(world.requests.length, 1)
    const receipt = {
      target: { kind: 'token', id: 'x', issuer: ISSUER },
      epoch: 'e',
      seq: 1,
      cutoff_ms: 1,
      committed_at_ms: 1,
      already: false,
    }
    const again = worldOf([unavailable('1'), json(receipt)])
    await again.admin.call('revoke', { body: { target: { kind: 'token', id: 'x' }, reason: 'r' }, idempotencyKey: 'k' })
    assert.deepEqual(
      again.requests.map((request) => request.headers.get('idempotency-key')),
      ['k', 'k'],
    )
  })

  test('gives all tries of one call a key of its own where the endpoint takes one, and each call another', async () => {
    const world = worldOf([unavailable('1'), new Response(null, { status: 204 }), new Response(null, { status: 204 })])
    const params = { kind: 'client' as const, id: 'c' }
    await world.admin.call('resume', { params })
    await world.admin.call('resume', { params })
    const [first, second, third] = world.requests.map((request) => request.headers.get('idempotency-key'))
    assert.match(first ?? '', /^[0-9a-f-]{36}$/)
    assert.equal(second, first)
    assert.notEqual(third, first)
    const other = worldOf([json({ items: [] })])
    await other.admin.call('listClients')
    assert.equal(other.requests[0]?.headers.get('idempotency-key'), null)
  })

  test('repeats what was refused for its rate, whatever it is: it was not begun', async () => {
    const world = worldOf([problem(429, 'slow_down', { 'retry-after': '1' }), json({ url: 'u', expires_at: 1 })])
    assert.equal((await world.admin.call('inviteSubject')).url, 'u')
  })

  test('gets a new token, once, when the one it has died', async () => {
    const world = worldOf([problem(401, 'invalid_token'), json({ items: [] })])
    await world.admin.call('listClients')
    assert.equal(world.tokenRequests.length, 2)
    const dead = worldOf([problem(401, 'invalid_token'), problem(401, 'invalid_token')])
    await assert.rejects(dead.admin.call('listClients'), isError('unauthenticated'))
  })

  test('says what happened, why and what to do, by kind', async () => {
    const cases: [Response, ApiErrorKind][] = [
      [problem(404, 'not_found'), 'not_found'],
      [problem(409, 'conflict'), 'conflict'],
      [problem(400, 'invalid_request'), 'invalid'],
      [problem(403, 'insufficient_scope'), 'forbidden'],
      [new Response('<h1>hello</h1>', { status: 404 }), 'incompatible'],
      [json({ items: 'none' }), 'incompatible'],
    ]
    for (const [answer, kind] of cases) {
      await assert.rejects(worldOf([answer]).admin.call('listClients'), isError(kind))
    }
    await assert.rejects(worldOf([]).admin.call('showFeed'), (error: ApiError) => {
      assert.equal(error.kind, 'unreachable')
      assert.match(error.message, /^Could not show the feed$|^Could not reach/)
      assert.match(error.why, /nothing listens at id\.example/)
      return true
    })
  })

  test('gives no assertion to an authority of another name', async () => {
    const world = worldOf([], { says: 'https://evil.example' })
    await assert.rejects(world.admin.call('listClients'), isError('incompatible'))
    assert.equal(world.tokenRequests.length, 0)
  })

  test('reaches the authority through a tunnel, under its own name all the same', async () => {
    const world = worldOf([json({ items: [] })], { server: 'http://localhost:9999/' })
    await world.admin.call('listClients')
    assert.ok(
      world.urls.every((url) => url.startsWith('http://localhost:9999/')),
      world.urls.join(' '),
    )
    assert.equal(payloadOf(world.tokenRequests[0]?.get('client_assertion') as string).aud, ISSUER)
  })

  test('writes path parameters so that they stay one segment', async () => {
    const world = worldOf([problem(404, 'not_found')])
    await assert.rejects(world.admin.call('showResource', { params: { uri: 'https://api.example/a?b' } }))
    assert.equal(world.urls.at(-1), `${ISSUER}/admin/v1/resources/https%3A%2F%2Fapi.example%2Fa%3Fb`)
  })

  test('reads streams line by line, and tells a cut one from a whole one', async () => {
    const progress = '{"kind":"progress","done":1,"total":2}\n'
    const result = '{"kind":"result","name":"a.db","bytes":3,"took_ms":1}\n'
    const whole = await collect(worldOf([new Response(progress + result)]).admin.stream('startBackup', { body: {} }))
    assert.deepEqual(
      whole.map((line) => line.kind),
      ['progress', 'result'],
    )
    await assert.rejects(
      collect(worldOf([new Response(progress)]).admin.stream('startBackup', { body: {} })),
      isError('unavailable'),
    )
    const broken = `${progress}{"error":"temporarily_unavailable","error_description":"no"}\n`
    await assert.rejects(
      collect(worldOf([new Response(broken)]).admin.stream('startBackup', { body: {} })),
      isError('unavailable'),
    )
    let sent = false
    const torn = new ReadableStream({
      pull(body) {
        if (sent) return body.error(new TypeError('terminated')) // As fetch has it when a node is killed.
        sent = true
        body.enqueue(new TextEncoder().encode(progress))
      },
    })
    await assert.rejects(collect(worldOf([new Response(torn)]).admin.stream('startBackup', { body: {} })), isError('unreachable'))
  })

  test('uses a secret where that is what the client has', async () => {
    const world = worldOf([], { credentials: { issuer: ISSUER, client_id: 'a b', client_secret: 'p:q' } })
    await world.admin.accessToken('api:read', 'https://api.example')
    assert.equal(world.tokenHeaders[0]?.get('authorization'), `Basic ${btoa('a+b:p%3Aq')}`)
    assert.equal(world.tokenRequests[0]?.get('resource'), 'https://api.example')
  })
})

// ── An authority of paper ──────────────────────────────────────────────────────────────────────────────────────────

interface World {
  readonly scopes?: readonly string[]
  readonly tokenSeconds?: number
  readonly says?: string
  readonly server?: string
  readonly credentials?: { issuer: string; client_id: string; client_secret: string }
}

function worldOf(answers: Response[], world: World = {}) {
  const requests: Request[] = []
  const urls: string[] = []
  const tokenRequests: URLSearchParams[] = []
  const tokenHeaders: Headers[] = []
  const slept: number[] = []
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init)
    urls.push(request.url)
    const { pathname } = new URL(request.url)
    const issuer = world.says ?? ISSUER
    if (pathname.startsWith('/.well-known/'))
      return json({ issuer, token_endpoint: `${ISSUER}/token`, jwks_uri: `${ISSUER}/jwks` })
    if (pathname === '/token') {
      const form = new URLSearchParams(await request.text())
      tokenRequests.push(form)
      tokenHeaders.push(request.headers)
      if (world.scopes !== undefined && !world.scopes.includes(form.get('scope') as string)) return problem(400, 'invalid_scope')
      return json({ access_token: `token-${tokenRequests.length}`, token_type: 'Bearer', expires_in: world.tokenSeconds ?? 300 })
    }
    requests.push(request)
    const answer = answers.shift()
    if (answer === undefined) throw new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) })
    return answer
  }
  const admin = createAdminClient({
    credentials: world.credentials ?? KEY,
    fetch,
    sleep: async (milliseconds) => void slept.push(milliseconds),
    ...(world.server === undefined ? {} : { server: world.server }),
  })
  return { admin, requests, urls, tokenRequests, tokenHeaders, slept }
}

const KEY: Credentials = {
  issuer: ISSUER,
  client_id: 'cli',
  private_jwk: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    format: 'jwk',
  }) as Credentials['private_jwk'],
}

const json = (value: unknown, status = 200): Response => Response.json(value, { status })
const problem = (status: number, error: string, headers: Record<string, string> = {}): Response =>
  Response.json({ error, error_description: 'said so', reason: 'because' }, { status, headers })
const unavailable = (seconds: string): Response => problem(503, 'temporarily_unavailable', { 'retry-after': seconds })
const isError = (kind: ApiErrorKind) => (error: unknown) => {
  assert.ok(error instanceof ApiError, String(error))
  assert.equal(error.kind, kind)
  assert.ok(error.why !== '' && error.advice !== '')
  return true
}
const payloadOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] as string, 'base64url').toString())

async function collect<T>(lines: AsyncGenerator<T>): Promise<T[]> {
  const all: T[] = []
  for await (const line of lines) all.push(line)
  return all
}
