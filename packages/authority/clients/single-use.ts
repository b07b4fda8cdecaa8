/** What works once: client assertions (RFC 7523 §3) and DPoP proofs (RFC 9449 §11.1). Used up in the commit of what they bought, for all nodes. */
import { type Refusal, refusal } from '@signet/kernel/errors.ts'
import type { Tx } from '../store/store.ts'

export interface SingleUse {
  /** Digest, at most 32 bytes. */
  readonly key: Uint8Array
  /** After it the thing itself is refused as expired, so it need not be remembered. */
  readonly expiresAt: number
  /** What to say to the second one. */
  readonly again: 'assertion_replayed' | 'proof_replayed'
}

/** Uses them up; refuses, and so undoes the transaction, when one was used before. */
export async function useUp(tx: Tx, uses: readonly SingleUse[]): Promise<void> {
  for (const use of uses) if (!(await tx.replay.remember(use.key, use.expiresAt))) throw usedBefore(use)
}

function usedBefore(use: SingleUse): Refusal {
  return use.again === 'proof_replayed' ? refusal('invalid_dpop_proof', use.again) : refusal('invalid_client', use.again)
}
