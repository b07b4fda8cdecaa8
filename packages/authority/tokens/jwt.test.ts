import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import type { KeyId } from '@signet/kernel/ids.ts'
import fc from 'fast-check'
import { decodeProtectedHeader, jwtVerify, SignJWT } from 'jose'
import { generatePrivateKey, signingFunction } from '../keys/algorithms.ts'
import type { SigningAlgorithm } from '../policy/settings.ts'
import { signJwt } from './jwt.ts'

async function keyPair(alg: SigningAlgorithm) {
  const privateKey = await generatePrivateKey(alg)
  const id = '018f0000-0000-7000-8000-000000000001' as KeyId
  return { privateKey, publicKey: createPublicKey(privateKey), signing: { id, alg, sign: signingFunction(alg, privateKey) } }
}

/** Any JSON object, except that jose checks the types of registered claims. */
const payloads = fc.dictionary(fc.string(), fc.jsonValue()).map((any) => {
  const { iss, sub, aud, exp, nbf, iat, jti, ...rest } = any
  return Object.fromEntries(Object.entries(rest)) as Record<string, unknown>
})
const types = fc.constantFrom('at+jwt', 'JWT', 'signet-head+jwt')

test('under deterministic algorithms it is, byte for byte, the token that jose makes', async () => {
  for (const alg of ['EdDSA', 'RS256'] as const) {
    const { privateKey, signing } = await keyPair(alg)
    await fc.assert(
      fc.asyncProperty(payloads, types, async (payload, typ) => {
        const theirs = await new SignJWT(payload).setProtectedHeader({ alg, typ, kid: signing.id }).sign(privateKey)
        assert.equal(signJwt(signing, { typ }, payload), theirs)
      }),
      { numRuns: 50 },
    )
  }
})

test('under the others jose verifies it and reads the same payload', async () => {
  for (const alg of ['ES256', 'PS256'] as const) {
    const { publicKey, signing } = await keyPair(alg)
    await fc.assert(
      fc.asyncProperty(payloads, types, async (payload, typ) => {
        const token = signJwt(signing, { typ }, payload)
        assert.deepEqual((await jwtVerify(token, publicKey)).payload, JSON.parse(JSON.stringify(payload)))
        assert.deepEqual(decodeProtectedHeader(token), { alg, typ, kid: signing.id })
      }),
      { numRuns: 50 },
    )
  }
})

test('a token with any one character changed is not accepted by jose', async () => {
  const { publicKey, signing } = await keyPair('ES256')
  const token = signJwt(signing, { typ: 'at+jwt' }, { sub: 'subject-1' })
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === 'Q' ? 'A' : 'Q' // They differ in the highest bits, so never in unused ones alone.
    await assert.rejects(jwtVerify(token.slice(0, at) + other + token.slice(at + 1), publicKey), `character ${at}`)
  }
})
