/** OAuth clients and the resources (APIs) that tokens are for. */
import { z } from 'zod'
import {
  allDifferent,
  clientId,
  displayName,
  listOf,
  milliseconds,
  resourceUri,
  scopeList,
  scopeName,
  seconds,
  status,
} from './common.ts'

const platform = z.enum(['web', 'browser', 'native', 'service'])
const authMethod = z.enum(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'])
const grantType = z.enum(['authorization_code', 'refresh_token', 'client_credentials'])
/** Judged further by the authority, which knows the client's platform: https, loopback http, or an application's own scheme. */
const redirectUri = z.string().min(1).max(2048)
const lifetime = z
  .int()
  .min(1)
  .max(400 * 86_400)
/** RFC 7517 §4. Members of private keys are refused: a client's private key is nobody else's business. */
const publicJwk = z
  .record(z.string().max(64), z.unknown())
  .refine((jwk) => typeof jwk.kty === 'string' && jwk.kty !== 'oct', 'must be a public key (kty EC, OKP or RSA)')
  .refine(
    (jwk) => !['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].some((member) => member in jwk),
    'holds private members; send the public key only',
  )
  .refine((jwk) => JSON.stringify(jwk).length <= 4096, 'must be at most 4096 characters')

const settable = {
  name: displayName,
  redirect_uris: z.array(redirectUri).max(32).refine(allDifferent, 'names one URI twice'),
  post_logout_redirect_uris: z.array(redirectUri).max(32).refine(allDifferent, 'names one URI twice'),
  grant_types: z.array(grantType).min(1).max(3).refine(allDifferent, 'names one grant type twice'),
  scopes: scopeList.describe('What it may ask for at most'),
  resources: z
    .array(resourceUri)
    .max(32)
    .refine(allDifferent, 'names one resource twice')
    .describe('Audiences it may ask for; the first is the default'),
  introspects: z
    .array(resourceUri)
    .max(32)
    .refine(allDifferent, 'names one resource twice')
    .describe('Resources on whose behalf it may introspect'),
  jwks: z
    .array(publicJwk)
    .max(8)
    .describe('Public keys for private_key_jwt, whose assertions are for the issuer (`aud`), as a string'),
  dpop_bound: z.boolean().describe('Every token of it must be bound to a DPoP key'),
  first_party: z.boolean().describe('An application of your own: no consent page'),
  access_token_seconds: lifetime.optional(),
  refresh_idle_seconds: lifetime.optional(),
  refresh_max_seconds: lifetime.optional(),
}

/** A client as it is shown: never with a secret in it. */
export const client = z.object({
  id: z.string(),
  name: z.string(),
  platform: z.string(),
  auth_method: z.string(),
  status,
  redirect_uris: z.array(z.string()),
  post_logout_redirect_uris: z.array(z.string()),
  grant_types: z.array(z.string()),
  scopes: z.array(z.string()),
  resources: z.array(z.string()),
  introspects: z.array(z.string()),
  jwks: z.array(z.record(z.string(), z.unknown())),
  secrets: z
    .array(z.object({ created_at: seconds, expires_at: seconds.optional() }))
    .describe('When each working secret was made and ends'),
  dpop_bound: z.boolean(),
  first_party: z.boolean(),
  access_token_seconds: z.int().optional(),
  refresh_idle_seconds: z.int().optional(),
  refresh_max_seconds: z.int().optional(),
  created_at: seconds,
  revoked_ms: milliseconds.describe('Grants made at or before it have ended; 0: never'),
})
export type Client = z.output<typeof client>

export const clientCreated = client.extend({
  client_secret: z.string().optional().describe('Shown this once; kept only as a hash'),
})

export const createClient = z.strictObject({
  id: clientId.optional().describe('Made up when absent'),
  name: settable.name,
  platform,
  auth_method: authMethod,
  grant_types: settable.grant_types,
  redirect_uris: settable.redirect_uris.default([]),
  post_logout_redirect_uris: settable.post_logout_redirect_uris.default([]),
  scopes: settable.scopes.default([]),
  resources: settable.resources.default([]),
  introspects: settable.introspects.default([]),
  jwks: settable.jwks.default([]),
  dpop_bound: settable.dpop_bound.default(false),
  first_party: settable.first_party.default(false),
  access_token_seconds: settable.access_token_seconds,
  refresh_idle_seconds: settable.refresh_idle_seconds,
  refresh_max_seconds: settable.refresh_max_seconds,
})

/** Only what is given changes; null takes an own lifetime away. */
export const updateClient = z.strictObject({
  name: settable.name.optional(),
  redirect_uris: settable.redirect_uris.optional(),
  post_logout_redirect_uris: settable.post_logout_redirect_uris.optional(),
  grant_types: settable.grant_types.optional(),
  scopes: settable.scopes.optional(),
  resources: settable.resources.optional(),
  introspects: settable.introspects.optional(),
  jwks: settable.jwks.optional(),
  dpop_bound: settable.dpop_bound.optional(),
  first_party: settable.first_party.optional(),
  access_token_seconds: lifetime.nullable().optional(),
  refresh_idle_seconds: lifetime.nullable().optional(),
  refresh_max_seconds: lifetime.nullable().optional(),
})

export const rotateSecret = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(0)
    .describe('The old secret goes on working for so long'),
})
export const secretRotated = z.object({
  client_id: z.string(),
  client_secret: z.string().describe('Shown this once; kept only as a hash'),
  previous_expires_at: seconds.optional(),
})

export const clientPath = z.strictObject({ id: clientId })
export const clientList = listOf(client)

export const resource = z.object({
  uri: z.string(),
  name: z.string(),
  scopes: z.array(z.object({ name: z.string(), description: z.string() })),
  access_token_seconds: z.int().optional(),
  dpop_required: z.boolean(),
  token_format: z.enum(['jwt', 'opaque']),
  created_at: seconds,
})
export type Resource = z.output<typeof resource>

export const putResource = z.strictObject({
  name: displayName,
  scopes: z
    .array(z.strictObject({ name: scopeName, description: displayName.describe('What people read on the consent page') }))
    .max(64)
    .refine((scopes) => allDifferent(scopes.map((scope) => scope.name)), 'names one scope twice'),
  access_token_seconds: lifetime.optional(),
  dpop_required: z.boolean().default(false),
  token_format: z
    .enum(['jwt', 'opaque'])
    .default('jwt')
    .describe('`opaque`: neither clients nor the resource can read its access tokens; it introspects them'),
})
export const resourcePath = z.strictObject({ uri: resourceUri.describe('Percent-encoded') })
export const resourceList = listOf(resource)
