import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestAuthority } from '@signet/testkit/authority.ts'
import { until } from '@signet/testkit/until.ts'
import { createValidator } from '@signet/validator/index.ts'

test('the feed is signed as its setting says, and tokens as theirs', async () => {
  const authority = await startTestAuthority({ settings: { feedSigningAlgorithm: 'RS256', feedOpen: true } })
  const audience = 'https://api.example'
  const validator = createValidator({ issuer: authority.issuer, audience, allowInsecureHttp: true })
  try {
    assert.deepEqual([authority.keys.signer('feed').alg, authority.keys.signer('token').alg], ['RS256', 'ES256'])
    await validator.ready()
    const subject = await authority.addSubject()
    const { seq } = await authority.revoker.revoke({ kind: 'subject', id: subject.id }, { reason: 'test', actor: 'system' })
    await until(() => validator.stats().position?.seq === seq, 'the batch is taken in')
  } finally {
    await validator.close()
    await authority.close()
  }
})
