/**
 * The tamper-evident record. Events gather into batches, one per commit; batches form a hash chain per node. Any two
 * parties must compute the same hashes, so the encoding is fixed here.
 */
import { toBase64Url } from './bytes.ts'
import type { Sha256 } from './surroundings.ts'

export const AUDIT_SCHEMA = 1

/** Ids and codes only: no token bytes, no secrets, no personal data. */
export interface AuditEvent {
  /** UUIDv7. */
  readonly id: string
  /** Epoch milliseconds. */
  readonly atMs: number
  /** `token.issued`, `token.refreshed`, `token.refused`, `revocation.made`, `key.rotated`, … see docs/audit-events.md. */
  readonly type: string
  /** Who did it: `client:…`, `subject:…`, `operator:…`, `system`. */
  readonly actor: string
  /** Ids by role (subject, client, family, session, device, token, parent, key, …). */
  readonly ids: Readonly<Record<string, string>>
  /** Everything else: codes, counts, scopes, policy version. Values are printable and at most 256 characters. */
  readonly detail?: Readonly<Record<string, string | number | boolean | readonly string[]>>
}

/** One link of a node's chain. */
export interface AuditBatch {
  /** Chain (node) id, UUID. */
  readonly chain: string
  /** 1, 2, 3, … within the chain. */
  readonly index: number
  readonly atMs: number
  /** JSON array of AuditEvent, byte for byte as hashed. */
  readonly events: string
  readonly count: number
  /** Hash of the batch before; 32 zero bytes for the first. */
  readonly previous: Uint8Array
  readonly hash: Uint8Array
}

export const GENESIS = new Uint8Array(32)

/** RFC 6962 §2.1 Merkle tree hash over the events, so that one event can be proven without showing the others. */
export function eventsRoot(sha256: Sha256, events: readonly string[]): Uint8Array {
  if (events.length === 0) return sha256(new Uint8Array(0))
  if (events.length === 1) return sha256(`\u0000${events[0] as string}`) // The byte 0, then the event in UTF-8.
  let split = 1
  while (split * 2 < events.length) split *= 2
  const left = eventsRoot(sha256, events.slice(0, split))
  const right = eventsRoot(sha256, events.slice(split))
  inner.set(left, 1)
  inner.set(right, 33)
  return sha256(inner)
}

/** The byte 1 and two hashes: filled and hashed at once, over and over. */
const inner = new Uint8Array(65)
inner[0] = 1

/** Hash of a batch: SHA-256 over schema, chain, index, time, previous hash and the root of its events. */
export function batchHash(
  sha256: Sha256,
  batch: { chain: string; index: number; atMs: number; previous: Uint8Array; root: Uint8Array },
): Uint8Array {
  const head = `signet-audit ${AUDIT_SCHEMA}\n${batch.chain}\n${batch.index}\n${batch.atMs}\n${toBase64Url(batch.previous)}\n${toBase64Url(batch.root)}\n`
  return sha256(head)
}

/** Joins events to the JSON array that is stored; each element is hashed as it stands here. */
export const joinEvents = (events: readonly string[]): string => `[\n${events.join(',\n')}\n]`

/** The elements of a stored array, byte for byte as hashed. */
export const splitEvents = (stored: string): readonly string[] => (stored === '[\n\n]' ? [] : stored.slice(2, -2).split(',\n'))
