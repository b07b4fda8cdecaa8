/**
 * An act of an administrator that cannot be done twice, as a removal: whoever had no answer asks again with the same Idempotency-Key, and is
 * told that it is done rather than that there is nothing to do it to.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { claimOfActor, encodeAnswer, IDEMPOTENCY_SECONDS, storedAnswer } from '../revocation/record.ts'
import type { Tx } from '../store/store.ts'
import type { Asker } from './actor.ts'

export interface Once {
  /** Whether it was done before. Refuses a key that another request of theirs was sent with. */
  wasDone(tx: Tx): Promise<boolean>
  /** The same; when it was not, it counts as done from this transaction on, which must do it. */
  wasDoneElseClaim(tx: Tx): Promise<boolean>
}

/** `act` is what is done and to what. Without a key nothing is remembered, and nothing found. */
export function once(act: readonly string[], { actor, idempotencyKey }: Asker, sha256: Sha256): Once {
  if (idempotencyKey === undefined) return { wasDone: async () => false, wasDoneElseClaim: async () => false }
  const claim = claimOfActor(sha256, { actor, idempotencyKey })
  const request = toBase64Url(sha256(['signet/admin/what', ...act].join('\u0000')))
  const wasDone = async (tx: Tx): Promise<boolean> => {
    const before = await tx.idempotency.find(claim)
    if (before !== undefined) storedAnswer(before, request)
    return before !== undefined
  }
  return {
    wasDone,
    async wasDoneElseClaim(tx) {
      if (await wasDone(tx)) return true
      // First of all in the transaction: of two tries that meet one waits here for the other, and then finds it done.
      await tx.idempotency.put(claim, encodeAnswer({ request }), epochSeconds(tx.nowMs) + IDEMPOTENCY_SECONDS)
      return false
    },
  }
}
