/** The key with which a relay answers for its own age: made on first start, kept in its state directory, published by itself. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { thumbprint } from '@signet/validator/jwk.ts'
import { createFile, readPrivateText } from '@signet/validator/private-file.ts'

export interface RelayKey {
  readonly kid: string
  /** The public key, as its readers are given it. */
  readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] }
  /** A compact JWS of this `typ`. */
  sign(typ: string, payload: object): string
}

/** Reads the key, or makes one that only the owner of the process may read. Throws when others may read it. */
export async function openRelayKey(path: string): Promise<RelayKey> {
  return relayKey(await readOrMake(path))
}

async function readOrMake(path: string): Promise<Record<string, unknown>> {
  const isThere = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (isThere === undefined) {
    const made = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
    await createFile(path, (file) => file.writeFile(JSON.stringify(made)))
  }
  return JSON.parse(readPrivateText(path)) as Record<string, unknown> // Another's, where two began at once.
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
