/** The dry run of a batch: what it would touch, counted as of one moment, and whether that is so much that somebody has to say yes to it. */
import { type BatchId, type ClientId, idTimeMs, newId, type TokenId } from '@signet/kernel/ids.ts'
import type { Chance, Clock, Timers } from '@signet/kernel/surroundings.ts'
import { type AuditActor, audited } from '../audit/events.ts'
import type { ApiKeyRecord } from '../store/ports/api-keys.ts'
import type { BatchAction, BatchRecord } from '../store/ports/batches.ts'
import type { FamilyRecord } from '../store/ports/families.ts'
import type { Page } from '../store/ports/page.ts'
import type { Store } from '../store/store.ts'
import { encodePlan, MAX_SUBJECTS, type Selector, selects, wideTargets } from './batch-selector.ts'
import { nextFamilies } from './batch-source.ts'
import { refuse } from './refuse.ts'
import { guardMsOf, type RevocationSettings } from './rules.ts'
import { checkWhy } from './target.ts'

export interface BatchSettings extends RevocationSettings {
  /** More grants than this, or a larger share of all, is a blast radius that has to be accepted in so many words. */
  readonly batchWarnGrants: number
  readonly batchWarnShare: number
}

export interface PlanParts {
  readonly store: Store
  readonly settings: BatchSettings
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
  readonly timers: Timers
}

export interface PlanRequest {
  readonly action: BatchAction
  readonly selector: Selector
  readonly reason: string
  readonly perSecond: number
}

/** What is told of a plan, and kept with it. */
export interface Summary {
  /** One cutoff for all of it, one for each person, or one for each grant. */
  readonly method: 'one_cutoff' | 'cutoff_each' | 'grants'
  /** Entries it will make at most. */
  readonly entries: number
  readonly grants: number
  /** Of a client or people that cutoffs end or hold: the API keys that are theirs or act for them. */
  readonly apiKeys?: number
  /** The client has had access tokens for itself, of which nothing is stored. */
  readonly ownTokens?: true
  /** What has to be accepted: the grants, the API keys, and one for a client that gets tokens for itself. */
  readonly touches: number
  readonly sessions: number
  readonly subjects: number
  readonly clients: number
  /** Living grants in all; absent where only those of some people were looked at. */
  readonly ofGrants?: number
  /** Sessions, subjects and clients are counted up to so many each, and may be more. */
  readonly countedTo?: number
  /** Grants made later are not in it; absent where a cutoff decides. */
  readonly untilMs?: number
  /** It touches more than the policy lets pass without being asked. */
  readonly warning: boolean
  /** The selector in few words, without names of people. */
  readonly selector: Readonly<Record<string, string | number | boolean>>
}

/** Distinct ids kept in memory, of each kind: about 10 MB each. */
const COUNTED_TO = 100_000

/** Yields how far it has looked; returns the stored plan. Refusals: `invalid_request`. */
export async function* planBatch(
  request: PlanRequest,
  actor: AuditActor,
  parts: PlanParts,
): AsyncGenerator<{ readonly looked: number; readonly grants: number }, BatchRecord> {
  const { store, settings, issuer, clock, chance } = parts
  const { action, selector, reason, perSecond } = request
  checkWhy({ reason, actor })
  if (Object.keys(selector).length === 0) throw refuse('invalid_request', 'nothing_selected')
  if ((selector.subjects?.length ?? 1) > MAX_SUBJECTS) throw refuse('invalid_request', 'malformed_target')

  const plannedAtMs = await store.now()
  // A grant may have been made just past a cutoff, or by a clock that is ahead: what was there at this moment is in, whatever it says.
  const untilMs = plannedAtMs + guardMsOf(settings) + settings.clockOffsetMilliseconds
  const count = counting()
  let total = 0
  let looked = 0
  // To tell the share, all are looked at, not only those that can be meant; where people are named, the index spares us that.
  const wanted: Selector = selector.subjects === undefined ? {} : { subjects: selector.subjects }
  for (let cursor = '', end = false; !end; ) {
    const page = await nextFamilies(wanted, untilMs, cursor, store)
    for (const { family } of page.families) {
      if (selects({}, family, { action: 'revoke', plannedAtMs, untilMs })) total++
      if (selects(selector, family, { action, plannedAtMs, untilMs })) count.add(family)
    }
    looked += page.families.length
    cursor = page.cursor
    end = page.end
    yield { looked, grants: count.grants }
    await new Promise<void>((resolve) => parts.timers.soon(resolve)) // Others get their turn.
  }

  const wide = wideTargets(action, selector, issuer)
  const ofGrants = selector.subjects === undefined ? total : undefined
  const beyond = wide === undefined || action === 'resume' ? {} : await beyondGrants(selector, plannedAtMs, parts)
  const touches = count.grants + (beyond.apiKeys ?? 0) + (beyond.ownTokens === true ? 1 : 0)
  const summary: Summary = {
    method: wide === undefined ? 'grants' : wide.length === 1 ? 'one_cutoff' : 'cutoff_each',
    entries: wide?.length ?? count.grants,
    ...count.told(),
    ...beyond,
    touches,
    ...(ofGrants === undefined ? {} : { ofGrants }),
    ...(wide === undefined ? { untilMs } : {}),
    // A grant is one person's; how much hangs on an API key, or on what a client got for itself, nobody here knows.
    warning: selector.everything === true || touches > count.grants || isWide(count.grants, ofGrants, settings),
    selector: inFewWords(selector),
  }
  const batch: BatchRecord = {
    id: newId<BatchId>(clock.now(), chance),
    action,
    state: 'planned',
    plan: encodePlan({
      selector,
      untilMs,
      ...(wide === undefined ? { atMost: count.grants + unasked(ofGrants, settings) } : {}),
    }),
    summary: JSON.stringify(summary),
    reason,
    actor,
    perSecond,
    plannedAtMs,
    cursor: '',
    moved: 0,
    unmoved: 0,
    unsettled: '[]',
    holder: '',
    leaseUntilMs: 0,
  }
  await store.transact(async (tx) => {
    await tx.batches.create(batch)
    const { grants, entries, warning } = summary
    const about = { action, reason, grants, touches, entries, warning, method: summary.method }
    tx.audit(
      audited(clock, chance, 'batch.planned', actor, { batch: batch.id }, { ...about, selected_by: Object.keys(selector) }),
    )
  })
  return batch
}

/** What cutoffs on a client or on people reach although it is no grant. Of everything it is not counted: see docs/batch.md. */
async function beyondGrants(
  { client: id, subjects }: Selector,
  nowMs: number,
  parts: PlanParts,
): Promise<Pick<Summary, 'apiKeys' | 'ownTokens'>> {
  const { store } = parts
  const count = countingApiKeys(nowMs, parts)
  if (subjects !== undefined) {
    for (const subject of subjects) {
      const revokedMs = (await store.subjects.find(subject))?.revokedMs ?? 0
      await count.add((page) => store.apiKeys.ofSubject(subject, page), revokedMs)
    }
    return { apiKeys: count.living }
  }
  const client = id === undefined ? undefined : await store.clients.find(id)
  if (client === undefined) return {}
  await count.add((page) => store.apiKeys.ofClient(client.id, page), 0)
  return { apiKeys: count.living, ...(client.grantTypes.includes('client_credentials') ? { ownTokens: true } : {}) }
}

/** Adds up living API keys. Their clients are asked for once each. */
function countingApiKeys(nowMs: number, { store, timers }: PlanParts) {
  const clients = new Map<ClientId, number>()
  let looked = 0
  const count = {
    living: 0,
    /** Those made by `revokedMs` have ended. */
    async add(read: (page: Page) => Promise<readonly ApiKeyRecord[]>, revokedMs: number): Promise<void> {
      for (let after: TokenId | undefined; looked < MAX_API_KEYS; ) {
        const page = await read({ limit: KEYS_PAGE, ...(after === undefined ? {} : { after }) })
        for (const { id, status, expiresAt = Number.POSITIVE_INFINITY, client } of page) {
          if (status !== 'active' || expiresAt * 1000 <= nowMs) continue
          // Of a client that is gone everything has ended.
          if (!clients.has(client)) clients.set(client, (await store.clients.find(client))?.revokedMs ?? Number.POSITIVE_INFINITY)
          if (idTimeMs(id) > Math.max(revokedMs, clients.get(client) as number)) count.living++
        }
        looked += page.length
        after = page.at(-1)?.id
        await new Promise<void>((resolve) => timers.soon(resolve)) // Others get their turn.
        if (page.length < KEYS_PAGE) break
      }
    },
  }
  return count
}

/** API keys that are looked at: a few tenths of a second. */
const MAX_API_KEYS = 25_000
const KEYS_PAGE = 250

/** A handful is no blast radius, however few there are in all. */
const FEW = 10

export const isWide = (grants: number, ofGrants: number | undefined, settings: BatchSettings): boolean =>
  grants > unasked(ofGrants, settings)

/** So many grants may be moved without being asked. */
function unasked(ofGrants: number | undefined, { batchWarnGrants, batchWarnShare }: BatchSettings): number {
  return ofGrants === undefined
    ? batchWarnGrants
    : Math.min(batchWarnGrants, Math.max(FEW, Math.floor(batchWarnShare * ofGrants)))
}

function counting() {
  const seen = { sessions: new Set<string>(), subjects: new Set<string>(), clients: new Set<string>() }
  const note = (set: Set<string>, id: string | undefined) => {
    if (id !== undefined && set.size < COUNTED_TO) set.add(id)
  }
  const count = {
    grants: 0,
    add({ session, subject, terms }: FamilyRecord): void {
      count.grants++
      note(seen.sessions, session)
      note(seen.subjects, subject)
      note(seen.clients, terms.client)
    },
    told() {
      const sizes = { sessions: seen.sessions.size, subjects: seen.subjects.size, clients: seen.clients.size }
      const isFull = Object.values(sizes).includes(COUNTED_TO)
      return { grants: count.grants, ...sizes, ...(isFull ? { countedTo: COUNTED_TO } : {}) }
    },
  }
  return count
}

function inFewWords({ subjects, sights, ...rest }: Selector): Summary['selector'] {
  return {
    ...rest,
    ...(subjects === undefined ? {} : { subjects: subjects.length }),
    ...(sights === undefined ? {} : { network: true }),
  }
}
