/** An unmodified client library goes through everything that needs no browser. The browser's part is in e2e/. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { startTestAuthority, TEST_API, TEST_REDIRECT, TEST_SECRET, type TestAuthority } from '@signet/testkit/authority.ts'
import * as oauth from 'oauth4webapi'

const insecure = { [oauth.allowInsecureRequests]: true } // Loopback.
let authority: TestAuthority
let as: oauth.AuthorizationServer
const keys = await oauth.generateKeyPair('ES256', { extractable: true })

before(async () => {
  authority = await startTestAuthority()
  await authority.addResource()
  const scopes = ['openid', 'profile', 'email', 'api:read']
  await authority.addClient({ id: 'basic' as ClientId, scopes })
  await authority.addClient({ id: 'post' as ClientId, authMethod: 'client_secret_post', scopes })
  const jwk = (await crypto.subtle.exportKey('jwk', keys.publicKey)) as Record<string, unknown>
  await authority.addClient({ id: 'jwt' as ClientId, authMethod: 'private_key_jwt', secrets: [], jwks: [jwk], scopes })
  await authority.addClient({ id: 'spa' as ClientId, authMethod: 'none', platform: 'browser', secrets: [], scopes })
  await authority.addClient({ id: 'rs' as ClientId, introspects: [TEST_API], scopes })
  const issuer = new URL(authority.issuer)
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...insecure, algorithm: 'oauth2' }))
})
after(() => authority.close())

const clients: Record<string, [oauth.Client, oauth.ClientAuth]> = {
  basic: [{ client_id: 'basic' }, oauth.ClientSecretBasic(TEST_SECRET)],
  post: [{ client_id: 'post' }, oauth.ClientSecretPost(TEST_SECRET)],
  jwt: [{ client_id: 'jwt' }, oauth.PrivateKeyJwt(keys.privateKey)],
  spa: [{ client_id: 'spa' }, oauth.None()],
}

/** Asks again with the nonce it is given, and when the node could not answer since the machine had stood still. */
async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      const isAway = error instanceof oauth.ResponseBodyError && error.status === 503
      if (tries === 5 || !(isAway || oauth.isDPoPNonceError(error))) throw error
      await authority.registry.lookNow()
    }
  }
}
const ownToken = (client: oauth.Client, auth: oauth.ClientAuth, options: oauth.ClientCredentialsGrantRequestOptions = insecure) =>
  insist(async () => {
    const response = await oauth.clientCredentialsGrantRequest(as, client, auth, { scope: 'api:read' }, options)
    return oauth.processClientCredentialsResponse(as, client, response)
  })

describe('oauth4webapi', () => {
  it('discovers through OpenID too', async () => {
    const issuer = new URL(authority.issuer)
    const found = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
    assert.equal(found.token_endpoint, as.token_endpoint)
  })

  for (const name of ['basic', 'post', 'jwt']) {
    it(`gets a token of its own with ${name}`, async () => {
      const [client, auth] = clients[name] as [oauth.Client, oauth.ClientAuth]
      assert.equal((await ownToken(client, auth)).token_type, 'bearer')
    })
  }

  it('uses DPoP, led by the nonce', async () => {
    const [client, auth] = clients.basic as [oauth.Client, oauth.ClientAuth]
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
    assert.equal((await ownToken(client, auth, { ...insecure, DPoP })).token_type, 'dpop')
  })

  for (const [name, dpop] of [
    ['basic', false],
    ['jwt', true],
    ['spa', false],
    ['spa', true],
  ] as const) {
    it(`signs in, refreshes, asks who it was and revokes as ${name}${dpop ? ' with DPoP' : ''}`, async () => {
      const [client, auth] = clients[name] as [oauth.Client, oauth.ClientAuth]
      const DPoP = dpop ? oauth.DPoP(client, await oauth.generateKeyPair('ES256')) : undefined
      const options = { ...insecure, ...(DPoP === undefined ? {} : { DPoP }) }
      const subject = await authority.addSubject({ claims: { name: 'Ada' } })
      const signedIn = await authority.signIn(subject.id)
      const nonce = oauth.generateRandomNonce()
      const request = { client: name as ClientId, nonce, scope: ['openid', 'profile'], resources: [authority.issuer] }
      const { code, verifier } = await authority.issueCode(request, signedIn)
      const arrived = new URL(`${TEST_REDIRECT}?code=${code}&state=s&iss=${encodeURIComponent(authority.issuer)}`)
      const parameters = oauth.validateAuthResponse(as, client, arrived, 's')

      const exchange = () => oauth.authorizationCodeGrantRequest(as, client, auth, parameters, TEST_REDIRECT, verifier, options)
      const first = await insist(async () =>
        oauth.processAuthorizationCodeResponse(as, client, await exchange(), { expectedNonce: nonce, requireIdToken: true }),
      )
      assert.equal(oauth.getValidatedIdTokenClaims(first)?.sub, subject.id)

      const refresh = () => oauth.refreshTokenGrantRequest(as, client, auth, first.refresh_token as string, options)
      const refreshed = await insist(async () => oauth.processRefreshTokenResponse(as, client, await refresh()))
      const ask = () => oauth.userInfoRequest(as, client, refreshed.access_token, options)
      let answer = await ask()
      if (answer.status === 401) answer = await ask() // The nonce of a resource server is another matter.
      const userinfo = await oauth.processUserInfoResponse(as, client, subject.id, answer)
      assert.equal(userinfo.name, 'Ada')

      await oauth.processRevocationResponse(
        await oauth.revocationRequest(as, client, auth, refreshed.refresh_token as string, insecure),
      )
      const gone = await oauth.refreshTokenGrantRequest(as, client, auth, refreshed.refresh_token as string, options)
      await assert.rejects(oauth.processRefreshTokenResponse(as, client, gone), { error: 'invalid_grant' })
    })
  }

  it('introspects as a resource server, signed too', async () => {
    const [client, auth] = clients.basic as [oauth.Client, oauth.ClientAuth]
    const { access_token: token } = await ownToken(client, auth)
    const rs: oauth.Client = { client_id: 'rs' }
    const plain = await oauth.introspectionRequest(as, rs, oauth.ClientSecretBasic(TEST_SECRET), token, insecure)
    assert.equal((await oauth.processIntrospectionResponse(as, rs, plain)).active, true)
    const signedOptions = { ...insecure, requestJwtResponse: true }
    const signed = await oauth.introspectionRequest(as, rs, oauth.ClientSecretBasic(TEST_SECRET), token, signedOptions)
    const wants = { ...rs, introspection_signed_response_alg: 'ES256' }
    assert.equal((await oauth.processIntrospectionResponse(as, wants, signed)).active, true)
    await oauth.validateApplicationLevelSignature(as, signed, insecure)
  })
})
