/** Batches: taking back, holding or letting go on whatever a selector names. */
import { z } from 'zod'
import { clientId, listOf, milliseconds, reason, scopeName } from './common.ts'

const selector = z
  .strictObject({
    everything: z.literal(true).optional().describe('Nothing narrows it; stands alone'),
    client: clientId.optional(),
    subjects: z.array(z.string().min(1).max(256)).min(1).max(10_000).optional().describe('Ids or usernames'),
    scope: scopeName.optional().describe('The grant has it, perhaps beside others'),
    issued_from_ms: milliseconds.optional().describe('The grant was made at or after it'),
    issued_to_ms: milliseconds.optional().describe('The grant was made at or before it'),
    platform: z.enum(['web', 'browser', 'native', 'service']).optional().describe('Class of the installation'),
    network: z
      .string()
      .max(64)
      .optional()
      .describe('The grant was last refreshed from it, by one of `agents`: an IPv4 /24 or an IPv6 /48, nothing else is kept'),
    agents: z.array(z.string().max(256)).min(1).max(16).optional().describe('User-Agent headers, exactly; with `network` only'),
  })
  .refine(
    (value) => Object.values(value).some((member) => member !== undefined),
    'selects nothing: say `everything` if you mean it',
  )
  .refine((value) => value.everything === undefined || Object.keys(value).length === 1, 'everything stands alone')
  .refine((value) => (value.network === undefined) === (value.agents === undefined), 'network and agents go together')

export const planBatch = z.strictObject({
  action: z.enum(['revoke', 'suspend', 'resume']).default('revoke'),
  selector: selector.describe('Members are joined by "and"'),
  reason,
  per_second: z.int().min(1).max(5000).default(200).describe('Entries a second, at most'),
})

const state = z.enum(['planned', 'running', 'paused', 'done', 'cancelled', 'failed'])
export const batch = z.object({
  id: z.string(),
  action: z.string(),
  state,
  reason: z.string(),
  actor: z.string().describe('Who planned it'),
  selector: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).describe('In short: people are only counted'),
  method: z
    .enum(['one_cutoff', 'cutoff_each', 'grants'])
    .describe('One cutoff for all, one for each person, or one for each grant'),
  entries: z.int().describe('What it moves at most'),
  grants: z.int().optional().describe('Living grants that it ends or holds; absent of an undoing'),
  api_keys: z
    .int()
    .optional()
    .describe('API keys of the client that is ended or held, or that act for the people who are; not counted of everything'),
  own_tokens: z
    .boolean()
    .optional()
    .describe('The client gets access tokens for itself, which end too: nothing is stored of them'),
  touches: z.int().optional().describe('Grants, API keys, and one for a client with tokens of its own: what starting it accepts'),
  sessions: z.int().optional(),
  subjects: z.int().optional(),
  clients: z.int().optional(),
  of_grants: z.int().optional().describe('Living grants in all; absent where only those of some people were looked at'),
  counted_to: z.int().optional().describe('Sessions, subjects and clients are counted up to it, and may be more'),
  covers_until_ms: milliseconds.optional().describe('Grants made later are not in it'),
  warning: z.boolean().describe('More than policy lets pass unasked'),
  per_second: z.int(),
  planned_at_ms: milliseconds,
  started_at_ms: milliseconds.optional(),
  ended_at_ms: milliseconds.optional(),
  moved: z.int().describe('Ended, held or let go on so far'),
  unmoved: z.int().describe('Come to, and found to need nothing any more'),
  trouble: z.string().optional().describe('Why it failed'),
  undoes: z.string().optional(),
  undone_by: z.string().optional(),
})
export type Batch = z.output<typeof batch>
export const batchList = listOf(batch)
export const batchPlanned = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), looked: z.int(), grants: z.int() }),
  batch.extend({ kind: z.literal('result') }),
])
export const batchPath = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'must be the id of a batch'),
})
export const startBatch = z.strictObject({
  accept: z.int().min(0).optional().describe('What the plan touches, by somebody who has read it: needed where it warns'),
})
export const undoBatch = z.strictObject({ reason })
