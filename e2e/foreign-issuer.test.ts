/** A token server of other people (node-oidc-provider, unmodified) and its JWTs, put under the same rule of revocation without a change over there. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import { freePort } from '@signet/testkit/free-port.ts'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import Provider from 'oidc-provider'
import { startValidator } from './remote-validator.ts'
import { createWorld } from './world.ts'

const AUDIENCE = 'https://api.example/foreign'

describe('a JWT of another issuer', () => {
  it('is accepted by its own keys and refused once its client or itself is cut off here', async () => {
    const port = await freePort()
    const foreignIssuer = `http://localhost:${port}`
    const provider = new Provider(foreignIssuer, {
      clients: [
        {
          client_id: 'partner',
          client_secret: 'partner-secret',
          grant_types: ['client_credentials'],
          redirect_uris: [],
          response_types: [],
        },
      ],
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({ scope: 'read', audience: AUDIENCE, accessTokenFormat: 'jwt', accessTokenTTL: 300 }),
        },
      },
    })
    const server = createServer(provider.callback())
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    const world = await createWorld()
    const feedCredentials = await world.feedCredentials()
    const validator = await startValidator({
      issuer: world.issuer,
      audience: AUDIENCE,
      feedCredentials,
      foreignIssuers: [{ issuer: foreignIssuer, audience: AUDIENCE, algorithms: ['RS256'], types: ['at+jwt'] }],
    })
    try {
      const token = async (): Promise<string> => {
        const response = await fetch(`${foreignIssuer}/token`, {
          method: 'POST',
          headers: { authorization: `Basic ${Buffer.from('partner:partner-secret').toString('base64')}` },
          body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'read', resource: AUDIENCE }),
        })
        return ((await response.json()) as { access_token: string }).access_token
      }
      const [first, second] = [await token(), await token()]
      await until(async () => (await validator.check(first)).allowed, 'its keys are known')
      const { jti } = JSON.parse(Buffer.from(first.split('.')[1] as string, 'base64url').toString()) as { jti: string }
      await world.admin.call('revoke', { body: { target: { kind: 'token', id: jti, issuer: foreignIssuer }, reason: 'story' } })
      const { verdict } = await validator.untilDenied(first, PATIENCE_MS)
      assert.equal(!verdict.allowed && verdict.reason, 'revoked')
      assert.equal((await validator.check(second)).allowed, true, 'only one token was meant')
      await world.admin.call('revoke', {
        body: { target: { kind: 'client', id: 'partner', issuer: foreignIssuer }, reason: 'story' },
      })
      assert.equal((await validator.untilDenied(second, PATIENCE_MS)).verdict.allowed, false)
    } finally {
      await validator.stop()
      await world.close()
      server.closeAllConnections()
      server.close()
    }
  })
})
