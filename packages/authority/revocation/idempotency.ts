/**
 * What is remembered under an idempotency key: whoever had no answer asks again with the same key, and is told what was done instead of its
 * being done twice. A key belongs to the actor who chose it, and to one request of theirs.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import type { Tx } from '../store/store.ts'
import { refuse } from './refuse.ts'

/** `Made` is what a repetition is told again. */
export interface Claim<Made> {
  /** What was done before; undefined when nothing was. Refusal: `conflict` with `idempotency_key_reused`, when the key came with another request. */
  find(tx: Tx): Promise<{ readonly made: Made } | undefined>
  /** Counts as done from this transaction on. Of two at once the store lets one win and runs the other again, which then finds it. */
  keep(tx: Tx, made: Made): Promise<void>
}

/** A key is remembered for so long; most entries are. */
const IDEMPOTENCY_SECONDS = 3600

/** `request` is what is asked for, in words that no other request has. Undefined without a key: then nothing is remembered. */
export function claimFor<Made>(
  request: readonly string[],
  { actor, idempotencyKey }: { readonly actor: string; readonly idempotencyKey?: string | undefined },
  sha256: Sha256,
): Claim<Made> | undefined {
  if (idempotencyKey === undefined) return undefined
  const digest = (words: readonly string[]): Uint8Array => sha256(words.join('\u0000'))
  const key = digest(['signet/revocation/request', actor, idempotencyKey])
  const asked = toBase64Url(digest(request))
  return {
    async find(tx) {
      const stored = await tx.idempotency.find(key)
      if (stored === undefined) return undefined
      const { request, made } = JSON.parse(stored) as { readonly request: string; readonly made: Made }
      if (request !== asked) throw refuse('conflict', 'idempotency_key_reused')
      return { made }
    },
    keep: (tx, made) =>
      tx.idempotency.put(key, JSON.stringify({ request: asked, made }), epochSeconds(tx.nowMs) + IDEMPOTENCY_SECONDS),
  }
}
