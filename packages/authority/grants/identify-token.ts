/**
 * Which token of ours a text is, whether it still lives or not: signed by us, tagged with our ring key, or hashing to what the store has.
 * Undefined for everything else. Whoever shows one has it.
 */
import { opaqueKind } from '@signet/kernel/opaque-token.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { LeakedToken } from '../revocation/triggers.ts'
import type { Store } from '../store/store.ts'
import { parseApiKey, verifiesApiKey } from '../tokens/api-key.ts'
import { parseRefreshToken, verifiesTag } from '../tokens/refresh-token.ts'
import type { LivingTokens } from './living-token.ts'

export interface IdentifyParts {
  readonly store: Pick<Store, 'families' | 'apiKeys'>
  readonly keys: Pick<KeyRing, 'ring' | 'isAhead' | 'refresh'>
  readonly livingTokens: LivingTokens
}

export async function identifyToken(token: string, parts: IdentifyParts): Promise<LeakedToken | undefined> {
  switch (opaqueKind(token)) {
    case 'refresh_token':
      return identifyRefreshToken(token, parts)
    case 'api_key':
      return identifyApiKey(token, parts)
    case 'access_token':
    case undefined: {
      const claims = parts.livingTokens.genuine(token)
      if (claims === undefined) return undefined
      const { jti, gid, sub, client_id } = claims
      return { kind: 'access_token', token: jti, subject: sub, client: client_id, ...(gid !== undefined && { grant: gid }) }
    }
    default:
      return undefined
  }
}

/** Of any generation: whoever has a spent one had the grant. */
async function identifyRefreshToken(token: string, { store, keys }: IdentifyParts): Promise<LeakedToken | undefined> {
  const presented = parseRefreshToken(token)
  const standing = presented === undefined ? undefined : await store.families.find(presented.family)
  if (presented === undefined || standing === undefined) return undefined
  const { family } = standing
  if (keys.isAhead(family.ring)) await keys.refresh()
  if (!verifiesTag(keys, presented, family)) return undefined
  return { kind: 'refresh_token', grant: family.id, subject: family.subject, client: family.terms.client }
}

async function identifyApiKey(token: string, { store }: IdentifyParts): Promise<LeakedToken | undefined> {
  const presented = parseApiKey(token)
  const key = presented === undefined ? undefined : await store.apiKeys.find(presented.id)
  if (presented === undefined || key === undefined || !verifiesApiKey(presented, key)) return undefined
  return { kind: 'api_key', token: key.id, client: key.client, ...(key.subject !== undefined && { subject: key.subject }) }
}
