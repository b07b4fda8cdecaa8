/**
 * An act of an administrator that cannot be done twice, as a removal: whoever had no answer asks again with the same Idempotency-Key, and is
 * told that it is done rather than that there is nothing to do it to.
 */
import type { Sha256 } from '@signet/kernel/surroundings.ts'
import { claimFor } from '../revocation/idempotency.ts'
import type { Tx } from '../store/store.ts'
import type { Asker } from './actor.ts'

export interface Once {
  /** Whether it was done before. Refuses a key that another request of theirs was sent with. */
  wasDone(tx: Tx): Promise<boolean>
  /** The same; when it was not, it counts as done from this transaction on, which must do it. */
  wasDoneElseClaim(tx: Tx): Promise<boolean>
}

/** `act` is what is done and to what. Without a key nothing is remembered, and nothing found. */
export function once(act: readonly string[], asker: Asker, sha256: Sha256): Once {
  const claim = claimFor<'done'>(['signet/admin/what', ...act], asker, sha256)
  if (claim === undefined) return { wasDone: async () => false, wasDoneElseClaim: async () => false }
  const wasDone = async (tx: Tx): Promise<boolean> => (await claim.find(tx)) !== undefined
  return {
    wasDone,
    async wasDoneElseClaim(tx) {
      if (await wasDone(tx)) return true
      // First of all in the transaction: of two tries that meet one waits here for the other, and then finds it done.
      await claim.keep(tx, 'done')
      return false
    },
  }
}
