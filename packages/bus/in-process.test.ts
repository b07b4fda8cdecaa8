import type { Timers } from '@signet/kernel/surroundings.ts'
import { busContract } from './bus.contract.ts'
import { createInProcessBus } from './in-process.ts'

const timers: Timers = {
  after(milliseconds, task) {
    const timer = setTimeout(task, milliseconds)
    return { cancel: () => clearTimeout(timer) }
  },
  soon: (task) => void setImmediate(task),
}

busContract('in process', async () => {
  const bus = createInProcessBus({ timers })
  return { one: bus, other: bus, close: () => bus.close() }
})
