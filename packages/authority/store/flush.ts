/** The end of every commit: this node's audit chain gets its link and the revocation log its entries, in that order. */
import { type ChainHead, linkOf, writeLink } from './tables/audit.ts'
import { appendEntries } from './tables/revocations.ts'
import type { Outbox, Work } from './tables/sql.ts'

/** `overtaken`: what some work had read of the log, or what this node knew of its chain, holds no more; undo and begin again. */
type Flushed = 'overtaken' | { readonly chain: ChainHead }

export async function flushOutboxes(work: Work, outboxes: readonly Outbox[], chain: ChainHead): Promise<Flushed> {
  const events = outboxes.flatMap((outbox) => outbox.events)
  const seen = seenEpoch(outboxes)
  if (seen === 'several') return 'overtaken'
  const link = events.length === 0 ? undefined : linkOf(chain, work.nowMs, events)
  // Both are sent before either is answered; the log's head is locked last.
  const [linked, appended] = await Promise.all([link === undefined || writeLink(work, link), appendEntries(work, seen, outboxes)])
  return linked && appended ? { chain: link ?? chain } : 'overtaken'
}

/** The epoch under whose salt the entries' keys were made; `several` when works of one commit disagree. */
function seenEpoch(outboxes: readonly Outbox[]): string | undefined | 'several' {
  const appending = outboxes.filter((outbox) => outbox.entries.length > 0)
  if (appending.length === 0) return undefined
  const epochs = new Set(outboxes.filter((o) => o.renewed || o.entries.length > 0).map((o) => o.head?.epoch))
  epochs.delete(undefined)
  const renewed = outboxes.some((outbox) => outbox.renewed)
  if (epochs.size > 1 || (renewed && outboxes.length > 1)) return 'several'
  return epochs.values().next().value
}
