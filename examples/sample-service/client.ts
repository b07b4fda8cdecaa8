/** The OAuth side of the sample, on a standard client library: code with PKCE, refresh, revocation. */
import { setTimeout as wait } from 'node:timers/promises'
import * as oauth from 'oauth4webapi'
import type { SampleSettings } from './settings.ts'

export interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
}

export interface SignIn {
  readonly state: string
  readonly verifier: string
}

export interface SampleClient {
  begin(): Promise<{ url: URL; signIn: SignIn }>
  finish(callback: URL, signIn: SignIn): Promise<Tokens>
  /** Throws oauth.ResponseBodyError with the authority's error when it refuses. */
  refresh(refreshToken: string): Promise<Tokens>
  /** RFC 7009. Resolves when the authority has acknowledged. */
  revoke(token: string): Promise<void>
}

export async function createClient(settings: SampleSettings): Promise<SampleClient> {
  // The library insists on https; plain http is allowed here for an authority on this machine only.
  const options = new URL(settings.issuer).protocol === 'http:' ? { [oauth.allowInsecureRequests]: true } : {}
  const issuer = new URL(settings.issuer)
  const server = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options }),
  )
  const client: oauth.Client = { client_id: settings.app.clientId }
  const secret = oauth.ClientSecretBasic(settings.app.clientSecret)
  const redirectUri = `${settings.url}/callback`

  return {
    async begin() {
      const signIn = { state: oauth.generateRandomState(), verifier: oauth.generateRandomCodeVerifier() }
      const url = new URL(server.authorization_endpoint as string)
      url.search = new URLSearchParams({
        client_id: client.client_id,
        redirect_uri: redirectUri,
        response_type: 'code',
        scope: 'notes:read notes:write',
        resource: settings.resource,
        state: signIn.state,
        code_challenge: await oauth.calculatePKCECodeChallenge(signIn.verifier),
        code_challenge_method: 'S256',
      }).toString()
      return { url, signIn }
    },
    async finish(callback, signIn) {
      const parameters = oauth.validateAuthResponse(server, client, callback, signIn.state)
      const response = await comingBack(() =>
        oauth.authorizationCodeGrantRequest(server, client, secret, parameters, redirectUri, signIn.verifier, options),
      )
      return tokensOf(await oauth.processAuthorizationCodeResponse(server, client, response))
    },
    async refresh(refreshToken) {
      const response = await comingBack(() => oauth.refreshTokenGrantRequest(server, client, secret, refreshToken, options))
      return tokensOf(await oauth.processRefreshTokenResponse(server, client, response))
    },
    async revoke(token) {
      await oauth.processRevocationResponse(
        await comingBack(() => oauth.revocationRequest(server, client, secret, token, options)),
      )
    },
  }
}

const TRIES = 5
const LONGEST_WAIT_SECONDS = 5

/**
 * With 503 the authority says that it cannot do it now, that nothing is decided, and when to come back (RFC 9110 §10.2.3): nobody is signed out for
 * that.
 */
async function comingBack(ask: () => Promise<Response>): Promise<Response> {
  for (let tries = 1; ; tries++) {
    const response = await ask()
    if (response.status !== 503 || tries === TRIES) return response
    await response.body?.cancel()
    await wait(Math.min(Number(response.headers.get('retry-after')) || 1, LONGEST_WAIT_SECONDS) * 1000)
  }
}

function tokensOf(answer: oauth.TokenEndpointResponse): Tokens {
  if (answer.refresh_token === undefined)
    throw new Error('the authority gave no refresh token: does the client have the refresh_token grant?')
  return { accessToken: answer.access_token, refreshToken: answer.refresh_token }
}
