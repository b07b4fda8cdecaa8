/**
 * What a validator keeps on disk, so that it can start while the authority is away: keys, the registry with its position and salt,
 * and the wall time at which all that was known to be complete. A restarted validator knows how old its knowledge is.
 *
 * The file is replaced as a whole (written aside, synced, renamed), readable by its owner only, and its checksum finds damage. It
 * is no protection against whoever may write to it: that is what its permissions are for.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import { RECORD_BYTES } from '@signet/kernel/feed.ts'
import type { Salt } from '@signet/kernel/revocation.ts'
import type { Position, RevocationView } from '@signet/kernel/revocation-view.ts'
import { isRecord } from './jwk.ts'
import { isOwnersToWrite, replaceFile } from './private-file.ts'
import type { TrustedFeedKeys } from './signed-keys.ts'
import { sha256 } from './surroundings.ts'

export interface Kept {
  readonly issuer: string
  /** JWKs by issuer, as they came. */
  readonly jwks: Readonly<Record<string, readonly unknown[]>>
  readonly registry: KeptRegistry | undefined
  readonly feed?: KeptFeedKeys
}
/** Feed keys that follow from what was pinned. */
export interface KeptFeedKeys extends TrustedFeedKeys {
  /** Names the pins. */
  readonly pins: string
}
export interface KeptRegistry {
  readonly position: Position
  readonly salt: Salt
  readonly records: Uint8Array
  /** Epoch milliseconds on this machine's wall clock at which everything up to `position` was known; undefined when it never was. */
  readonly freshAtMs: number | undefined
}

/** Of a file that cannot be used: told, and the validator starts without it. */
export class CacheFileFault extends Error {
  constructor(why: string, cause?: unknown) {
    super(`the cache file is not used: ${why}`, { cause })
    this.name = 'CacheFileFault'
  }
}

const MAGIC = 'signet-validator-1\n'
const DIGEST_BYTES = 32
const MAX_HEADER_BYTES = 4 * 1024 * 1024

/**
 * Writes the file. `view` is read piece by piece with a turn of the event loop in between: what comes in meanwhile may be in it,
 * which harms nothing, while position, salt and time are those of the start. So is the epoch: records of another would be under another salt.
 */
export async function writeCacheFile(
  path: string,
  kept: {
    issuer: string
    jwks: Kept['jwks']
    view: RevocationView
    freshAtMs: number | undefined
    feed?: KeptFeedKeys | undefined
  },
): Promise<void> {
  const { view } = kept
  const header = JSON.stringify({
    issuer: kept.issuer,
    jwks: kept.jwks,
    ...(kept.feed === undefined ? {} : { feed: { pins: kept.feed.pins, jwks: kept.feed.jwks, at_ms: kept.feed.atMs } }),
    ...(view.position === undefined || view.salt === undefined
      ? {}
      : {
          epoch: view.position.epoch,
          seq: view.position.seq,
          salt_version: view.salt.version,
          salt: toBase64Url(view.salt.bytes),
          fresh_at_ms: kept.freshAtMs,
        }),
  })
  const pieces = view.position === undefined ? [] : view.records()
  const digest = createHash('sha256')
  await replaceFile(path, async (file) => {
    const write = async (bytes: Uint8Array): Promise<void> => {
      digest.update(bytes)
      await file.write(bytes)
    }
    const headerBytes = Buffer.from(header)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(headerBytes.length)
    await write(Buffer.concat([Buffer.from(MAGIC), length, headerBytes]))
    for (const records of pieces) if (records.length > 0) await write(records)
    await file.write(digest.digest())
  })
}

/** Reads it back. Undefined when there is none; throws `CacheFileFault` when it is not to be trusted. */
export async function readCacheFile(path: string, issuer: string): Promise<Kept | undefined> {
  let bytes: Buffer
  try {
    if (!isOwnersToWrite(await stat(path))) throw new CacheFileFault('others may write to it')
    bytes = await readFile(path)
  } catch (cause) {
    if (cause instanceof CacheFileFault) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CacheFileFault('it cannot be read', cause)
  }
  const start = MAGIC.length + 4
  if (bytes.length < start + DIGEST_BYTES || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new CacheFileFault('it is not one of ours, or of another version')
  }
  const end = bytes.length - DIGEST_BYTES
  if (Buffer.compare(sha256(bytes.subarray(0, end)), bytes.subarray(end)) !== 0) throw new CacheFileFault('it is damaged')
  const length = bytes.readUInt32BE(MAGIC.length)
  if (length > MAX_HEADER_BYTES || start + length > end) throw new CacheFileFault('it is damaged')
  const kept = readHeader(bytes.toString('utf8', start, start + length), bytes.subarray(start + length, end))
  if (kept.issuer !== issuer) throw new CacheFileFault('it is of another issuer')
  return kept
}

function readHeader(text: string, records: Uint8Array): Kept {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (cause) {
    throw new CacheFileFault('it is damaged', cause)
  }
  if (!isRecord(header) || typeof header.issuer !== 'string' || !isRecord(header.jwks)) throw new CacheFileFault('it is damaged')
  const { epoch, seq, salt_version, fresh_at_ms } = header
  const salt = typeof header.salt === 'string' ? fromBase64Url(header.salt) : undefined
  const isWhole =
    typeof epoch === 'string' &&
    Number.isSafeInteger(seq) &&
    Number.isSafeInteger(salt_version) &&
    salt !== undefined &&
    records.length % RECORD_BYTES === 0
  return {
    issuer: header.issuer,
    jwks: header.jwks as Kept['jwks'],
    ...feedKeysOf(header.feed),
    registry: isWhole
      ? {
          position: { epoch, seq: seq as number },
          salt: { version: salt_version as number, bytes: salt },
          records,
          freshAtMs: typeof fresh_at_ms === 'number' ? fresh_at_ms : undefined,
        }
      : undefined,
  }
}

/** Files from before there was a time have none: what they hold is as old as can be. */
function feedKeysOf(feed: unknown): Pick<Kept, 'feed'> {
  if (!isRecord(feed) || typeof feed.pins !== 'string' || !Array.isArray(feed.jwks)) return {}
  const { pins, jwks, at_ms } = feed
  return { feed: { pins, jwks, atMs: typeof at_ms === 'number' ? at_ms : 0 } }
}
