import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '@signet/kernel/errors.ts'
import {
  type ClientId,
  type DeviceId,
  type FamilyId,
  idTimeMs,
  isUuidV7,
  type SessionId,
  type SubjectId,
} from '@signet/kernel/ids.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import { type KeyRing, openKeyRing } from '../keys/key-ring.ts'
import { MasterKey } from '../keys/master-key.ts'
import { defaultSettings, guardMilliseconds, type SigningAlgorithm } from '../policy/settings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { type AccessTokenRequest, createMint } from './mint.ts'

const NOW_MS = 1_800_000_000_123
const issuer = 'https://id.example'
const guardMs = guardMilliseconds(defaultSettings)

async function world(signingAlgorithm: SigningAlgorithm = 'ES256') {
  const surroundings = manualSurroundings('mint', NOW_MS)
  const { clock, chance } = surroundings
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  const master = new MasterKey(new Uint8Array(32), chance)
  const keys = await openKeyRing({ store, master, clock, chance, settings: { ...defaultSettings, signingAlgorithm } })
  return { keys, clock, mint: createMint({ keys, issuer, clock, chance, guardMs }) }
}

const jwksOf = (keys: KeyRing) => createLocalJWKSet(keys.jwks('token') as unknown as JSONWebKeySet)
const request: AccessTokenRequest = {
  subject: 'subject-1' as SubjectId,
  client: 'web-app' as ClientId,
  scope: ['read', 'write'],
  audience: 'https://api.example',
  seconds: 300,
  floorMs: 0,
  policy: '0123456789abcdef',
}

test('an access token is an RFC 9068 JWT that jose accepts, under every algorithm', async () => {
  for (const alg of ['ES256', 'EdDSA', 'RS256', 'PS256'] as const) {
    const { keys, clock, mint } = await world(alg)
    const { token, id, issuedAtMs, expiresAt } = mint.accessToken(request)
    const options = {
      issuer,
      audience: 'https://api.example',
      typ: 'at+jwt',
      algorithms: [alg],
      currentDate: new Date(clock.now()),
    }
    const { payload, protectedHeader } = await jwtVerify(token, jwksOf(keys), options)
    assert.deepEqual(protectedHeader, { alg, typ: 'at+jwt', kid: keys.signer('token').id })
    assert.deepEqual(payload, {
      iss: issuer,
      exp: Math.floor(NOW_MS / 1000) + 300,
      aud: 'https://api.example',
      sub: 'subject-1',
      client_id: 'web-app',
      iat: Math.floor(NOW_MS / 1000),
      jti: id,
      scope: 'read write',
      pv: '0123456789ab',
    })
    assert.equal(Object.keys(payload).join(), 'iss,exp,aud,sub,client_id,iat,jti,scope,pv')
    assert.deepEqual([idTimeMs(id), issuedAtMs, expiresAt], [NOW_MS, NOW_MS, payload.exp])
  }
})

test('what applies is in it, what does not is left out', async () => {
  const { mint } = await world()
  const whole: AccessTokenRequest = {
    ...request,
    grant: 'g' as FamilyId,
    session: 's' as SessionId,
    device: 'd' as DeviceId,
    cnf: { jkt: 'thumb' },
    acr: 'phr',
    amr: ['hwk'],
    authAt: 7,
    audience: ['https://a.example', 'https://b.example'],
  }
  const claims = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
  const { gid, sid, did, cnf, acr, amr, auth_time, aud } = claims(mint.accessToken(whole).token)
  assert.deepEqual(
    [gid, sid, did, cnf, acr, amr, auth_time, aud],
    ['g', 's', 'd', { jkt: 'thumb' }, 'phr', ['hwk'], 7, whole.audience],
  )
  assert.equal(
    Object.keys(claims(mint.accessToken({ ...request, scope: [] }).token)).join(),
    'iss,exp,aud,sub,client_id,iat,jti,pv',
  )
})

test('a token is issued strictly after every cutoff it is told of, jti and iat alike', async () => {
  const { mint } = await world()
  fc.assert(
    fc.property(fc.integer({ min: NOW_MS - 100_000, max: NOW_MS + guardMs + 1000 }), (floorMs) => {
      const { token, id, issuedAtMs } = mint.accessToken({ ...request, floorMs })
      assert.equal(issuedAtMs, Math.max(NOW_MS, floorMs + 1))
      assert.ok(isUuidV7(id) && idTimeMs(id) === issuedAtMs)
      const { iat, exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
      assert.deepEqual([iat, exp], [Math.floor(issuedAtMs / 1000), Math.floor(issuedAtMs / 1000) + 300])
    }),
  )
})

test('a cutoff further ahead than the guard and a second means that this clock is behind: nothing is minted', async () => {
  const { mint } = await world()
  const floorMs = NOW_MS + guardMs + 1001
  const unsure = (error: unknown) => error instanceof Fault && error.code === 'clock_unsure'
  assert.throws(() => mint.accessToken({ ...request, floorMs }), unsure)
  assert.throws(() => mint.idToken({ subject: request.subject, client: request.client, seconds: 300, floorMs }), unsure)
})

test('a life that is no whole positive number of seconds is a bug, not a token', async () => {
  const { mint } = await world()
  for (const seconds of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => mint.accessToken({ ...request, seconds }))
})

test('an ID token carries at_hash as OpenID Connect wants it, and no claim about a person can pose as one of the protocol', async () => {
  // RFC 8037-style keys hash with SHA-512, the others with SHA-256.
  for (const [alg, length] of [
    ['ES256', 22],
    ['EdDSA', 43],
  ] as const) {
    const { keys, clock, mint } = await world(alg)
    const forged = {
      iss: 'https://evil.example',
      sub: 'other',
      aud: 'other',
      exp: 9e9,
      nonce: 'n2',
      azp: 'other',
      at_hash: 'x',
      name: 'Ada',
    }
    const token = mint.idToken({
      ...{ subject: request.subject, client: request.client, session: 's' as SessionId, nonce: 'n', acr: 'phr', amr: ['hwk'] },
      ...{ authAt: 7, accessToken: 'the access token', claims: forged, seconds: 300, floorMs: 0 },
    })
    const { payload } = await jwtVerify(token, jwksOf(keys), {
      issuer,
      audience: 'web-app',
      typ: 'JWT',
      currentDate: new Date(clock.now()),
    })
    const { at_hash, jti, ...rest } = payload
    assert.equal((at_hash as string).length, length)
    assert.ok(isUuidV7(jti as string))
    const iat = Math.floor(NOW_MS / 1000)
    const expected = {
      name: 'Ada',
      iss: issuer,
      sub: 'subject-1',
      aud: 'web-app',
      exp: iat + 300,
      iat,
      auth_time: 7,
      nonce: 'n',
      acr: 'phr',
      amr: ['hwk'],
      sid: 's',
    }
    assert.deepEqual(rest, expected)
  }
})

test('the header follows the key when the key changes', async () => {
  const { keys, mint } = await world()
  const first = decodeProtectedHeader(mint.accessToken(request).token).kid
  await keys.rotate('token', 'operator:ada', { force: true })
  const second = decodeProtectedHeader(mint.accessToken(request).token).kid
  assert.notEqual(first, second)
  assert.equal(second, keys.signer('token').id)
})
