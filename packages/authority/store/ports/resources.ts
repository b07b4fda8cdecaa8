/** Resources: the APIs that tokens are for. */
import type { Page } from './page.ts'

export interface ResourceRecord {
  /** The audience: an absolute URI without fragment (RFC 8707 §2). */
  readonly uri: string
  readonly name: string
  readonly scopes: readonly { readonly name: string; readonly description: string }[]
  readonly accessTokenSeconds?: number
  readonly dpopRequired: boolean
  /** How its access tokens look to clients and to itself; absent: `jwt`. What is opaque can only be introspected. */
  readonly tokenFormat?: 'jwt' | 'opaque'
  readonly createdAt: number
}

export interface ResourceLookups {
  find(uri: string): Promise<ResourceRecord | undefined>
  list(page: Page): Promise<readonly ResourceRecord[]>
}

export interface ResourceTransitions {
  /** Creates or replaces. */
  put(resource: ResourceRecord): Promise<void>
  delete(uri: string): Promise<boolean>
}
