/**
 * A key as it lies in the store: its private part sealed under the master key, with id, purpose and algorithm
 * authenticated, so that a row cannot be altered, swapped or added by someone who can only write to the database. When a
 * key will never sign again its private part is dropped; what remains is its public part, sealed the same way.
 */
import { createHmac, createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { KeyId } from '@signet/kernel/ids.ts'
import type { PolicySettings, SigningAlgorithm } from '../policy/settings.ts'
import type { KeyPurpose, KeyRecord, KeyState } from '../store/ports/keys.ts'
import { fitsAlgorithm, isSigningAlgorithm, publicJwkOf, signingFunction } from './algorithms.ts'
import { type MasterKey, MasterKeyError } from './master-key.ts'

export const KEY_PURPOSES: readonly KeyPurpose[] = ['token', 'feed', 'ring', 'audit']
export const RING_ALGORITHM = 'HS256'
export const RING_KEY_BYTES = 32

/** Which algorithm a new key of this purpose has. */
export function algorithmFor(
  purpose: KeyPurpose,
  settings: Pick<PolicySettings, 'signingAlgorithm' | 'feedSigningAlgorithm'>,
): string {
  switch (purpose) {
    case 'token':
      return settings.signingAlgorithm
    case 'feed':
      return settings.feedSigningAlgorithm
    case 'audit':
      return 'EdDSA' // C2SP signed notes are signed with Ed25519.
    case 'ring':
      return RING_ALGORITHM
  }
}

/** A key's private part: a KeyObject for signing keys, raw bytes for ring keys. */
export type Material =
  | { readonly kind: 'signing'; readonly alg: SigningAlgorithm; readonly key: KeyObject }
  | { readonly kind: 'ring'; readonly bytes: Uint8Array }

export interface NewKey {
  readonly id: KeyId
  readonly purpose: KeyPurpose
  readonly version: number
  readonly state: 'next' | 'active'
  readonly createdAt: number
  readonly activeAt: number
}

/** The record of a new key. */
export function sealKey(master: MasterKey, material: Material, key: NewKey): KeyRecord {
  if (material.kind === 'ring') {
    return { ...key, alg: RING_ALGORITHM, wrapped: master.seal(material.bytes, context({ ...key, alg: RING_ALGORITHM })) }
  }
  const der = material.key.export({ type: 'pkcs8', format: 'der' })
  const wrapped = master.seal(der, context({ ...key, alg: material.alg }))
  der.fill(0)
  return { ...key, alg: material.alg, publicJwk: JSON.stringify(publicJwkOf(createPublicKey(material.key))), wrapped }
}

/** The same record without its private part, for a key that will never sign again. */
export function dropPrivatePart(master: MasterKey, record: KeyRecord): KeyRecord {
  return { ...record, wrapped: master.seal(Buffer.from(record.publicJwk ?? ''), publicContext(record)) }
}

/** What can sign now. */
export interface SigningKey {
  readonly id: KeyId
  /** JWA name: goes to the JWS header. */
  readonly alg: string
  /** Signs on this thread; JOSE form (RFC 7518 §3). */
  sign(data: Uint8Array): Uint8Array
}

/** What tags refresh tokens and nonces, and seals opaque access tokens. */
export interface RingKey {
  readonly version: number
  /** HMAC-SHA-256, 32 bytes. Callers begin `data` with a name of their own, so that no tag serves two uses. */
  hmac(data: Uint8Array): Uint8Array
}

export interface OpenedKey {
  readonly record: KeyRecord
  readonly publicKey?: KeyObject
  readonly publicJwk?: Readonly<Record<string, unknown>>
  readonly signing?: SigningKey
  readonly ring?: RingKey
}

/** Opens a record; undefined when the master key does not fit it or it was altered. */
export function openKey(master: MasterKey, record: KeyRecord): OpenedKey | undefined {
  return isSpent(record.state) ? openPublicPart(master, record) : openPrivatePart(master, record)
}

/** Whether a key in this state has no private part any more. */
export const isSpent = (state: KeyState): boolean => state === 'retired' || state === 'compromised'

function openPrivatePart(master: MasterKey, record: KeyRecord): OpenedKey | undefined {
  const plain = master.open(record.wrapped, context(record))
  if (plain === undefined) return undefined
  if (record.purpose === 'ring') {
    const key = createSecretKey(plain)
    const ring = { version: record.version, hmac: (data: Uint8Array) => createHmac('sha256', key).update(data).digest() }
    return { record, ring }
  }
  if (!isSigningAlgorithm(record.alg)) return undefined
  const privateKey = createPrivateKey({
    key: Buffer.from(plain.buffer, plain.byteOffset, plain.length),
    type: 'pkcs8',
    format: 'der',
  })
  plain.fill(0)
  if (!fitsAlgorithm(record.alg, privateKey)) return undefined
  // Taken from the private part, which is authenticated, not from the column beside it, which is not.
  const publicKey = createPublicKey(privateKey)
  const signing = { id: record.id, alg: record.alg, sign: signingFunction(record.alg, privateKey) }
  return { record, publicKey, publicJwk: publicJwkOf(publicKey), signing }
}

/**
 * A key as other regions may have it, in any state: its public part, taken from where it is authenticated, sealed under the master key
 * that all regions have. So nobody who can only write to a database adds a key to theirs.
 */
export function publicRecord(master: MasterKey, { record, publicJwk }: OpenedKey): KeyRecord {
  return isSpent(record.state) ? record : dropPrivatePart(master, { ...record, publicJwk: JSON.stringify(publicJwk) })
}

/** Opens a public part, of whichever state; undefined when the master key does not fit it or it was altered. */
export function openPublicPart(master: MasterKey, record: KeyRecord): OpenedKey | undefined {
  const plain = master.open(record.wrapped, publicContext(record))
  if (plain === undefined) return undefined
  if (record.purpose === 'ring') return { record }
  const publicJwk = JSON.parse(Buffer.from(plain).toString()) as Record<string, unknown>
  return { record, publicKey: createPublicKey({ key: publicJwk, format: 'jwk' }), publicJwk }
}

const context = (key: {
  readonly id: KeyId
  readonly purpose: KeyPurpose
  readonly alg: string
  readonly version: number
}): string => `signet/key/1\n${key.id}\n${key.purpose}\n${key.alg}\n${key.version}`
const publicContext = (key: KeyRecord): string => `${context(key)}\npublic`

/** Throws `MasterKeyError` unless the master key opens every one of these. */
export function assertOpens(master: MasterKey, records: readonly KeyRecord[]): void {
  const shut = records.filter((record) => openKey(master, record) === undefined)
  if (shut.length > 0) throw new MasterKeyError(complaint(shut, records.length - shut.length))
}

/** What to tell people of keys that the master key does not open. */
export function complaint(shut: readonly KeyRecord[], opened: number): string {
  const names = shut.map((record) => `${record.purpose} key ${record.id}`).join(', ')
  return opened === 0
    ? `The master key is not the one this store was made with: it opens none of its ${shut.length} keys. Give the right master key; nothing has been changed.`
    : `Keys in the store were altered: the master key opens ${opened} of them but not ${names}.`
}
