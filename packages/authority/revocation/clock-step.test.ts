/** A clock that is set back must not carry logins of before past a revocation that was acknowledged after. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { basicAuth, startTestAuthority } from '@signet/testkit/authority.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'

const WHY = { reason: 'test', actor: 'operator:test' } as const
const CLIENT = 'client' as ClientId

describe('after the clock was set back', () => {
  for (const kind of ['subject', 'client', 'issuer'] as const) {
    it(`revoking the ${kind} ends the logins of before, and new ones live`, async () => {
      const surroundings = manualSurroundings('step', Date.now())
      const authority = await startTestAuthority({ surroundings })
      try {
        await authority.addResource()
        await authority.addClient({ id: CLIENT })
        const { id: subject } = await authority.addSubject()
        const login = async (): Promise<string> => {
          const { code, verifier } = await authority.issueCode(
            { client: CLIENT, scope: ['api:read'] },
            await authority.signIn(subject),
          )
          const form = {
            grant_type: 'authorization_code',
            code,
            code_verifier: verifier,
            redirect_uri: 'https://app.example/callback',
          }
          const answer = await authority.post('/token', form, basicAuth(CLIENT))
          assert.equal(answer.status, 200, answer.text)
          return answer.body.refresh_token
        }
        const refresh = (token: string) =>
          authority.post('/token', { grant_type: 'refresh_token', refresh_token: token }, basicAuth(CLIENT))
        const before = await login()

        surroundings.clock.step(-20_000)
        await authority.registry.lookNow()
        const id = { subject, client: CLIENT, issuer: authority.issuer }[kind]
        await authority.revoker.revoke({ kind, id }, WHY)
        await authority.registry.lookNow()
        surroundings.clock.advance(1000) // What is remembered of clients is younger than that.
        assert.equal((await refresh(before)).body.error, 'invalid_grant')
        assert.equal((await refresh(await login())).status, 200)
      } finally {
        await authority.close()
      }
    })
  }
})
