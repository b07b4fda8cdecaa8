/** From log entries to what goes over the wire: a signed batch in one server-sent event, made once for all readers. */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { BATCH_TYPE, type BatchPayload } from '@signet/kernel/feed.ts'
import type { LogEntry } from '../store/ports/revocations.ts'

/** Signs a payload as a compact JWS of this `typ` with the active feed key. Throws a fault when there is none. */
export type SignFeed = (typ: string, payload: object) => string

/** Entries `from`..`to`, signed and framed. */
export interface Frame {
  readonly from: number
  readonly to: number
  readonly bytes: Uint8Array
}

/** Entries in one batch, at most. */
export const MAX_BATCH = 1000
/** Tells readers how soon to come back after the stream broke, milliseconds. */
const RETRY_MS = 1000

/** `entries` are dense, in order, of one epoch, and at least one. */
export function frameBatch(
  entries: readonly LogEntry[],
  about: { readonly issuer: string; readonly saltVersion: number; readonly nowMs: number },
  sign: SignFeed,
): Frame {
  const first = entries[0] as LogEntry
  const from = first.seq
  const to = from + entries.length - 1
  const payload: BatchPayload = {
    iss: about.issuer,
    epoch: first.epoch,
    from,
    to,
    salt_version: about.saltVersion,
    at: about.nowMs,
    entries: entries.map(({ key, cutoffMs, dropAfter }) => [toBase64Url(key), cutoffMs, dropAfter]),
  }
  return { from, to, bytes: encode(`id: ${first.epoch}:${to}\nevent: batch\ndata: ${sign(BATCH_TYPE, payload)}\n\n`) }
}

/** The batch within a frame, for those who carry it by other means; undefined when it holds none. */
export function jwsOfFrame(bytes: Uint8Array): string | undefined {
  return /^event: batch\ndata: (\S+)$/m.exec(new TextDecoder().decode(bytes))?.[1]
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Opens every stream: the reader's waiting time, and bytes that carry the headers past any buffer. */
export const OPENING = encode(`retry: ${RETRY_MS}\n\n`)
export const HEARTBEAT = encode(':\n\n')
export const RESET = encode('event: reset\ndata: {}\n\n')
