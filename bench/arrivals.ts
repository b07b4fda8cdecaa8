/** How long what was sent took to arrive. */
import type { Burst } from './ours/burst.ts'

/** The last of it has arrived by then. */
export const SETTLE_MS = 300

/** For each thing sent, the time until something at least as far on had arrived. */
export function delays(sent: Burst, arrived: readonly (readonly [number: number, atMs: number])[]): readonly number[] {
  return sent.map(([atMs, number]) => {
    const found = arrived.find(([reached]) => reached >= number)
    if (found === undefined) throw new Error('a message did not arrive')
    return found[1] - atMs
  })
}
