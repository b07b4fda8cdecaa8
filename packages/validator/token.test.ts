import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { newId } from '@signet/kernel/ids.ts'
import { createRevocationView } from '@signet/kernel/revocation-view.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { createValidator, type ForeignIssuer } from './index.ts'
import { chance, signJws, startIssuer, type TestAlgorithm, type TestKey, testKey } from './issuer.testkit.ts'

const NOW = Date.UTC(2027, 0, 15, 12)
const ISSUER = 'https://id.example'
const AUDIENCE = 'https://api.example'
const ALGORITHMS: readonly TestAlgorithm[] = ['ES256', 'EdDSA', 'RS256', 'PS256']
const keys = new Map(ALGORITHMS.map((alg) => [alg, testKey(`key-${alg}`, alg)]))
const byKid = new Map([...keys.values()].map((key) => [key.kid, { key: key.publicKey, alg: key.alg }]))
const stranger = testKey('key-ES256')
const jwks = createLocalJWKSet({ keys: [...keys.values()].map((key) => key.jwk) } as unknown as JSONWebKeySet)

const view = createRevocationView()
view.begin({ epoch: 'e', seq: 0 }, { version: 1, bytes: new Uint8Array(16) })
const validator = createValidator({
  issuer: ISSUER,
  audience: AUDIENCE,
  source: { view, keys: { find: (kid) => byKid.get(kid) }, stalenessMs: () => 0 },
  surroundings: manualSurroundings(1, NOW),
})

async function joseTakes(token: string): Promise<Record<string, unknown> | undefined> {
  try {
    const { payload } = await jwtVerify(token, jwks, {
      issuer: ISSUER,
      audience: AUDIENCE,
      algorithms: [...ALGORITHMS],
      typ: 'at+jwt',
      clockTolerance: 30,
      currentDate: new Date(NOW),
      requiredClaims: ['sub', 'client_id', 'jti', 'iat', 'exp'],
    })
    return payload
  } catch {
    return undefined
  }
}

const iat = NOW / 1000 - 60
const good = {
  iss: ISSUER,
  sub: 'someone',
  aud: AUDIENCE,
  client_id: 'shop',
  scope: 'read',
  iat,
  exp: iat + 300,
  jti: newId<string>(iat * 1000 + 7, chance),
}

type Claims = Record<string, unknown>
/** Claims that change only what both libraries judge, so that their verdicts must be the same. */
const commonChange: fc.Arbitrary<Claims> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  fc.constantFrom<Claims>(
    { iss: 'https://other.example' },
    { iss: undefined },
    { aud: 'https://other.example' },
    { aud: [] },
    { aud: ['https://other.example', AUDIENCE] },
    { exp: NOW / 1000 - 29 },
    { exp: NOW / 1000 - 31 },
    { exp: undefined },
    { exp: 'soon' },
    { nbf: NOW / 1000 + 29 },
    { nbf: NOW / 1000 + 31 },
    { nbf: 'later' },
    { sub: undefined },
    { extra: { deep: ['é', null, 1.5] } },
  ),
)
const header: fc.Arbitrary<Claims> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  fc.constantFrom<Claims>(
    { typ: 'JWT' },
    { typ: undefined },
    { typ: 'application/at+jwt' },
    { typ: 'AT+JWT' },
    { kid: 'nobody' },
    { kid: 'key-RS256' },
    { alg: 'none' },
    { alg: 'HS256' },
    { alg: 'ES384' },
    { alg: 'PS256' },
    { crit: ['x'], x: 1 },
    { jwk: stranger.jwk },
    { x5u: 'https://evil.example' },
  ),
)
type Tamper = (token: string) => string
const tamper: fc.Arbitrary<Tamper> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Tamper>((token) => token) },
  fc.tuple(fc.nat(), fc.constantFrom(...'ABz09-_.=+/ ')).map(([at, character]): Tamper => {
    return (token) => token.slice(0, at % token.length) + character + token.slice((at % token.length) + 1)
  }),
  fc.tuple(fc.nat(), fc.constantFrom(...'A.= \n')).map(([at, character]): Tamper => {
    return (token) => token.slice(0, at % token.length) + character + token.slice(at % token.length)
  }),
  fc.nat().map(
    (at): Tamper =>
      (token) =>
        token.slice(0, at % token.length),
  ),
)

test('agrees with jose about good and bad tokens of every algorithm', async () => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ALGORITHMS),
      fc.constantFrom('own', 'stranger'),
      commonChange,
      header,
      tamper,
      async (alg, signer, change, extra, spoil) => {
        const key = signer === 'own' ? (keys.get(alg) as TestKey) : { ...stranger, kid: `key-${alg}` }
        const token = spoil(signJws(key, { typ: 'at+jwt', ...extra }, { ...good, ...change }))
        const theirs = await joseTakes(token)
        const ours = validator.validateSync(token)
        if (ours.allowed) {
          taken++
          assert.deepEqual({ ...ours.claims }, theirs, 'what we take, jose takes, with the same claims')
        } else if (theirs !== undefined) {
          // The one way to be stricter that these cases can reach: other spellings of base64url.
          assert.ok(!isCanonical(token), `jose took what we refused: ${ours.reason}`)
        }
      },
    ),
    { numRuns: 1500 },
  )
  assert.ok(taken > 100, `${taken} tokens were taken`)
})

function isCanonical(token: string): boolean {
  return token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)
}

test('never takes a symmetric signature made with a public key', () => {
  const { jwk, publicKey, kid } = keys.get('RS256') as TestKey
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    JSON.stringify(jwk),
    String(jwk.n),
  ]
  for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
    for (const secret of secrets) {
      const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
      const signed = `${encode({ alg, kid, typ: 'at+jwt' })}.${encode(good)}`
      const mac = createHmac(alg.replace('HS', 'sha'), secret).update(signed).digest('base64url')
      const verdict = validator.validateSync(`${signed}.${mac}`)
      assert.equal(verdict.allowed ? 'allowed' : verdict.reason, 'unsupported_algorithm')
    }
  }
})

test('claims are the same frozen object each time, so that no request can change them for another', () => {
  const token = signJws(keys.get('ES256') as TestKey, { typ: 'at+jwt' }, { ...good, act: { sub: 'agent' }, aud: [AUDIENCE] })
  const first = validator.validateSync(token)
  const second = validator.validateSync(token)
  assert.ok(first.allowed && second.allowed)
  assert.equal(first.claims, second.claims)
  assert.throws(() => {
    ;(first.claims as { sub: string }).sub = 'admin'
  }, TypeError)
  assert.throws(() => {
    ;(first.claims.aud as string[]).push('https://other.example')
  }, TypeError)
  assert.throws(() => {
    ;(first.claims.act as { sub: string }).sub = 'admin'
  }, TypeError)
})

test('a payload cannot reach the prototype of anything', () => {
  // JSON.parse makes an own member of it, and JSON.stringify writes it out again.
  const payload = JSON.parse(`{"__proto__":{"scope":"admin"},${JSON.stringify({ ...good, scope: undefined }).slice(1)}`)
  const verdict = validator.validateSync(signJws(keys.get('ES256') as TestKey, { typ: 'at+jwt' }, payload))
  assert.ok(verdict.allowed)
  assert.deepEqual(verdict.permissions, [])
})

test('any text gets a verdict, and never an exception', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.base64String({ maxLength: 200 })), (text) => {
      assert.equal(validator.validateSync(text).allowed, false)
      assert.equal(validator.validateSync({ headers: { authorization: text } }).allowed, false)
      assert.equal(validator.validateSync(`${text}.${text}.${text}`).allowed, false)
    }),
  )
})

test('an expired token is refused from memory too, at the right moment', () => {
  const surroundings = manualSurroundings(1, NOW)
  const own = createValidator({
    issuer: ISSUER,
    audience: AUDIENCE,
    source: { view, keys: { find: (kid) => byKid.get(kid) }, stalenessMs: () => 0 },
    surroundings,
  })
  const token = signJws(keys.get('ES256') as TestKey, { typ: 'at+jwt' }, good)
  assert.equal(own.validateSync(token).allowed, true)
  surroundings.clock.step((good.exp + 30) * 1000 - NOW - 1)
  assert.equal(own.validateSync(token).allowed, true)
  surroundings.clock.step(1)
  const verdict = own.validateSync(token)
  assert.equal(verdict.allowed ? 'allowed' : verdict.reason, 'expired')
  void own.close()
})

test('tokens of Keycloak and Auth0 are judged by their own claims, under the same rule of revocation', async () => {
  const signet = await startIssuer()
  const keycloak = testKey('kc-1', 'RS256')
  const auth0 = testKey('a0-1', 'RS256')
  signet.faults.jwks = undefined
  signet.jwks = [signet.tokenKey, keycloak, auth0] // One server for all keys; each issuer has its own set.
  const foreign = (issuer: string): ForeignIssuer => {
    return { issuer, jwksUri: `${signet.issuer}/jwks`, algorithms: ['RS256'], types: ['JWT', 'at+jwt'] }
  }
  const kc = 'https://sso.example/realms/main'
  const a0 = 'https://tenant.auth0.example/'
  const own = createValidator({ issuer: signet.issuer, audience: AUDIENCE, foreignIssuers: [foreign(kc), foreign(a0)] })
  try {
    await own.ready()
    const now = Math.floor(Date.now() / 1000)
    const base = {
      aud: [AUDIENCE, 'account'],
      iat: now,
      exp: now + 3600,
      jti: 'onrtac:5b1c',
      sid: 'kc-session',
      scope: 'openid read',
    }
    const fromKeycloak = (more: Claims = {}) =>
      signJws(keycloak, { typ: 'JWT' }, { ...base, iss: kc, sub: 'kc-user', azp: 'shop', typ: 'Bearer', acr: '1', ...more })
    const fromAuth0 = (more: Claims = {}) =>
      signJws(auth0, { typ: 'at+jwt' }, { ...base, iss: a0, sub: 'auth0|1', client_id: 'spa', jti: undefined, ...more })
    for (const [token, client] of [
      [fromKeycloak(), 'shop'],
      [fromAuth0(), 'spa'],
    ] as const) {
      const verdict = await own.validate(token, { needs: 'read' })
      assert.ok(verdict.allowed)
      assert.equal(verdict.claims.client_id, client)
    }
    const reason = async (token: string) => {
      const verdict = await own.validate(token)
      return verdict.allowed ? 'allowed' : verdict.reason
    }
    const many = (count: number) => Array.from({ length: count }, (_, n) => `s${n}`).join(' ')
    assert.equal(await reason(fromKeycloak({ scope: `read ${many(255)}` })), 'allowed')
    assert.equal(await reason(fromKeycloak({ scope: `read ${many(256)}` })), 'malformed', 'each is a key')
    // Each issuer has its own terms.
    assert.equal(await reason(fromKeycloak({ iss: signet.issuer })), 'wrong_type')
    assert.equal(await reason(fromKeycloak({ exp: now + 31 * 86_400 })), 'malformed')
    assert.equal(await reason(fromKeycloak({ iat: undefined })), 'malformed')
    assert.equal(await reason(signJws(keycloak, { typ: 'logout+jwt' }, { ...base, iss: kc, sub: 'x' })), 'wrong_type')
    assert.equal(await reason(signJws(signet.tokenKey, { typ: 'JWT' }, { ...base, iss: kc, sub: 'x' })), 'unsupported_algorithm')

    const waitFor = async (seq: number) => {
      while ((own.stats().position?.seq ?? 0) < seq) await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await waitFor(signet.revoke({ kind: 'subject', id: 'kc-user', issuer: signet.issuer }))
    assert.equal(await reason(fromKeycloak()), 'allowed', 'a subject of that name at another issuer is somebody else')
    for (const [kind, id, issuer, token] of [
      ['session', 'kc-session', kc, fromKeycloak()],
      ['token', 'onrtac:5b1c', kc, fromKeycloak({ sid: 'other' })],
      ['client', 'shop', kc, fromKeycloak({ sid: 'other', jti: 'other' })],
      ['subject', 'auth0|1', a0, fromAuth0({ sid: undefined })],
      ['client', 'spa', a0, fromAuth0({ sid: undefined, sub: 'other' })],
      ['issuer', a0, a0, fromAuth0({ sid: undefined, sub: 'other', client_id: 'other' })],
    ] as const) {
      assert.equal(await reason(token), 'allowed', `${kind} before`)
      await waitFor(signet.revoke({ kind, id, issuer }))
      assert.equal(await reason(token), 'revoked', kind)
    }
  } finally {
    await own.close()
    await signet.close()
  }
})
