import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { encodeOpaque } from '@signet/kernel/opaque-token.ts'
import type { Deny, Verdict } from '@signet/kernel/verdict.ts'
import { until } from '@signet/testkit/until.ts'
import { createValidator, type Validator, type ValidatorOptions } from './index.ts'
import { startIssuer, type TestIssuer, testKey } from './issuer.testkit.ts'

const AUDIENCE = 'https://api.example'
let issuer: TestIssuer
const open: Validator[] = []

function validatorOf(more: Partial<ValidatorOptions> = {}): Validator {
  const validator = createValidator({ issuer: issuer.issuer, audience: AUDIENCE, ...more })
  open.push(validator)
  return validator
}
/** One that has been told so: however slow the machine is, it knows why it is not ready. */
async function troubledBy(told: RegExp): Promise<Validator> {
  const validator = validatorOf()
  const { promise, resolve } = Promise.withResolvers<void>()
  validator.events.on('trouble', ({ cause }) => told.test(String(cause)) && resolve())
  await promise
  return validator
}
const reason = (verdict: Verdict): string => (verdict.allowed ? 'allowed' : verdict.reason)

before(async () => {
  issuer = await startIssuer()
})
afterEach(async () => {
  for (const validator of open.splice(0)) await validator.close()
  for (const fault of Object.keys(issuer.faults)) delete (issuer.faults as Record<string, unknown>)[fault]
  issuer.jwks = [issuer.tokenKey]
})
after(() => issuer.close())

describe('a validator that is given the issuer URL alone', () => {
  test('finds keys and feed, and is fresh', async () => {
    const validator = validatorOf()
    assert.equal(await validator.ready(), 'fresh')
    const verdict = await validator.validate(issuer.mint({ scope: 'catalogue:read' }), { needs: 'catalogue:read' })
    assert.ok(verdict.allowed)
    assert.equal(verdict.claims.sub, 'user-1')
    assert.deepEqual(verdict.permissions, ['catalogue:read'])
    assert.equal(verdict.freshness, 'fresh')
    assert.ok(verdict.stalenessMs < 30_000)
  })

  test('refuses a token that is opaque to it', async () => {
    const opaque = encodeOpaque('access_token', new Uint8Array(700).fill(7))
    for (const text of [opaque, 'sga_', opaque.slice(0, -1)]) {
      const verdict = (await validatorOf().validate(text)) as Deny
      assert.deepEqual([verdict.allowed, verdict.reason], [false, 'malformed'])
    }
  })

  test('lets the first request wait for the first knowledge', async () => {
    const verdict = await validatorOf().validate(issuer.mint())
    assert.equal(reason(verdict), 'allowed')
  })

  test('refuses a token a moment after it was taken back, by any of its keys', async () => {
    const validator = validatorOf()
    await validator.ready()
    for (const kind of ['subject', 'client', 'session', 'device', 'grant'] as const) {
      const id = `${kind}-${Math.random()}`
      const claim = { subject: 'sub', client: 'client_id', session: 'sid', device: 'did', grant: 'gid' }[kind]
      const token = issuer.mint({ [claim]: id })
      assert.equal(reason(await validator.validate(token)), 'allowed')
      const seq = issuer.revoke({ kind, id })
      await until(() => (validator.stats().position?.seq ?? 0) >= seq, kind)
      const verdict = (await validator.validate(token)) as Deny
      assert.equal(verdict.reason, 'revoked')
      assert.equal(verdict.action, 'refresh')
      assert.equal(reason(validator.validateSync(token)), 'revoked')
    }
  })

  test('takes a token issued after the cutoff', async () => {
    const validator = validatorOf()
    await validator.ready()
    const cutoffMs = Date.now() - 1000
    const seq = issuer.revoke({ kind: 'subject', id: 'epoch-user', cutoffMs })
    await until(() => (validator.stats().position?.seq ?? 0) >= seq, 'revocation')
    const old = issuer.mint({ sub: 'epoch-user' }, { atMs: cutoffMs })
    const renewed = issuer.mint({ sub: 'epoch-user' }, { atMs: cutoffMs + 1 })
    assert.equal(reason(await validator.validate(old)), 'revoked')
    assert.equal(reason(await validator.validate(renewed)), 'allowed')
  })

  test('learns a new key the moment a token names it, and asks for made-up ones only so often', async () => {
    const validator = validatorOf()
    await validator.ready()
    const key = testKey('token-2')
    const token = issuer.mint({}, { key })
    assert.equal(reason(validator.validateSync(token)), 'unknown_key')
    issuer.jwks = [issuer.tokenKey, key]
    await new Promise((resolve) => setTimeout(resolve, 1050)) // The cooldown after the first fetch.
    assert.equal(reason(await validator.validate(token)), 'allowed')
    const asked = issuer.asked['/jwks'] ?? 0
    for (let i = 0; i < 50; i++) {
      const verdict = (await validator.validate(issuer.mint({}, { key: testKey(`made-up-${i}`) }))) as Deny
      assert.equal(verdict.reason, 'unknown_key')
    }
    assert.ok((issuer.asked['/jwks'] ?? 0) - asked <= 1)
  })

  test('goes on with the keys it has when the issuer answers with an error, or with none', async () => {
    const validator = validatorOf()
    await validator.ready()
    issuer.faults.jwks = { keys: [] }
    await new Promise((resolve) => setTimeout(resolve, 1050))
    await validator.validate(issuer.mint({}, { key: testKey('nobody') }))
    assert.equal(reason(await validator.validate(issuer.mint())), 'allowed')
    issuer.faults.status = 500
    assert.equal(reason(await validator.validate(issuer.mint())), 'allowed')
  })

  test('does not follow a redirect', async () => {
    issuer.faults.status = 302
    const validator = await troubledBy(/status 302/)
    await assert.rejects(validator.ready({ timeoutMs: 300 }), /not ready after 300 ms.*status 302/)
    assert.equal(issuer.asked['/'] ?? 0, 0)
  })

  test('withdraws the trust in tokens it has seen when their key is withdrawn', async () => {
    const second = testKey('token-3')
    issuer.jwks = [issuer.tokenKey, second]
    issuer.cacheControl = 'max-age=300'
    const validator = validatorOf()
    await validator.ready()
    const token = issuer.mint({}, { key: second })
    assert.equal(reason(await validator.validate(token)), 'allowed')
    issuer.jwks = [issuer.tokenKey]
    await new Promise((resolve) => setTimeout(resolve, 1050))
    await validator.validate(issuer.mint({}, { key: testKey('unknown') })) // Makes it ask again.
    assert.equal(reason(await validator.validate(token)), 'unknown_key')
    assert.equal(reason(await validator.validate(issuer.mint())), 'allowed')
  })

  test('refuses the tokens of a signing key that was taken back, whenever they say they were issued', async () => {
    const own = await startIssuer()
    const next = testKey('token-next')
    const validator = createValidator({ issuer: own.issuer, audience: AUDIENCE })
    await validator.ready()
    const token = own.mint()
    assert.equal(reason(await validator.validate(token)), 'allowed')
    own.jwks = [own.tokenKey, next] // Still listed, as after a forgotten edit; the revocation counts.
    const seq = own.revoke({ kind: 'key', id: own.tokenKey.kid, cutoffMs: 5 })
    await until(() => (validator.stats().position?.seq ?? 0) >= seq, 'key revocation')
    assert.equal(reason(await validator.validate(token)), 'revoked')
    assert.equal(reason(await validator.validate(own.mint({}, { atMs: Date.now() + 5000 }))), 'revoked')
    // The new key was fetched by itself: its tokens pass even without waiting.
    await until(() => reason(validator.validateSync(own.mint({}, { key: next }))) === 'allowed', 'the next key')
    await validator.close()
    await own.close()
  })
})

describe('many tokens at first sight, all at once', () => {
  test('get the verdicts they deserve, each its own', async () => {
    const validator = validatorOf()
    await validator.ready()
    const stranger = testKey(issuer.tokenKey.kid)
    const shown = Array.from({ length: 300 }, (_, i) => {
      if (i % 5 === 1) return { token: issuer.mint({}, { key: stranger }), expected: 'bad_signature' }
      if (i % 5 === 2) return { token: issuer.mint({ aud: 'other' }), expected: 'wrong_audience' }
      if (i % 5 === 3) return { token: 'nonsense', expected: 'malformed' }
      return { token: issuer.mint({ sub: `user ${i}` }), expected: 'allowed', sub: `user ${i}` }
    })
    for (const _round of ['first', 'again']) {
      const verdicts = await Promise.all(shown.map(({ token }) => validator.validate(token)))
      verdicts.forEach((verdict, i) => {
        assert.equal(reason(verdict), shown[i]?.expected)
        if (verdict.allowed) assert.equal(verdict.claims.sub, shown[i]?.sub)
      })
    }
    assert.equal(validator.stats().hits, 120)
    const same = issuer.mint()
    const both = await Promise.all([validator.validate(issuer.mint()), validator.validate(same), validator.validate(same)])
    assert.ok(both[1].allowed && both[2].allowed)
  })

  test('do not let a token through that was revoked while its signature was being verified', async () => {
    const validator = validatorOf()
    await validator.ready()
    const seq = issuer.revoke({ kind: 'subject', id: 'late' })
    await until(() => (validator.stats().position?.seq ?? 0) >= seq, 'revocation')
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => validator.validate(issuer.mint({ sub: 'late' }))))
    assert.ok(verdicts.every((verdict) => reason(verdict) === 'revoked'))
  })
})

describe('credentials for a feed that is not open', () => {
  test('are turned into a token, and a token that is not taken any more into another', async () => {
    issuer.feedOpen = false
    try {
      const validator = validatorOf({ feedCredentials: { clientId: 'reader', clientSecret: 'secret' } })
      assert.equal(await validator.ready(), 'fresh')
      const given = issuer.feedTokens.length
      issuer.feedTokens.length = 0
      issuer.dropStreams()
      await until(() => issuer.feedTokens.length > 0 && issuer.openStreams() > 0, 'another token')
      assert.ok(given >= 1)
    } finally {
      issuer.feedOpen = true
    }
  })

  test('are asked for in words when they are missing', async () => {
    issuer.feedOpen = false
    try {
      const validator = await troubledBy(/pass feedCredentials/)
      await assert.rejects(validator.ready({ timeoutMs: 300 }), /pass feedCredentials/)
    } finally {
      issuer.feedOpen = true
    }
  })
})

describe('an authority that is away', () => {
  test('stops nobody at once, and a restarted validator goes on from its cache file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'signet-cache-'))
    try {
      const cacheFile = join(folder, 'validator.cache')
      const own = await startIssuer()
      const first = createValidator({ issuer: own.issuer, audience: AUDIENCE, cacheFile })
      await first.ready()
      const dead = own.mint({ sub: 'gone' })
      const alive = own.mint()
      const seq = own.revoke({ kind: 'subject', id: 'gone' })
      await until(() => (first.stats().position?.seq ?? 0) >= seq, 'revocation')
      await until(() => first.stats().freshness === 'fresh', 'freshness')
      await first.close()
      await own.close()

      const second = createValidator({ issuer: own.issuer, audience: AUDIENCE, cacheFile })
      assert.equal(await second.ready(), 'fresh')
      assert.equal(reason(await second.validate(alive)), 'allowed')
      assert.equal(reason(await second.validate(dead)), 'revoked')
      assert.equal(second.stats().position?.seq, seq)
      await second.close()
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describe('options', () => {
  const make = (more: object): (() => unknown) => {
    return () => createValidator({ issuer: 'https://id.example', audience: AUDIENCE, ...more })
  }
  test('that are wrong are named at once', () => {
    assert.throws(make({ issuer: 'http://id.example' }), /issuer must be https/)
    assert.throws(make({ issuer: 'id.example' }), /issuer must be a URL/)
    assert.throws(make({ audience: [] }), /audience/)
    assert.throws(make({ clockSkewSeconds: -1 }), /clockSkewSeconds/)
    assert.throws(make({ permissions: { a: { maxStalenessSeconds: 0 } } }), /permissions\['a'\].maxStalenessSeconds/)
    assert.throws(make({ feedCredentials: { clientId: 'a' } }), /clientSecret or privateJwk/)
    assert.throws(make({ foreignIssuers: [{ issuer: 'https://kc.example', algorithms: ['HS256'], types: ['JWT'] }] }), /HS256/)
    assert.throws(make({ foreignIssuers: [{ issuer: 'https://id.example', algorithms: ['RS256'], types: ['JWT'] }] }), /once/)
    assert.throws(make({ cacheSize: 0 }), /cacheSize/)
    assert.throws(make({ audience: 'urn:api', resourceMetadata: true }), /publicUrl/)
  })
})
