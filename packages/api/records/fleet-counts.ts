import { z } from 'zod'

export const fleetCounts = z.object({
  applied: z.int().describe('Have applied it, or take over all that was before their epoch'),
  lagging: z.int().describe('Are there and have not'),
  gone: z.int().describe('Have not, and were not heard of for a minute'),
})
export type FleetCounts = z.output<typeof fleetCounts>
