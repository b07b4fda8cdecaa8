/** API keys. */
import type { ClientId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { Page } from './page.ts'
import type { Status } from './standing.ts'

export interface ApiKeyRecord {
  readonly id: TokenId
  /** SHA-256 of the secret part. */
  readonly secretHash: Uint8Array
  readonly name: string
  readonly client: ClientId
  readonly subject?: SubjectId
  readonly scopes: readonly string[]
  readonly resource: string
  readonly status: Status
  readonly createdAt: number
  readonly expiresAt?: number
  readonly lastUsedAt?: number
  /** The key that replaces it; this one goes on working until `expiresAt`. */
  readonly replacedBy?: TokenId
}

export interface ApiKeyLookups {
  find(id: TokenId): Promise<ApiKeyRecord | undefined>
  ofClient(client: ClientId, page: Page): Promise<readonly ApiKeyRecord[]>
  /** Those that act for somebody. */
  ofSubject(subject: SubjectId, page: Page): Promise<readonly ApiKeyRecord[]>
}

/** Made as by `ReplayTransitions.remember`, until one time for a key and another for any other token; not at all where there is none. */
export interface TokenClaim {
  readonly key: Uint8Array
  readonly forApiKey: number | undefined
  readonly otherwise: number | undefined
}

export interface ApiKeyTransitions {
  create(key: ApiKeyRecord): Promise<void>
  /** Gives it an end and an heir; false unless active. */
  replace(id: TokenId, heir: TokenId, expiresAt: number): Promise<boolean>
  changeStatus(id: TokenId, from: readonly Status[], to: Status): Promise<boolean>
  /** Ends the token of this id: revokes the key, if it is one's that was not, and makes the claim. */
  endToken(id: TokenId, claim: TokenClaim): Promise<{ readonly isApiKey: boolean; readonly isFirst: boolean }>
  /** Coarse: callers write it at most once a minute per key. */
  touch(id: TokenId, lastUsedAt: number): Promise<void>
}
