/** Sign-in with the OAuth side tied to it: the one place where the two know each other. */

import { createRateLimit, type Rate, takeOrRefuse } from '@signet/kernel/rate-limit.ts'
import { issueCode } from '../../grants/code.ts'
import { type Catalog, resolveTarget } from '../../grants/target.ts'
import type { PolicySettings } from '../../policy/settings.ts'
import type { SigninParts } from '../../signin/parts.ts'
import { relyingPartyOf } from '../../signin/passkey.ts'
import { createPasswords } from '../../signin/password.ts'
import { createSharedRateLimit, type TakeShared } from '../shared-rate-limit.ts'

export interface SigninNeeds extends Omit<SigninParts, 'settings' | 'passwords' | 'site' | 'grants' | 'admitInteraction'> {
  readonly settings: PolicySettings
  readonly catalog: Catalog
  /** Budgets that all nodes share; undefined where there is one node. */
  readonly shared?: ((name: string, rate: Rate) => TakeShared) | undefined
}

/**
 * Interactions that may be begun by everybody together, beside what each network may (routes.ts): they stay for a quarter of an hour, so
 * no more than 185 000 lie in the store, some 300 MB.
 */
const INTERACTION_RATE: Rate = { perSecond: 200, burst: 5000 }

export function composeSignin({ catalog, shared, ...needs }: SigninNeeds): SigninParts {
  const { clock } = needs
  const interactions =
    shared === undefined
      ? createRateLimit(INTERACTION_RATE, clock)
      : createSharedRateLimit(INTERACTION_RATE, clock, shared('interaction', INTERACTION_RATE))
  return {
    ...needs,
    admitInteraction: () => takeOrRefuse(interactions, 'all', 'interaction_rate'),
    passwords: createPasswords(needs.chance),
    site: relyingPartyOf(needs.issuer),
    grants: {
      resolveTarget: (asked, client) => resolveTarget(asked, client, catalog),
      findResource: async (uri) => (await catalog.find(uri)).value,
      issueCode: (tx, grant) => issueCode(tx, needs, grant),
    },
  }
}
