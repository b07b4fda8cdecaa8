/**
 * The registry as one signed document. It is made from this node's own view in slices, so that a million entries stop nobody,
 * and kept for those who come right after: a node that starts anew meets all its readers at once.
 */
import { createHash } from 'node:crypto'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { fault } from '@signet/kernel/errors.ts'
import { RECORD_BYTES, SNAPSHOT_TYPE, type SnapshotPayload } from '@signet/kernel/feed.ts'
import type { RevocationView } from '@signet/kernel/revocation-view.ts'
import { frameSnapshot } from '@signet/kernel/snapshot.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import type { SignFeed } from './feed-frames.ts'

export interface FeedSnapshot {
  readonly epoch: string
  /** Complete up to and including this; later entries may be in it too. */
  readonly seq: number
  /** The body, in pieces. */
  readonly pieces: readonly Uint8Array[]
  readonly length: number
}

export interface SnapshotMaker {
  get(): Promise<FeedSnapshot>
}

export interface SnapshotParts {
  readonly view: RevocationView
  readonly issuer: string
  readonly sign: SignFeed
  readonly clock: Clock
  readonly timers: Timers
  /** Whether the stream can still be taken up after this number. */
  canResume(epoch: string, seq: number): boolean
}

/** One that is younger is given again although the log has gone on: the stream continues from its number. */
const REUSE_MS = 5000
/** An epoch that changes under our hands so often is a fault. */
const MAX_ATTEMPTS = 3

export function createSnapshotMaker(parts: SnapshotParts): SnapshotMaker {
  const { view, clock } = parts
  let made: { readonly snapshot: FeedSnapshot; readonly atMs: number } | undefined
  let making: Promise<FeedSnapshot> | undefined

  return {
    async get() {
      if (made !== undefined && isGood(made)) return made.snapshot
      making ??= make().finally(() => {
        making = undefined
      })
      return making
    },
  }

  function isGood({ snapshot, atMs }: { readonly snapshot: FeedSnapshot; readonly atMs: number }): boolean {
    const { epoch, seq } = view.position ?? {}
    if (snapshot.epoch !== epoch) return false
    return snapshot.seq === seq || (clock.monotonic() - atMs < REUSE_MS && parts.canResume(snapshot.epoch, snapshot.seq))
  }

  async function make(): Promise<FeedSnapshot> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const atMs = clock.monotonic()
      const snapshot = await makeOnce()
      if (snapshot === undefined) continue
      made = { snapshot, atMs }
      return snapshot
    }
    throw fault('overloaded', { because: 'the log was begun anew each time a snapshot was made' })
  }

  /** Undefined when another epoch began meanwhile. */
  async function makeOnce(): Promise<FeedSnapshot | undefined> {
    const { position, salt } = view
    if (position === undefined || salt === undefined) throw fault('store_unavailable', { because: 'the log was never read' })
    const digest = createHash('sha256')
    const records: Uint8Array[] = []
    let length = 0
    for (const piece of view.records()) {
      if (piece.length === 0) continue
      digest.update(piece)
      records.push(piece)
      length += piece.length
      if (length > SLICE_BYTES * records.length) await new Promise<void>((resolve) => parts.timers.soon(resolve))
    }
    if (view.salt !== salt || view.position?.epoch !== position.epoch) return undefined
    const payload: SnapshotPayload = {
      iss: parts.issuer,
      epoch: position.epoch,
      seq: position.seq,
      salt_version: salt.version,
      salt: toBase64Url(salt.bytes),
      count: length / RECORD_BYTES,
      sha256: toBase64Url(digest.digest()),
    }
    const header = frameSnapshot(parts.sign(SNAPSHOT_TYPE, payload), new Uint8Array(0))
    return { epoch: position.epoch, seq: position.seq, pieces: [header, ...records], length: header.length + length }
  }
}

/** Pieces above this size on average are large enough that others get their turn between them. */
const SLICE_BYTES = 8192
