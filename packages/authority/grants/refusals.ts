/**
 * The record of refusals. Each is a commit, so they have budgets: what is over is counted, and the next one recorded says how many
 * there were. A flood of bad requests thus costs a bounded number of commits and bytes.
 */
import { Refusal, type RefusalCode } from '@signet/kernel/errors.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import type { Chance, Clock } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { Store } from '../store/store.ts'
import { GrantRefusal } from './refuse.ts'

/** What a refused request had shown of itself. */
interface Refused {
  /** Once it has authenticated; a name that anyone may claim is not recorded. */
  readonly client: ClientId | undefined
  readonly grant: string | undefined
  /** Whose budget it counts against; not recorded itself. */
  readonly address: string
}

interface RefusalRecorder {
  /** Resolves when it is durable, or counted. Ignores what is no refusal. */
  record(error: unknown, refused: Refused): Promise<void>
}

/** Steps of a conversation that goes on, and the limits that keep floods out: counted by metrics only. */
const NOT_RECORDED: readonly RefusalCode[] = ['use_dpop_nonce', 'slow_down']

export function createRefusalRecorder(parts: {
  store: Pick<Store, 'transact'>
  clock: Clock
  chance: Chance
  /** 0 when this address may have another refusal recorded. */
  take: (address: string) => number
}): RefusalRecorder {
  const { store, clock, chance, take } = parts
  let uncounted = 0
  return {
    async record(error, { client, grant, address }) {
      if (!(error instanceof Refusal) || NOT_RECORDED.includes(error.code)) return
      if (take(address) > 0) {
        uncounted++
        return
      }
      const unrecorded = uncounted === 0 ? undefined : uncounted
      uncounted = 0
      const detail = { error: error.code, reason: error.reason, grant, unrecorded }
      const actor = client === undefined ? 'system' : (`client:${client}` as const)
      const about = error instanceof GrantRefusal ? error.ids : {}
      const event = audited(clock, chance, 'token.refused', actor, { ...about, client }, detail)
      await store.transact(async (tx) => tx.audit(event))
    },
  }
}
