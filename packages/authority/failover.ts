/**
 * PostgreSQL was promoted: a standby took the primary's place and may lack the last commits that the primary had acknowledged, among
 * them revocations. Unless the operator promotes only standbys that have everything (`failover: lossless`), and nothing that this node
 * saw acknowledged contradicts it, all that could have been revoked ends with a new epoch, as after a restore. Whichever
 * node is first settles it for all, but for one that comes later and misses what it saw acknowledged: then it was not lossless.
 */
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { audited } from './audit/events.ts'
import type { MasterOf } from './keys/master-key.ts'
import type { PolicySettings } from './policy/settings.ts'
import { endTheGap, type Gap } from './restore.ts'
import { openPostgresStore, type PostgresOptions } from './store/postgres.ts'
import { BEGAN_ANEW, TIMELINE } from './store/postgres-timeline.ts'
import type { Store, Tx } from './store/store.ts'

export interface FailoverParts {
  readonly url: string
  readonly pooled: boolean
  readonly failover: 'may-lose' | 'lossless'
  readonly issuer: string
  readonly settings: PolicySettings
  readonly masterOf: MasterOf
  readonly surroundings: Surroundings
}

type Promotion = Parameters<NonNullable<PostgresOptions['promoted']>>[0]

export type Settled =
  | { readonly kind: 'whole' }
  /** `proven`: something that was acknowledged is gone. */
  | { readonly kind: 'began_anew'; readonly epoch: string; readonly proven: boolean }
  | { readonly kind: 'by_another_node' }

export async function settlePromotion(promotion: Promotion, parts: FailoverParts): Promise<Settled> {
  const { url, pooled, failover, surroundings } = parts
  const { clock, chance } = surroundings
  const store = await openPostgresStore({ url, pooled, surroundings, anyTimeline: true })
  try {
    const proven = await isProvenLoss(store, promotion)
    const detail = { from: promotion.from, to: promotion.to, lossless: failover === 'lossless' && !proven }
    const settle = async (tx: Tx) => {
      // Who has a proof is not content with another's note that nothing was lost.
      if ((await tx.meta.get(proven ? BEGAN_ANEW : TIMELINE)) === promotion.to) throw new SettledAlready()
      await tx.meta.put(TIMELINE, promotion.to)
      if (!detail.lossless) await tx.meta.put(BEGAN_ANEW, promotion.to)
      tx.audit(audited(clock, chance, 'store.promoted', 'system', {}, detail))
    }
    if (detail.lossless) {
      await store.transact(settle)
      return { kind: 'whole' }
    }
    const gap = { ...parts, master: await parts.masterOf(store) }
    const { epoch } = await endTheGap(store, gap, PROMOTED, (tx) => settle(tx))
    return { kind: 'began_anew', epoch, proven }
  } catch (error) {
    if (error instanceof SettledAlready) return { kind: 'by_another_node' }
    throw error
  } finally {
    await store.close()
  }
}

/**
 * Ring keys stay: other nodes go on, and may tag a refresh token with one until they have read the new keys. A ring key alone makes no
 * token, and every family that was there has ended.
 */
export const PROMOTED: Gap = { reason: 'database_promoted', actor: 'system', keys: ['token', 'feed'] }

/** Each node writes a chain of its own, a link a commit: a link that was acknowledged and is not there proves a loss. */
async function isProvenLoss(store: Store, { acknowledged }: Promotion): Promise<boolean> {
  if (acknowledged.index === 0) return false
  const ours = (await store.audit.chains()).find(({ chain }) => chain === acknowledged.chain)
  return ours === undefined || ours.index < acknowledged.index
}

class SettledAlready extends Error {}
