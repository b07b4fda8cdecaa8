/** Goes through what a batch selects, in an order that does not change, a bounded number of rows at a time. */
import type { Timers } from '@signet/kernel/surroundings.ts'
import type { BatchRecord } from '../store/ports/batches.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { Store } from '../store/store.ts'
import { decodePlan, firstId, isBeyond, type Selector, selects, wideTargets } from './batch-selector.ts'
import type { Target } from './target.ts'

export interface Stretch {
  readonly targets: readonly Target[]
  /** Everything up to here has been looked at. */
  readonly cursor: string
  /** There is nothing beyond it. */
  readonly end: boolean
}

/** The next stretch after `cursor`: at most `most` targets. */
export type Source = (cursor: string, most: number) => Promise<Stretch>

export interface SourceParts {
  readonly store: Pick<Store, 'families' | 'batches'>
  readonly issuer: string
  readonly timers: Pick<Timers, 'soon'>
}

/** Rows read at once: about a millisecond of SQLite's time. */
const PAGE = 250
/** Pages without a match, after which a stretch ends all the same, so that its cursor is kept. */
const MAX_PAGES = 40

export function sourceOf(batch: BatchRecord, parts: SourceParts): Source {
  const plan = decodePlan(batch)
  if ('undoes' in plan) {
    return async (after, most) => {
      const holds = await parts.store.batches.holds(plan.undoes, { limit: most, ...(after === '' ? {} : { after }) })
      const targets = holds.map(({ kind, target }) => ({ kind, id: target }))
      return { targets, cursor: holds.at(-1)?.target ?? after, end: holds.length < most }
    }
  }
  const { selector, untilMs } = plan
  const wide = wideTargets(batch.action, selector, parts.issuer)
  if (wide !== undefined) {
    return async (cursor, most) => {
      const from = cursor === '' ? 0 : Number(cursor)
      const to = Math.min(wide.length, from + most)
      return { targets: wide.slice(from, to), cursor: String(to), end: to === wide.length }
    }
  }
  const moment = { action: batch.action, plannedAtMs: batch.plannedAtMs, untilMs }
  return async (cursor, most) => {
    const targets: Target[] = []
    let at = cursor
    for (let read = 0; read < MAX_PAGES; read++) {
      const page = await nextFamilies(selector, untilMs, at, parts.store)
      for (const { family, cursor: here } of page.families) {
        at = here
        if (selects(selector, family, moment)) targets.push({ kind: 'grant', id: family.id })
        if (targets.length === most) return { targets, cursor: at, end: false }
      }
      at = page.cursor
      if (page.end) return { targets, cursor: at, end: true }
      await new Promise<void>((resolve) => parts.timers.soon(resolve)) // Others get their turn.
    }
    return { targets, cursor: at, end: false }
  }
}

export interface FamilyPage {
  readonly families: readonly { readonly family: FamilyRecord; readonly cursor: string }[]
  readonly cursor: string
  readonly end: boolean
}

/** By person where people are named, which an index finds; else all of them, by id and so by time. */
export async function nextFamilies(
  selector: Selector,
  untilMs: number,
  cursor: string,
  store: Pick<Store, 'families'>,
): Promise<FamilyPage> {
  if (selector.subjects !== undefined) {
    const [place = '0', after = ''] = cursor.split(':')
    const index = Number(place === '' ? 0 : place)
    const subject = selector.subjects[index]
    if (subject === undefined) return { families: [], cursor, end: true }
    const rows = await store.families.ofSubject(subject, { limit: PAGE, ...(after === '' ? {} : { after }) })
    const families = rows.map((family) => ({ family, cursor: `${index}:${family.id}` }))
    const isLast = rows.length < PAGE
    return {
      families,
      cursor: isLast ? `${index + 1}:` : `${index}:${rows.at(-1)?.id}`,
      end: isLast && index + 1 >= selector.subjects.length,
    }
  }
  const after = cursor === '' ? firstId(selector) : cursor
  const rows = await store.families.all({ limit: PAGE, ...(after === undefined ? {} : { after }) })
  const families = rows.map((family) => ({ family, cursor: family.id as string }))
  const last = rows.at(-1)?.id ?? cursor
  return { families, cursor: last, end: rows.length < PAGE || isBeyond(selector, untilMs, last) }
}
