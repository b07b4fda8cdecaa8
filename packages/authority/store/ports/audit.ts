/** Reading the audit record. It is written with `Tx.audit`. */
import type { AuditBatch } from '@signet/kernel/audit-entry.ts'

export interface AuditLookups {
  /** Chains with their heads. */
  chains(): Promise<readonly { chain: string; index: number; hash: Uint8Array; startedAtMs: number }[]>
  /** Heads of the chains whose last batch is of that time or later. */
  headsSince(atMs: number): Promise<readonly { chain: string; index: number; hash: Uint8Array }[]>
  /** Batches of one chain from `fromIndex` on, in order. */
  batches(chain: string, fromIndex: number, limit: number): Promise<readonly AuditBatch[]>
  /** Batches at or after `fromMs` that contain the text, in time order. Pages by (atMs, chain, index). */
  search(search: {
    text?: string
    fromMs: number
    toMs: number
    limit: number
    after?: { atMs: number; chain: string; index: number }
  }): Promise<readonly AuditBatch[]>
  /** All of them, in order. */
  checkpoints(): Promise<readonly StoredCheckpoint[]>
  /** Those before a place, or the last; newest first. */
  checkpointsBefore(place: number | undefined, limit: number): Promise<readonly (StoredCheckpoint & { readonly place: number })[]>
}

export interface StoredCheckpoint {
  readonly atMs: number
  readonly note: string
}
