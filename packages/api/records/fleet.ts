/** Validators and how far they have come. */
import { z } from 'zod'
import { milliseconds, pageQuery } from './common.ts'
import { fleetCounts } from './fleet-counts.ts'
import { revocation } from './revocations.ts'

const following = z.enum(['applied', 'lagging', 'gone'])
export type Following = z.output<typeof following>

const validator = z.object({
  client: z.string().describe('Whom it authenticates as; empty where the feed is open'),
  id: z.string().describe('Its own name'),
  state: following,
  epoch: z.string(),
  applied: z.int().describe('The last sequence number it says it has applied'),
  seen_at_ms: milliseconds.describe('Its last freshness probe, to ten seconds'),
})

export const fleetValidator = validator.extend({
  behind: z.int().describe('Revocations it has not applied yet'),
  applied_at_ms: milliseconds.nullable().describe('When it was first heard to have come so far'),
  staleness_ms: z
    .number()
    .nullable()
    .describe('As it said when it was seen last; null when it did not say, and of one that is gone'),
  version: z.string(),
  first_seen_at_ms: milliseconds,
})
export type FleetValidator = z.output<typeof fleetValidator>

export const fleet = z.object({
  epoch: z.string(),
  seq: z.int().describe('The head of the log; `applied` means to have come so far'),
  now_ms: milliseconds.describe("The store's clock, which all times here are by"),
  counts: fleetCounts,
  items: z.array(fleetValidator),
  next: z.string().optional().describe('Give it as `after` to go on; absent on the last page'),
})
export type Fleet = z.output<typeof fleet>

export const revocationPath = z.strictObject({ seq: z.coerce.number().int().min(1) })
export const receiptQuery = pageQuery.extend({
  epoch: z.string().min(1).max(64).optional().describe('Of the number; the present one unless given'),
})
export const fleetReceipt = z.object({
  epoch: z.string(),
  seq: z.int(),
  now_ms: milliseconds,
  revocation: revocation.optional().describe('Absent when the log has forgotten it, or its epoch is over'),
  counts: fleetCounts,
  items: z.array(
    validator.extend({
      known_at_ms: milliseconds
        .nullable()
        .describe('When it was known to have applied it: it had by then, and may have had it before'),
    }),
  ),
  next: z.string().optional().describe('Give it as `after` to go on; absent on the last page'),
})
export type FleetReceipt = z.output<typeof fleetReceipt>
