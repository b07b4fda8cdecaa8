/**
 * Where something lives whose state only one region has: a refresh token's family, a code, an API key, what an opaque token is sealed with.
 * Nobody else can judge it, so a region that does not have it asks the others before it says that it does not exist.
 */
import { opaqueKind } from '@signet/kernel/opaque-token.ts'
import type { Sha256 } from '@signet/kernel/surroundings.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { Store } from '../store/store.ts'
import { parseApiKey } from '../tokens/api-key.ts'
import { openAccessToken } from '../tokens/opaque-access-token.ts'
import { parseRefreshToken } from '../tokens/refresh-token.ts'
import { codeHash } from './code.ts'

export interface HomeParts {
  readonly store: Pick<Store, 'families' | 'codes' | 'apiKeys'>
  readonly keys: Pick<KeyRing, 'ring'>
  readonly sha256: Sha256
}

/** Whether this region can judge the token. What was never a token of ours can be refused anywhere. */
export async function isHere(token: string, parts: HomeParts): Promise<boolean> {
  switch (opaqueKind(token)) {
    case 'refresh_token': {
      const presented = parseRefreshToken(token)
      return presented === undefined || (await parts.store.families.find(presented.family)) !== undefined
    }
    case 'authorization_code': {
      const hash = codeHash(token, parts.sha256)
      return hash === undefined || (await parts.store.codes.find(hash, 'authorization_code', 0)) !== undefined
    }
    case 'api_key': {
      const presented = parseApiKey(token)
      return presented === undefined || (await parts.store.apiKeys.find(presented.id)) !== undefined
    }
    case 'access_token':
      return openAccessToken(token, parts.keys) !== undefined
    default:
      return true
  }
}
