/** Whatever is thrown at the door: a clear answer in the protocol's words, nothing changed, nothing repeated, nothing of our insides. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import {
  basicAuth,
  type SignedIn,
  startTestAuthority,
  TEST_REDIRECT,
  TEST_SECRET,
  type TestAuthority,
} from '@signet/testkit/authority.ts'
import { until } from '@signet/testkit/until.ts'
import fc from 'fast-check'

const MARK = 'zQ9marker7X'
const FORM = 'application/x-www-form-urlencoded'
const ENDPOINTS = ['/token', '/introspect', '/revoke', '/leaks']

let authority: TestAuthority
let signedIn: SignedIn
let code: string
let verifier: string
let refreshToken: string

before(async () => {
  // The code is to be good until the last test, however slow the machine is.
  const settings = { authorizationCodeSeconds: 3600, addressRate: { perSecond: 10_000, burst: 100_000 } }
  authority = await startTestAuthority({ settings })
  await authority.addResource()
  await authority.addClient()
  await authority.addClient({
    id: 'spa' as ClientId,
    authMethod: 'none',
    platform: 'browser',
    redirectUris: ['https://spa.example/cb'],
  })
  signedIn = await authority.signIn((await authority.addSubject()).id)
  const first = await authority.issueCode({ client: 'client' as ClientId }, signedIn)
  const form = { grant_type: 'authorization_code', code: first.code, code_verifier: first.verifier, redirect_uri: TEST_REDIRECT }
  refreshToken = (await authority.post('/token', form, basicAuth('client'))).body.refresh_token
  ;({ code, verifier } = await authority.issueCode({ client: 'client' as ClientId }, signedIn))
})
after(() => authority.close())

interface Sent {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

/** Sends it as it stands and checks what holds for every answer. */
async function send(path: string, { method = 'POST', headers = {}, body }: Sent) {
  const before = await state()
  const init = {
    method,
    headers: { 'content-type': FORM, ...headers },
    ...(body === undefined ? {} : { body }),
    redirect: 'manual' as const,
  }
  const response = await fetch(authority.url + path, init)
  const text = await response.text()
  assert.ok(!text.includes(MARK), `${path} repeats what was sent: ${text}`)
  for (const [name, value] of response.headers) assert.ok(!value.includes(MARK), `${path} repeats what was sent in ${name}`)
  assert.doesNotMatch(text, /\bat .*\.ts|node:|Error:|stack/i)
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(response.headers.get('x-powered-by'), null)
  assert.deepEqual(await state(), before)
  return { status: response.status, headers: response.headers, text }
}

/** Everything that a request might change. */
async function state() {
  const { store } = authority
  const families = await store.families.ofSubject(signedIn.subject, { limit: 100 })
  const { seq } = await store.revocations.head()
  const found = await store.codes.find((await hashOf(code)) as Uint8Array, 'authorization_code', Math.floor(Date.now() / 1000))
  return { families, seq, spent: found?.spent, clients: await store.clients.list({ limit: 100 }) }
}
async function hashOf(text: string) {
  const { codeHash } = await import('../grants/code.ts')
  const { sha256 } = await import('../surroundings.ts')
  return codeHash(text, sha256)
}

async function refused(path: string, sent: Sent, status: number, error: string, reason: string): Promise<void> {
  const answer = await send(path, sent)
  const where = `${sent.method ?? 'POST'} ${path} ${sent.body?.slice(0, 80) ?? ''} → ${answer.status} ${answer.text}`
  assert.equal(answer.status, status, where)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/, where)
  const problem = JSON.parse(answer.text) as Record<string, unknown>
  assert.deepEqual([problem.error, problem.reason], [error, reason], where)
  assert.equal(typeof problem.error_description, 'string')
  assert.ok(['refresh', 'reauthenticate', 'retry', 'step_up', 'none'].includes(problem.action as string))
  assert.equal(answer.headers.get('cache-control'), 'no-store')
}

const encode = (form: Record<string, string>): string => new URLSearchParams(form).toString()
const auth = basicAuth('client')

describe('a malformed request', () => {
  it('is named for what is wrong with it, at every endpoint', async () => {
    for (const path of ENDPOINTS) {
      const no = (body: string, reason: string) => refused(path, { headers: auth, body }, 400, 'invalid_request', reason)
      await no('%', 'malformed_form')
      await no(`grant_type=${MARK}%zz`, 'malformed_form')
      await no('token=%ff', 'malformed_form')
      await no('grant_type=a b', 'malformed_form')
      await no('grant_type=client_credentials&grant_type=client_credentials', 'repeated_parameter')
      await no(`token=${MARK}&token=${MARK}`, 'repeated_parameter')
      await no(`${MARK}=1&${MARK}=2`, 'repeated_parameter')
      await no('token=%00', 'control_character')
      await no(`token=${MARK}%0d%0aSet-Cookie:x`, 'control_character')
      await no(Array.from({ length: 70 }, (_, n) => `p${n}=1`).join('&'), 'too_many_parameters')
    }
  })

  it('is refused when it is too large', async () => {
    for (const path of ENDPOINTS)
      await refused(path, { headers: auth, body: `token=${'a'.repeat(70_000)}` }, 413, 'invalid_request', 'body_too_large')
  })

  it('is refused when it is of another type', async () => {
    for (const path of ENDPOINTS)
      for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x', MARK, 'application/xml'])
        await refused(
          path,
          { headers: { ...auth, 'content-type': type }, body: '{"a":1}' },
          415,
          'invalid_request',
          'unsupported_media_type',
        )
  })

  it('is refused when nothing is in it', async () => {
    await refused('/token', { headers: auth, body: '' }, 400, 'invalid_request', 'parameter_missing')
    await refused('/introspect', { headers: auth, body: 'token=' }, 400, 'invalid_request', 'parameter_missing')
    await refused('/leaks', { body: 'x=1' }, 400, 'invalid_request', 'parameter_missing')
  })

  it('is told which methods there are', async () => {
    for (const path of ENDPOINTS) {
      for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
        const answer = await send(path, { method, ...(method === 'GET' ? {} : { body: 'a=b' }) })
        assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'POST'], `${method} ${path}`)
        assert.equal(JSON.parse(answer.text).reason, 'method_not_allowed')
      }
    }
    const jwks = await send('/jwks', { method: 'POST', body: 'a=b' })
    assert.deepEqual([jwks.status, jwks.headers.get('allow')], [405, 'GET, HEAD'])
  })

  it('finds nothing where nothing is', async () => {
    for (const path of [`/${MARK}`, `/token/${MARK}`, '/token/', '/Token', `/?x=${MARK}`, '/.well-known/', `/%2e%2e/${MARK}`])
      await refused(path, { method: 'GET' }, 404, 'not_found', 'no_such_endpoint')
    await refused(`/${'a'.repeat(5000)}`, { method: 'GET' }, 404, 'not_found', 'no_such_endpoint')
    const page = await fetch(`${authority.url}/${MARK}`, { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } })
    assert.deepEqual([page.status, page.headers.get('content-type')], [404, 'text/html; charset=utf-8'])
    assert.doesNotMatch(await page.text(), new RegExp(MARK))
    const torn = await send(`/${MARK}%`, { method: 'GET' })
    assert.equal(torn.status, 400)
  })

  it('closes the connection on what is not HTTP, without a word about us', async () => {
    const bare = (status: string) => `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
    assert.equal(await raw(MARK), bare('400 Bad Request'))
    assert.equal(await raw(`GET / HTTP/1.1\r\nHost: a\r\nX: ${MARK.repeat(2000)}`), bare('431 Request Header Fields Too Large'))
  })

  it('is refused when a header that says who asks or what comes is there twice', async () => {
    const form = 'grant_type=client_credentials'
    const head = `POST /token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${form.length}`
    const ask = (...more: readonly string[]) => raw([head, ...more].join('\r\n'), form)
    const [who, what] = [`Authorization: ${auth.authorization}`, `Content-Type: ${FORM}`]
    await until(async () => /^HTTP\/1\.1 200 /.test(await ask(who, what))) // Not in the moment after the machine stood still.
    assert.match(await ask(who, who, what), /^HTTP\/1\.1 401 .*malformed_credentials/s)
    assert.match(await ask(who, `Authorization: Bearer ${MARK}`, what), /^HTTP\/1\.1 401 .*malformed_credentials/s)
    assert.match(await ask(who, what, 'Content-Type: application/json'), /^HTTP\/1\.1 415 /)
    const userinfo = [
      'GET /userinfo HTTP/1.1',
      'Host: a',
      'Connection: close',
      'Authorization: Bearer a',
      'Authorization: Bearer b',
    ]
    assert.match(await raw(userinfo.join('\r\n')), /^HTTP\/1\.1 400 .*invalid_request/s)
  })

  it('is told which parameter is missing', async () => {
    const { body } = await authority.post('/token', { grant_type: 'refresh_token' }, auth)
    assert.deepEqual(body.details, [{ path: 'refresh_token', message: 'is missing' }])
  })

  /** What comes back for these bytes, until the connection is closed. */
  function raw(head: string, body = ''): Promise<string> {
    const { port } = new URL(authority.url)
    return new Promise((resolve) => {
      let text = ''
      const socket = connect(Number(port), 'localhost', () => socket.write(`${head}\r\n\r\n${body}`))
      socket.on('data', (data) => {
        text += data
      })
      socket.on('close', () => resolve(text))
    })
  }
})

describe('a token request that may not pass', () => {
  const ask = (form: Record<string, string>, headers: Record<string, string> = auth): Sent => ({ headers, body: encode(form) })

  it('does not say whether a client exists', async () => {
    const form = { grant_type: 'client_credentials' }
    const failed = [401, 'invalid_client', 'client_authentication_failed'] as const
    await refused('/token', ask(form, basicAuth(MARK)), ...failed)
    await refused('/token', ask(form, basicAuth('client', MARK)), ...failed)
    await refused('/token', ask({ ...form, client_id: MARK, client_secret: MARK }, {}), ...failed)
    await refused('/token', ask({ ...form, client_id: 'client', client_secret: TEST_SECRET }, {}), ...failed)
    await refused('/token', ask({ ...form, client_id: 'client' }, {}), ...failed)
    await refused('/token', ask({ ...form, client_id: `client${'x'.repeat(5000)}` }, {}), ...failed)
    const [unknown, wrong] = await Promise.all([
      send('/token', ask(form, basicAuth('nobody'))),
      send('/token', ask(form, basicAuth('client', 'wrong'))),
    ])
    assert.equal(unknown.text, wrong.text)
  })

  it('is refused for torn credentials', async () => {
    const form = { grant_type: 'client_credentials' }
    for (const authorization of [
      'Basic',
      'Basic !!!',
      `Basic ${btoa('nocolon')}`,
      `Basic ${btoa(':secret')}`,
      `Basic ${btoa('a%zz:b')}`,
      MARK,
    ])
      await refused('/token', ask(form, { authorization }), 401, 'invalid_client', 'malformed_credentials')
    const assertion = { client_assertion: MARK, client_assertion_type: MARK }
    await refused('/token', ask({ ...form, ...assertion }, {}), 400, 'invalid_request', 'unknown_assertion_type')
    const typed = { ...assertion, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' }
    await refused('/token', ask({ ...form, ...typed }, {}), 401, 'invalid_client', 'client_authentication_failed')
  })

  it('is refused for an unknown grant, or one that is missing', async () => {
    for (const name of [MARK, 'password', '__proto__', 'constructor', 'Client_Credentials', 'implicit'])
      await refused('/token', ask({ grant_type: name }), 400, 'unsupported_grant_type', 'unknown_grant_type')
    await refused('/token', ask({ scope: 'api:read' }), 400, 'invalid_request', 'parameter_missing')
  })

  it('is refused for redirect URIs that are nearly right', async () => {
    const near = [
      `${TEST_REDIRECT}/`,
      `${TEST_REDIRECT}?`,
      `${TEST_REDIRECT}?${MARK}`,
      `${TEST_REDIRECT}#x`,
      TEST_REDIRECT.toUpperCase(),
      TEST_REDIRECT.replace('https', 'http'),
      TEST_REDIRECT.replace('app', 'app.example:443'),
      TEST_REDIRECT.replace('callback', '%63allback'),
      TEST_REDIRECT.replace('callback', './callback'),
      `https://${MARK}.example/callback`,
    ]
    for (const redirect_uri of near) {
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri }
      await refused('/token', ask(form), 400, 'invalid_grant', 'redirect_uri_mismatch')
    }
  })

  it('is refused for malformed scopes, resources, codes and tokens', async () => {
    const cc = { grant_type: 'client_credentials' }
    for (const scope of [`"${MARK}`, 'a  b', ' a', 'a\\b', 'é', Array.from({ length: 65 }, (_, n) => `s${n}`).join(' ')])
      await refused('/token', ask({ ...cc, scope }), 400, 'invalid_scope', 'malformed_scope')
    for (const resource of [MARK, 'https://api.example#x', 'https://api.example/', '//api.example', 'javascript:alert(1)'])
      await refused('/token', ask({ ...cc, resource }), 400, 'invalid_target', 'unknown_resource')
    const many = `${encode(cc)}&${Array.from({ length: 9 }, (_, n) => `resource=https%3A%2F%2F${n}.example`).join('&')}`
    await refused('/token', { headers: auth, body: many }, 400, 'invalid_target', 'several_resources')
    for (const text of [
      MARK,
      'sgr_',
      `sgr_${MARK}`,
      `sgr_${'A'.repeat(600)}`,
      `${refreshToken}x`,
      refreshToken.slice(0, -1),
      `x${refreshToken}`,
    ])
      await refused('/token', ask({ grant_type: 'refresh_token', refresh_token: text }), 400, 'invalid_grant', 'malformed_token')
  })

  it('never passes, whatever bytes it is made of', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 })
    const name = fc.constantFrom(
      'grant_type',
      'code',
      'refresh_token',
      'scope',
      'resource',
      'client_id',
      'client_secret',
      'code_verifier',
      'token',
    )
    const form = fc.array(fc.tuple(fc.oneof(name, text), text), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('/token', '/introspect', '/revoke'), form, async (path, pairs) => {
        const body = pairs
          .map(([key, value]) => `${encodeURIComponent(key.toWellFormed())}=${encodeURIComponent(value.toWellFormed())}`)
          .join('&')
        const { status, text: answer } = await send(path, { headers: auth, body })
        if (status === 200) assert.ok(path !== '/token', answer)
        else assert.ok(status >= 400 && status < 500, `${status} ${answer}`)
      }),
      { numRuns: 40 },
    )
  })
})

describe('a fault of ours', () => {
  it('is 503 with Retry-After, never invalid_grant; a bug is 500 without a word about it', async () => {
    const { store } = authority
    const find = store.families.find
    const { fault } = await import('@signet/kernel/errors.ts')
    const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
    try {
      Object.assign(store.families, { find: () => Promise.reject(fault('store_unavailable')) })
      const cut = await authority.post('/token', form, auth)
      assert.deepEqual([cut.status, cut.body.error, cut.headers.get('retry-after')], [503, 'temporarily_unavailable', '1'])
      Object.assign(store.families, { find: () => Promise.reject(new Error(`secret ${MARK}`)) })
      const bug = await authority.post('/token', form, auth)
      assert.deepEqual([bug.status, bug.body.error], [500, 'server_error'])
      assert.ok(!bug.text.includes(MARK))
    } finally {
      Object.assign(store.families, { find })
    }
  })
})
