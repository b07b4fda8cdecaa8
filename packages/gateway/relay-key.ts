/** The key with which a relay answers for its own age: made on first start, kept in its state directory, published by itself. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { thumbprint } from '@signet/validator/jwk.ts'

export interface RelayKey {
  readonly kid: string
  /** The public key, as its readers are given it. */
  readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] }
  /** A compact JWS of this `typ`. */
  sign(typ: string, payload: object): string
}

/** Reads the key, or makes one that only the owner of the process may read. */
export async function openRelayKey(path: string): Promise<RelayKey> {
  return relayKey(await readOrMake(path))
}

async function readOrMake(path: string): Promise<Record<string, unknown>> {
  const made = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
  try {
    // `wx`: of two that start at once one wins, and the other reads.
    await writeFile(path, JSON.stringify(made), { mode: 0o600, flag: 'wx' })
    return made as Record<string, unknown>
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  }
}

export function relayKey(jwk: Record<string, unknown>): RelayKey {
  const key = createPrivateKey({ key: jwk, format: 'jwk' })
  const exported = createPublicKey(key).export({ format: 'jwk' }) as Record<string, unknown>
  if (exported.crv !== 'P-256') throw new Error('the relay key must be a P-256 private key')
  const kid = thumbprint(exported) as string
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return {
    kid,
    jwks: { keys: [{ ...exported, kid, alg: 'ES256', use: 'sig' }] },
    sign(typ, payload) {
      const signed = `${encode({ alg: 'ES256', typ, kid })}.${encode(payload)}`
      return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    },
  }
}
