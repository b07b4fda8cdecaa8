/** The signed messages of the feed, verified and read: batch, head, snapshot (docs/protocol/feed.md). */
import { fromBase64Url } from '@signet/kernel/bytes.ts'
import {
  BATCH_TYPE,
  HEAD_TYPE,
  type HeadPayload,
  KEYS_TYPE,
  type KeysPayload,
  MAX_HOPS,
  RECORD_BYTES,
  SNAPSHOT_TYPE,
  type SnapshotPayload,
} from '@signet/kernel/feed.ts'
import { KEY_BYTES, type Revocation } from '@signet/kernel/revocation.ts'
import type { RevocationBatch, RevocationSnapshot } from '@signet/kernel/revocation-view.ts'
import { unframeSnapshot } from '@signet/kernel/snapshot.ts'
import type { Algorithm } from './jwk.ts'
import { verifies } from './jwk.ts'
import { type Jws, mediaType, parseJws } from './jws.ts'
import { sha256 } from './surroundings.ts'
import type { KeyFinder } from './token.ts'

/** A message that cannot be believed or read. `unknown_key` may heal by asking for the keys again. */
export class FeedMessageFault extends Error {
  readonly reason:
    | 'malformed'
    | 'unknown_key'
    | 'bad_signature'
    | 'wrong_type'
    | 'wrong_issuer'
    | 'wrong_probe'
    | 'bad_digest'
    | 'left_epoch'
    | 'too_many_hops'
    | 'old_keys'
  constructor(reason: FeedMessageFault['reason']) {
    super(`the feed sent a message that does not count: ${reason}`)
    this.name = 'FeedMessageFault'
    this.reason = reason
  }
}

/** By whom a message must be signed. `seek` fetches the keys again when one is missing. */
export interface FeedTrust {
  readonly issuer: string
  readonly keys: KeyFinder
  seek(kid: string | undefined, alg: Algorithm): Promise<unknown>
}

/** A batch as a JWS may be so long; some 60 bytes for each of its entries. */
export const MAX_BATCH_CHARS = 4 * 1024 * 1024
const MAX_HEAD_CHARS = 8192
const MAX_KEYS_CHARS = 256 * 1024

/** A batch of the stream. `atMs` is when it was signed, by the signer's clock. */
export async function readBatch(text: string, trust: FeedTrust): Promise<{ batch: RevocationBatch; atMs: number | undefined }> {
  const payload = await open(text, MAX_BATCH_CHARS, BATCH_TYPE, trust)
  const { epoch, from, to, salt_version, at, entries } = payload
  if (!isEpoch(epoch) || !isSeq(from) || !isSeq(to) || !isSeq(salt_version) || !Array.isArray(entries)) throw malformed()
  // Whole: one entry for each number. Fewer would be a gap that nobody sees.
  if (entries.length !== to - from + 1) throw malformed()
  return {
    batch: { epoch, from, to, saltVersion: salt_version, entries: entries.map(readEntry) },
    atMs: typeof at === 'number' ? at : undefined,
  }
}

/** The answer to a probe: it must echo this very question. */
export async function readHead(text: string, probe: string, trust: FeedTrust): Promise<HeadPayload> {
  const payload = await open(text, MAX_HEAD_CHARS, HEAD_TYPE, trust)
  const { epoch, seq, age_ms } = payload
  if (payload.probe !== probe) throw new FeedMessageFault('wrong_probe')
  if (!isEpoch(epoch) || !isSeq(seq)) throw malformed()
  if (typeof age_ms !== 'number' || !(age_ms >= 0) || !Number.isFinite(age_ms)) throw malformed()
  const hops = payload.hops ?? 0
  if (!isSeq(hops)) throw malformed()
  if (hops > MAX_HOPS) throw new FeedMessageFault('too_many_hops')
  return payload as unknown as HeadPayload
}

/** All public keys, vouched for by a feed key that is trusted already. */
export async function readKeys(text: string, trust: FeedTrust): Promise<KeysPayload> {
  const payload = await open(text, MAX_KEYS_CHARS, KEYS_TYPE, trust)
  const { at, token_keys, feed_keys } = payload
  if (!isSeq(at) || !Array.isArray(token_keys) || !Array.isArray(feed_keys)) throw malformed()
  return payload as unknown as KeysPayload
}

/** A snapshot as the feed serves it. Its records are what the signed header says, to the byte. */
export async function readSnapshot(frame: Uint8Array, trust: FeedTrust): Promise<RevocationSnapshot> {
  const parts = unframeSnapshot(frame)
  if (parts === undefined) throw malformed()
  const payload = (await open(parts.jws, MAX_HEAD_CHARS, SNAPSHOT_TYPE, trust)) as unknown as SnapshotPayload
  const { epoch, seq, salt_version, count } = payload
  if (!isEpoch(epoch) || !isSeq(seq) || !isSeq(salt_version) || !isSeq(count)) throw malformed()
  const salt = typeof payload.salt === 'string' ? fromBase64Url(payload.salt) : undefined
  const digest = typeof payload.sha256 === 'string' ? fromBase64Url(payload.sha256) : undefined
  if (salt === undefined || salt.length !== 16 || digest === undefined) throw malformed()
  if (parts.records.length !== count * RECORD_BYTES) throw new FeedMessageFault('bad_digest')
  if (Buffer.compare(sha256(parts.records), digest) !== 0) throw new FeedMessageFault('bad_digest')
  return { epoch, seq, salt: { version: salt_version, bytes: salt }, records: parts.records }
}

async function open(text: string, maxChars: number, type: string, trust: FeedTrust): Promise<Jws['payload']> {
  const jws = parseJws(text.trim(), maxChars)
  if (typeof jws === 'string') throw malformed()
  const { header } = jws
  if (header.typ !== mediaType(type)) throw new FeedMessageFault('wrong_type')
  let key = trust.keys.find(header.kid, header.alg)
  if (key === undefined) {
    await trust.seek(header.kid, header.alg)
    key = trust.keys.find(header.kid, header.alg)
  }
  if (key === undefined) throw new FeedMessageFault('unknown_key')
  if (!verifies(key, jws.signed, jws.signature)) throw new FeedMessageFault('bad_signature')
  if (jws.payload.iss !== trust.issuer) throw new FeedMessageFault('wrong_issuer')
  return jws.payload
}

function readEntry(entry: unknown): Revocation {
  if (!Array.isArray(entry) || entry.length !== 3) throw malformed()
  const [text, cutoffMs, dropAfter] = entry
  const key = typeof text === 'string' ? fromBase64Url(text) : undefined
  if (key?.length !== KEY_BYTES || typeof cutoffMs !== 'number' || typeof dropAfter !== 'number') throw malformed()
  return { key, cutoffMs, dropAfter }
}

const malformed = (): FeedMessageFault => new FeedMessageFault('malformed')
const isSeq = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isEpoch = (value: unknown): value is string => typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value)
