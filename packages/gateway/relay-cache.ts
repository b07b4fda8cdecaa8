/**
 * What a relay keeps on disk, so that it can start while its upstream is away: the last snapshot and the batches after it, as they
 * came. They are verified anew when they are read; how old they are, and which feed keys were trusted, is believed as it stands, so
 * nobody else may write here. The snapshot, which may be large, has a file of its own and is written only when there is another.
 */
import { hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Timers } from '@signet/kernel/surroundings.ts'
import type { KeptFeed } from '@signet/validator/index.ts'
import { isOwnersToWrite, replaceFile } from '@signet/validator/private-file.ts'
import type { RelayedFeed } from './relayed-feed.ts'

export interface RelayCache {
  /** What was kept, unless it is of another issuer or other pinned keys. Throws when it must not be trusted. */
  read(): Promise<KeptFeed | undefined>
  write(feed: Pick<RelayedFeed, 'toKeep'>): Promise<void>
  /** Writes now and then. */
  start(feed: Pick<RelayedFeed, 'toKeep'>, onTrouble: (cause: unknown) => void): { stop(): void }
}

const WRITE_MS = 10_000
const FORMAT = 'signet-relay-1'

interface Tail {
  readonly format: string
  readonly issuer: string
  /** Names the pinned keys that everything here follows from. */
  readonly pins: string
  /** SHA-256 of the snapshot that this is the tail of. */
  readonly snapshot: string
  readonly batches: readonly string[]
  readonly keys?: string
  readonly feedJwks: readonly unknown[]
  /** Absent in files from before there was one. */
  readonly feedJwksAtMs?: number
  readonly freshAtMs?: number
}

export function createRelayCache(parts: {
  readonly directory: string
  readonly issuer: string
  readonly pins: string
  readonly timers: Timers
}): RelayCache {
  const { directory, issuer, pins, timers } = parts
  const snapshotFile = join(directory, 'relay-snapshot.bin')
  const tailFile = join(directory, 'relay-tail.json')
  let written: { readonly frame: Uint8Array; readonly digest: string } | undefined

  return {
    async read() {
      const tailText = await readOwn(tailFile)
      const snapshot = await readOwn(snapshotFile)
      if (tailText === undefined || snapshot === undefined) return undefined
      const tail = JSON.parse(tailText.toString('utf8')) as Tail
      if (tail.format !== FORMAT || tail.issuer !== issuer || tail.pins !== pins) return undefined
      const { keys } = tail
      const feedKeys = { jwks: tail.feedJwks, atMs: tail.feedJwksAtMs ?? 0 }
      // Written one after the other: after a crash in between, the snapshot is good by itself, but not as fresh as the tail says.
      const isWhole = hash('sha256', snapshot, 'base64url') === tail.snapshot
      const batches = isWhole ? tail.batches : []
      return { feedKeys, keys, snapshot, batches, freshAtMs: isWhole ? tail.freshAtMs : undefined }
    },
    write,
    start(feed, onTrouble) {
      let stopped = false
      const later = (): void => {
        const timer = timers.after(WRITE_MS, () => {
          write(feed)
            .catch(onTrouble)
            .finally(() => !stopped && later())
        })
        if (stopped) timer.cancel()
      }
      later()
      return {
        stop() {
          stopped = true
        },
      }
    },
  }

  async function write(feed: Pick<RelayedFeed, 'toKeep'>): Promise<void> {
    const kept = feed.toKeep()
    if (kept === undefined) return
    if (written?.frame !== kept.snapshot) {
      await replaceFile(snapshotFile, (file) => file.writeFile(kept.snapshot))
      written = { frame: kept.snapshot, digest: hash('sha256', kept.snapshot, 'base64url') }
    }
    const tail: Tail = {
      format: FORMAT,
      issuer,
      pins,
      snapshot: written.digest,
      batches: kept.batches,
      feedJwks: kept.feedKeys.jwks,
      feedJwksAtMs: kept.feedKeys.atMs,
      ...(kept.keys === undefined ? {} : { keys: kept.keys }),
      ...(kept.freshAtMs === undefined ? {} : { freshAtMs: kept.freshAtMs }),
    }
    await replaceFile(tailFile, (file) => file.writeFile(JSON.stringify(tail)))
  }
}

/** Undefined when there is no such file. */
async function readOwn(path: string): Promise<Buffer | undefined> {
  try {
    if (!isOwnersToWrite(await stat(path))) throw new Error(`${path} is not used: others may write to it`)
    return await readFile(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}
