/**
 * What a client or validator needs to know when it knows only the issuer: RFC 8414 and OpenID Connect Discovery, one
 * document at two addresses, and the keys (RFC 7517).
 */
import { createHash } from 'node:crypto'
import { EPOCH_HEADER } from '@signet/kernel/feed.ts'
import { DPOP_ALGORITHMS } from '@signet/validator/dpop.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ASSERTION_ALGORITHMS } from '../../clients/client-assertion.ts'
import { RELEASABLE_CLAIMS } from '../../grants/claims.ts'
import { OWN_SCOPES } from '../../grants/target.ts'
import type { KeyRing } from '../../keys/key-ring.ts'
import { guardMilliseconds, type PolicySettings } from '../../policy/settings.ts'
import type { Registry } from '../../revocation/registry.ts'
import { ACR_LEVELS } from '../../signin/acr.ts'
import { PROMPTS } from '../../signin/authorization-request.ts'
import { openToAll } from '../cors.ts'

export interface DiscoveryParts {
  readonly issuer: string
  readonly settings: PolicySettings
  readonly keys: Pick<KeyRing, 'jwks' | 'schedule' | 'isDoubted'>
  readonly registry: Pick<Registry, 'position'>
}

export function discoveryRoutes(app: FastifyInstance, parts: DiscoveryParts): void {
  const { settings, keys, registry } = parts
  const metadata = (request: FastifyRequest, reply: FastifyReply) => publish(request, reply, settings, describe(parts))
  app.get('/.well-known/oauth-authorization-server', metadata)
  app.get('/.well-known/openid-configuration', metadata)
  app.get('/jwks', (request, reply) => {
    // A validator that enters an epoch needs the keys as they are in it (docs/protocol/feed.md §6). A hyphen is no epoch.
    reply.header(EPOCH_HEADER, keys.isDoubted ? '-' : (registry.position?.epoch ?? '-'))
    return publish(request, reply, settings, keys.jwks('token'))
  })
}

/** Public, cacheable, and not sent again to whoever has it. */
function publish(request: FastifyRequest, reply: FastifyReply, settings: PolicySettings, document: object): FastifyReply {
  const body = JSON.stringify(document)
  const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  openToAll(reply)
  reply.header('cache-control', `public, max-age=${settings.jwksCacheSeconds}`).header('etag', tag)
  if (request.headers['if-none-match']?.split(/\s*,\s*/).some((known) => known === tag || known === `W/${tag}`))
    return reply.code(304).send()
  return reply.type('application/json; charset=utf-8').send(body)
}

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt']

function describe({ issuer, settings, keys }: DiscoveryParts): object {
  const signing = [...new Set(keys.jwks('token').keys.map((key) => key.alg))]
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/jwks`,
    revocation_endpoint: `${issuer}/revoke`,
    introspection_endpoint: `${issuer}/introspect`,
    end_session_endpoint: `${issuer}/logout`,
    scopes_supported: OWN_SCOPES.map((scope) => scope.name),
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
    subject_types_supported: ['public'],
    acr_values_supported: ACR_LEVELS,
    prompt_values_supported: PROMPTS,
    claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'auth_time', 'nonce', 'acr', 'amr', 'sid', ...RELEASABLE_CLAIMS],
    id_token_signing_alg_values_supported: signing,
    token_endpoint_auth_methods_supported: [...SECRET_METHODS, 'none'],
    token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    revocation_endpoint_auth_methods_supported: [...SECRET_METHODS, 'none'],
    revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    introspection_endpoint_auth_methods_supported: SECRET_METHODS,
    introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    introspection_signing_alg_values_supported: signing,
    code_challenge_methods_supported: ['S256'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
    claims_parameter_supported: false,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    // Ours: how access tokens look, where revocations can be had, and when each key begins and ends.
    signet_access_token: { typ: 'at+jwt', alg_values_supported: signing, max_seconds: settings.accessTokenSeconds },
    signet_leak_report_endpoint: `${issuer}/leaks`,
    signet_feed: {
      head: `${issuer}/feed/head`,
      stream: `${issuer}/feed/stream`,
      snapshot: `${issuer}/feed/snapshot`,
      jwks_uri: `${issuer}/feed/jwks`,
      keys: `${issuer}/feed/keys`,
      guard_ms: guardMilliseconds(settings),
      open: settings.feedOpen,
    },
    signet_key_schedule: keys.schedule().map(({ kid, alg, state, activeAt, retiringAt, retiredAt }) => ({
      kid,
      alg,
      state,
      active_at: activeAt,
      retiring_at: retiringAt,
      retired_at: retiredAt,
    })),
  }
}
