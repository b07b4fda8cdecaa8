/** Access tokens in the form that the authority gives them (RFC 9068), signed here, so that any library can check them. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { newId } from '@signet/kernel/ids.ts'
import { realSurroundings } from '@signet/validator/surroundings.ts'

export const ISSUER = 'https://authority.example'
export const AUDIENCE = 'https://orders.example'
const SECONDS = 3000

export interface TokenMaker {
  readonly kid: string
  readonly publicKey: KeyObject
  /** Distinct tokens of distinct people, about 800 characters each. */
  make(count: number): readonly string[]
}

export function createTokenMaker(): TokenMaker {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { chance } = realSurroundings()
  const kid = newId<string>(Date.now(), chance)
  const header = encode({ alg: 'ES256', typ: 'at+jwt', kid })
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  const make = () => {
    const nowMs = Date.now()
    const iat = Math.floor(nowMs / 1000)
    const id = () => newId<string>(nowMs, chance)
    const signed = `${header}.${encode({
      iss: ISSUER,
      sub: id(),
      aud: AUDIENCE,
      client_id: 'bench-app',
      scope: 'orders:read orders:write',
      iat,
      exp: iat + SECONDS,
      jti: id(),
      gid: id(),
      sid: id(),
      did: id(),
      acr: 'urn:signet:acr:password',
      auth_time: iat,
      pv: '0123456789ab',
    })}`
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
  }
  return { kid, publicKey, make: (count) => Array.from({ length: count }, make) }
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
