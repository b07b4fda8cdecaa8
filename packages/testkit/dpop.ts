/** A DPoP key (RFC 9449) that a test holds, and the proofs it makes. */
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { thumbprint } from '@signet/validator/jwk.ts'

export interface DpopKey {
  readonly jkt: string
  readonly jwk: Readonly<Record<string, unknown>>
  /** A proof for a request; `claims` and `header` replace members, or take them away with undefined. */
  proof(request: ProofRequest): string
}

interface ProofRequest {
  readonly url: string
  readonly method?: string
  readonly nonce?: string | undefined
  readonly accessToken?: string
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
}

/** A fresh ES256 key. `nowMs` says the time for `iat`. */
export function createDpopKey(nowMs: () => number = Date.now): DpopKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' }) as Record<string, unknown>
  return {
    jkt: thumbprint(jwk) as string,
    jwk,
    proof({ url, method = 'POST', nonce, accessToken, claims, header }) {
      const ath = accessToken === undefined ? undefined : createHash('sha256').update(accessToken).digest('base64url')
      const iat = Math.floor(nowMs() / 1000)
      const input = `${encode({ typ: 'dpop+jwt', alg: 'ES256', jwk, ...header })}.${encode({ jti: randomUUID(), htm: method, htu: url, iat, nonce, ath, ...claims })}`
      return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    },
  }
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
