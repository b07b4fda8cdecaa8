/** Protected resource metadata (RFC 9728): where a client that was refused finds out which authority to ask, and for what. */
import { DPOP_ALGORITHMS } from './dpop.ts'

export interface ProtectedResourceMetadata {
  readonly resource: string
  readonly authorization_servers: readonly string[]
  readonly scopes_supported?: readonly string[]
  readonly bearer_methods_supported: readonly string[]
  readonly dpop_signing_alg_values_supported: readonly string[]
  readonly dpop_bound_access_tokens_required: boolean
  readonly resource_name?: string
  readonly resource_documentation?: string
}

export const PROTECTED_RESOURCE_PATH = '/.well-known/oauth-protected-resource'

/** The document. `scopes` empty: left out. */
export function protectedResourceMetadata(about: {
  readonly resource: string
  readonly issuers: readonly string[]
  readonly scopes: readonly string[]
  readonly requireDpop: boolean
  readonly name?: string
  readonly documentation?: string
}): ProtectedResourceMetadata {
  return {
    resource: about.resource,
    authorization_servers: about.issuers,
    ...(about.scopes.length === 0 ? {} : { scopes_supported: about.scopes }),
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    dpop_bound_access_tokens_required: about.requireDpop,
    ...(about.name === undefined ? {} : { resource_name: about.name }),
    ...(about.documentation === undefined ? {} : { resource_documentation: about.documentation }),
  }
}
