/** `/clients`, `/resources`: between the wire and administration/clients.ts, resources.ts. */
import type { Answer, Request } from '@signet/api/schema.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import {
  type ClientParts,
  type ClientRecord,
  changeClient,
  findClient,
  registerClient,
  removeClient,
  rotateClientSecret,
} from '../../administration/clients.ts'
import { findResource, putResource, type ResourceRecord, removeResource } from '../../administration/resources.ts'
import { given, page } from './page.ts'
import type { Some } from './parts.ts'

type ClientNames = 'listClients' | 'createClient' | 'showClient' | 'updateClient' | 'deleteClient' | 'rotateClientSecret'
type ResourceNames = 'listResources' | 'showResource' | 'putResource' | 'deleteResource'

export function clientHandlers(parts: ClientParts): Some<ClientNames | ResourceNames> {
  const { store } = parts
  return {
    listClients: ({ query }) =>
      page(
        query,
        (bounds) => store.clients.list(bounds),
        ({ id }) => id,
        showClient,
      ),
    showClient: async ({ params }) => showClient(await findClient(params.id as ClientId, parts)),
    async createClient({ body }, { actor }) {
      const draft = {
        ...given(readSettings(body)),
        id: body.id as ClientId | undefined,
        name: body.name,
        platform: body.platform,
        authMethod: body.auth_method,
      }
      const { client, secret } = await registerClient(draft, actor, parts)
      return { ...showClient(client), client_secret: secret?.reveal() }
    },
    updateClient: async ({ params, body }, { actor }) =>
      showClient(await changeClient(params.id as ClientId, given({ name: body.name, ...readSettings(body) }), actor, parts)),
    async deleteClient({ params }, caller) {
      await removeClient(params.id as ClientId, caller, parts)
      return undefined
    },
    async rotateClientSecret({ params, body }, { actor }) {
      const { secret, previousExpiresAt } = await rotateClientSecret(params.id as ClientId, body.overlap_seconds, actor, parts)
      return { client_id: params.id, client_secret: secret.reveal(), previous_expires_at: previousExpiresAt }
    },

    listResources: ({ query }) =>
      page(
        query,
        (bounds) => store.resources.list(bounds),
        ({ uri }) => uri,
        showResource,
      ),
    showResource: async ({ params }) => showResource(await findResource(params.uri, parts)),
    async putResource({ params: { uri }, body }, { actor }) {
      const { name, scopes, dpop_required: dpopRequired, token_format: tokenFormat } = body
      const own = given({ accessTokenSeconds: body.access_token_seconds })
      return showResource(await putResource({ uri, name, scopes, dpopRequired, tokenFormat, ...own }, actor, parts))
    },
    async deleteResource({ params }, caller) {
      await removeResource(params.uri, caller, parts)
      return undefined
    },
  }
}

/** In our words; what a change leaves out stays undefined. */
function readSettings<Body extends Settings>(body: Body) {
  return {
    redirectUris: body.redirect_uris as Body['redirect_uris'],
    postLogoutRedirectUris: body.post_logout_redirect_uris as Body['post_logout_redirect_uris'],
    grantTypes: body.grant_types as Body['grant_types'],
    scopes: body.scopes as Body['scopes'],
    resources: body.resources as Body['resources'],
    introspects: body.introspects as Body['introspects'],
    jwks: body.jwks as Body['jwks'],
    dpopBound: body.dpop_bound as Body['dpop_bound'],
    firstParty: body.first_party as Body['first_party'],
    accessTokenSeconds: body.access_token_seconds as Body['access_token_seconds'],
    refreshIdleSeconds: body.refresh_idle_seconds as Body['refresh_idle_seconds'],
    refreshMaxSeconds: body.refresh_max_seconds as Body['refresh_max_seconds'],
  }
}
type Settings = Omit<Request<'updateClient'>['body'], 'name'>

function showClient(client: ClientRecord): Answer<'showClient'> {
  return {
    id: client.id,
    name: client.name,
    platform: client.platform,
    auth_method: client.authMethod,
    status: client.status,
    redirect_uris: [...client.redirectUris],
    post_logout_redirect_uris: [...client.postLogoutRedirectUris],
    grant_types: [...client.grantTypes],
    scopes: [...client.scopes],
    resources: [...client.resources],
    introspects: [...client.introspects],
    jwks: client.jwks.map((jwk) => ({ ...jwk })),
    secrets: client.secrets.map(({ createdAt, expiresAt }) => ({ created_at: createdAt, expires_at: expiresAt })),
    dpop_bound: client.dpopBound,
    first_party: client.firstParty,
    access_token_seconds: client.accessTokenSeconds,
    refresh_idle_seconds: client.refreshIdleSeconds,
    refresh_max_seconds: client.refreshMaxSeconds,
    created_at: client.createdAt,
    revoked_ms: client.revokedMs,
  }
}

const showResource = (resource: ResourceRecord): Answer<'showResource'> => ({
  uri: resource.uri,
  name: resource.name,
  scopes: resource.scopes.map(({ name, description }) => ({ name, description })),
  access_token_seconds: resource.accessTokenSeconds,
  dpop_required: resource.dpopRequired,
  token_format: resource.tokenFormat ?? 'jwt',
  created_at: resource.createdAt,
})
