/** How the authority is: health with reasons, the policy in force, backups, one token looked at. */
import { z } from 'zod'
import { milliseconds, seconds } from './common.ts'

export const health = z.object({
  version: z.string(),
  runtime: z.string(),
  issuer: z.string(),
  engine: z.string(),
  started_at_ms: milliseconds,
  now_ms: milliseconds.describe("The answering node's clock"),
  ready: z.boolean(),
  checks: z
    .array(
      z.object({
        name: z.string(),
        state: z.enum(['ok', 'warn', 'failed']),
        detail: z.string().optional(),
        value: z.union([z.number(), z.string()]).optional(),
      }),
    )
    .describe('What the node needs, and why it is not ready or soon will not be'),
  store: z.object({
    writable: z.boolean(),
    queued: z.int(),
    schema_version: z.int(),
    bytes: z.number().optional(),
    clock_offset_ms: z.number().describe("This node's clock minus the store's"),
  }),
  keys: z.array(
    z.object({
      id: z.string(),
      purpose: z.string(),
      alg: z.string(),
      state: z.string(),
      active_at: seconds,
      retiring_at: seconds.optional(),
    }),
  ),
  audit: z.object({ last_checkpoint_at_ms: milliseconds.optional() }).optional(),
  feed: z.object({ epoch: z.string(), seq: z.int(), age_ms: z.number().nullable(), readers: z.int() }),
})
export type Health = z.output<typeof health>

export const policy = z.object({
  version: z.string().describe('Tokens carry it as `pv`'),
  settings: z.record(z.string(), z.unknown()),
})

export const startBackup = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 letters, digits, _ or -')
    .optional()
    .describe('File name without ending, in the backups folder of the state directory; a time when absent'),
})
export const backupProgress = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), done: z.int(), total: z.int() }),
  z.object({ kind: z.literal('result'), name: z.string(), bytes: z.number(), took_ms: milliseconds }),
])
export const backup = z.object({ name: z.string(), bytes: z.number(), created_at: seconds })
export const backupList = z.object({ items: z.array(backup) })

export const inspectToken = z.strictObject({ token: z.string().min(1).max(16_384) })
export const inspection = z.object({
  kind: z.string().describe('access_token, refresh_token, api_key, id_token or unknown'),
  alive: z.boolean(),
  reason: z.string().optional().describe('Why it is not alive'),
  revoked_by: z
    .object({ kind: z.string(), id: z.string(), seq: z.int(), at_ms: milliseconds, reason: z.string() })
    .optional()
    .describe('The revocation that ended it, while the log still has it'),
  ids: z.record(z.string(), z.string()).describe('Handles for revocation and lineage'),
  expires_at: seconds.optional(),
})
export type Inspection = z.output<typeof inspection>
