import type { Store } from './store/store.ts'
import { sha256 } from './surroundings.ts'

/** Budgets that all nodes share; a store that only one node can open needs none. */
export function sharedBudgets(store: Store) {
  if (store.engine === 'sqlite') return undefined
  return (name: string, { perSecond, burst }: { perSecond: number; burst: number }) => {
    const limit = { intervalMs: 1000 / perSecond, burst }
    return (asker: string, count: number) => {
      const key = sha256(`signet/rate/${name}\u0000${asker}`)
      return store.transact(async (tx) => {
        let granted = 0
        // As many as there are, found by halves.
        for (let some = count; some >= 1; some = Math.min(count - granted, some >> 1)) {
          const { allowed } = await tx.throttle.take(key, { ...limit, count: some })
          if (allowed) granted += some
          if (granted === count) return { granted, retryAfterMs: 0 }
        }
        const { allowed, retryAfterMs } = await tx.throttle.take(key, limit)
        return allowed ? { granted: granted + 1, retryAfterMs: 0 } : { granted, retryAfterMs }
      })
    }
  }
}
