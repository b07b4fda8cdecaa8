/**
 * Which region a suspension was copied from (regions/import-log.ts), for as long as it lasts here. Lifting it is not told on, so it is to be
 * lifted where it was made first. For the same reason it may have been lifted there long ago: who suspends the target here as well makes an
 * entry of his own, or nothing would hold it but this region.
 */
import type { MetaLookups } from '../store/ports/meta.ts'
import type { Tx } from '../store/store.ts'
import { refuseElsewhere } from './refuse.ts'
import type { KnownTarget, Why } from './target.ts'

const nameOf = ({ kind, id }: Pick<KnownTarget, 'kind' | 'id'>): string => `suspended_in:${kind}:${id}`

/** Stands after the region's name, in which there is no space. */
const HERE_TOO = ' here'

export const noteHolder = (tx: Tx, target: KnownTarget, region: string): Promise<void> => tx.meta.put(nameOf(target), region)
export const forgetHolder = (tx: Tx, target: KnownTarget): Promise<void> => tx.meta.delete(nameOf(target))

/** True for the first who suspends here what is held by a copy alone; it is held by both from now on. */
export async function holdHereToo(tx: Tx, target: KnownTarget): Promise<boolean> {
  const held = await tx.meta.get(nameOf(target))
  if (held === undefined || held.endsWith(HERE_TOO)) return false
  await tx.meta.put(nameOf(target), held + HERE_TOO)
  return true
}

/** Refusal: `conflict` with `made_in_another_region`, which it names, unless `why` says that this is known. */
export async function refuseHeldElsewhere(meta: MetaLookups, target: KnownTarget, why: Why): Promise<void> {
  if (why.here === true) return
  const held = await meta.get(nameOf(target))
  if (held !== undefined) throw refuseElsewhere(held.replace(HERE_TOO, ''))
}
