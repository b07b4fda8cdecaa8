import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestAuthority } from '@signet/testkit/authority.ts'
import { createValidator } from '@signet/validator/index.ts'

test('the feed is signed as its setting says, and tokens as theirs', async () => {
  const authority = await startTestAuthority({ settings: { feedSigningAlgorithm: 'RS256', feedOpen: true } })
  const audience = 'https://api.example'
  const validator = createValidator({ issuer: authority.issuer, audience, allowInsecureHttp: true })
  try {
    assert.deepEqual([authority.keys.signer('feed').alg, authority.keys.signer('token').alg], ['RS256', 'ES256'])
    await validator.ready({ timeoutMs: 10_000 })
    const subject = await authority.addSubject()
    const { seq } = await authority.revoker.revoke({ kind: 'subject', id: subject.id }, { reason: 'test', actor: 'system' })
    const deadline = performance.now() + 10_000
    while (validator.stats().position?.seq !== seq) {
      assert.ok(performance.now() < deadline, 'the batch was not taken in')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  } finally {
    await validator.close()
    await authority.close()
  }
})
