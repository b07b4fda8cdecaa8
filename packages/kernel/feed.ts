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
/** `typ` of the signed key set, with which keys travel over relays. */
export const KEYS_TYPE = 'signet-keys+jwt'
/** With the JWKS: the epoch of the log that the answering node was in when it read its keys. */
export const EPOCH_HEADER = 'signet-epoch'
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
  /** Relays between the answering party and the authority, itself included; absent at an authority. */
  readonly hops?: number
}

/**
 * Heads signed for one network by an authority or a relay that serves everybody: enough for the readers that one network may have (a
 * thousand streams), each of which probes twice a second.
 */
export const PROBES_OF_NETWORK = { perSecond: 2000, burst: 4000 }

/** Relays in a row, at most: more are a loop, or a mistake. */
export const MAX_HOPS = 8

/** All public keys of an authority, vouched for by one of its feed keys: for who gets them from somebody else. */
export interface KeysPayload {
  readonly iss: string
  /** Epoch milliseconds of the signing node. A receiver takes none that is older than the last it took. */
  readonly at: number
  /** The epoch of the log that they were read in; `-` while the node that signs has doubts. */
  readonly epoch?: string
  readonly token_keys: readonly unknown[]
  readonly feed_keys: readonly unknown[]
}

/** A signed key set is no older than this when it leaves the authority; so far apart two in a row may seem to go back. Milliseconds. */
export const KEYS_KEPT_MS = 30_000

/** Where a relay says what it relays. */
export const RELAY_PATH = '/.well-known/signet-relay'

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
