/** The signature algorithms of RFC 7518 §3 and RFC 8037 §3.1 that Signet signs with: making keys, signing, JWKs. */
import {
  constants,
  sign as cryptoSign,
  verify as cryptoVerify,
  generateKeyPair,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { promisify } from 'node:util'
import type { SigningAlgorithm } from '../policy/settings.ts'

const RSA_BITS = 2048
/** RFC 7518 §3.5: the salt is as long as the hash. */
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } as const
/** RFC 7518 §3.4: r ‖ s, not ASN.1. */
const P1363 = { dsaEncoding: 'ieee-p1363' } as const

export function isSigningAlgorithm(alg: string): alg is SigningAlgorithm {
  return alg === 'ES256' || alg === 'EdDSA' || alg === 'RS256' || alg === 'PS256'
}

/** A new private key. RSA takes tens of milliseconds to seconds, off this thread. */
export async function generatePrivateKey(alg: SigningAlgorithm): Promise<KeyObject> {
  switch (alg) {
    case 'ES256':
      return (await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })).privateKey
    case 'EdDSA':
      return (await promisify(generateKeyPair)('ed25519')).privateKey
    case 'RS256':
    case 'PS256':
      return (await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS })).privateKey
  }
}

/** The same at once, for the one moment that cannot wait: inside a transaction that replaces a compromised key. */
export function generatePrivateKeySync(alg: SigningAlgorithm): KeyObject {
  switch (alg) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey
    case 'RS256':
    case 'PS256':
      return generateKeyPairSync('rsa', { modulusLength: RSA_BITS }).privateKey
  }
}

/** Signs `data` in JOSE form, on this thread: 24 µs for ES256, and a hop to another thread costs more. */
export function signingFunction(alg: SigningAlgorithm, key: KeyObject): (data: Uint8Array) => Uint8Array {
  switch (alg) {
    case 'ES256': {
      const input = { key, ...P1363 }
      return (data) => cryptoSign('sha256', data, input)
    }
    case 'EdDSA':
      return (data) => cryptoSign(null, data, key)
    case 'RS256':
      return (data) => cryptoSign('sha256', data, key)
    case 'PS256': {
      const input = { key, ...PSS }
      return (data) => cryptoSign('sha256', data, input)
    }
  }
}

/** Whether `signature` (JOSE form) is of `data` by `key`. */
export function verifySignature(alg: SigningAlgorithm, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  switch (alg) {
    case 'ES256':
      return cryptoVerify('sha256', data, { key, ...P1363 }, signature)
    case 'EdDSA':
      return cryptoVerify(null, data, key, signature)
    case 'RS256':
      return cryptoVerify('sha256', data, key, signature)
    case 'PS256':
      return cryptoVerify('sha256', data, { key, ...PSS }, signature)
  }
}

/** Whether a key is of the kind its algorithm needs, so that a row altered in the store cannot confuse the two. */
export function fitsAlgorithm(alg: SigningAlgorithm, key: KeyObject): boolean {
  switch (alg) {
    case 'ES256':
      return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
    case 'EdDSA':
      return key.asymmetricKeyType === 'ed25519'
    case 'RS256':
    case 'PS256':
      return key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_BITS
  }
}

/** The public half as a bare JWK (RFC 7517 §4, RFC 7518 §6): key material only. */
export function publicJwkOf(publicKey: KeyObject): Record<string, unknown> {
  return publicKey.export({ format: 'jwk' }) as Record<string, unknown>
}
