/** The bus of a single node: everybody who is to be woken lives in this process. */
import type { Timers } from '@signet/kernel/surroundings.ts'
import type { Bus } from './bus.ts'
import { createLocalWakes, OTHERS } from './local-wakes.ts'

export function createInProcessBus(parts: { timers: Timers }): Bus {
  const local = createLocalWakes(parts.timers)
  return {
    publish: (subject) => local.wake(subject, OTHERS),
    subscribe: local.subscribe,
    linked: () => true,
    async close() {
      local.close()
    },
  }
}
