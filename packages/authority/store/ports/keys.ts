/** Signing and ring keys. */
import type { KeyId } from '@signet/kernel/ids.ts'

/** `token` signs tokens, `feed` signs the revocation feed, `ring` tags refresh tokens and nonces, `audit` signs checkpoints. */
export type KeyPurpose = 'token' | 'feed' | 'ring' | 'audit'

export type KeyState = 'next' | 'active' | 'retiring' | 'retired' | 'compromised'

export interface KeyRecord {
  readonly id: KeyId
  readonly purpose: KeyPurpose
  /** JWA name (RFC 7518, RFC 8037); `HS256` for ring keys, which are never in a JWKS. */
  readonly alg: string
  readonly state: KeyState
  /** 1, 2, 3, … within its purpose. */
  readonly version: number
  /** JSON; absent for ring keys. */
  readonly publicJwk?: string
  /** The private part, encrypted under the master key. */
  readonly wrapped: Uint8Array
  readonly createdAt: number
  /** When it becomes or became active; retires; may be forgotten. */
  readonly activeAt: number
  readonly retiringAt?: number
  readonly retiredAt?: number
}

export interface KeyLookups {
  all(): Promise<readonly KeyRecord[]>
}

export interface KeyTransitions {
  all(): Promise<readonly KeyRecord[]>
  /** False when the id, or the (purpose, version) pair, is taken: another node was first. */
  create(key: KeyRecord): Promise<boolean>
  /** False unless it is in `from`. */
  move(
    id: KeyId,
    from: KeyState,
    to: KeyState,
    times: { activeAt?: number; retiringAt?: number; retiredAt?: number },
  ): Promise<boolean>
  delete(id: KeyId): Promise<boolean>
}
