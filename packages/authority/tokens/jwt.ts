/** Compact JWS (RFC 7515 §3.1) with a JSON payload: how every JWT of the authority is signed. */
import type { SigningKey } from '../keys/key-ring.ts'

/** Signs on this thread. The header is `alg`, `typ`, `kid`; it is encoded once per key and type. */
export function signJwt(key: SigningKey, header: { readonly typ: string }, payload: object): string {
  const input = protectedHeader(key, header.typ) + Buffer.from(JSON.stringify(payload)).toString('base64url')
  const signature = key.sign(Buffer.from(input, 'latin1')) as Buffer
  return `${input}.${Buffer.from(signature.buffer, signature.byteOffset, signature.length).toString('base64url')}`
}

/** By key, so that the headers of a key that has gone go with it. A key signs a handful of types. */
const headers = new WeakMap<SigningKey, Map<string, string>>()

/** The encoded header with the dot after it. */
function protectedHeader(key: SigningKey, typ: string): string {
  let ofKey = headers.get(key)
  if (ofKey === undefined) {
    ofKey = new Map()
    headers.set(key, ofKey)
  }
  let header = ofKey.get(typ)
  if (header === undefined) {
    header = `${Buffer.from(JSON.stringify({ alg: key.alg, typ, kid: key.id })).toString('base64url')}.`
    ofKey.set(typ, header)
  }
  return header
}
