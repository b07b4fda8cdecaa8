/** Other regions. */
import type { Endpoint } from '../endpoint.ts'
import * as regions from '../records/regions.ts'

export const regionEndpoints = {
  listRegions: {
    method: 'GET',
    path: '/regions',
    scope: 'signet:read',
    brief: 'Show how the other regions are followed.',
    reply: regions.regions,
  },
  takeOverRegion: {
    method: 'POST',
    path: '/regions/:name/takeover',
    scope: 'signet:admin',
    brief: 'Declare a region lost: what it signed is refused, its people sign in anew here.',
    params: regions.regionPath,
    body: regions.takeover,
    reply: regions.takenOver,
  },
  relinkRegion: {
    method: 'POST',
    path: '/regions/:name/relink',
    scope: 'signet:admin',
    brief: 'Read the log of a region anew, after entries of it were lost and what they may have been was ended here.',
    params: regions.regionPath,
    body: regions.relink,
  },
} as const satisfies Record<string, Endpoint>
