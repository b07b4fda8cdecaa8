import { z } from 'zod'

export const fleetCounts = z.object({
  applied: z.int().describe('Have applied it, or take over all that was before their epoch'),
  lagging: z.int().describe('Are there and have not'),
  gone: z.int().describe('Were not heard of for a minute. On a receipt only those that had not applied it before'),
})
export type FleetCounts = z.output<typeof fleetCounts>
