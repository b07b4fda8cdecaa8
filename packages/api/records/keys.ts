/** Signing keys, and API keys. */
import { z } from 'zod'
import {
  clientId,
  displayName,
  keyId,
  listOf,
  pageQuery,
  reason,
  resourceUri,
  scopeList,
  seconds,
  status,
  subjectId,
  tokenId,
} from './common.ts'

export const signingKey = z.object({
  id: z.string(),
  purpose: z.string().describe('token, feed, ring or audit'),
  alg: z.string(),
  state: z.string().describe('next → active → retiring → retired; compromised is the emergency exit'),
  version: z.int(),
  created_at: seconds,
  active_at: seconds,
  retiring_at: seconds.optional(),
  retired_at: seconds.optional(),
  public_jwk: z.record(z.string(), z.unknown()).optional(),
})
export type SigningKey = z.output<typeof signingKey>
export const keyList = z.object({ items: z.array(signingKey) })

export const rotateKey = z.strictObject({
  purpose: z.enum(['token', 'feed', 'ring', 'audit']).default('token'),
  force: z.boolean().default(false).describe('Also when validators may not have seen the next key yet'),
})
export const keyRotated = z.object({ id: z.string(), purpose: z.string(), state: z.string(), active_at: seconds })
export const keyPath = z.strictObject({ id: keyId })
export const compromise = z.strictObject({ reason })

export const apiKey = z.object({
  id: z.string(),
  name: z.string(),
  client: z.string(),
  subject: z.string().optional(),
  scopes: z.array(z.string()),
  resource: z.string(),
  status,
  created_at: seconds,
  expires_at: seconds.optional(),
  last_used_at: seconds.optional(),
  replaced_by: z.string().optional(),
})
export type ApiKey = z.output<typeof apiKey>
export const apiKeyCreated = apiKey.extend({ api_key: z.string().describe('Shown this once; kept only as a hash') })

export const createApiKey = z.strictObject({
  name: displayName,
  client: clientId,
  subject: subjectId.optional().describe('On whose behalf it acts'),
  scopes: scopeList.min(1),
  resource: resourceUri,
  expires_in_seconds: z
    .int()
    .min(60)
    .max(400 * 86_400)
    .optional()
    .describe('Until revoked when absent'),
})
export const rotateApiKey = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(86_400)
    .describe('The old key goes on working for so long'),
})
export const suspendApiKey = z.strictObject({ reason })
export const apiKeyPath = z.strictObject({ id: tokenId })
export const apiKeyQuery = pageQuery.extend({ client: clientId })
export const apiKeyList = listOf(apiKey)
