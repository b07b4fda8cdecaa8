/** The record: what happened, proof that nothing was altered, where a token came from. */
import { z } from 'zod'
import { listOf, milliseconds, sought } from './common.ts'

export const auditEvent = z.object({
  id: z.string(),
  at_ms: milliseconds,
  type: z.string(),
  actor: z.string(),
  ids: z.record(z.string(), z.string()),
  detail: z.record(z.string(), z.unknown()),
  chain: z.string(),
  index: z.int().describe('Link of the chain that holds it'),
})
export type AuditEvent = z.output<typeof auditEvent>

export const auditQuery = z.strictObject({
  text: sought.max(200).optional().describe('Events that contain it: an id, a type, an actor, a reason'),
  type: z
    .string()
    .regex(/^[a-z_]{1,64}\.[a-z_*]{1,64}$/, 'must be a type such as token.refused, or token.*')
    .optional(),
  from_ms: z.coerce.number().int().min(0).optional().describe('Default: 24 hours ago'),
  to_ms: z.coerce.number().int().min(0).optional().describe('Default: now'),
  after: z.string().min(1).max(128).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100).describe('A page ends with the link of the chain that reaches it'),
})
export const auditList = z.object({ items: z.array(auditEvent), next: z.string().optional() })

export const verifyAudit = z.strictObject({
  copies: z
    .array(z.string().min(1).max(16_384))
    .max(3)
    .default([])
    .describe('Checkpoint notes kept elsewhere: the record must agree with these too, whatever the store holds'),
})
export const auditVerification = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), chain: z.string(), index: z.int(), of: z.int() }),
  z.object({
    kind: z.literal('result'),
    sound: z.boolean(),
    chains: z.int(),
    batches: z.int(),
    events: z.int(),
    checkpoints: z.int(),
    distrusted: z.int().describe('Checkpoints whose key was compromised since: they prove nothing any more'),
    last_checkpoint_at_ms: milliseconds.optional(),
    took_ms: milliseconds,
    findings: z
      .array(
        z.object({
          problem: z.string(),
          chain: z.string().optional(),
          index: z.int().optional(),
          checkpoint: z.int().optional(),
        }),
      )
      .describe('The first bad record of each chain and of the checkpoints'),
  }),
])
export type AuditVerification = z.output<typeof auditVerification>

export const checkpoint = z.object({ at_ms: milliseconds, note: z.string().describe('C2SP signed note; keep it elsewhere') })
export const checkpointList = listOf(checkpoint)

const lineageEvent = auditEvent.omit({ chain: true, index: true })
export interface LineageNode {
  readonly kind: string
  readonly id: string
  readonly events: readonly z.output<typeof lineageEvent>[]
  readonly ended?: z.output<typeof lineageEvent> | undefined
  readonly children: readonly LineageNode[]
}
const lineageNode: z.ZodType<LineageNode> = z.lazy(() =>
  z.object({
    kind: z.string().describe('subject, session, family or token'),
    id: z.string(),
    events: z.array(lineageEvent).describe('What happened to it, oldest first'),
    ended: lineageEvent.optional().describe('The act that ended it, on itself or on what it hangs on'),
    children: z.array(lineageNode),
  }),
)
export const lineage = z.object({
  id: z.string(),
  kind: z.string(),
  root: lineageNode,
  complete: z.boolean().describe('False when the record held more than was read'),
})
export const lineagePath = z.strictObject({ id: z.string().regex(/^[\x21-\x7e]{1,128}$/) })
