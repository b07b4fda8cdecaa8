/** Whatever chain of refreshes a grant goes through, no token of it reaches further or lives longer than what was agreed to. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { isSubset } from '@signet/kernel/scope.ts'
import {
  basicAuth,
  type SignedIn,
  startTestAuthority,
  TEST_API,
  TEST_REDIRECT,
  type TestAuthority,
} from '@signet/testkit/authority.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { decodeJwt } from 'jose'

const OTHER = 'https://other.example'
const SCOPES = ['openid', 'profile', 'api:read', 'api:write', 'other:read']
const surroundings = manualSurroundings('narrowing', Date.now())
let authority: TestAuthority
let signedIn: SignedIn

before(async () => {
  authority = await startTestAuthority({
    surroundings,
    logLevel: 'error',
    settings: { refreshIdleSeconds: 3600, refreshMaxSeconds: 7200, familyRate: { perSecond: 1e6, burst: 1e6 } },
  })
  await authority.addResource()
  await authority.addResource({ uri: OTHER, scopes: [{ name: 'other:read', description: 'x' }] })
  await authority.addClient({ id: 'web' as ClientId, scopes: SCOPES, resources: [TEST_API, OTHER] })
  signedIn = await authority.signIn((await authority.addSubject()).id)
})
after(() => authority.close())

const token = (form: Record<string, string | undefined>) => authority.post('/token', form, basicAuth('web'))

describe('a chain of refreshes', () => {
  it('never widens scope, audience or lifetime', async () => {
    const scope = fc.subarray(SCOPES, { minLength: 1 })
    const step = fc.record({
      scope: fc.option(
        scope.map((names) => names.join(' ')),
        { nil: undefined },
      ),
      resource: fc.option(fc.constantFrom(TEST_API, OTHER, 'issuer', 'https://x.example'), { nil: undefined }),
      waitSeconds: fc.integer({ min: 0, max: 3000 }),
    })
    await fc.assert(
      fc.asyncProperty(
        scope,
        fc.subarray([TEST_API, OTHER], { minLength: 1 }),
        fc.array(step, { maxLength: 8 }),
        async (granted, resources, steps) => {
          const { code, verifier } = await authority.issueCode({ client: 'web' as ClientId, scope: granted, resources }, signedIn)
          const begun = Math.floor(surroundings.clock.now() / 1000)
          const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
          let { body, status } = await token(form)
          assert.equal(status, 200, JSON.stringify(body))
          let refreshToken: string = body.refresh_token
          for (const next of [undefined, ...steps]) {
            if (next !== undefined) {
              surroundings.clock.advance(next.waitSeconds * 1000)
              await authority.registry.lookNow()
              const resource = next.resource === 'issuer' ? authority.issuer : next.resource
              const answer = await token({
                grant_type: 'refresh_token',
                refresh_token: refreshToken,
                scope: next.scope,
                resource,
              })
              body = answer.body
              status = answer.status
              if (status !== 200) continue
            }
            refreshToken = body.refresh_token
            const claims = decodeJwt(body.access_token)
            assert.ok(isSubset(body.scope === '' ? [] : body.scope.split(' '), granted), `${body.scope} of ${granted}`)
            assert.ok([...resources].includes(claims.aud as string), `${claims.aud} of ${resources}`)
            assert.ok((claims.exp as number) <= begun + 7200)
            assert.ok((claims.exp as number) - (claims.iat as number) <= 300)
            const now = Math.floor(surroundings.clock.now() / 1000)
            assert.ok(now + body.authorization_expires_in <= begun + 7200)
            assert.ok(body.refresh_token_expires_in <= body.authorization_expires_in)
          }
        },
      ),
      { numRuns: 25 },
    )
  })
})
