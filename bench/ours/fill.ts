/** A log of any length, by the shortest way that the store has. */
import type { Store } from '@signet/authority/store/store.ts'
import { newId } from '@signet/kernel/ids.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'

const PIECE = 1000

export function createFill(store: Store, chance: Chance) {
  return async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += PIECE) {
      await store.transact(async (tx) => {
        await tx.revocations.head()
        for (let i = 0; i < Math.min(PIECE, count - done); i++) {
          tx.revocations.append({
            key: chance.bytes(16),
            cutoffMs: tx.nowMs + 2000,
            dropAfter: Math.floor(tx.nowMs / 1000) + 3600,
            kind: 'token',
            issuer: 'https://elsewhere.example',
            target: newId<string>(tx.nowMs, chance),
            reason: 'measured',
            actor: 'system',
          })
        }
      })
    }
  }
}
