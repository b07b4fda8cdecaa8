/** Taking back, suspending, undoing; the log; who has applied what. */
import type { AdminScope, Answer, Request } from '@signet/api/schema.ts'
import { targetOfToken } from '../../administration/inspect.ts'
import { refuse } from '../../administration/reasons.ts'
import { guardMilliseconds } from '../../policy/settings.ts'
import { GONE_AFTER_MS } from '../../revocation/fleet.ts'
import type { Revoker } from '../../revocation/revoke.ts'
import type { Target } from '../../revocation/target.ts'
import { given } from './page.ts'
import type { AdminParts, Some } from './parts.ts'

type Parts = Pick<AdminParts, 'store' | 'keys' | 'revoker' | 'registry' | 'feed' | 'settings' | 'issuer'>
type Receipt = Awaited<ReturnType<Revoker['revoke']>>
type LogEntry = Awaited<ReturnType<AdminParts['store']['revocations']['after']>>[number]
type Names = 'revoke' | 'listRevocations' | 'undoRevocations' | 'suspend' | 'resume' | 'showFeed'

export function revocationHandlers({ store, keys, revoker, registry, feed, settings, issuer }: Parts): Some<Names> {
  return {
    async revoke({ body }, { actor, idempotencyKey, may }) {
      const target = targetOf(body.target, { issuer, keys })
      if (!may(scopeFor(target, issuer))) throw refuse('insufficient_scope', 'needs_wider_scope')
      const why = { reason: body.reason, actor, keepGrants: body.keep_grants, ...given({ idempotencyKey }) }
      return showReceipt(target, issuer, await revoker.revoke(target, why))
    },

    async listRevocations({ query }) {
      const { epoch, seq, floor } = await store.revocations.head()
      const entries = await store.revocations.after(query.after, query.limit)
      const last = entries.at(-1)
      return {
        items: entries.map(showEntry),
        head: { epoch, seq, floor },
        ...(last === undefined || entries.length < query.limit ? {} : { next: last.seq }),
      }
    },

    undoRevocations({ body: { epoch, seqs, reason, here } }, { actor, idempotencyKey }) {
      return revoker.undo({ epoch, seqs }, { reason, here, actor, ...given({ idempotencyKey }) })
    },

    async suspend({ body }, { actor, idempotencyKey }) {
      const { target, reason } = body
      return showReceipt(target, issuer, await revoker.suspend(target, { reason, actor, ...given({ idempotencyKey }) }))
    },

    async resume({ params, query }, { actor, idempotencyKey }) {
      await revoker.resume(params, { reason: query.reason, here: query.here === 'true', actor, ...given({ idempotencyKey }) })
      return undefined
    },

    async showFeed() {
      const { epoch, seq, floor, salt } = await store.revocations.head()
      const ageMs = registry.ageMs()
      return {
        epoch,
        seq,
        floor,
        salt_version: salt.version,
        guard_ms: guardMilliseconds(settings),
        open: settings.feedOpen,
        node: { seq: registry.position?.seq ?? 0, age_ms: Number.isFinite(ageMs) ? ageMs : null },
        readers: feed.readers,
        fleet: await store.fleet.count({ epoch, seq, headEpoch: epoch, presentOnly: true }, (await store.now()) - GONE_AFTER_MS),
      }
    },
  }
}

/** What ends a signing key, or everything, is for those who may do just that. */
function scopeFor({ kind, id }: Target, ownIssuer: string): AdminScope {
  if (kind === 'key') return 'signet:keys'
  return kind === 'issuer' && id === ownIssuer ? 'signet:admin' : 'signet:revoke'
}

function targetOf(named: Request<'revoke'>['body']['target'], parts: Pick<Parts, 'issuer' | 'keys'>): Target {
  if ('token' in named) return targetOfToken(named.token, parts)
  return { kind: named.kind, id: named.id, ...given({ issuer: named.issuer, expiresAt: named.expires_at }) }
}

export function showReceipt(target: Target, ownIssuer: string, receipt: Receipt): Answer<'revoke'> {
  return {
    target: { kind: target.kind, id: target.id, issuer: target.issuer ?? ownIssuer },
    epoch: receipt.epoch,
    seq: receipt.seq,
    cutoff_ms: receipt.cutoffMs,
    committed_at_ms: receipt.committedAtMs,
    already: receipt.already,
    ...given({ moot: receipt.moot }),
  }
}

export const showEntry = (entry: LogEntry) => ({
  seq: entry.seq,
  epoch: entry.epoch,
  at_ms: entry.atMs,
  kind: entry.kind,
  issuer: entry.issuer,
  target: entry.target,
  reason: entry.reason,
  actor: entry.actor,
  cutoff_ms: entry.cutoffMs,
  drop_after: entry.dropAfter,
  ...given({ region: entry.origin }),
})
