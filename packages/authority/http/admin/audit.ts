/** `/audit`, `/lineage`: searching the record, proving it, where a token came from. */
import type { Answer } from '@signet/api/schema.ts'
import type { AuditEvent } from '@signet/kernel/audit-entry.ts'
import { type AuditPlace, searchAudit } from '../../administration/audit-search.ts'
import { onlyOne } from '../../administration/only-one.ts'
import { invalid, refuse } from '../../administration/reasons.ts'
import { makeCheckpoint } from '../../audit/checkpoint.ts'
import { type LineageNode, lineage } from '../../audit/lineage.ts'
import { verifyAudit } from '../../audit/verify.ts'
import { page } from './page.ts'
import type { AdminParts, Some } from './parts.ts'

type Parts = Pick<AdminParts, 'store' | 'keys' | 'issuer' | 'clock' | 'chance'>
type Names = 'searchAudit' | 'verifyAudit' | 'listCheckpoints' | 'makeCheckpoint' | 'showLineage'

const DAY_MS = 86_400_000

export function auditHandlers(parts: Parts): Some<Names> {
  const { store, keys, clock } = parts
  const verifying = onlyOne()
  return {
    async searchAudit({ query }) {
      const { events, next } = await searchAudit(
        {
          text: query.text,
          type: query.type,
          fromMs: query.from_ms ?? clock.now() - DAY_MS,
          toMs: query.to_ms ?? clock.now() + DAY_MS, // Another node's clock may be ahead of ours.
          after: query.after === undefined ? undefined : readPlace(query.after),
          limit: query.limit,
        },
        store,
      )
      const items = events.map((event) => ({ ...showEvent(event), chain: event.chain, index: event.index }))
      return next === undefined ? { items } : { items, next: writePlace(next) }
    },

    verifyAudit: ({ body }) =>
      verifying(async function* () {
        const beganMs = clock.monotonic()
        const walk = verifyAudit(store.audit, keys, { copies: body.copies })
        let step = await walk.next()
        for (; step.done !== true; step = await walk.next()) yield { kind: 'progress' as const, ...step.value }
        const { lastCheckpointAtMs, findings, ...counts } = step.value
        yield {
          kind: 'result' as const,
          ...counts,
          findings: findings.map((finding) => ({ ...finding })),
          last_checkpoint_at_ms: lastCheckpointAtMs,
          took_ms: clock.monotonic() - beganMs,
        }
      }),

    listCheckpoints: ({ query }) =>
      page(
        query,
        ({ after, limit }) => store.audit.checkpointsBefore(after === undefined ? undefined : readNumber(after), limit),
        ({ place }) => String(place),
        ({ atMs, note }) => ({ at_ms: atMs, note }),
      ),

    async makeCheckpoint(_request, { actor }) {
      const note = await makeCheckpoint(parts, actor)
      if (note === undefined) throw refuse('conflict', 'busy') // Another node made it this moment; it says the same.
      return { at_ms: clock.now(), note }
    },

    async showLineage({ params }) {
      const found = await lineage(store, params.id, { issuer: parts.issuer })
      if (found === undefined) throw refuse('not_found', 'unknown_id')
      return { id: found.id, kind: found.kind, complete: found.complete, root: showNode(found.root) }
    },
  }
}

const writePlace = ({ atMs, chain, index }: AuditPlace): string => `${atMs}.${index}.${chain}`

const noNext = () => invalid({ path: 'after', message: 'is not the `next` of a page' })

function readNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw noNext()
  return Number(text)
}

function readPlace(text: string): AuditPlace {
  const found = /^(\d{1,15})\.(\d{1,15})\.([0-9a-f-]{36})$/.exec(text)
  if (found === null) throw noNext()
  return { atMs: Number(found[1]), index: Number(found[2]), chain: found[3] as string }
}

const showEvent = (event: AuditEvent) => ({
  id: event.id,
  at_ms: event.atMs,
  type: event.type,
  actor: event.actor,
  ids: { ...event.ids },
  detail: { ...event.detail },
})

const showNode = (node: LineageNode): Answer<'showLineage'>['root'] => ({
  kind: node.kind,
  id: node.id,
  events: node.events.map(showEvent),
  ...(node.ended === undefined ? {} : { ended: showEvent(node.ended) }),
  children: node.children.map(showNode),
})
