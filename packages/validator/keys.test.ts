import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import { testKey } from './issuer.testkit.ts'
import { algorithm, importJwk, SIGNET_ALGORITHMS, thumbprint, verifyingKey } from './jwk.ts'
import { maxAgeSeconds } from './jwks.ts'
import { KeySet } from './key-set.ts'

describe('a JWK', () => {
  test('becomes a key for its own algorithm alone', () => {
    for (const alg of ['ES256', 'EdDSA', 'RS256', 'PS256'] as const) {
      const { jwk } = testKey('k', alg)
      assert.deepEqual(
        importJwk(jwk, SIGNET_ALGORITHMS).map((key) => key.alg),
        [alg],
      )
    }
    const { alg: _alg, ...nameless } = testKey('k', 'RS256').jwk
    assert.deepEqual(
      importJwk(nameless, SIGNET_ALGORITHMS).map((key) => key.alg),
      ['RS256', 'PS256'],
    )
    assert.deepEqual(importJwk(testKey('k').jwk, ['RS256']), [])
  })

  test('that is symmetric, private, for another use, weak or broken becomes none, or its public part', () => {
    const { jwk, privateKey } = testKey('k')
    const none = (value: unknown) => assert.deepEqual(importJwk(value, SIGNET_ALGORITHMS), [])
    none({ kty: 'oct', k: 'AAAA', alg: 'HS256' })
    none({ ...jwk, use: 'enc' })
    none({ ...jwk, key_ops: ['sign'] })
    none({ ...jwk, alg: 'HS256' })
    none({ ...jwk, alg: 'RS256' })
    none({ ...jwk, x: undefined })
    none({ ...jwk, y: jwk.x })
    none(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }))
    none(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' }))
    for (const value of [null, 1, 'x', [], {}]) none(value)
    const [key] = importJwk({ ...privateKey.export({ format: 'jwk' }), alg: 'ES256' }, SIGNET_ALGORITHMS)
    assert.equal(key?.key.type, 'public')
  })

  test('pins no key to an algorithm it is not made for', () => {
    assert.equal(verifyingKey(createSecretKey(Buffer.alloc(32)), 'ES256'), undefined)
    assert.equal(verifyingKey(testKey('k', 'EdDSA').publicKey, 'ES256'), undefined)
    assert.equal(verifyingKey(testKey('k').privateKey, 'ES256'), undefined)
    assert.equal(algorithm('none'), undefined)
    assert.equal(algorithm('constructor'), undefined)
    assert.equal(algorithm('Ed25519'), 'EdDSA')
  })

  test('has the thumbprint of RFC 7638 §3.1', () => {
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw'
    assert.equal(thumbprint({ kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: 'x' }), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
    assert.equal(thumbprint({ kty: 'oct', k: 'x' }), undefined)
    assert.equal(thumbprint({ kty: 'EC', crv: 'P-256', x: 'x' }), undefined)
  })
})

describe('a key set', () => {
  const a = testKey('a')
  const b = testKey('b', 'RS256')
  const setOf = (...keys: { jwk: object }[]) => ({ keys: keys.map((key) => key.jwk) })
  const make = () => {
    const shared = { version: 0 }
    return { shared, set: new KeySet(SIGNET_ALGORITHMS, shared) }
  }

  test('keeps the very key object of a JWK that did not change, and says when anything did', () => {
    const { set, shared } = make()
    assert.deepEqual(set.replace(setOf(a)), { taken: true, changed: true })
    const before = set.find('a', 'ES256')
    assert.deepEqual(set.replace(setOf(a)), { taken: true, changed: false })
    assert.equal(shared.version, 1)
    assert.deepEqual(set.replace(setOf(b, a)), { taken: true, changed: true })
    assert.equal(set.find('a', 'ES256'), before)
    assert.deepEqual(set.replace(setOf(b)), { taken: true, changed: true })
    assert.equal(set.find('a', 'ES256'), undefined)
    assert.equal(shared.version, 3)
  })

  test('does not let itself be emptied', () => {
    const { set } = make()
    set.replace(setOf(a))
    for (const bad of [{}, { keys: [] }, { keys: 'x' }, { keys: [{ kty: 'oct', k: 'x' }] }, null]) {
      assert.deepEqual(set.replace(bad), { taken: false, changed: false })
    }
    assert.ok(set.find('a', 'ES256'))
  })

  test('finds a key without an id only when there is no choice', () => {
    const { set } = make()
    set.replace(setOf(a, b))
    assert.ok(set.find(undefined, 'ES256'))
    set.replace(setOf(a, b, testKey('c')))
    assert.equal(set.find(undefined, 'ES256'), undefined)
    assert.equal(set.find('a', 'RS256'), undefined)
  })

  test('takes the first of two keys with one id', () => {
    const { set } = make()
    const twin = testKey('a')
    set.replace(setOf(a, twin))
    assert.ok(set.find('a', 'ES256')?.key.equals(a.publicKey))
  })
})

test('Cache-Control is honoured within bounds', () => {
  assert.equal(maxAgeSeconds('public, max-age=600'), 600)
  assert.equal(maxAgeSeconds('max-age=1'), 30)
  assert.equal(maxAgeSeconds('max-age=999999'), 3600)
  assert.equal(maxAgeSeconds('no-store'), 300)
  assert.equal(maxAgeSeconds('s-max-age=5'), 300)
  assert.equal(maxAgeSeconds(undefined), 300)
})
