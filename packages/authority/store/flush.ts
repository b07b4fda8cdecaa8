/** The end of every commit: this node's audit chain gets its link and the revocation log its entries, in that order. */
import { type ChainHead, linkOf, writeLink } from './tables/audit.ts'
import { appendEntries } from './tables/revocations.ts'
import type { Outbox, Work } from './tables/sql.ts'

/** `overtaken`: what some work had read of the log, or what this node knew of its chain, holds no more; undo and begin again. */
type Flushed = 'overtaken' | { readonly chain: ChainHead }

export async function flushOutboxes(work: Work, outboxes: readonly Outbox[], chain: ChainHead): Promise<Flushed> {
  const events = outboxes.flatMap((outbox) => outbox.events)
  if (!doAgree(outboxes)) return 'overtaken'
  const link = events.length === 0 ? undefined : linkOf(chain, work.nowMs, events)
  // Both are sent before either is answered; the log's head is locked last.
  const [linked, appended] = await Promise.all([
    link === undefined || writeLink(work, link),
    appendEntries(work, seenEpochs(outboxes)[0], outboxes),
  ])
  return linked && appended ? { chain: link ?? chain } : 'overtaken'
}

/** Whether works of one commit may put something into the log together: entries' keys are made with the salt of the epoch that each knew. */
export function doAgree(outboxes: readonly Outbox[]): boolean {
  if (outboxes.every(({ entries }) => entries.length === 0)) return true
  return outboxes.length === 1 || (seenEpochs(outboxes).length <= 1 && !outboxes.some(({ renewed }) => renewed))
}

/** What they knew, each epoch once. */
function seenEpochs(outboxes: readonly Outbox[]): readonly string[] {
  const telling = outboxes.filter(({ renewed, entries }) => renewed || entries.length > 0)
  return [...new Set(telling.flatMap(({ head }) => head?.epoch ?? []))]
}
