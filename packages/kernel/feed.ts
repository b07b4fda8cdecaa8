/**
 * The words of the revocation feed, between authority and validators (docs/protocol/feed.md). Wire names are snake_case;
 * these are the JWS payloads themselves.
 */

/** `typ` of a signed batch on the stream. */
export const BATCH_TYPE = 'signet-batch+jwt'
/** `typ` of a signed head, the answer to a freshness probe. */
export const HEAD_TYPE = 'signet-head+jwt'
/** `typ` of the JWS that opens a snapshot. */
export const SNAPSHOT_TYPE = 'signet-snapshot+jwt'
export const SNAPSHOT_MEDIA_TYPE = 'application/vnd.signet.snapshot'

/** [key base64url, cutoff epoch milliseconds, drop-after epoch seconds] */
export type WireEntry = readonly [string, number, number]

/** Entries `from`..`to` of the log, whole and in order: nothing between them is missing. */
export interface BatchPayload {
  readonly iss: string
  /** Random id of the numbering; a restore or a failover that may have lost entries starts a new one. */
  readonly epoch: string
  readonly from: number
  readonly to: number
  readonly salt_version: number
  /** Epoch milliseconds of the signing node, for delay metrics only. */
  readonly at: number
  readonly entries: readonly WireEntry[]
}

export interface HeadPayload {
  readonly iss: string
  readonly epoch: string
  /** The last sequence number committed when the store was asked. */
  readonly seq: number
  /** Echo of the question, so that an old answer can't be given again. */
  readonly probe: string
  /** Milliseconds that the answering party's own knowledge is old; 0 at an authority that asked its store. */
  readonly age_ms: number
}

export interface SnapshotPayload {
  readonly iss: string
  readonly epoch: string
  /** The snapshot is complete up to and including this. */
  readonly seq: number
  readonly salt_version: number
  /** base64url, 16 bytes. */
  readonly salt: string
  readonly count: number
  /** base64url SHA-256 of the records that follow. */
  readonly sha256: string
}

/** One snapshot record: key 16 bytes, cutoff milliseconds 6 bytes big-endian, drop-after seconds 5 bytes big-endian. */
export const RECORD_BYTES = 27
