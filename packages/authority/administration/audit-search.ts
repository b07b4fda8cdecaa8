/** Finds events in the audit record. The store finds links of the chain that contain a text; here they are opened and looked through. */
import { type AuditBatch, type AuditEvent, splitEvents } from '@signet/kernel/audit-entry.ts'
import type { Store } from '../store/store.ts'

export interface AuditQuery {
  /** Stands somewhere in the event. */
  readonly text: string | undefined
  /** One type, or a family of them: `token.*`. */
  readonly type: string | undefined
  readonly fromMs: number
  readonly toMs: number
  readonly after: AuditPlace | undefined
  readonly limit: number
}
export interface AuditPlace {
  readonly atMs: number
  readonly chain: string
  readonly index: number
}
export interface FoundEvent extends AuditEvent {
  readonly chain: string
  readonly index: number
}

/** Links read for one page at most, so that a rare text does not hold the store. */
const MAX_BATCHES = 2000
const BATCHES_AT_ONCE = 100

/** Events in time order: `limit` of them and the rest of the link that reached it. `next` when there may be more. */
export async function searchAudit(
  query: AuditQuery,
  store: Pick<Store, 'audit'>,
): Promise<{ readonly events: readonly FoundEvent[]; readonly next?: AuditPlace }> {
  const { fromMs, toMs, limit } = query
  const text = query.text ?? typeText(query.type)
  const events: FoundEvent[] = []
  let after = query.after
  for (let read = 0; read < MAX_BATCHES && events.length < limit; ) {
    const where = {
      fromMs,
      toMs,
      limit: BATCHES_AT_ONCE,
      ...(text === undefined ? {} : { text }),
      ...(after === undefined ? {} : { after }),
    }
    const batches = await store.audit.search(where)
    read += batches.length
    for (const batch of batches) {
      const { atMs, chain, index } = batch
      events.push(...open(batch).flatMap((event) => (fits(event, query) ? [{ ...event, chain, index }] : [])))
      after = { atMs, chain, index }
      if (events.length >= limit) break
    }
    if (batches.length < BATCHES_AT_ONCE && events.length < limit) return { events }
  }
  return after === undefined ? { events } : { events, next: after }
}

/** In quotes, as it stands in its events: where nothing narrower is asked for the store can look for that. */
const typeText = (type: string | undefined): string | undefined =>
  type === undefined || type.endsWith('*') ? undefined : `"${type}"`

function fits(event: AuditEvent, { text, type }: AuditQuery): boolean {
  if (type?.endsWith('*') === true ? !event.type.startsWith(type.slice(0, -1)) : type !== undefined && event.type !== type)
    return false
  return text === undefined || JSON.stringify(event).includes(text)
}

/** What was tampered with is for the verification to name; here what can be read is shown. */
function open(batch: AuditBatch): AuditEvent[] {
  return splitEvents(batch.events).flatMap((text) => {
    try {
      return [JSON.parse(text) as AuditEvent]
    } catch {
      return []
    }
  })
}
