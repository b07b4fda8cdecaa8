import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import fc from 'fast-check'
import type { ClientRecord } from '../store/ports/clients.ts'
import { judgeRecipient, judgeRequest } from './authorization-request.ts'
import { isRegisteredRedirect, withParameters } from './redirect-uri.ts'

const REDIRECT = 'https://app.example/cb'
const client: ClientRecord = {
  id: 'app' as ClientId,
  name: 'App',
  platform: 'web',
  authMethod: 'none',
  secrets: [],
  jwks: [],
  redirectUris: [REDIRECT],
  postLogoutRedirectUris: [],
  grantTypes: ['authorization_code'],
  scopes: ['openid'],
  resources: [],
  introspects: [],
  dpopBound: false,
  firstParty: false,
  createdAt: 0,
  status: 'active',
  cutoffMs: 0,
  revokedMs: 0,
}
const GOOD = {
  client_id: 'app',
  redirect_uri: REDIRECT,
  response_type: 'code',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
}
const parameters = (change: Record<string, string | undefined> = {}, resources: readonly string[] = []) => {
  const all: Record<string, string | undefined> = { ...GOOD, ...change }
  return { get: (name: string) => all[name], resources }
}

describe('to whom an answer may go', () => {
  const reason = (change: Record<string, string | undefined>, of: ClientRecord | undefined = client) => {
    const judged = judgeRecipient(parameters(change), of)
    return judged.kind === 'nowhere' ? judged.reason : judged.recipient.redirectUri
  }

  test('only to a known, active client at a registered address', () => {
    assert.equal(reason({}), REDIRECT)
    assert.equal(reason({ client_id: undefined }), 'client_missing')
    assert.equal(judgeRecipient(parameters(), undefined).kind, 'nowhere')
    assert.equal(reason({}, { ...client, status: 'suspended' }), 'client_unavailable')
    assert.equal(reason({ redirect_uri: undefined }), 'redirect_uri_missing')
  })

  test('near matches are none', () => {
    for (const near of [
      'https://app.example/cb/',
      'https://app.example/cb?x=1',
      'https://app.example/CB',
      'https://app.example/cb#f',
      'https://app.example:443/cb',
      'https://APP.example/cb',
      'http://app.example/cb',
      'https://app.example/cb/../cb',
      'https://app.example/%63b',
      'https://app.example.evil.example/cb',
      'https://app.example@evil.example/cb',
      ' https://app.example/cb',
      'javascript:alert(1)//https://app.example/cb',
    ]) {
      assert.equal(reason({ redirect_uri: near }), 'redirect_uri_mismatch', near)
    }
  })

  test('no string but the registered one passes for a web client', () => {
    fc.assert(fc.property(fc.oneof(fc.webUrl(), fc.string()), (uri) => isRegisteredRedirect(uri, client) === (uri === REDIRECT)))
  })

  test('on loopback a native app may use any port, nobody else may, and nothing else may differ', () => {
    const native = { platform: 'native', redirectUris: ['http://127.0.0.1/cb', 'http://[::1]:9000/cb'] } as const
    assert.ok(isRegisteredRedirect('http://127.0.0.1:53682/cb', native))
    assert.ok(isRegisteredRedirect('http://127.0.0.1/cb', native))
    assert.ok(isRegisteredRedirect('http://[::1]:1/cb', native))
    for (const other of [
      'http://localhost:53682/cb',
      'http://127.0.0.1:53682/other',
      'http://127.0.0.1:53682/cb?x=1',
      'https://127.0.0.1:53682/cb',
      'http://127.0.0.2:53682/cb',
      'http://127.0.0.1:99999/cb',
      'http://127.0.0.1:53682@evil.example/cb',
      'http://user@127.0.0.1:53682/cb',
      'http://127.0.0.1:53682/cb#x',
      'http://127.0.0.1.evil.example/cb',
    ]) {
      assert.equal(isRegisteredRedirect(other, native), false, other)
    }
    assert.equal(
      isRegisteredRedirect('http://127.0.0.1:53682/cb', { platform: 'web', redirectUris: ['http://127.0.0.1/cb'] }),
      false,
    )
  })
})

describe('whether a request can be granted', () => {
  const judge = (change: Record<string, string | undefined>, of: ClientRecord = client) => {
    const judged = judgeRequest(parameters(change), { client: of, redirectUri: REDIRECT, state: change.state })
    return judged.kind === 'refuse' ? judged.error : judged.asked
  }

  test('a plain good request is understood', () => {
    const asked = judge({
      state: 's',
      nonce: 'n',
      max_age: '0',
      acr_values: 'x urn:signet:acr:passkey',
      prompt: 'login consent',
      login_hint: 'ada',
    })
    assert.ok(typeof asked !== 'string')
    assert.deepEqual(asked.prompt, ['login', 'consent'])
    assert.deepEqual(
      [asked.state, asked.nonce, asked.maxAge, asked.atLeast, asked.loginHint],
      ['s', 'n', 0, 'urn:signet:acr:passkey', 'ada'],
    )
  })

  test('of several levels, the weakest known one will do', () => {
    const asked = judge({ acr_values: 'urn:signet:acr:passkey urn:signet:acr:password' })
    assert.ok(typeof asked !== 'string' && asked.atLeast === 'urn:signet:acr:password')
  })

  test('what can’t be granted is refused by its own error', () => {
    for (const [change, error] of [
      [{ response_type: undefined }, 'invalid_request'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ response_type: 'code id_token' }, 'unsupported_response_type'],
      [{ response_mode: 'fragment' }, 'invalid_request'],
      [{ code_challenge: undefined }, 'invalid_request'],
      [{ code_challenge_method: undefined }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ code_challenge: 'short' }, 'invalid_request'],
      [{ code_challenge: `${GOOD.code_challenge}=` }, 'invalid_request'],
      [{ prompt: 'none login' }, 'invalid_request'],
      [{ prompt: 'create' }, 'invalid_request'],
      [{ max_age: '-1' }, 'invalid_request'],
      [{ max_age: '1e3' }, 'invalid_request'],
      [{ dpop_jkt: 'x' }, 'invalid_request'],
      [{ state: 's'.repeat(4097) }, 'invalid_request'],
      [{ nonce: 'n'.repeat(1025) }, 'invalid_request'],
      [{ acr_values: 'urn:mace:silver' }, 'unmet_authentication_requirements'],
      [{ request: 'eyJ' }, 'request_not_supported'],
      [{ request_uri: 'urn:x' }, 'request_uri_not_supported'],
      [{ registration: '{}' }, 'registration_not_supported'],
    ] as const) {
      assert.equal(judge(change), error, JSON.stringify(change))
    }
    assert.equal(judge({}, { ...client, grantTypes: ['client_credentials'] }), 'unauthorized_client')
  })
})

test('parameters are added to what the URI has, whatever they hold', () => {
  assert.equal(withParameters('https://a.example/cb', { code: 'x', state: undefined }), 'https://a.example/cb?code=x')
  assert.equal(withParameters('https://a.example/cb?k=v', { state: 'a&b=c#d' }), 'https://a.example/cb?k=v&state=a%26b%3Dc%23d')
  assert.equal(withParameters('com.example:/cb', { code: 'x' }), 'com.example:/cb?code=x')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (state) => {
      const sent = new URL(withParameters('https://a.example/cb', { state }))
      assert.equal(sent.origin, 'https://a.example')
      assert.equal(sent.hash, '')
      assert.equal(sent.searchParams.get('state'), state.toWellFormed())
    }),
  )
})
