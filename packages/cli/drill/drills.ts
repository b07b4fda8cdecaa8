/** All drills. There is none for a provider that is out: there is no federation with other providers yet. */
import type { Drill } from './drill.ts'
import { busLoss, restoreWithoutResurrection, storeFailover } from './outages.ts'
import { compromisedKey, compromisedToken, massSignOut } from './tokens.ts'

export const DRILLS: readonly Drill[] = [
  compromisedToken,
  compromisedKey,
  massSignOut,
  busLoss,
  storeFailover,
  restoreWithoutResurrection,
]
