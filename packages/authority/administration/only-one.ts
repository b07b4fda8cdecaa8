/** Work that takes the store a while is done once at a time on a node. */
import { refuse } from './reasons.ts'

/** Wraps generators of which one may run; whoever comes meanwhile is told so at the first step. */
export function onlyOne(): <T>(work: () => AsyncGenerator<T>) => AsyncGenerator<T> {
  let running = false
  return async function* (work) {
    if (running) throw refuse('conflict', 'busy')
    running = true
    try {
      yield* work()
    } finally {
      running = false
    }
  }
}
