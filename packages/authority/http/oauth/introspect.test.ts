import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import {
  basicAuth,
  type Form,
  type FormAnswer,
  type FormHeaders,
  type SignedIn,
  startTestAuthority,
  TEST_API,
  TEST_REDIRECT,
  type TestAuthority,
} from '@signet/testkit/authority.ts'
import { createDpopKey } from '@signet/testkit/dpop.ts'
import { decodeJwt, decodeProtectedHeader } from 'jose'

let authority: TestAuthority
let signedIn: SignedIn
const web = 'web' as ClientId
const OTHER = 'https://other.example'

before(async () => {
  authority = await startTestAuthority({ settings: { addressRate: { perSecond: 1, burst: 20 } } })
  await authority.addResource()
  await authority.addResource({ uri: OTHER, scopes: [{ name: 'other:read', description: 'x' }] })
  const scopes = ['openid', 'profile', 'email', 'api:read', 'other:read']
  await authority.addClient({ id: web, scopes, resources: [TEST_API, OTHER] })
  await authority.addClient({ id: 'api' as ClientId, introspects: [TEST_API], grantTypes: ['client_credentials'] })
  await authority.addClient({ id: 'stranger' as ClientId })
  await authority.addClient({ id: 'spa' as ClientId, authMethod: 'none', platform: 'browser' })
  const subject = await authority.addSubject({ claims: { name: 'Ada', email: 'ada@example.com', secret: 'x', updated_at: 1 } })
  signedIn = await authority.signIn(subject.id)
})
after(() => authority.close())

const introspect = async (token: string, client = 'api', form: Form = {}): Promise<FormAnswer['body']> => {
  const { status, body } = await authority.post('/introspect', { token, ...form }, basicAuth(client))
  assert.equal(status, 200)
  return body
}
async function grant(request: object = {}, headers = (): FormHeaders => ({})): Promise<FormAnswer['body']> {
  const { code, verifier } = await authority.issueCode({ client: web, ...request }, signedIn)
  const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
  const { body, status } = await authority.post('/token', form, () => ({ ...basicAuth('web'), ...headers() }))
  assert.equal(status, 200, JSON.stringify(body))
  return body
}
const revoke = (token: string, client = 'web') => authority.post('/revoke', { token }, basicAuth(client))
const INACTIVE = { active: false }

describe('introspection of an access token', () => {
  it('tells its resource server and its client what it carries', async () => {
    const { access_token: token } = await grant()
    const claims = decodeJwt(token)
    const told = await introspect(token)
    assert.deepEqual([told.active, told.token_type, told.sub, told.scope], [true, 'Bearer', signedIn.subject, 'api:read'])
    assert.deepEqual(
      [told.aud, told.iss, told.jti, told.exp, told.client_id],
      [TEST_API, authority.issuer, claims.jti, claims.exp, 'web'],
    )
    assert.deepEqual([told.gid, told.sid, told.did], [claims.gid, signedIn.session, signedIn.device])
    assert.equal(told.name, undefined)
    assert.equal((await introspect(token, 'web')).active, true)
  })

  it('tells nobody else anything, nor about another resource', async () => {
    const { access_token: token } = await grant()
    assert.deepEqual(await introspect(token, 'stranger'), INACTIVE)
    const { access_token: other } = await grant({ scope: ['other:read'], resources: [OTHER] })
    assert.deepEqual(await introspect(other), INACTIVE)
    assert.deepEqual(await introspect(`${token}x`), INACTIVE)
    assert.deepEqual(await introspect('garbage'), INACTIVE)
    assert.deepEqual(await introspect(authority.mint.sign('at+jwt', { iss: authority.issuer })), INACTIVE)
  })

  it('says only yes or no in minimal mode', async () => {
    const { access_token: token } = await grant()
    assert.deepEqual(await introspect(token, 'api', { mode: 'minimal' }), { active: true })
    assert.deepEqual(await introspect('garbage', 'api', { mode: 'minimal' }), INACTIVE)
  })

  it('turns to inactive when the token or anything it hangs on is revoked', async () => {
    for (const kind of ['token', 'grant', 'session', 'subject'] as const) {
      const subject = await authority.addSubject()
      const person = await authority.signIn(subject.id)
      const { code, verifier } = await authority.issueCode({ client: web }, person)
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
      const { body } = await authority.post('/token', form, basicAuth('web'))
      assert.equal((await introspect(body.access_token)).active, true)
      const { jti, gid } = decodeJwt(body.access_token)
      const id = { token: jti, grant: gid, session: person.session, subject: subject.id }[kind] as string
      await authority.revoker.revoke({ kind, id }, { reason: 'test', actor: 'system' })
      await authority.registry.lookNow()
      assert.deepEqual(await introspect(body.access_token), INACTIVE, kind)
    }
  })

  it('is for clients that prove themselves', async () => {
    const { status, body } = await authority.post('/introspect', { token: 'x', client_id: 'spa' })
    assert.deepEqual([status, body.error, body.reason], [400, 'unauthorized_client', 'introspection_not_allowed'])
    assert.equal((await authority.post('/introspect', { token: 'x' }, basicAuth('api', 'wrong'))).status, 401)
    assert.equal((await authority.post('/introspect', {}, basicAuth('api'))).body.reason, 'parameter_missing')
  })

  it('is signed on request (RFC 9701)', async () => {
    const { access_token: token } = await grant()
    const headers = { ...basicAuth('api'), accept: 'application/token-introspection+jwt' }
    const { headers: answered, text } = await authority.post('/introspect', { token }, headers)
    assert.equal(answered.get('content-type'), 'application/token-introspection+jwt')
    assert.equal(decodeProtectedHeader(text).typ, 'token-introspection+jwt')
    const signed = decodeJwt(text)
    assert.deepEqual([signed.iss, signed.aud], [authority.issuer, 'api'])
    assert.equal((signed.token_introspection as { active: boolean }).active, true)
  })
})

describe('introspection of a refresh token', () => {
  it('tells its client, while it is the current one', async () => {
    const { refresh_token: token } = await grant()
    const told = await introspect(token, 'web')
    assert.deepEqual([told.active, told.sub, told.client_id, told.scope], [true, signedIn.subject, 'web', 'openid api:read'])
    assert.deepEqual(await introspect(token), INACTIVE)
    const next = await authority.post('/token', { grant_type: 'refresh_token', refresh_token: token }, basicAuth('web'))
    assert.deepEqual(await introspect(token, 'web'), INACTIVE)
    assert.equal((await introspect(next.body.refresh_token, 'web')).active, true)
    await revoke(next.body.refresh_token)
    assert.deepEqual(await introspect(next.body.refresh_token, 'web'), INACTIVE)
  })
})

describe('introspection of an API key', () => {
  it('tells the resource server, and notes when it was last used', async () => {
    const key = await authority.addApiKey({ client: web, scopes: ['api:read'], subject: signedIn.subject })
    const askedAt = Math.floor(Date.now() / 1000)
    const told = await introspect(key)
    assert.deepEqual([told.active, told.sub, told.aud, told.scope], [true, signedIn.subject, TEST_API, 'api:read'])
    const record = await authority.store.apiKeys.find(told.jti)
    assert.ok((record?.lastUsedAt ?? 0) >= askedAt && (record?.lastUsedAt ?? 0) * 1000 <= Date.now())
    assert.deepEqual(await introspect(key, 'stranger'), INACTIVE)
    assert.deepEqual(await introspect(`${key.slice(0, -3)}AAA`), INACTIVE)
  })

  it('finds it inactive when it has expired, was revoked, or its owner was', async () => {
    const expired = await authority.addApiKey({ client: web, scopes: [], expiresAt: Math.floor(Date.now() / 1000) - 1 })
    assert.deepEqual(await introspect(expired), INACTIVE)
    const revoked = await authority.addApiKey({ client: web, scopes: [] })
    assert.equal((await introspect(revoked)).active, true)
    assert.equal((await revoke(revoked)).status, 200)
    assert.deepEqual(await introspect(revoked), INACTIVE)
    const subject = await authority.addSubject()
    const owned = await authority.addApiKey({ client: web, scopes: [], subject: subject.id })
    assert.equal((await introspect(owned)).active, true)
    await authority.revoker.suspend({ kind: 'subject', id: subject.id }, { reason: 'test', actor: 'system' })
    assert.deepEqual(await introspect(owned), INACTIVE)
  })
})

describe('revocation by a client (RFC 7009)', () => {
  it('ends an access token alone, and a grant with its refresh token', async () => {
    const first = await grant()
    assert.deepEqual([(await revoke(first.access_token)).status, (await revoke(first.access_token)).status], [200, 200])
    assert.deepEqual(await introspect(first.access_token), INACTIVE)
    assert.equal((await introspect(first.refresh_token, 'web')).active, true)
    assert.equal((await revoke(first.refresh_token)).status, 200)
    const { body } = await authority.post(
      '/token',
      { grant_type: 'refresh_token', refresh_token: first.refresh_token },
      basicAuth('web'),
    )
    assert.equal(body.reason, 'grant_revoked')
  })

  it('is a success for what is no token, and refused for the token of another client', async () => {
    for (const token of ['garbage', 'sgr_garbage', 'a.b.c', 'sgk_x']) assert.equal((await revoke(token)).status, 200)
    const { access_token: access, refresh_token: refreshToken } = await grant()
    for (const token of [access, refreshToken]) {
      const { status, body } = await revoke(token, 'stranger')
      assert.deepEqual([status, body.reason], [400, 'token_of_another_client'])
    }
    assert.equal((await introspect(access)).active, true)
  })
})

describe('a report of a leaked token', () => {
  const report = (token: string) => authority.post('/leaks', { token })

  it('ends it with its grant, whoever sends it, and answers everyone alike', async () => {
    const first = await grant()
    const answers = [
      await report(first.access_token),
      await report(first.access_token),
      await report('garbage'),
      await report('sgr_x'),
    ]
    assert.deepEqual([...new Set(answers.map(({ status, text }) => `${status} ${text}`))], ['202 '])
    await authority.registry.lookNow()
    assert.deepEqual(await introspect(first.access_token), INACTIVE)
    assert.deepEqual(await introspect(first.refresh_token, 'web'), INACTIVE)
    const key = await authority.addApiKey({ client: web, scopes: [] })
    await report(key)
    assert.deepEqual(await introspect(key), INACTIVE)
  })

  it('is limited for each address', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => report('garbage')))
    const refused = answers.find(({ status }) => status === 429)
    assert.equal(refused?.body.error, 'slow_down')
    assert.ok(Number(refused?.headers.get('retry-after')) >= 1)
  })
})

describe('userinfo', () => {
  const userinfo = (token: string, init: RequestInit = {}) =>
    fetch(`${authority.url}/userinfo`, { ...init, headers: { authorization: `Bearer ${token}`, ...init.headers } })

  it('says who signed in, as far as the scopes go', async () => {
    const { access_token: bare } = await grant({ scope: ['openid'], resources: [authority.issuer] })
    assert.deepEqual(await (await userinfo(bare)).json(), { sub: signedIn.subject })
    const { access_token: full } = await grant({ scope: ['openid', 'profile', 'email'], resources: [authority.issuer] })
    const answer = await userinfo(full, { method: 'POST' })
    assert.equal(answer.headers.get('cache-control'), 'no-store')
    assert.deepEqual(await answer.json(), { sub: signedIn.subject, name: 'Ada', email: 'ada@example.com', updated_at: 1 })
  })

  it('refuses tokens for other audiences, without the scope, revoked ones, and none', async () => {
    const { access_token: api } = await grant()
    const wrong = await userinfo(api)
    assert.equal(wrong.status, 401)
    assert.match(wrong.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
    assert.equal(((await wrong.json()) as { reason: string }).reason, 'wrong_audience')
    const missing = await fetch(`${authority.url}/userinfo`)
    assert.deepEqual([missing.status, missing.headers.get('www-authenticate')], [401, 'Bearer'])
    const { access_token: token } = await grant({ scope: ['openid'], resources: [authority.issuer] })
    await revoke(token)
    assert.equal((await userinfo(token)).status, 401)
  })

  it('demands the proof of a bound token', async () => {
    const key = createDpopKey()
    const url = `${authority.issuer}/token`
    const form = { grant_type: 'client_credentials' }
    const asked = await authority.post('/token', form, { ...basicAuth('web'), dpop: key.proof({ url }) })
    const nonce = asked.headers.get('dpop-nonce') as string
    const { access_token: token } = await grant({ scope: ['openid'], resources: [authority.issuer] }, () => ({
      dpop: key.proof({ url, nonce }),
    }))
    assert.equal((await userinfo(token)).status, 401)
    const at = `${authority.issuer}/userinfo`
    const dpop = (proof: string) => fetch(at, { headers: { authorization: `DPoP ${token}`, dpop: proof } })
    const proof = key.proof({ url: at, method: 'GET', nonce, accessToken: token })
    assert.equal((await dpop(proof)).status, 200)
    assert.equal((await dpop(proof)).status, 401)
    assert.equal((await dpop(createDpopKey().proof({ url: at, method: 'GET', nonce, accessToken: token }))).status, 401)
  })
})
