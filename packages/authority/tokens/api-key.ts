/**
 * API keys: `sgk_` ‖ version 1 ‖ id 16 ‖ secret 32. The store keeps the SHA-256 of the secret; with 256 bits of chance nothing
 * slower is needed. The key itself is shown once.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { concat } from '@signet/kernel/bytes.ts'
import { idFromBytes, idToBytes, isUuidV7, newId, type TokenId } from '@signet/kernel/ids.ts'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { Secret } from '@signet/kernel/secret.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { ApiKeyRecord } from '../store/ports/api-keys.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'

const VERSION = 1
const SECRET_AT = 17
const SECRET_BYTES = 32

/** A new key: the id and hash to store, the key to show. */
export function mintApiKey(
  nowMs: number,
  chance: Chance,
): { readonly id: TokenId; readonly key: Secret; readonly secretHash: Uint8Array } {
  const id = newId<TokenId>(nowMs, chance)
  const secret = chance.bytes(SECRET_BYTES)
  const key = encodeOpaque('api_key', concat(new Uint8Array([VERSION]), idToBytes(id), secret))
  return { id, key: new Secret(key), secretHash: hash('sha256', secret, 'buffer') }
}

export interface PresentedApiKey {
  readonly id: TokenId
  readonly secret: Uint8Array
}

/** What the text says, or undefined for what was never an API key of ours. Asks nobody. */
export function parseApiKey(text: string): PresentedApiKey | undefined {
  const payload = decodeOpaque('api_key', text)
  if (payload === undefined || payload.length !== SECRET_AT + SECRET_BYTES || payload[0] !== VERSION) return undefined
  const id = idFromBytes<TokenId>(payload.subarray(1, SECRET_AT))
  return isUuidV7(id) ? { id, secret: payload.slice(SECRET_AT) } : undefined
}

/** Whether the presented key is the stored one. Constant time. Says nothing of status or expiry. */
export function verifiesApiKey(
  presented: PresentedApiKey,
  stored: { readonly id: TokenId; readonly secretHash: Uint8Array },
): boolean {
  const presentedHash = hash('sha256', presented.secret, 'buffer')
  return (
    presented.id === stored.id &&
    stored.secretHash.length === presentedHash.length &&
    timingSafeEqual(presentedHash, stored.secretHash)
  )
}

/**
 * The scopes that a key still gives: never more than its client and its resource have now, whatever they had when it was made. Undefined
 * when it gives nothing any more: the resource is gone or not the client's, a key must be proven, or no scope is left.
 */
export function reachOfApiKey(
  key: Pick<ApiKeyRecord, 'resource' | 'scopes'>,
  client: Pick<ClientRecord, 'resources' | 'scopes' | 'dpopBound'>,
  resource: Pick<ResourceRecord, 'scopes' | 'dpopRequired'> | undefined,
): readonly string[] | undefined {
  if (resource === undefined || !client.resources.includes(key.resource)) return undefined
  if (client.dpopBound || resource.dpopRequired) return undefined
  const known = resource.scopes.map(({ name }) => name)
  const scopes = key.scopes.filter((name) => client.scopes.includes(name) && known.includes(name))
  return scopes.length === 0 && key.scopes.length > 0 ? undefined : scopes
}
