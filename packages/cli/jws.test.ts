import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import { checkSignature, decodeJws } from './jws.ts'

const part = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const KEYS = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
} as const
type Name = keyof typeof KEYS

function signed(alg: Name, header: object = {}): string {
  const text = `${part({ alg, kid: alg, ...header })}.${part({ sub: 'ada' })}`
  const key: KeyObject = KEYS[alg].privateKey
  const options = { key, dsaEncoding: 'ieee-p1363' as const, ...(alg === 'PS256' ? { padding: 6, saltLength: 32 } : {}) }
  return `${text}.${sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(text), options).toString('base64url')}`
}
const JWKS = {
  keys: (Object.keys(KEYS) as Name[]).map((kid) => ({
    ...KEYS[kid].publicKey.export({ format: 'jwk' }),
    kid,
    alg: kid,
    use: 'sig',
  })),
}
const finding = (token: string, jwks: { keys: Record<string, unknown>[] } = JWKS) => {
  const jws = decodeJws(token)
  return jws && checkSignature(jws, jwks)
}

describe('a signature', () => {
  test('is good by the published key, for each algorithm', () => {
    for (const alg of Object.keys(KEYS) as Name[]) assert.equal(finding(signed(alg)), 'good', alg)
  })

  test('is bad when anything was changed', () => {
    const [head, , tail] = signed('ES256').split('.')
    assert.equal(finding(`${head}.${part({ sub: 'eve' })}.${tail}`), 'bad')
    assert.equal(finding(`${signed('ES256').slice(0, -4)}AAAA`), 'bad')
  })

  test('is nothing without its key, or by an algorithm that proves nothing', () => {
    assert.equal(finding(signed('ES256', { kid: 'other' })), 'unknown_key')
    assert.equal(finding(`${part({ alg: 'none', kid: 'ES256' })}.${part({})}.AA`), 'unsupported_algorithm')
    // The public key as a shared secret: the oldest trick (RFC 8725 §2.1).
    const text = `${part({ alg: 'HS256', kid: 'RS256' })}.${part({})}`
    const mac = createHmac('sha256', KEYS.RS256.publicKey.export({ format: 'pem', type: 'spki' }))
      .update(text)
      .digest('base64url')
    assert.equal(finding(`${text}.${mac}`), 'unsupported_algorithm')
    assert.equal(finding(signed('RS256', { alg: 'ES256' })), 'unknown_key', 'a key is used for its own algorithm alone')
  })

  test('is looked for only in what is a token', () => {
    for (const text of [
      '',
      'a.b',
      'a.b.c',
      `${part('[1]')}.${part({})}.AA`,
      `${part({})}.${part('null')}.AA`,
      `${part({})}.${part({})}.`,
      'a b.c.d',
    ]) {
      assert.equal(decodeJws(text), undefined, text)
    }
  })
})
