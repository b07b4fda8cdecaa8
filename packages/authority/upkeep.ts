/** What a node does by itself, over and over (tasks.ts): keys, purging, checkpoints of the audit record. */
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { makeDueCheckpoint } from './audit/checkpoint.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { Store } from './store/store.ts'
import type { Task } from './tasks.ts'

const KEY_TICK_MS = 10_000
const PURGE_MS = 30_000
/** Rows per table in one turn of purging: with the pauses that it makes (store/pace.ts) a few seconds, for which a node that closes waits. */
export const PURGE_ROWS = 100
/** From one checkpoint of the record to the next, whichever node makes it. */
const CHECKPOINT_MS = 3_600_000
/** Looked for so often, so that nodes that never live an hour make them all the same. */
const CHECKPOINT_TICK_MS = 60_000

export function upkeep(parts: { store: Store; keys: KeyRing; issuer: string; surroundings: Surroundings }): readonly Task[] {
  const { store, keys, issuer, surroundings } = parts
  return [
    {
      name: 'keys',
      everyMs: KEY_TICK_MS,
      async run() {
        await keys.tick()
        return false
      },
    },
    {
      name: 'purge',
      everyMs: PURGE_MS,
      run: async () => (await store.purge(await store.now(), PURGE_ROWS)).more,
    },
    {
      name: 'checkpoint',
      everyMs: CHECKPOINT_TICK_MS,
      async run() {
        await makeDueCheckpoint({ store, keys, issuer, chance: surroundings.chance }, CHECKPOINT_MS)
        return false
      },
    },
  ]
}
