/**
 * The store's clock as this node sees it: how far the two are apart, and how sure that is. Measured every few seconds; in between, a step
 * of this node's own wall clock shows against the monotonic one.
 */
import type { Clock } from '@signet/kernel/surroundings.ts'
import type { Store } from '../store/store.ts'

/** What both clocks of this node showed at once. */
export interface Moment {
  readonly wall: number
  readonly monotonic: number
}

export interface StoreClock {
  /** Measures, unless the last measurement is new enough. `asked`: this node's clocks as the question goes out. */
  measure(asked: Moment): Promise<void>
  /** The store's clock minus this node's, whole milliseconds; undefined before the first measurement. */
  offsetMs(): number | undefined
  /** How far that may be wrong either way, milliseconds; 0 before the first measurement. */
  giveMs(): number
  /** What the store's clock shows now, epoch milliseconds; this node's own clock before the first measurement. */
  nowMs(): number
}

/** A measurement is good for so long. */
const CLOCK_MS = 5000
/** A wall clock that moved by this against the monotonic one was set: it is measured again at once. */
const STEP_MS = 20

export function createStoreClock(store: Pick<Store, 'now'>, clock: Clock): StoreClock {
  /** As measured when this node's clocks showed `at`. */
  let offset: { readonly milliseconds: number; readonly give: number; readonly at: Moment } | undefined

  /**
   * How far this node's wall clock has been set ahead since it was measured. Nobody need tell us: the monotonic clock did not step with
   * it. After a sleep, in which only the wall clock went on, it is too much, until the next look measures again.
   */
  function steppedMs(): number {
    if (offset === undefined) return 0
    const { wall, monotonic } = offset.at
    return clock.now() - wall - (clock.monotonic() - monotonic)
  }

  const offsetMs = () => (offset === undefined ? undefined : Math.round(offset.milliseconds - steppedMs()))

  return {
    async measure(asked) {
      const isNew = offset !== undefined && asked.monotonic - offset.at.monotonic < CLOCK_MS
      if (isNew && Math.abs(steppedMs()) < STEP_MS) return
      const storeMs = await store.now()
      // The store looked at its clock somewhere between question and answer: halfway, give or take half the time it took.
      const give = (clock.monotonic() - asked.monotonic) / 2
      offset = { milliseconds: Math.round(storeMs - (asked.wall + give)), give, at: asked }
    },
    offsetMs,
    giveMs: () => offset?.give ?? 0,
    nowMs: () => clock.now() + (offsetMs() ?? 0),
  }
}
