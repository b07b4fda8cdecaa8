/**
 * Which region a suspension was copied from (regions/import-log.ts), for as long as it lasts here. Lifting it is not told on, so it is to be
 * lifted where it was made first.
 */
import type { MetaLookups } from '../store/ports/meta.ts'
import type { Tx } from '../store/store.ts'
import { refuseElsewhere } from './refuse.ts'
import type { KnownTarget, Why } from './target.ts'

const nameOf = ({ kind, id }: Pick<KnownTarget, 'kind' | 'id'>): string => `suspended_in:${kind}:${id}`

export const noteHolder = (tx: Tx, target: KnownTarget, region: string): Promise<void> => tx.meta.put(nameOf(target), region)
export const forgetHolder = (tx: Tx, target: KnownTarget): Promise<void> => tx.meta.delete(nameOf(target))

/** Refusal: `conflict` with `made_in_another_region`, which it names, unless `why` says that this is known. */
export async function refuseHeldElsewhere(meta: MetaLookups, target: KnownTarget, why: Why): Promise<void> {
  if (why.here === true) return
  const region = await meta.get(nameOf(target))
  if (region !== undefined) throw refuseElsewhere(region)
}
