/** Other regions of the same issuer, as this one sees them. */
import { z } from 'zod'
import { milliseconds, reason } from './common.ts'

export const regionName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be 1 to 32 lower-case letters, digits and hyphens')
export const regionPath = z.strictObject({ name: regionName })

export const peer = z.object({
  name: z.string(),
  url: z.string(),
  age_ms: milliseconds.nullable().describe('Since all of its log was known here; null: never'),
  clock_offset_ms: z.number().optional().describe("Its store's clock minus ours"),
  epoch: z.string().describe('How far its log was taken over'),
  seq: z.int(),
  problem: z.string().optional().describe('Why it cannot be followed just now'),
  taken_over: z.boolean().describe('An operator said that it is lost, and it has not answered since'),
})
export type Peer = z.output<typeof peer>
export const regions = z.object({
  name: z.string().nullable().describe('This region; null where there is one only'),
  families_ended_ms: milliseconds
    .nullable()
    .describe(
      'Another region took over from this one: refresh families begun here until then, epoch milliseconds, have ended; null: never',
    ),
  items: z.array(peer),
})

export const takeover = z.strictObject({ reason })
export const relink = z.strictObject({ reason })
export const takenOver = z.object({
  name: z.string(),
  keys: z.int().describe('Keys of that region that were cut off'),
  age_ms: milliseconds.nullable().describe('What it took back within so long before is not known here; null: anything'),
})
