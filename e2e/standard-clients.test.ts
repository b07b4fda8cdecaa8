/** Client libraries of other people, as they come from the registry, against a running authority. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import * as oauth from 'oauth4webapi'
import * as oidc from 'openid-client'
import { API, Browser, createWorld, type World } from './world.ts'

const CALLBACK = 'http://127.0.0.1:9/callback'
const AFTER_LOGOUT = 'http://127.0.0.1:9/bye'

/** Follows the authorization URL as a person would and returns the callback. */
async function signIn(url: URL, person: { username: string; password: string }, browser = new Browser()): Promise<URL> {
  browser.stopAt = CALLBACK
  await browser.open(url.href)
  for (let pages = 0; pages < 4 && !browser.url.startsWith(CALLBACK); pages++) {
    await browser.submit({ username: person.username, password: person.password })
  }
  return new URL(browser.url)
}

/** What clients do that are told to come back: a node on a machine that stood still for a second knows too little to mint. */
async function comingBack<T>(ask: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    try {
      return await ask()
    } catch (error) {
      const { cause } = error as Error // Both libraries give the answer along when its status says nothing to them.
      if (!(cause instanceof Response && cause.status === 503) || performance.now() > end) throw error
      await wait(100)
    }
  }
}

describe('openid-client', () => {
  let world: World
  let config: oidc.Configuration
  let client: Awaited<ReturnType<World['client']>>
  let person: Awaited<ReturnType<World['person']>>
  before(async () => {
    world = await createWorld()
    await world.resource()
    client = await world.client({
      auth_method: 'client_secret_post',
      post_logout_redirect_uris: [AFTER_LOGOUT],
      introspects: [API],
    })
    person = await world.person()
    config = await oidc.discovery(new URL(world.issuer), client.id, client.client_secret, undefined, {
      execute: [oidc.allowInsecureRequests],
    })
  })
  after(() => world.close())

  it('signs in with code and PKCE, reads userinfo, refreshes, introspects, revokes, signs out', async () => {
    const verifier = oidc.randomPKCECodeVerifier()
    const state = oidc.randomState()
    const nonce = oidc.randomNonce()
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: CALLBACK,
      scope: 'openid profile',
      state,
      nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    })
    const browser = new Browser()
    const callback = await signIn(url, person, browser)
    assert.equal(callback.searchParams.get('iss'), world.issuer)
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce }
    const tokens = await comingBack(() => oidc.authorizationCodeGrant(config, callback, checks))
    assert.equal(tokens.claims()?.sub, person.id)

    const info = await oidc.fetchUserInfo(config, tokens.access_token, person.id)
    assert.equal(info.sub, person.id)

    const refreshed = await comingBack(() => oidc.refreshTokenGrant(config, tokens.refresh_token as string))
    assert.notEqual(refreshed.refresh_token, tokens.refresh_token)

    const alive = await oidc.tokenIntrospection(config, refreshed.access_token)
    assert.equal(alive.active, true)
    assert.equal(alive.sub, person.id)
    await oidc.tokenRevocation(config, refreshed.refresh_token as string)
    assert.equal(
      (await oidc.tokenIntrospection(config, refreshed.access_token)).active,
      false,
      'the access token outlived its family',
    )
    const again = comingBack(() => oidc.refreshTokenGrant(config, refreshed.refresh_token as string))
    await assert.rejects(again, { error: 'invalid_grant' })

    const logout = oidc.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token as string,
      post_logout_redirect_uri: AFTER_LOGOUT,
      state: 'bye',
    })
    browser.stopAt = AFTER_LOGOUT
    await browser.open(logout.href)
    if (!browser.url.startsWith(AFTER_LOGOUT)) await browser.submit({})
    assert.equal(browser.url, `${AFTER_LOGOUT}?state=bye`)
    browser.stopAt = CALLBACK
    await browser.open(
      oidc.buildAuthorizationUrl(config, {
        redirect_uri: CALLBACK,
        scope: 'openid',
        state,
        prompt: 'none',
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      }).href,
    )
    assert.equal(new URL(browser.url).searchParams.get('error'), 'login_required')
  })

  it('gets a token for itself by client credentials', async () => {
    const tokens = await comingBack(() => oidc.clientCredentialsGrant(config, { scope: 'notes:read', resource: API }))
    assert.equal(tokens.token_type, 'bearer')
    assert.equal(tokens.refresh_token, undefined)
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).scope, 'notes:read')
  })

  it('binds tokens to a DPoP key and answers the nonce that the authority asks for', async () => {
    const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair())
    const tokens = await comingBack(() => oidc.clientCredentialsGrant(config, { scope: 'notes:read', resource: API }, { DPoP }))
    assert.equal(tokens.token_type, 'dpop')
    const introspected = await oidc.tokenIntrospection(config, tokens.access_token)
    assert.equal(typeof (introspected.cnf as { jkt: string }).jkt, 'string')
  })
})

describe('oauth4webapi', () => {
  let world: World
  let server: oauth.AuthorizationServer
  let person: Awaited<ReturnType<World['person']>>
  const insecure = { [oauth.allowInsecureRequests]: true }
  before(async () => {
    world = await createWorld()
    await world.resource()
    person = await world.person()
    const issuer = new URL(world.issuer)
    for (const algorithm of ['oauth2', 'oidc'] as const) {
      server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...insecure }))
    }
  })
  after(() => world.close())

  it('signs a public client in with DPoP, and its refresh token works with that key alone', async () => {
    const { id } = await world.client({
      platform: 'native',
      auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [CALLBACK],
    })
    const client: oauth.Client = { client_id: id }
    const keys = await oauth.generateKeyPair('ES256')
    const DPoP = oauth.DPoP(client, keys)
    const verifier = oauth.generateRandomCodeVerifier()
    const url = new URL(server.authorization_endpoint as string)
    url.search = new URLSearchParams({
      client_id: id,
      redirect_uri: CALLBACK,
      response_type: 'code',
      scope: 'notes:read',
      resource: API,
      state: 's',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    }).toString()
    const parameters = oauth.validateAuthResponse(server, client, await signIn(url, person), 's')
    const redeem = async () => {
      const options = { DPoP, ...insecure }
      const answer = oauth.authorizationCodeGrantRequest(server, client, oauth.None(), parameters, CALLBACK, verifier, options)
      return oauth.processAuthorizationCodeResponse(server, client, await answer)
    }
    await assert.rejects(comingBack(redeem), oauth.isDPoPNonceError)
    const tokens = await comingBack(redeem) // With the nonce that came with the refusal, and the code is still good.
    assert.equal(tokens.token_type, 'dpop')

    const refresh = (handle: oauth.DPoPHandle) => () =>
      oauth
        .refreshTokenGrantRequest(server, client, oauth.None(), tokens.refresh_token as string, { DPoP: handle, ...insecure })
        .then((response) => oauth.processRefreshTokenResponse(server, client, response))
    const thief = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
    await assert.rejects(retryingNonce(refresh(thief)), { error: 'invalid_grant' })
    const next = await retryingNonce(refresh(DPoP))
    assert.notEqual(next.refresh_token, tokens.refresh_token)
  })

  it('authenticates with a signed assertion (private_key_jwt)', async () => {
    const keys = await oauth.generateKeyPair('ES256', { extractable: true })
    const jwk = (await crypto.subtle.exportKey('jwk', keys.publicKey)) as Record<string, unknown>
    const { id } = await world.client({
      platform: 'service',
      auth_method: 'private_key_jwt',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scopes: ['notes:read'],
      jwks: [{ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y, alg: 'ES256' }],
    })
    const client: oauth.Client = { client_id: id }
    const proof = oauth.PrivateKeyJwt(keys.privateKey)
    const wanted = { scope: 'notes:read', resource: API }
    const tokens = await comingBack(async () =>
      oauth.processClientCredentialsResponse(
        server,
        client,
        await oauth.clientCredentialsGrantRequest(server, client, proof, wanted, insecure),
      ),
    )
    assert.equal(tokens.scope ?? 'notes:read', 'notes:read')
  })
})

/** RFC 9449 §8: the first answer carries the nonce, the second try uses it. */
async function retryingNonce<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await comingBack(attempt)
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return comingBack(attempt)
  }
}
