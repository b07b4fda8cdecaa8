/**
 * What undoing a wide revocation needs to know: since when the grants of a subject, a client or the issuer had ended before it.
 * Noted in the revocation's own transaction and kept as long as its entry.
 */
import type { Sha256 } from '@signet/kernel/surroundings.ts'
import type { Tx } from '../store/store.ts'
import { findRevokedMs, WIDE } from './standing.ts'
import type { Act, KnownTarget, Span } from './target.ts'

export interface Prior {
  keep(span: Span): Promise<void>
}

/** To be called before the standing moves; undefined where there is nothing that could be brought back. */
export async function notePrior(tx: Tx, target: KnownTarget, act: Act, sha256: Sha256): Promise<Prior | undefined> {
  if (act !== 'revoke' || !target.isOwn || !WIDE.includes(target.kind)) return undefined
  const revokedMs = await findRevokedMs(tx, target)
  return {
    async keep({ cutoffMs, dropAfter }) {
      const key = priorOf(sha256, target, cutoffMs)
      // The same cutoff twice is the same revocation; what was before the first is what counts.
      if ((await tx.idempotency.find(key)) === undefined) await tx.idempotency.put(key, String(revokedMs), dropAfter)
    },
  }
}

/** Undefined when the entry ended no grants: a claims epoch, a suspension. */
export async function findPrior(
  tx: Tx,
  target: Pick<KnownTarget, 'kind' | 'issuer' | 'id'>,
  cutoffMs: number,
  sha256: Sha256,
): Promise<number | undefined> {
  const noted = await tx.idempotency.find(priorOf(sha256, target, cutoffMs))
  return noted === undefined ? undefined : Number(noted)
}

const priorOf = (
  sha256: Sha256,
  { kind, issuer, id }: Pick<KnownTarget, 'kind' | 'issuer' | 'id'>,
  cutoffMs: number,
): Uint8Array => sha256(['signet/revocation/prior', kind, issuer, id, String(cutoffMs)].join('\u0000'))
