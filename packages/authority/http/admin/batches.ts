/** `/batches`: between the wire and revocation/batches.ts. */
import type { Answer, Request } from '@signet/api/schema.ts'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { type BatchId, type ClientId, isUuid, type SubjectId } from '@signet/kernel/ids.ts'
import { onlyOne } from '../../administration/only-one.ts'
import { invalid, refuse } from '../../administration/reasons.ts'
import { findByUsername } from '../../administration/subjects.ts'
import type { Selector } from '../../revocation/batch-selector.ts'
import { type Batches, summaryOf, touchedBy } from '../../revocation/batches.ts'
import { sightsOf } from '../sight.ts'
import { given, page } from './page.ts'
import type { AdminParts, Some } from './parts.ts'

type Parts = Pick<AdminParts, 'store' | 'keys' | 'batches' | 'clock'>
type Names = 'planBatch' | 'listBatches' | 'showBatch' | 'startBatch' | 'pauseBatch' | 'resumeBatch' | 'cancelBatch' | 'undoBatch'
type Record = Awaited<ReturnType<Batches['find']>>

/** A line of progress so often. */
const TELL_MS = 250

export function batchHandlers(parts: Parts): Some<Names> {
  const { store, batches, clock } = parts
  // A dry run goes through the whole store.
  const planning = onlyOne()
  return {
    planBatch: ({ body }, { actor }) =>
      planning(async function* () {
        const { action, reason, per_second: perSecond } = body
        const plan = batches.plan({ action, reason, perSecond, selector: await selectorOf(body.selector, parts) }, actor)
        let toldMs = clock.monotonic()
        let step = await plan.next()
        for (; step.done !== true; step = await plan.next()) {
          if (clock.monotonic() - toldMs < TELL_MS) continue
          toldMs = clock.monotonic()
          yield { kind: 'progress' as const, ...step.value }
        }
        yield { kind: 'result' as const, ...show(step.value) }
      }),
    listBatches: ({ query }) =>
      page(
        query,
        (bounds) => store.batches.list(bounds),
        ({ id }) => id,
        show,
      ),
    showBatch: async ({ params }) => show(await batches.find(params.id as BatchId)),
    async startBatch({ params, body }, { actor, may, idempotencyKey }) {
      const id = params.id as BatchId
      if (summaryOf(await batches.find(id)).warning === true && !may('signet:admin')) {
        throw refuse('insufficient_scope', 'needs_wider_scope')
      }
      return show(await batches.start(id, given({ accept: body.accept, idempotencyKey }), actor))
    },
    pauseBatch: async ({ params }, { actor }) => show(await batches.pause(params.id as BatchId, actor)),
    resumeBatch: async ({ params }, { actor }) => show(await batches.resume(params.id as BatchId, actor)),
    cancelBatch: async ({ params }, { actor }) => show(await batches.cancel(params.id as BatchId, actor)),
    undoBatch: async ({ params, body }, { actor }) => show(await batches.undo(params.id as BatchId, body.reason, actor)),
  }
}

/** Names become ids here, and addresses digests: neither is kept. */
async function selectorOf(asked: Request<'planBatch'>['body']['selector'], parts: Parts): Promise<Selector> {
  const { client, subjects, network, agents = [], issued_from_ms, issued_to_ms, everything, scope, platform } = asked
  if (client !== undefined && (await parts.store.clients.find(client as ClientId)) === undefined) {
    throw refuse('not_found', 'unknown_client')
  }
  const sights = network === undefined ? undefined : sightsOf(network, agents, parts.keys)
  if (network !== undefined && sights === undefined) {
    throw invalid({ path: 'selector.network', message: 'must be an IPv4 /24 or an IPv6 /48: of others nothing is kept' })
  }
  return given({
    everything,
    client: client as ClientId | undefined,
    subjects: subjects === undefined ? undefined : await subjectsOf(subjects, parts),
    scope,
    issuedFromMs: issued_from_ms,
    issuedToMs: issued_to_ms,
    platform,
    sights: sights?.map(toBase64Url),
  })
}

async function subjectsOf(named: readonly string[], parts: Parts): Promise<readonly SubjectId[]> {
  const ids = new Set<SubjectId>()
  for (const [n, name] of named.entries()) {
    const found = isUuid(name) ? await parts.store.subjects.find(name as SubjectId) : await findByUsername(name, parts)
    if (found === undefined) throw invalid({ path: `selector.subjects.${n}`, message: 'is nobody that is known here' })
    ids.add(found.id)
  }
  return [...ids]
}

function show(batch: Record): Answer<'showBatch'> {
  const summary = summaryOf(batch)
  return {
    id: batch.id,
    action: batch.action,
    state: batch.state,
    reason: batch.reason,
    actor: batch.actor,
    selector: { ...summary.selector },
    method: summary.method ?? 'grants',
    entries: summary.entries ?? 0,
    grants: summary.grants,
    api_keys: summary.apiKeys,
    own_tokens: summary.ownTokens,
    touches: touchedBy(summary),
    sessions: summary.sessions,
    subjects: summary.subjects,
    clients: summary.clients,
    of_grants: summary.ofGrants,
    counted_to: summary.countedTo,
    covers_until_ms: summary.untilMs,
    warning: summary.warning ?? false,
    per_second: batch.perSecond,
    planned_at_ms: batch.plannedAtMs,
    started_at_ms: batch.startedAtMs,
    ended_at_ms: batch.endedAtMs,
    moved: batch.moved,
    unmoved: batch.unmoved,
    trouble: batch.trouble,
    undoes: batch.undoes,
    undone_by: batch.undoneBy,
  }
}
