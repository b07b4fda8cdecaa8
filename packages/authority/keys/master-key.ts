/**
 * The master key: 32 bytes that every private key in the store is encrypted under. It lives outside the store, in a file
 * only its owner can read or in the environment, so that a copy of the store alone signs nothing.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import type { Store } from '../store/store.ts'
import { createFile, isPrivate, makeDirectory } from '../surroundings.ts'

export const MASTER_KEY_BYTES = 32
/** Name of the environment variable, for messages and for the caller that reads it. */
export const MASTER_KEY_VARIABLE = 'SIGNET_MASTER_KEY'

/** The master key is missing, malformed, too widely readable, or not the one the store was made with. Its message is for people. */
export class MasterKeyError extends Error {
  override readonly name = 'MasterKeyError'
}

interface Source {
  readonly file?: string
  readonly env?: string
  readonly chance: Chance
}

/**
 * The master key from the environment (`env`, base64url of 32 bytes), else from `file`. With `create`, a missing file
 * is made: mode 0600 in a directory of mode 0700, whole or not at all, and of two processes that start together one
 * makes it and both use it. Throws `MasterKeyError`; a file that group or others may read or write is refused.
 */
export async function loadMasterKey(from: Source & { readonly create: boolean }): Promise<MasterKey> {
  let found = await findMasterKey(from)
  if (found === undefined && from.create && from.file !== undefined) {
    makeDirectory(dirname(from.file))
    const made = `${toBase64Url(from.chance.bytes(MASTER_KEY_BYTES))}\n`
    await createFile(from.file, (file) => file.writeFile(made))
    found = await findMasterKey(from)
  }
  if (found !== undefined) return found
  throw new MasterKeyError(`No master key: ${from.file} does not exist and ${MASTER_KEY_VARIABLE} is not set.`)
}

/** The same, or undefined while the file does not exist. */
export async function findMasterKey({ file, env, chance }: Source): Promise<MasterKey | undefined> {
  if (env !== undefined) return new MasterKey(parse(env, MASTER_KEY_VARIABLE), chance)
  if (file === undefined) throw new MasterKeyError(`No master key: set ${MASTER_KEY_VARIABLE} or name a file.`)
  const text = await readPrivate(file)
  return text === undefined ? undefined : new MasterKey(parse(text, file), chance)
}

/** The one that goes with a store. */
export type MasterOf = (store: Pick<Store, 'keys'>) => Promise<MasterKey>

const SEAL_VERSION = 1
const IV_BYTES = 12
const TAG_BYTES = 16

/** Seals and opens with AES-256-GCM. The key itself cannot be read back from it. */
export class MasterKey {
  readonly #key: KeyObject
  readonly #chance: Chance
  constructor(bytes: Uint8Array, chance: Chance) {
    if (bytes.length !== MASTER_KEY_BYTES) throw new MasterKeyError(`A master key has ${MASTER_KEY_BYTES} bytes.`)
    this.#key = createSecretKey(bytes)
    this.#chance = chance
  }

  /** version 1 ‖ IV 12 ‖ ciphertext ‖ tag 16. `context` is authenticated: what was sealed for one use opens for no other. */
  seal(plain: Uint8Array, context: string): Uint8Array {
    // A random 96-bit IV is safe for 2^32 seals (NIST SP 800-38D §8.3); a key ring makes a few per rotation.
    const iv = this.#chance.bytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context))
    return Buffer.concat([new Uint8Array([SEAL_VERSION]), iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  }

  /** What was sealed, or undefined when the key, the context or a single bit differs. */
  open(sealed: Uint8Array, context: string): Uint8Array | undefined {
    if (sealed.length < 1 + IV_BYTES + TAG_BYTES || sealed[0] !== SEAL_VERSION) return undefined
    const iv = sealed.subarray(1, 1 + IV_BYTES)
    const body = sealed.subarray(1 + IV_BYTES, sealed.length - TAG_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', this.#key, iv, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(context))
      .setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(body), decipher.final()])
    } catch {
      return undefined // Node reports a tag that does not verify by throwing.
    }
  }
}

function parse(text: string, source: string): Uint8Array {
  const bytes = fromBase64Url(text.trim())
  if (bytes?.length !== MASTER_KEY_BYTES) {
    throw new MasterKeyError(`The master key in ${source} is not base64url of ${MASTER_KEY_BYTES} bytes.`)
  }
  return bytes
}

/** More than any key file holds; a wrong path must not be read whole. */
const MAX_FILE_BYTES = 1024

async function readPrivate(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new MasterKeyError(`The master key file ${file} cannot be read.`, { cause: error })
  })
  if (handle === undefined) return undefined
  try {
    const stat = await handle.stat() // Of the open file, so that it cannot be swapped between look and read.
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES) throw new MasterKeyError(`${file} is not a master key file.`)
    if (process.platform !== 'win32') {
      if (!isPrivate(stat)) {
        throw new MasterKeyError(
          `Others may read or write the master key file ${file} (mode ${(stat.mode & 0o777).toString(8)}). Run: chmod 600 ${file}`,
        )
      }
      const self = process.getuid?.()
      if (self !== undefined && stat.uid !== self && stat.uid !== 0) {
        throw new MasterKeyError(`The master key file ${file} belongs to another user (uid ${stat.uid}).`)
      }
    }
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}
