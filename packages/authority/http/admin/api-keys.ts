/** `/api-keys`: between the wire and administration/api-keys.ts. */
import type { Answer } from '@signet/api/schema.ts'
import type { ClientId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import {
  type ApiKeyRecord,
  createApiKey,
  findApiKey,
  type NewApiKey,
  resumeApiKey,
  rotateApiKey,
  suspendApiKey,
} from '../../administration/api-keys.ts'
import { findClient } from '../../administration/clients.ts'
import { page } from './page.ts'
import type { AdminParts, Some } from './parts.ts'
import { showReceipt } from './revocations.ts'

type Parts = Pick<AdminParts, 'store' | 'revoker' | 'issuer' | 'clock' | 'chance'>
type Names = 'listApiKeys' | 'createApiKey' | 'showApiKey' | 'rotateApiKey' | 'suspendApiKey' | 'resumeApiKey' | 'revokeApiKey'

export function apiKeyHandlers(parts: Parts): Some<Names> {
  const { store, revoker, issuer } = parts
  return {
    async listApiKeys({ query }) {
      const client = await findClient(query.client as ClientId, parts)
      return page(
        query,
        (bounds) => store.apiKeys.ofClient(client.id, bounds),
        ({ id }) => id,
        show,
      )
    },
    showApiKey: async ({ params }) => show(await findApiKey(params.id as TokenId, parts)),
    async createApiKey({ body }, { actor }) {
      const { name, scopes, resource, expires_in_seconds: seconds } = body
      const draft = {
        name,
        client: body.client as ClientId,
        subject: body.subject as SubjectId | undefined,
        scopes,
        resource,
        seconds,
      }
      return showNew(await createApiKey(draft, actor, parts))
    },
    rotateApiKey: async ({ params, body }, { actor }) =>
      showNew(await rotateApiKey(params.id as TokenId, body.overlap_seconds, actor, parts)),
    suspendApiKey: async ({ params, body }, { actor }) =>
      show(await suspendApiKey(params.id as TokenId, body.reason, actor, parts)),
    resumeApiKey: async ({ params, query }, { actor }) =>
      show(await resumeApiKey(params.id as TokenId, query.reason, actor, parts)),
    async revokeApiKey({ params }, { actor }) {
      const { id } = await findApiKey(params.id as TokenId, parts)
      const target = { kind: 'token' as const, id }
      return showReceipt(target, issuer, await revoker.revoke(target, { reason: 'api_key_revoked', actor }))
    },
  }
}

const showNew = ({ record, key }: NewApiKey): Answer<'createApiKey'> => ({ ...show(record), api_key: key.reveal() })

const show = (key: ApiKeyRecord): Answer<'showApiKey'> => ({
  id: key.id,
  name: key.name,
  client: key.client,
  subject: key.subject,
  scopes: [...key.scopes],
  resource: key.resource,
  status: key.status,
  created_at: key.createdAt,
  expires_at: key.expiresAt,
  last_used_at: key.lastUsedAt,
  replaced_by: key.replacedBy,
})
