import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import { compactVerify, importJWK } from 'jose'
import type { SigningAlgorithm } from '../policy/settings.ts'
import {
  fitsAlgorithm,
  generatePrivateKey,
  generatePrivateKeySync,
  publicJwkOf,
  signingFunction,
  verifySignature,
} from './algorithms.ts'

const ALGORITHMS: readonly SigningAlgorithm[] = ['ES256', 'EdDSA', 'RS256', 'PS256']
const data = Buffer.from('what is signed')

test('every algorithm signs, verifies, and refuses changed data and changed signatures', async () => {
  for (const alg of ALGORITHMS) {
    for (const key of [await generatePrivateKey(alg), generatePrivateKeySync(alg)]) {
      const publicKey = createPublicKey(key)
      const signature = signingFunction(alg, key)(data)
      assert.ok(verifySignature(alg, publicKey, data, signature), alg)
      assert.ok(!verifySignature(alg, publicKey, Buffer.from('what is signeD'), signature), alg)
      const changed = Uint8Array.from(signature)
      changed[10] = (changed[10] as number) ^ 1
      assert.ok(!verifySignature(alg, publicKey, data, changed), alg)
    }
  }
})

test('jose accepts what is signed here under every algorithm', async () => {
  for (const alg of ALGORITHMS) {
    const key = await generatePrivateKey(alg)
    const input = `${Buffer.from(JSON.stringify({ alg })).toString('base64url')}.${data.toString('base64url')}`
    const token = `${input}.${Buffer.from(signingFunction(alg, key)(Buffer.from(input))).toString('base64url')}`
    const jwk = publicJwkOf(createPublicKey(key))
    assert.deepEqual(
      Object.keys(jwk).filter((name) => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].includes(name)),
      [],
      'nothing private in it',
    )
    const { payload } = await compactVerify(token, await importJWK(jwk, alg))
    assert.deepEqual(Buffer.from(payload), data)
  }
})

test('a key fits its own algorithms and no other', async () => {
  const fits = await Promise.all(
    ALGORITHMS.map(async (of) => {
      const key = await generatePrivateKey(of)
      return ALGORITHMS.filter((alg) => fitsAlgorithm(alg, key)).join()
    }),
  )
  assert.deepEqual(fits, ['ES256', 'EdDSA', 'RS256,PS256', 'RS256,PS256'])
})
