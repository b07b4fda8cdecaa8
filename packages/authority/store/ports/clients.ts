/** Clients: the applications and services that tokens are issued to. */
import type { ClientId } from '@signet/kernel/ids.ts'
import type { Page } from './page.ts'
import type { Standing, StandingChange } from './standing.ts'

/** Kind of installation: a refresh token of one class is not honoured from another. */
export type PlatformClass = 'web' | 'browser' | 'native' | 'service'

export type ClientAuthMethod = 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
export type GrantType = 'authorization_code' | 'refresh_token' | 'client_credentials'

export interface ClientRecord extends Standing {
  readonly id: ClientId
  readonly name: string
  readonly platform: PlatformClass
  readonly authMethod: ClientAuthMethod
  /** SHA-256 of each secret that works now; two while one is being replaced. */
  readonly secrets: readonly { readonly sha256: Uint8Array; readonly createdAt: number; readonly expiresAt?: number }[]
  /** Public keys for `private_key_jwt` (RFC 7523), as JWKs. */
  readonly jwks: readonly Readonly<Record<string, unknown>>[]
  readonly redirectUris: readonly string[]
  readonly postLogoutRedirectUris: readonly string[]
  readonly grantTypes: readonly GrantType[]
  /** What it may ask for at most. */
  readonly scopes: readonly string[]
  /** Audiences it may ask for (RFC 8707); the first is the default when it names none. */
  readonly resources: readonly string[]
  /** Resources on whose behalf it may introspect (RFC 7662 §2.1): it is that resource server. */
  readonly introspects: readonly string[]
  /** Every token of it must be bound to a DPoP key. */
  readonly dpopBound: boolean
  /** Consent is implied: an application of the operator's own. */
  readonly firstParty: boolean
  /** Own lifetimes, within the policy's caps. */
  readonly accessTokenSeconds?: number
  readonly refreshIdleSeconds?: number
  readonly refreshMaxSeconds?: number
  readonly createdAt: number
}

export interface ClientLookups {
  find(id: ClientId): Promise<ClientRecord | undefined>
  list(page: Page): Promise<readonly ClientRecord[]>
}

export interface ClientTransitions {
  find(id: ClientId): Promise<ClientRecord | undefined>
  /** False when the id is taken. */
  create(client: ClientRecord): Promise<boolean>
  /**
   * Replaces everything but id, standing and createdAt. False when there is none or, given `before`, when what it replaces is not
   * as it stood there: somebody else changed it meanwhile.
   */
  update(client: ClientRecord, before?: ClientRecord): Promise<boolean>
  delete(id: ClientId): Promise<boolean>
  changeStanding(id: ClientId, change: StandingChange): Promise<boolean>
  /** Undoes a revocation: `revokedMs` goes back from `made` to `before`. False unless it is `made`: a later one stands. */
  withdraw(id: ClientId, made: number, before: number): Promise<boolean>
}
