/** The clients and the resource of the benchmark, as an administrator would have registered them. */
import { REGION_SCOPE, regionClient } from '@signet/authority/regions/link-messages.ts'
import type { ClientRecord } from '@signet/authority/store/ports/clients.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { sha256 } from '@signet/authority/surroundings.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { API_CLIENT, APP_CLIENT, REDIRECT_URI, RESOURCE, RESOURCE_SCOPES, SERVICE_CLIENT } from '../http/server.ts'

/** What regions follow each other with. */
export const REGION_SECRET = 'a-secret-that-only-serves-measurements-0004'

/** `regions`: the others, which follow this one. */
export async function registerClients(
  store: Store,
  { issuer, regions }: { readonly issuer: string; readonly regions: readonly string[] },
): Promise<void> {
  const createdAt = Math.floor(Date.now() / 1000)
  const scopes = RESOURCE_SCOPES.map((name) => ({ name, description: `May ${name}` }))
  await store.transact(async (tx) => {
    await tx.resources.put({ uri: RESOURCE, name: 'Orders', scopes, dpopRequired: false, createdAt })
    await tx.clients.create(client(SERVICE_CLIENT, { grantTypes: ['client_credentials'], platform: 'service' }))
    await tx.clients.create(
      client(APP_CLIENT, { grantTypes: ['authorization_code', 'refresh_token'], redirectUris: [REDIRECT_URI] }),
    )
    const link = { scopes: [REGION_SCOPE], resources: [issuer] }
    for (const name of regions) {
      const its = { id: regionClient(name), secret: REGION_SECRET }
      await tx.clients.create(client(its, { ...link, grantTypes: ['client_credentials'], platform: 'service' }))
    }
    await tx.clients.create(client(API_CLIENT, { grantTypes: [], introspects: [RESOURCE], platform: 'service' }))
  })

  function client({ id, secret }: { id: string; secret: string }, more: Partial<ClientRecord>): ClientRecord {
    return {
      id: id as ClientId,
      name: id,
      platform: 'web',
      authMethod: 'client_secret_basic',
      secrets: [{ sha256: sha256(secret), createdAt }],
      jwks: [],
      redirectUris: [],
      postLogoutRedirectUris: [],
      grantTypes: [],
      scopes: ['openid', ...RESOURCE_SCOPES],
      resources: [RESOURCE],
      introspects: [],
      dpopBound: false,
      firstParty: true,
      status: 'active',
      cutoffMs: 0,
      revokedMs: 0,
      createdAt,
      ...more,
    }
  }
}
