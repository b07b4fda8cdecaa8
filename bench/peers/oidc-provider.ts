/**
 * oidc-provider in a process of its own: `oidc-provider.ts [postgres-url]`, without one in memory. Set up to do what ours does in the
 * same requests – ES256 access tokens for one resource, rotation, reuse detection, PKCE – and nothing more.
 */
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { processorTime, serveParent } from '../child.ts'
import { createProfiler } from '../http/profiler.ts'
import {
  API_CLIENT,
  APP_CLIENT,
  CODE_CHALLENGE,
  REDIRECT_URI,
  RESOURCE,
  RESOURCE_SCOPES,
  SERVICE_CLIENT,
  type ServerAnswers,
  type StockKind,
} from '../http/server.ts'
import { createMapAdapter } from './map-adapter.ts'
import { createPostgresAdapter } from './postgres-adapter.ts'

const { warn } = console
console.warn = () => {} // It warns of a Node that is not a long-term release.
const { default: Provider } = await import('oidc-provider')
console.warn = warn

const databaseUrl = process.argv[2]
const http = createServer().listen(0)
const { port } = http.address() as AddressInfo
const provider = new Provider(`http://localhost:${port}`, {
  adapter: databaseUrl === undefined ? createMapAdapter() : await createPostgresAdapter(databaseUrl),
  clients: [
    client(SERVICE_CLIENT, ['client_credentials']),
    client(APP_CLIENT, ['authorization_code', 'refresh_token']),
    client(API_CLIENT, []),
  ],
  jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })] },
  cookies: { keys: ['not-used-by-what-is-measured'] },
  scopes: ['openid', 'offline_access', ...RESOURCE_SCOPES],
  findAccount: (_: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: 300, ClientCredentials: 300, AuthorizationCode: 600, RefreshToken: 86_400, Grant: 86_400, IdToken: 300 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: RESOURCE_SCOPES.join(' '),
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})
http.on('request', provider.callback())

serveParent({
  ...createProfiler(),
  describe: () => ({
    port,
    paths: { token: '/token', introspect: '/token/introspection', revoke: '/token/revocation' },
  }),
  cpu: processorTime,
  stock: ({ kind, count }) => Promise.all(Array.from({ length: count }, () => make(kind))),
} satisfies ServerAnswers)

function client({ id, secret }: { id: string; secret: string }, grantTypes: readonly string[]) {
  return {
    client_id: id,
    client_secret: secret,
    grant_types: grantTypes,
    response_types: grantTypes.includes('authorization_code') ? ['code'] : [],
    redirect_uris: grantTypes.includes('authorization_code') ? [REDIRECT_URI] : [],
    scope: ['openid', 'offline_access', ...RESOURCE_SCOPES].join(' '),
    id_token_signed_response_alg: 'ES256',
    token_endpoint_auth_method: 'client_secret_basic',
  }
}

/** One token as its own code would store it after a sign-in. */
async function make(kind: StockKind): Promise<string> {
  const accountId = crypto.randomUUID()
  const grant = new provider.Grant({ accountId, clientId: APP_CLIENT.id })
  grant.addOIDCScope('openid offline_access')
  grant.addResourceScope(RESOURCE, RESOURCE_SCOPES.join(' '))
  const grantId = await grant.save()
  const common = {
    accountId,
    grantId,
    client: await provider.Client.find(APP_CLIENT.id),
    gty: 'authorization_code',
    authTime: Math.floor(Date.now() / 1000),
    expiresWithSession: false,
  }
  if (kind === 'refresh') {
    return new provider.RefreshToken({
      ...common,
      scope: `offline_access ${RESOURCE_SCOPES.join(' ')}`,
      resource: RESOURCE,
    }).save()
  }
  if (kind === 'code') {
    return new provider.AuthorizationCode({
      ...common,
      scope: `openid offline_access ${RESOURCE_SCOPES.join(' ')}`,
      resource: RESOURCE,
      redirectUri: REDIRECT_URI,
      codeChallenge: CODE_CHALLENGE,
      codeChallengeMethod: 'S256',
    }).save()
  }
  if (kind === 'opaque') return new provider.AccessToken({ ...common, scope: 'openid' }).save()
  throw new Error('oidc-provider does not remember signed access tokens, so it cannot introspect them')
}
