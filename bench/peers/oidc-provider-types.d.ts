/** As much of oidc-provider as the benchmark uses; it ships no types. */
declare module 'oidc-provider' {
  import type { RequestListener } from 'node:http'

  export interface AdapterPayload {
    readonly uid?: string
    readonly userCode?: string
    readonly grantId?: string
    consumed?: number
  }
  export interface Adapter {
    find(id: string): Promise<AdapterPayload | undefined>
    findByUid(uid: string): Promise<AdapterPayload | undefined>
    findByUserCode(userCode: string): Promise<AdapterPayload | undefined>
    upsert(id: string, payload: AdapterPayload, expiresIn?: number): Promise<void>
    consume(id: string): Promise<void>
    destroy(id: string): Promise<void>
    revokeByGrantId(grantId: string): Promise<void>
  }
  interface Saved {
    /** Resolves to the token's value, or the grant's id. */
    save(): Promise<string>
  }
  interface Grant extends Saved {
    addOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
  }
  type Make<T> = new (properties: Readonly<Record<string, unknown>>) => T

  export default class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>)
    callback(): RequestListener
    readonly Client: { find(id: string): Promise<unknown> }
    readonly Grant: Make<Grant>
    readonly RefreshToken: Make<Saved>
    readonly AuthorizationCode: Make<Saved>
    readonly AccessToken: Make<Saved>
  }
}
