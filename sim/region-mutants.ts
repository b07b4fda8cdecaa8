/** Deliberate defects of what is between regions, as mutants.ts has them of what is in one. */
import type { Regions } from '@signet/authority/regions/regions.ts'
import type { Mutant } from './mutants.ts'
import { overlay } from './store.ts'

export const REGION_MUTANTS: readonly Mutant[] = [
  {
    name: 'a renumbered log is told on from its head',
    seed: 1,
    tampering: {
      regions: (regions, { store }) =>
        overlay(regions, {
          export: overlay(regions.export, {
            async page(request: Parameters<Regions['export']['page']>[0]) {
              const { epoch, seq } = await store.revocations.head()
              const isOther = request.after.epoch !== '' && request.after.epoch !== epoch
              return regions.export.page(isOther ? { ...request, after: { epoch, seq } } : request)
            },
          }),
        }),
    },
  },
  {
    name: 'another region is called fresh though the link is silent',
    seed: 1,
    tampering: { regions: (regions) => overlay(regions, { ageMs: () => 0 }) },
  },
  {
    name: 'what comes late from another region is copied as it is',
    seed: 8,
    tampering: {
      regionParts(given) {
        const { mintStalenessMilliseconds, commitAllowanceMilliseconds } = given.settings
        const settings = {
          ...given.settings,
          // The guard is the same; nothing is ever late.
          mintStalenessMilliseconds: mintStalenessMilliseconds - 1e6,
          commitAllowanceMilliseconds: commitAllowanceMilliseconds + 1e6,
        }
        return { ...given, settings }
      },
    },
  },
]
