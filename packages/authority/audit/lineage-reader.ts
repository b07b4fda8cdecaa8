/** Finds the events of one lineage in the record, by text, within bounds. The time in a UUIDv7 says from where on to read. */
import { type AuditBatch, type AuditEvent, splitEvents } from '@signet/kernel/audit-entry.ts'
import { idTimeMs, isUuidV7, MAX_MILLISECONDS } from '@signet/kernel/ids.ts'
import type { AuditLookups } from '../store/ports/audit.ts'

export type LineageKind = 'subject' | 'session' | 'family' | 'token'

export interface LineageLimits {
  /** Batches read in all. */
  readonly batches: number
  /** Ids looked up beside the one asked for. */
  readonly lookups: number
}

/** A year of one busy session fits; an inquiry never holds a node for long. */
export const LINEAGE_LIMITS: LineageLimits = { batches: 20_000, lookups: 500 }

export interface GatheredLineage {
  readonly kind: LineageKind
  /** Oldest first. */
  readonly events: readonly AuditEvent[]
  /** What ended, suspended or resumed anything since the first of them, oldest first. */
  readonly acts: readonly AuditEvent[]
  readonly complete: boolean
}

/** Acts that a lineage may suffer without being named by them: on its client, device or key, or on everything. */
const ACTS = ['revocation.made', 'suspension.made', 'suspension.lifted', 'admin.revocation_undone', 'store.restored'] as const
export const isAct = (event: AuditEvent): boolean => (ACTS as readonly string[]).includes(event.type)

/** An id may be a moment ahead of the batch it is in (the guard), and clocks of nodes differ. */
const SLACK_MS = 60_000
/** What is derived from an access token is derived while it lives: an hour at most. */
const TOKEN_SPAN_MS = 2 * 3_600_000
/** A sign-in is on record when its session begins. */
const SIGN_IN_SPAN_MS = 10 * 60_000
const PAGE = 200

export async function gatherLineage(
  audit: Pick<AuditLookups, 'search'>,
  id: string,
  limits: LineageLimits,
): Promise<GatheredLineage | undefined> {
  const events = new Map<string, AuditEvent>()
  let batchesLeft = limits.batches
  let lookupsLeft = limits.lookups
  let complete = true

  await lookUp(id, MAX_MILLISECONDS)
  const kind = kindOf(events.values(), id)
  if (kind === undefined) return undefined

  const known = new Set([id])
  for (
    let leads = leadsFrom(events.values(), kind, id, known);
    leads.length > 0;
    leads = leadsFrom(events.values(), kind, id, known)
  ) {
    for (const lead of leads) {
      known.add(lead.id)
      if (lookupsLeft-- <= 0) {
        complete = false
        break
      }
      await lookUp(lead.id, lead.toMs)
    }
    if (!complete) break
  }
  const acts = await findActs()
  return { kind, events: [...events.values()].sort(byTime), acts, complete }

  async function lookUp(wanted: string, toMs: number): Promise<void> {
    const fromMs = isUuidV7(wanted) ? Math.max(0, idTimeMs(wanted) - SLACK_MS) : 0
    for await (const event of matching(wanted, fromMs, toMs)) {
      if (Object.values(event.ids).includes(wanted)) events.set(event.id, event)
    }
  }

  async function findActs(): Promise<readonly AuditEvent[]> {
    const fromMs = [...events.values()].reduce((first, event) => Math.min(first, event.atMs), MAX_MILLISECONDS) - SLACK_MS
    const found = new Map<string, AuditEvent>()
    for (const type of ACTS) {
      for await (const event of matching(`"${type}"`, Math.max(0, fromMs), MAX_MILLISECONDS))
        if (event.type === type) found.set(event.id, event)
    }
    return [...found.values()].sort(byTime)
  }

  async function* matching(text: string, fromMs: number, toMs: number): AsyncGenerator<AuditEvent> {
    let after: { atMs: number; chain: string; index: number } | undefined
    for (;;) {
      const limit = Math.min(PAGE, batchesLeft)
      if (limit <= 0) {
        complete = false
        return
      }
      const page: readonly AuditBatch[] = await audit.search({ text, fromMs, toMs, limit, ...(after !== undefined && { after }) })
      batchesLeft -= page.length
      for (const batch of page) {
        for (const written of splitEvents(batch.events)) {
          const event = written.includes(text) ? readEvent(written) : undefined
          if (event !== undefined) yield event
        }
      }
      const last = page.at(-1)
      if (last === undefined || page.length < limit) return
      after = { atMs: last.atMs, chain: last.chain, index: last.index }
    }
  }
}

/** What was tampered with is for `verify` to name; here what can be read is shown. */
function readEvent(written: string): AuditEvent | undefined {
  try {
    const event = JSON.parse(written) as AuditEvent | null
    return typeof event?.ids === 'object' && event.ids !== null && typeof event.type === 'string' ? event : undefined
  } catch {
    return undefined
  }
}

const byTime = (a: AuditEvent, b: AuditEvent): number => a.atMs - b.atMs || (a.id < b.id ? -1 : 1)

/** What an id is the id of, by the roles it has in events. */
function kindOf(events: Iterable<AuditEvent>, id: string): LineageKind | undefined {
  for (const { ids } of events) {
    if (ids.token === id || ids.parent === id || ids.heir === id) return 'token'
    if (ids.family === id) return 'family'
    if (ids.session === id) return 'session'
    if (ids.subject === id) return 'subject'
  }
  return undefined
}

/**
 * Ids that the events lead to: up to what they were made from, down to what was made of them. Every event on a token
 * names its grant, session and subject too (docs/audit-events.md), so one look-up of those finds all below them.
 */
function leadsFrom(events: Iterable<AuditEvent>, kind: LineageKind, id: string, known: ReadonlySet<string>) {
  const leads = new Map<string, { readonly id: string; readonly toMs: number }>()
  for (const event of events) {
    if (isAct(event)) continue
    const { token, parent, heir, family, session } = event.ids
    const below = kind !== 'token' && event.ids[kind] === id
    const lasting = event.type.startsWith('apikey.')
    for (const one of [token, parent, heir]) add(one, lasting ? undefined : TOKEN_SPAN_MS)
    if (!below) add(family, undefined)
    add(session, SIGN_IN_SPAN_MS)
  }
  return [...leads.values()]

  function add(one: string | undefined, spanMs: number | undefined): void {
    if (one === undefined || known.has(one)) return
    leads.set(one, { id: one, toMs: spanMs === undefined || !isUuidV7(one) ? MAX_MILLISECONDS : idTimeMs(one) + spanMs })
  }
}
