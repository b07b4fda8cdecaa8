import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { encodeOpaque } from '@signet/kernel/opaque-token.ts'
import {
  basicAuth,
  type Form,
  type FormAnswer,
  type SignedIn,
  startTestAuthority,
  TEST_API,
  TEST_REDIRECT,
  type TestAuthority,
} from '@signet/testkit/authority.ts'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { openAccessToken } from '../../tokens/opaque-access-token.ts'

const OPAQUE = 'https://opaque.example'
const web = 'web' as ClientId
let authority: TestAuthority
let signedIn: SignedIn

before(async () => {
  authority = await startTestAuthority()
  await authority.addResource()
  const scopes = [{ name: 'opaque:read', description: 'x' }]
  await authority.addResource({ uri: OPAQUE, scopes, tokenFormat: 'opaque' })
  await authority.addClient({ id: web, scopes: ['openid', 'opaque:read', 'api:read'], resources: [OPAQUE, TEST_API] })
  await authority.addClient({ id: 'api' as ClientId, introspects: [OPAQUE], grantTypes: ['client_credentials'] })
  await authority.addClient({ id: 'stranger' as ClientId })
  signedIn = await authority.signIn((await authority.addSubject()).id)
})
after(() => authority.close())

const INACTIVE = { active: false }
const token = (form: Form): Promise<FormAnswer> => authority.post('/token', form, basicAuth('web'))
async function introspect(text: string, client = 'api', form: Form = {}): Promise<FormAnswer['body']> {
  const { status, body } = await authority.post('/introspect', { token: text, ...form }, basicAuth(client))
  assert.equal(status, 200)
  return body
}
async function exchange(resources = [OPAQUE, TEST_API, authority.issuer], form: Form = { resource: OPAQUE }) {
  const scope = ['openid', 'opaque:read', 'api:read']
  const { code, verifier } = await authority.issueCode({ client: web, scope, resources }, signedIn)
  const whole = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT, ...form }
  const { status, body } = await token(whole)
  assert.equal(status, 200, JSON.stringify(body))
  return body
}
const within = (text: string) => decodeJwt(openAccessToken(text, authority.keys) ?? '')

describe('a resource whose access tokens are opaque', () => {
  it('gets them from every grant, again and again', async () => {
    const own = await token({ grant_type: 'client_credentials', resource: OPAQUE })
    const first = await exchange()
    const refresh = { grant_type: 'refresh_token', refresh_token: first.refresh_token, resource: OPAQUE }
    const [rotated, repeated] = [await token(refresh), await token(refresh)]
    assert.equal(rotated.body.refresh_token, repeated.body.refresh_token)
    for (const { access_token: text } of [own.body, first, rotated.body, repeated.body]) {
      assert.match(text, /^sga_[A-Za-z0-9_-]+$/)
      const told = await introspect(text)
      const { act: _act, anc: _anc, pv: _pv, ...claims } = within(text)
      assert.deepEqual(told, { active: true, token_type: 'Bearer', ...claims })
      assert.equal(told.aud, OPAQUE)
    }
    assert.equal((await introspect(first.access_token)).sub, signedIn.subject)
  })

  it('is the only one that gets them: other resources and the authority itself get JWTs', async () => {
    const { body } = await token({ grant_type: 'client_credentials', resource: TEST_API })
    assert.equal(decodeJwt(body.access_token).aud, TEST_API)
    const { access_token: own } = await exchange(undefined, { resource: authority.issuer, scope: 'openid' })
    const userinfo = (text: string) => fetch(`${authority.url}/userinfo`, { headers: { authorization: `Bearer ${text}` } })
    assert.equal(((await (await userinfo(own)).json()) as { sub: string }).sub, signedIn.subject)
    const refused = await userinfo((await exchange()).access_token)
    assert.deepEqual([refused.status, ((await refused.json()) as { reason: string }).reason], [401, 'malformed'])
  })

  it('has an ID token beside it whose hash is of what the client sees', async () => {
    const { access_token: text, id_token: idToken } = await exchange()
    const alg = decodeProtectedHeader(idToken).alg === 'EdDSA' ? 'sha512' : 'sha256'
    const digest = createHash(alg).update(text).digest()
    assert.equal(decodeJwt(idToken).at_hash, digest.subarray(0, digest.length / 2).toString('base64url'))
  })

  it('leaves nothing of it in the record but its id', async () => {
    const { access_token: text } = await exchange()
    const { jti, gid } = within(text)
    const batches = await authority.store.audit.search({ text: String(gid), fromMs: 0, toMs: Date.now() + 1000, limit: 10 })
    const record = batches.map(({ events }) => JSON.stringify(events)).join()
    assert.ok(record.includes(String(jti)))
    assert.ok(!record.includes('sga_'))
  })
})

describe('introspection of an opaque access token', () => {
  it('tells its client no more than it was told with it, and others nothing', async () => {
    const { access_token: text } = await exchange()
    const { iss, aud, client_id, scope, iat, exp, jti } = within(text)
    const told = { active: true, token_type: 'Bearer', iss, aud, client_id, scope, iat, exp, jti }
    assert.deepEqual(await introspect(text, 'web'), told)
    assert.deepEqual(await introspect(text, 'stranger'), INACTIVE)
  })

  it('can be minimal or signed', async () => {
    const { access_token: text } = await exchange()
    assert.deepEqual(await introspect(text, 'api', { mode: 'minimal' }), { active: true })
    const headers = { ...basicAuth('api'), accept: 'application/token-introspection+jwt' }
    const signed = decodeJwt((await authority.post('/introspect', { token: text }, headers)).text)
    assert.equal((signed.token_introspection as { jti: string }).jti, within(text).jti)
  })

  it('finds torn and forged ones inactive, as it does what is no access token within', async () => {
    const { access_token: text } = await exchange()
    const forged = encodeOpaque('access_token', new Uint8Array(600).fill(1))
    const flipped = text.slice(0, 40) + (text[40] === 'A' ? 'B' : 'A') + text.slice(41)
    for (const bad of ['sga_', text.slice(0, -1), `${text}A`, flipped, forged, `sga_${'A'.repeat(20_000)}`]) {
      assert.deepEqual(await introspect(bad), INACTIVE)
      assert.equal((await authority.post('/revoke', { token: bad }, basicAuth('web'))).status, 200)
      assert.equal((await authority.post('/leaks', { token: bad })).status, 202)
    }
    assert.equal((await introspect(text)).active, true)
  })
})

describe('the end of an opaque access token', () => {
  it('comes by revocation of itself, by its client alone', async () => {
    const { access_token: text, refresh_token: refreshToken } = await exchange()
    const refused = await authority.post('/revoke', { token: text }, basicAuth('stranger'))
    assert.equal(refused.body.reason, 'token_of_another_client')
    assert.equal((await authority.post('/revoke', { token: text }, basicAuth('web'))).status, 200)
    assert.deepEqual(await introspect(text), INACTIVE)
    assert.equal((await introspect(refreshToken, 'web')).active, true)
  })

  it('comes by a report that it leaked, with its grant', async () => {
    const { access_token: text, refresh_token: refreshToken } = await exchange()
    assert.equal((await authority.post('/leaks', { token: text })).status, 202)
    await authority.registry.lookNow()
    assert.deepEqual(await introspect(text), INACTIVE)
    assert.deepEqual(await introspect(refreshToken, 'web'), INACTIVE)
  })

  it('comes with what it hangs on', async () => {
    const { access_token: text } = await exchange()
    await authority.revoker.revoke({ kind: 'grant', id: String(within(text).gid) }, { reason: 'test', actor: 'system' })
    await authority.registry.lookNow()
    assert.deepEqual(await introspect(text), INACTIVE)
  })

  it('comes with the ring key that sealed it, not with its rotation', async () => {
    const { access_token: text } = await exchange()
    const ring = authority.keys.records().find(({ purpose, state }) => purpose === 'ring' && state === 'active')
    await authority.keys.rotate('ring', 'system', { force: true })
    assert.equal((await introspect(text)).active, true)
    const { access_token: next } = await exchange()
    await authority.revoker.revoke({ kind: 'key', id: String(ring?.id) }, { reason: 'test', actor: 'system' })
    await authority.registry.lookNow()
    assert.deepEqual(await introspect(text), INACTIVE)
    assert.equal((await introspect(next)).active, true)
  })
})
