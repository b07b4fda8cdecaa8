import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { ClientId, FamilyId } from '@signet/kernel/ids.ts'
import {
  basicAuth,
  type Form,
  type FormAnswer,
  type FormHeaders,
  type SignedIn,
  startTestAuthority,
  TEST_API,
  TEST_REDIRECT,
  TEST_SECRET,
  type TestAuthority,
} from '@signet/testkit/authority.ts'
import { createDpopKey, type DpopKey } from '@signet/testkit/dpop.ts'
import { until } from '@signet/testkit/until.ts'
import { decodeJwt, decodeProtectedHeader } from 'jose'

let authority: TestAuthority
let signedIn: SignedIn
const web = 'web' as ClientId
const spa = 'spa' as ClientId

before(async () => {
  authority = await startTestAuthority({ settings: { familyRate: { perSecond: 1000, burst: 1000 } } })
  await authority.addResource()
  await authority.addResource({ uri: 'https://other.example', scopes: [{ name: 'other:read', description: 'x' }] })
  await authority.addResource({
    uri: 'https://bound.example',
    dpopRequired: true,
    scopes: [{ name: 'bound:read', description: 'x' }],
  })
  const resources = [TEST_API, 'https://other.example', 'https://bound.example']
  const scopes = ['openid', 'profile', 'email', 'api:read', 'api:write', 'other:read', 'bound:read']
  await authority.addClient({ id: web, scopes, resources })
  await authority.addClient({ id: 'web2' as ClientId, scopes, resources })
  await authority.addClient({
    id: spa,
    authMethod: 'none',
    platform: 'browser',
    grantTypes: ['authorization_code', 'refresh_token'],
    redirectUris: ['https://spa.example/cb'],
  })
  await authority.addClient({ id: 'codeonly' as ClientId, grantTypes: ['authorization_code'] })
  await authority.addClient({ id: 'bound' as ClientId, dpopBound: true })
  const subject = await authority.addSubject({ claims: { name: 'Ada', email: 'ada@example.com' } })
  signedIn = await authority.signIn(subject.id)
})
after(() => authority.close())

const token = (form: Form, client = 'web', headers = (): FormHeaders => ({})): Promise<FormAnswer> =>
  authority.post('/token', form, () => ({ ...basicAuth(client), ...headers() }))
const exchange = (code: string, verifier: string, changes: Form = {}): Form => ({
  grant_type: 'authorization_code',
  code,
  code_verifier: verifier,
  redirect_uri: TEST_REDIRECT,
  ...changes,
})
const refresh = (refreshToken: string, changes: Form = {}): Form => ({
  grant_type: 'refresh_token',
  refresh_token: refreshToken,
  ...changes,
})
async function grant(client: ClientId = web): Promise<FormAnswer['body']> {
  const { code, verifier } = await authority.issueCode({ client }, signedIn)
  const { body, status } = await token(exchange(code, verifier), client)
  assert.equal(status, 200, JSON.stringify(body))
  return body
}
function refused(answer: FormAnswer, status: number, error: string, reason: string): void {
  assert.deepEqual([answer.status, answer.body?.error, answer.body?.reason], [status, error, reason], answer.text)
  assert.equal(answer.headers.get('cache-control'), 'no-store')
}
/** For a span that begins after now and was told before it is looked at: it lacks the seconds that began in between, and no more. */
function countdown(): (told: number, span: number) => void {
  const beganAt = Math.floor(Date.now() / 1000)
  return (told, span) => {
    const passed = Math.floor(Date.now() / 1000) - beganAt
    assert.ok(told <= span && told >= span - passed, `${told} of ${span}`)
  }
}
const familyOf = async (accessToken: string) => {
  const standing = await authority.store.families.find(decodeJwt(accessToken).gid as FamilyId)
  assert.ok(standing !== undefined)
  return standing.family
}

describe('client_credentials', () => {
  it('gives an RFC 9068 access token to the client itself, and nothing else', async () => {
    const secondsLeft = countdown()
    const { status, body, headers } = await token({ grant_type: 'client_credentials', scope: 'api:read' })
    assert.equal(status, 200)
    assert.deepEqual([headers.get('cache-control'), headers.get('pragma')], ['no-store', 'no-cache'])
    assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'scope', 'token_type'])
    const claims = decodeJwt(body.access_token)
    assert.equal(decodeProtectedHeader(body.access_token).typ, 'at+jwt')
    assert.deepEqual(
      [claims.iss, claims.sub, claims.client_id, claims.aud, claims.scope],
      [authority.issuer, 'web', 'web', TEST_API, 'api:read'],
    )
    assert.equal((claims.exp as number) - (claims.iat as number), 300)
    secondsLeft(body.expires_in, 300)
    assert.equal(typeof claims.pv, 'string')
    assert.deepEqual([claims.gid, claims.sid], [undefined, undefined])
  })

  it('is for one resource, by name or by default, and gives every scope the client has there unless some are named', async () => {
    const all = await token({ grant_type: 'client_credentials' })
    assert.equal(all.body.scope, 'api:read api:write')
    const other = await token({ grant_type: 'client_credentials', resource: 'https://other.example' })
    assert.deepEqual([decodeJwt(other.body.access_token).aud, other.body.scope], ['https://other.example', 'other:read'])
  })

  it('refuses what the client may not have, and what belongs elsewhere', async () => {
    const ask = (form: Form) => token({ grant_type: 'client_credentials', ...form })
    refused(await ask({ scope: 'signet:admin' }), 400, 'invalid_scope', 'scope_not_allowed')
    refused(await ask({ scope: 'other:read' }), 400, 'invalid_scope', 'scope_not_of_resource')
    refused(await ask({ scope: 'a\u00a0b' }), 400, 'invalid_scope', 'malformed_scope')
    refused(await ask({ resource: 'https://nowhere.example' }), 400, 'invalid_target', 'unknown_resource')
    refused(await ask({ resource: `${TEST_API}/` }), 400, 'invalid_target', 'unknown_resource')
    refused(await ask({ resource: authority.issuer, scope: 'openid' }), 400, 'invalid_scope', 'scope_not_allowed')
  })

  it('is only for clients that prove themselves and are registered for it', async () => {
    const asSpa = await authority.post('/token', { grant_type: 'client_credentials', client_id: 'spa' })
    refused(asSpa, 400, 'unauthorized_client', 'grant_not_allowed')
    refused(await token({ grant_type: 'client_credentials' }, 'codeonly'), 400, 'unauthorized_client', 'grant_not_allowed')
  })
})

describe('client authentication at the token endpoint', () => {
  const form = { grant_type: 'client_credentials' }

  it('challenges a client that came with Basic, and only that', async () => {
    const basic = await authority.post('/token', form, basicAuth('web', 'wrong'))
    refused(basic, 401, 'invalid_client', 'client_authentication_failed')
    assert.match(basic.headers.get('www-authenticate') ?? '', /^Basic realm="signet"/)
    const posted = await authority.post('/token', { ...form, client_id: 'web', client_secret: TEST_SECRET })
    refused(posted, 401, 'invalid_client', 'client_authentication_failed')
    assert.equal(posted.headers.get('www-authenticate'), null)
    refused(await authority.post('/token', form), 401, 'invalid_client', 'client_credentials_missing')
  })

  it('takes one method only', async () => {
    const both = await authority.post('/token', { ...form, client_id: 'web', client_secret: TEST_SECRET }, basicAuth('web'))
    refused(both, 400, 'invalid_request', 'several_client_credentials')
    const other = await authority.post('/token', { ...form, client_id: 'spa' }, basicAuth('web'))
    refused(other, 400, 'invalid_request', 'several_client_credentials')
    const same = await authority.post('/token', { ...form, client_id: 'web' }, basicAuth('web'))
    assert.equal(same.status, 200)
    const bearer = await authority.post('/token', form, { authorization: 'Bearer abc' })
    refused(bearer, 401, 'invalid_client', 'malformed_credentials')
  })
})

describe('authorization_code', () => {
  it('gives access, refresh and ID token for what was agreed to', async () => {
    const { code, verifier } = await authority.issueCode({ client: web, nonce: 'n-0S6' }, signedIn)
    const secondsLeft = countdown()
    const { status, body } = await token(exchange(code, verifier))
    assert.equal(status, 200, JSON.stringify(body))
    assert.deepEqual([body.token_type, body.scope], ['Bearer', 'api:read'])
    const access = decodeJwt(body.access_token)
    assert.deepEqual(
      [access.sub, access.sid, access.did, access.aud],
      [signedIn.subject, signedIn.session, signedIn.device, TEST_API],
    )
    assert.deepEqual(
      [access.acr, access.amr, access.auth_time],
      ['urn:signet:acr:passkey', ['hwk', 'user', 'mfa'], signedIn.authAt],
    )
    assert.deepEqual([access.name, access.email], [undefined, undefined])
    const id = decodeJwt(body.id_token)
    assert.deepEqual(
      [id.aud, id.nonce, id.sub, id.sid, id.iss],
      ['web', 'n-0S6', signedIn.subject, signedIn.session, authority.issuer],
    )
    assert.equal(typeof id.at_hash, 'string')
    assert.ok(body.refresh_token.startsWith('sgr_'))
    secondsLeft(body.refresh_token_expires_in, 14 * 86_400)
    secondsLeft(body.authorization_expires_in, 90 * 86_400)
    const family = await familyOf(body.access_token)
    assert.deepEqual([family.generation, family.terms.client, family.subject], [0, 'web', signedIn.subject])
  })

  it('gives no refresh token to a client that may not refresh, and no ID token without openid', async () => {
    const { code, verifier } = await authority.issueCode({ client: 'codeonly' as ClientId, scope: ['api:read'] }, signedIn)
    const { body } = await token(exchange(code, verifier), 'codeonly')
    assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'scope', 'token_type'])
    const { gid } = decodeJwt(body.access_token)
    assert.equal(await authority.store.families.find(gid as FamilyId), undefined)
    // Used again, what it led to ends although there is no row of it.
    refused(await token(exchange(code, verifier), 'codeonly'), 400, 'invalid_grant', 'code_spent')
    await authority.registry.lookNow()
    assert.ok(authority.registry.cutoffMs('grant', gid as string) > 0)
  })

  it('is refused to everyone who lacks client, redirect URI or verifier, and then still works for its owner', async () => {
    const { code, verifier } = await authority.issueCode({ client: web }, signedIn)
    const mine = exchange(code, verifier)
    refused(await token(mine, 'web2'), 400, 'invalid_grant', 'unknown_code')
    refused(await token({ ...mine, redirect_uri: `${TEST_REDIRECT}/` }), 400, 'invalid_grant', 'redirect_uri_mismatch')
    refused(await token({ ...mine, redirect_uri: undefined }), 400, 'invalid_grant', 'redirect_uri_mismatch')
    refused(await token({ ...mine, code_verifier: undefined }), 400, 'invalid_request', 'verifier_missing')
    refused(await token({ ...mine, code_verifier: 'short' }), 400, 'invalid_request', 'verifier_missing')
    refused(await token({ ...mine, code_verifier: 'x'.repeat(43) }), 400, 'invalid_grant', 'verifier_mismatch')
    refused(await token({ ...mine, scope: 'api:read api:write' }), 400, 'invalid_scope', 'scope_not_granted')
    refused(await token({ ...mine, resource: 'https://other.example' }), 400, 'invalid_target', 'resource_not_granted')
    assert.equal((await token(mine)).status, 200)
  })

  it('works once: again, it ends what it led to; by a stranger, it changes nothing', async () => {
    const { code, verifier } = await authority.issueCode({ client: web }, signedIn)
    const first = await token(exchange(code, verifier))
    refused(await token(exchange(code, verifier), 'web2'), 400, 'invalid_grant', 'unknown_code')
    refused(await token(exchange(code, 'x'.repeat(43))), 400, 'invalid_grant', 'verifier_mismatch')
    assert.equal((await familyOf(first.body.access_token)).status, 'active')
    refused(await token(exchange(code, verifier)), 400, 'invalid_grant', 'code_spent')
    assert.equal((await familyOf(first.body.access_token)).status, 'revoked')
    refused(await token(refresh(first.body.refresh_token)), 400, 'invalid_grant', 'grant_revoked')
  })

  it('of twenty exchanges of one code at once gives one answer', async () => {
    const { code, verifier } = await authority.issueCode({ client: web }, signedIn)
    const answers = await Promise.all(Array.from({ length: 20 }, () => token(exchange(code, verifier))))
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
    for (const answer of answers) if (answer.status !== 200) refused(answer, 400, 'invalid_grant', 'code_spent')
  })

  it('is refused when it never was, is torn, or its session ended meanwhile', async () => {
    refused(await token(exchange('sgc_nonsense', 'x'.repeat(43))), 400, 'invalid_grant', 'unknown_code')
    refused(await token(exchange('x', 'x'.repeat(43))), 400, 'invalid_grant', 'unknown_code')
    const subject = await authority.addSubject()
    const late = await authority.signIn(subject.id)
    const { code, verifier } = await authority.issueCode({ client: web }, late)
    await authority.revoker.revoke({ kind: 'session', id: late.session }, { reason: 'test', actor: 'system' })
    refused(await token(exchange(code, verifier)), 400, 'invalid_grant', 'grant_over')
  })

  it('waits while the account is suspended, and works when it is resumed', async () => {
    const subject = await authority.addSubject()
    const person = await authority.signIn(subject.id)
    const { code, verifier } = await authority.issueCode({ client: web }, person)
    const target = { kind: 'subject', id: subject.id } as const
    await authority.revoker.suspend(target, { reason: 'test', actor: 'system' })
    const answer = await token(exchange(code, verifier))
    refused(answer, 403, 'access_denied', 'subject_suspended')
    assert.equal(answer.body.action, 'retry')
    await authority.revoker.resume(target, { reason: 'test', actor: 'system' })
    assert.equal((await token(exchange(code, verifier))).status, 200)
  })
})

describe('refresh_token', () => {
  it('rotates: a new access token and a new refresh token, the old one spent', async () => {
    const first = await grant()
    const { status, body } = await token(refresh(first.refresh_token))
    assert.equal(status, 200)
    assert.notEqual(body.refresh_token, first.refresh_token)
    assert.notEqual(body.access_token, first.access_token)
    assert.equal(body.id_token, undefined)
    assert.equal(decodeJwt(body.access_token).gid, decodeJwt(first.access_token).gid)
    assert.equal((await familyOf(body.access_token)).generation, 1)
  })

  it('answers a lost response with the same successor again', async () => {
    const first = await grant()
    const once = await token(refresh(first.refresh_token))
    const again = await token(refresh(first.refresh_token))
    assert.equal(again.body.refresh_token, once.body.refresh_token)
    assert.equal((await familyOf(first.access_token)).generation, 1)
  })

  it('yields one successor to a hundred requests at once', async () => {
    const first = await grant()
    const answers = await Promise.all(Array.from({ length: 100 }, () => token(refresh(first.refresh_token))))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1)
    const family = await familyOf(first.access_token)
    assert.deepEqual([family.generation, family.status], [1, 'active'])
    assert.equal((await token(refresh(answers[0]?.body.refresh_token))).status, 200)
  })

  it('ends the family when a token comes back that was spent long ago, and says so in the record', async () => {
    const first = await grant()
    const second = await token(refresh(first.refresh_token))
    const third = await token(refresh(second.body.refresh_token))
    refused(await token(refresh(first.refresh_token)), 400, 'invalid_grant', 'refresh_token_reuse')
    refused(await token(refresh(third.body.refresh_token)), 400, 'invalid_grant', 'grant_revoked')
    const gid = decodeJwt(first.access_token).gid as string
    const found = await authority.store.audit.search({ text: gid, fromMs: 0, toMs: Date.now() + 1000, limit: 100 })
    const events = found.flatMap(({ events }) => JSON.parse(events) as { type: string }[]).map(({ type }) => type)
    for (const type of ['token.issued', 'token.refreshed', 'refresh.reuse_detected', 'revocation.made', 'token.refused'])
      assert.ok(events.includes(type), type)
  })

  it('changes nothing for a forged, foreign or mistyped token', async () => {
    const first = await grant()
    const text: string = first.refresh_token
    refused(
      await token(refresh(`${text.slice(0, -1)}${text.endsWith('A') ? 'Q' : 'A'}`)),
      400,
      'invalid_grant',
      'malformed_token',
    )
    refused(await token(refresh('sgr_')), 400, 'invalid_grant', 'malformed_token')
    refused(await token(refresh(first.access_token)), 400, 'invalid_grant', 'malformed_token')
    refused(await token(refresh(text), 'web2'), 400, 'invalid_grant', 'wrong_client')
    assert.equal((await token(refresh(text))).status, 200)
  })

  it('narrows scope and resource, never widens', async () => {
    const first = await grant()
    const userinfo = await token(refresh(first.refresh_token, { resource: authority.issuer }))
    assert.deepEqual([decodeJwt(userinfo.body.access_token).aud, userinfo.body.scope], [authority.issuer, 'openid'])
    const again = userinfo.body.refresh_token
    refused(await token(refresh(again, { scope: 'api:write' })), 400, 'invalid_scope', 'scope_not_granted')
    refused(await token(refresh(again, { resource: 'https://other.example' })), 400, 'invalid_target', 'resource_not_granted')
    refused(await token(refresh(again, { scope: 'openid' })), 400, 'invalid_scope', 'scope_not_of_resource')
    const whole = await token(refresh(again))
    assert.deepEqual([decodeJwt(whole.body.access_token).aud, whole.body.scope], [TEST_API, 'api:read'])
  })

  it('keeps the token of a suspended account good for later', async () => {
    const subject = await authority.addSubject()
    const { code, verifier } = await authority.issueCode({ client: web }, await authority.signIn(subject.id))
    const first = await token(exchange(code, verifier))
    const target = { kind: 'subject', id: subject.id } as const
    await authority.revoker.suspend(target, { reason: 'test', actor: 'system' })
    refused(await token(refresh(first.body.refresh_token)), 403, 'access_denied', 'subject_suspended')
    await authority.revoker.resume(target, { reason: 'test', actor: 'system' })
    const resumed = await token(refresh(first.body.refresh_token))
    assert.equal(resumed.status, 200)
    // Issued after the cutoff of the suspension, so that it is alive at every validator.
    const issuedAtMs = Number.parseInt((decodeJwt(resumed.body.access_token).jti as string).replaceAll('-', '').slice(0, 12), 16)
    assert.ok(issuedAtMs > ((await authority.store.subjects.find(subject.id))?.cutoffMs ?? 0))
  })

  it('ends with the account, the session, the device, the client', async () => {
    const why = { reason: 'test', actor: 'system' } as const
    for (const kind of ['subject', 'session', 'device', 'grant'] as const) {
      const subject = await authority.addSubject()
      const person = await authority.signIn(subject.id)
      const { code, verifier } = await authority.issueCode({ client: web }, person)
      const first = await token(exchange(code, verifier))
      const id = kind === 'grant' ? (decodeJwt(first.body.access_token).gid as string) : person[kind]
      await authority.revoker.revoke({ kind, id }, why)
      refused(await token(refresh(first.body.refresh_token)), 400, 'invalid_grant', `${kind}_revoked`)
    }
  })
})

describe('DPoP at the token endpoint', () => {
  const url = () => `${authority.issuer}/token`
  let nonce: string
  const withProof = (form: Form, key: DpopKey, client = 'web', extra = {}): Promise<FormAnswer> =>
    token(form, client, () => ({ dpop: key.proof({ url: url(), nonce, ...extra }) }))

  before(async () => {
    const dpop = createDpopKey().proof({ url: url() })
    const answer = await token({ grant_type: 'client_credentials' }, 'web', () => ({ dpop }))
    refused(answer, 400, 'use_dpop_nonce', 'dpop_nonce_required')
    nonce = answer.headers.get('dpop-nonce') as string
    assert.ok(nonce)
  })

  it('binds access and refresh tokens to the key', async () => {
    const key = createDpopKey()
    const { code, verifier } = await authority.issueCode({ client: web }, signedIn)
    const first = await withProof(exchange(code, verifier), key)
    assert.equal(first.body.token_type, 'DPoP')
    assert.deepEqual(decodeJwt(first.body.access_token).cnf, { jkt: key.jkt })
    refused(await token(refresh(first.body.refresh_token)), 400, 'invalid_dpop_proof', 'proof_missing')
    refused(await withProof(refresh(first.body.refresh_token), createDpopKey()), 400, 'invalid_grant', 'wrong_key')
    const next = await withProof(refresh(first.body.refresh_token), key)
    assert.deepEqual([next.status, next.body.token_type], [200, 'DPoP'])
  })

  it('takes a proof once', async () => {
    const key = createDpopKey()
    const form = { grant_type: 'client_credentials' }
    let dpop = ''
    const fresh = () => {
      dpop = key.proof({ url: url(), nonce })
      return { dpop }
    }
    assert.equal((await token(form, 'web', fresh)).status, 200)
    refused(await token(form, 'web', () => ({ dpop })), 400, 'invalid_dpop_proof', 'proof_replayed')
    await until(async () => {
      const racing = fresh()
      const answers = await Promise.all(Array.from({ length: 20 }, () => token(form, 'web', () => racing)))
      const given = answers.filter(({ status }) => status === 200).length
      assert.ok(given <= 1, `${given} tokens for one proof`)
      return given === 1 // None when the node could not answer the first, for whom the proof is spent then.
    })
  })

  it('refuses proofs that are for something else, and says what is wrong with them', async () => {
    const key = createDpopKey()
    const form = { grant_type: 'client_credentials' }
    const no = async (extra: object, reason: string) =>
      refused(await withProof(form, key, 'web', extra), 400, 'invalid_dpop_proof', reason)
    await no({ url: `${authority.issuer}/userinfo` }, 'dpop_wrong_url')
    await no({ method: 'GET' }, 'dpop_wrong_method')
    await no({ header: { typ: 'JWT' } }, 'dpop_wrong_type')
    await no({ header: { alg: 'none' } }, 'dpop_unsupported_algorithm')
    await no({ header: { jwk: createDpopKey().jwk } }, 'dpop_bad_signature')
    await no({ header: { jwk: { ...key.jwk, d: 'x' } } }, 'dpop_bad_key')
    await no({ claims: { jti: undefined } }, 'dpop_malformed')
    const two = `${key.proof({ url: url(), nonce })}, ${key.proof({ url: url(), nonce })}`
    refused(await token(form, 'web', () => ({ dpop: two })), 400, 'invalid_dpop_proof', 'dpop_malformed')
    const guessed = await token(form, 'web', () => ({ dpop: key.proof({ url: url(), nonce: 'AAAA' }) }))
    refused(guessed, 400, 'use_dpop_nonce', 'dpop_nonce_required')
  })

  it('is demanded where client or resource say so', async () => {
    refused(await token({ grant_type: 'client_credentials' }, 'bound'), 400, 'invalid_dpop_proof', 'dpop_proof_missing')
    const bound = { grant_type: 'client_credentials', resource: 'https://bound.example' }
    refused(await token(bound), 400, 'invalid_dpop_proof', 'dpop_proof_missing')
    assert.equal((await withProof(bound, createDpopKey())).status, 200)
  })

  it('redeems a code that named its key only with that key (dpop_jkt)', async () => {
    const key = createDpopKey()
    const { code, verifier } = await authority.issueCode({ client: web, jkt: key.jkt }, signedIn)
    refused(await token(exchange(code, verifier)), 400, 'invalid_grant', 'dpop_key_mismatch')
    refused(await withProof(exchange(code, verifier), createDpopKey()), 400, 'invalid_grant', 'dpop_key_mismatch')
    assert.equal((await withProof(exchange(code, verifier), key)).status, 200)
  })

  it('uses one proof for a hundred refreshes at once without losing the family', async () => {
    const key = createDpopKey()
    const { code, verifier } = await authority.issueCode({ client: web }, signedIn)
    const first = await withProof(exchange(code, verifier), key)
    const answers = await Promise.all(Array.from({ length: 50 }, () => withProof(refresh(first.body.refresh_token), key)))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1)
  })
})

describe('pages of other origins', () => {
  it('may read answers for a client that has a redirect URI there', async () => {
    const from = (origin: string) => authority.post('/token', { grant_type: 'refresh_token', client_id: 'spa' }, { origin })
    const own = await from('https://spa.example')
    assert.equal(own.headers.get('access-control-allow-origin'), 'https://spa.example')
    assert.match(own.headers.get('access-control-expose-headers') ?? '', /DPoP-Nonce/)
    for (const origin of ['https://evil.example', 'https://spa.example.evil.example', 'http://spa.example', 'null'])
      assert.equal((await from(origin)).headers.get('access-control-allow-origin'), null, origin)
    const preflight = await fetch(`${authority.url}/token`, { method: 'OPTIONS', headers: { origin: 'https://spa.example' } })
    assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-origin')], [204, '*'])
  })
})
