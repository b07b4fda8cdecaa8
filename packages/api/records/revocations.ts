/** Taking back and letting go on: revocations, suspensions, the feed that carries them. */
import { KEY_KINDS } from '@signet/kernel/revocation.ts'
import { z } from 'zod'
import { milliseconds, reason, seconds } from './common.ts'
import { fleetCounts } from './fleet-counts.ts'

const byId = z.strictObject({
  kind: z.enum(KEY_KINDS),
  id: z
    .string()
    .regex(/^[\x21-\x7e]{1,512}$/, 'must be 1 to 512 printable characters')
    .describe('For `issuer`: the issuer URL; for `scope`: one scope name'),
  issuer: z.url().max(512).optional().describe('Another issuer, whose tokens your validators also check'),
  expires_at: seconds.optional().describe("When a foreign issuer's token expires; it is remembered for ten years at most"),
})
const byToken = z.strictObject({
  token: z.string().min(1).max(16_384).describe('The token itself: access token, refresh token or API key'),
})

export const revoke = z.strictObject({
  target: z.union([byId, byToken]),
  reason,
  keep_grants: z
    .boolean()
    .default(false)
    .describe(
      'Subject or client: access tokens die, refresh tokens go on and carry fresh claims (a claims epoch). Of a scope always',
    ),
})
export const receipt = z.object({
  target: z.object({ kind: z.string(), id: z.string(), issuer: z.string() }),
  epoch: z.string(),
  seq: z.int().describe('A validator that has applied this number refuses the target'),
  cutoff_ms: milliseconds.describe('Tokens issued at or before it are dead'),
  committed_at_ms: milliseconds,
  already: z.boolean().describe('It had been revoked before, or needed no revoking; nothing new was written'),
  moot: z
    .boolean()
    .optional()
    .describe('It has expired, or was revoked so long ago that the log has forgotten it: `seq` is only the head of the log'),
})
export type Receipt = z.output<typeof receipt>

export const revocation = z.object({
  seq: z.int(),
  epoch: z.string(),
  at_ms: milliseconds,
  kind: z.string(),
  issuer: z.string(),
  target: z.string(),
  reason: z.string(),
  actor: z.string(),
  cutoff_ms: milliseconds,
  drop_after: seconds,
  region: z.string().optional().describe('The region whose log it was copied from; absent for our own'),
})
export type Revocation = z.output<typeof revocation>

export const revocationQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0).describe('Entries with a larger sequence number'),
  limit: z.coerce.number().int().min(1).max(500).default(100),
})
export const revocationList = z.object({
  items: z.array(revocation),
  head: z.object({ epoch: z.string(), seq: z.int(), floor: z.int() }),
  next: z.int().optional(),
})
/** Neither is told on to other regions. */
const HERE = 'Also what another region did; where that was made it goes on, unless it was lifted or undone there before'

export const undo = z.strictObject({
  epoch: z.string().min(1).max(64).describe('Of the numbers: they mean something in one epoch only'),
  seqs: z.array(z.int().min(1)).min(1).max(1000).describe('Sequence numbers, as on the receipts'),
  reason,
  here: z.boolean().default(false).describe(HERE),
})
export const undone = z.object({
  epoch: z.string().describe('The new numbering; validators take its snapshot'),
  seq: z.int(),
  entries: z.int().describe('Revocations carried over'),
  removed: z.int().describe('Revocations left out: those named, and their repetitions'),
  restored: z.int().describe('People, clients or the issuer whose grants and sessions go on again'),
})

const suspendable = z.enum(['subject', 'client', 'session', 'device', 'grant'])
export const suspend = z.strictObject({
  target: z.strictObject({ kind: suspendable, id: z.string().regex(/^[\x21-\x7e]{1,512}$/) }),
  reason,
})
export const suspensionPath = z.strictObject({ kind: suspendable, id: z.string().regex(/^[\x21-\x7e]{1,512}$/) })
export const resumeQuery = z.strictObject({
  reason: reason.default('resumed by an administrator'),
  here: z.enum(['true', 'false']).default('false').describe(HERE),
})

export const feed = z.object({
  epoch: z.string(),
  seq: z.int().describe('The last revocation, from the store'),
  floor: z.int().describe('A reader at or behind it needs the snapshot'),
  salt_version: z.int(),
  guard_ms: z.number(),
  open: z.boolean().describe('Served without a token'),
  node: z.object({ seq: z.int(), age_ms: z.number().nullable() }).describe('What the answering node has applied itself'),
  readers: z.int().describe('Streams open on the answering node'),
  fleet: fleetCounts.describe('Validators that all nodes heard of, at the head of the log'),
})
