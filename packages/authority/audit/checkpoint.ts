/**
 * Checkpoints: what ties the chains of all nodes together and to the outside. Each is a C2SP signed note
 * (c2sp.org/signed-note, Ed25519) over the heads of the chains that have grown and the hash of the checkpoint before. Whoever keeps a
 * copy elsewhere can prove later that no record before it was altered, removed or reordered, whatever happens to the store.
 */
import { hash, type KeyObject } from 'node:crypto'
import { concat, equalBytes } from '@signet/kernel/bytes.ts'
import { isUuid } from '@signet/kernel/ids.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'
import { verifySignature } from '../keys/algorithms.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { KeyState } from '../store/ports/keys.ts'
import type { Store } from '../store/store.ts'
import { type AuditActor, audited } from './events.ts'

export interface Checkpoint {
  /** 1, 2, 3, … */
  readonly number: number
  readonly issuer: string
  readonly atMs: number
  /** SHA-256 of the whole note before; 32 zero bytes in the first. */
  readonly previous: Uint8Array
  /** Of the chains that may have grown since the one before; the others stand in those before, as they are. */
  readonly heads: readonly ChainHead[]
}
export interface ChainHead {
  readonly chain: string
  readonly index: number
  readonly hash: Uint8Array
}

export interface CheckpointParts {
  readonly store: Pick<Store, 'transact' | 'audit' | 'now'>
  readonly keys: Pick<KeyRing, 'signer' | 'publicKey'>
  readonly issuer: string
  readonly chance: Chance
}

/**
 * Signs the heads as they stand and stores the note, audited. Undefined when another node made this checkpoint first.
 * Throws `fault('keys_unavailable')` without an audit key.
 */
export async function makeCheckpoint(parts: CheckpointParts, actor: AuditActor = 'system'): Promise<string | undefined> {
  return makeAfter(await findLast(parts.store), parts, actor)
}

/**
 * The same, but only when the last is `everyMs` old. It goes on from the very one that it found too old: when another node made one
 * meanwhile, that is the one that was due.
 */
export async function makeDueCheckpoint(parts: CheckpointParts, everyMs: number): Promise<string | undefined> {
  const last = await findLast(parts.store)
  const isDue = last === undefined || (await parts.store.now()) >= last.checkpoint.atMs + everyMs
  return isDue ? makeAfter(last, parts, 'system') : undefined
}

interface Stored {
  readonly note: string
  readonly checkpoint: Checkpoint
}

async function makeAfter(last: Stored | undefined, parts: CheckpointParts, actor: AuditActor): Promise<string | undefined> {
  const { store, keys, issuer, chance } = parts
  // Each start of a node begins a chain. With all that ever were, notes would grow for ever.
  const sinceMs = last === undefined ? 0 : Math.min(last.checkpoint.atMs, await store.now()) - OVERLAP_MS
  const heads = await store.audit.headsSince(sinceMs)
  const number = last === undefined ? 1 : last.checkpoint.number + 1
  const previous = last === undefined ? NO_NOTE : noteHash(last.note)
  const key = keys.signer('audit')
  const publicKey = keys.publicKey(key.id)?.key
  if (publicKey === undefined) throw new Error('a signer without its public key')
  return store.transact(async (tx) => {
    // The number is taken like a nonce, so that of nodes that make it at once one wins and the notes stay a chain.
    const slot = hash('sha256', `signet/checkpoint/${number}/${Buffer.from(previous).toString('hex')}`, 'buffer')
    if (!(await tx.replay.remember(slot, Math.floor(tx.nowMs / 1000) + SLOT_SECONDS))) return undefined
    const text = writeBody({ number, issuer, atMs: tx.nowMs, previous, heads })
    const note = signNote(text, noteName(issuer), publicKey, (data) => key.sign(data))
    await tx.meta.addCheckpoint(tx.nowMs, note)
    tx.audit(
      audited({ now: () => tx.nowMs }, chance, 'checkpoint.made', actor, { key: key.id }, { number, chains: heads.length }),
    )
    return note
  })
}

/** Far longer than a commit takes after the time it bears, and than servers' clocks are apart. */
const OVERLAP_MS = 86_400_000
/** Longer than any two nodes can take to make the same checkpoint. */
const SLOT_SECONDS = 86_400
/** Stored notes, for the last that can be read. */
const LOOKED_AT = 100
const NO_NOTE = new Uint8Array(32)

/** An audit key to check notes with. */
export interface NoteKey {
  readonly kid: string
  readonly key: KeyObject
  readonly state: KeyState
}

/** Every audit key that ever was, also retired ones: their notes stay good. */
export function noteKeys(keys: Pick<KeyRing, 'records' | 'publicKey'>): readonly NoteKey[] {
  return keys.records().flatMap(({ id, purpose }) => {
    const known = purpose === 'audit' ? keys.publicKey(id) : undefined
    return known === undefined ? [] : [{ kid: id, key: known.key, state: known.state }]
  })
}

export type NoteVerdict =
  | { readonly kind: 'genuine'; readonly checkpoint: Checkpoint; readonly signedBy: NoteKey }
  | { readonly kind: 'malformed' }
  /** Signed by none of the keys. */
  | { readonly kind: 'unsigned'; readonly checkpoint: Checkpoint }

/** Checks one note, from the store or from a copy kept elsewhere. A genuine one may be by a compromised key: see `signedBy`. */
export function verifyCheckpoint(note: string, keys: readonly NoteKey[]): NoteVerdict {
  const opened = openNote(note)
  const checkpoint = opened === undefined ? undefined : readBody(opened.text)
  if (opened === undefined || checkpoint === undefined) return { kind: 'malformed' }
  const name = noteName(checkpoint.issuer)
  const data = Buffer.from(opened.text)
  for (const line of opened.signatures) {
    if (line.name !== name) continue // C2SP: signatures of others, such as witnesses, are passed over.
    for (const signedBy of keys) {
      if (!equalBytes(line.keyId, noteKeyId(name, signedBy.key))) continue
      if (verifySignature('EdDSA', signedBy.key, data, line.signature)) return { kind: 'genuine', checkpoint, signedBy }
    }
  }
  return { kind: 'unsigned', checkpoint }
}

/** SHA-256 over a whole note: what the next one calls `previous`. */
export const noteHash = (note: string): Uint8Array => hash('sha256', note, 'buffer')

/** Whether both say the same, whoever else has signed them. */
export const isSame = (one: Checkpoint, other: Checkpoint): boolean =>
  one.number === other.number && writeBody(one) === writeBody(other)

/** Whether it names no note before it. */
export const isFirst = (checkpoint: Checkpoint): boolean => equalBytes(checkpoint.previous, NO_NOTE)

/** The key in the form that C2SP tools take (`name+id+key`), for a witness that checks notes without Signet. */
export function verifierKey(issuer: string, key: KeyObject): string {
  const name = noteName(issuer)
  const bytes = concat(new Uint8Array([ED25519]), rawPublicKey(key))
  return `${name}+${Buffer.from(noteKeyId(name, key)).toString('hex')}+${Buffer.from(bytes).toString('base64')}`
}

/** The last one; where somebody spoilt it, the last before it that can be read. */
async function findLast({ audit }: Pick<Store, 'audit'>): Promise<Stored | undefined> {
  const [last] = (await audit.checkpointsBefore(undefined, 1)).flatMap(readStored)
  if (last !== undefined) return last
  const readable = (await audit.checkpointsBefore(undefined, LOOKED_AT)).toReversed().flatMap(readStored)
  return readable.toSorted((a, b) => a.checkpoint.number - b.checkpoint.number).at(-1)
}

function readStored({ note }: { readonly note: string }): readonly Stored[] {
  const opened = openNote(note)
  const checkpoint = opened === undefined ? undefined : readBody(opened.text)
  return checkpoint === undefined ? [] : [{ note, checkpoint }]
}

// ── The body ───────────────────────────────────────────────────────────────────────────────────────────────────────

const TITLE = 'signet audit checkpoint 1'

function writeBody(checkpoint: Checkpoint): string {
  const heads = [...checkpoint.heads].sort((a, b) => (a.chain < b.chain ? -1 : 1))
  return [
    TITLE,
    `issuer ${checkpoint.issuer}`,
    `number ${checkpoint.number}`,
    `time ${checkpoint.atMs}`,
    `previous ${base64(checkpoint.previous)}`,
    ...heads.map((head) => `chain ${head.chain} ${head.index} ${base64(head.hash)}`),
    '',
  ].join('\n')
}

/** Undefined unless it is exactly what `writeBody` writes: a note has one spelling. */
function readBody(text: string): Checkpoint | undefined {
  const [title, issuer, number, time, previous, ...rest] = text.split('\n')
  if (title !== TITLE || rest.pop() !== '') return undefined
  const checkpoint = {
    issuer: after('issuer ', issuer) ?? '',
    number: Number(after('number ', number)),
    atMs: Number(after('time ', time)),
    previous: Buffer.from(after('previous ', previous) ?? '', 'base64'),
    heads: rest.map((line) => {
      const [, chain, index, hash] = line.split(' ')
      return { chain: chain ?? '', index: Number(index), hash: Buffer.from(hash ?? '', 'base64') }
    }),
  }
  const counts = [checkpoint.number, checkpoint.atMs, ...checkpoint.heads.map((head) => head.index)]
  const hashes = [checkpoint.previous, ...checkpoint.heads.map((head) => head.hash)]
  if (!counts.every((count) => Number.isSafeInteger(count) && count > 0) || !hashes.every((bytes) => bytes.length === 32))
    return undefined
  if (!checkpoint.heads.every((head) => isUuid(head.chain)) || writeBody(checkpoint) !== text) return undefined
  return checkpoint
}

const after = (word: string, line: string | undefined): string | undefined =>
  line?.startsWith(word) === true ? line.slice(word.length) : undefined
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

// ── Signed notes ───────────────────────────────────────────────────────────────────────────────────────────────────

/** C2SP signed-note: the signature type of Ed25519. */
const ED25519 = 0x01
const KEY_ID_BYTES = 4
const MAX_NOTE_CHARACTERS = 1_000_000
const MAX_SIGNATURES = 16

/** A key name has neither spaces nor plus signs, so the issuer goes without its scheme. */
function noteName(issuer: string): string {
  return `${issuer
    .replace(/^[a-z]+:\/\//, '')
    .replace(/\/+$/, '')
    .replace(/[\s+]/g, '_')}/audit`
}

function signNote(text: string, name: string, publicKey: KeyObject, sign: (data: Uint8Array) => Uint8Array): string {
  const signature = concat(noteKeyId(name, publicKey), sign(Buffer.from(text)))
  return `${text}\n\u2014 ${name} ${base64(signature)}\n`
}

function openNote(note: string) {
  const end = note.lastIndexOf('\n\n')
  if (note.length > MAX_NOTE_CHARACTERS || end <= 0 || !note.endsWith('\n')) return undefined
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) return undefined
  const signatures = lines.map((line) => {
    const [dash, name, signature, ...more] = line.split(' ')
    const bytes = Buffer.from(signature ?? '', 'base64')
    const wellFormed = dash === '\u2014' && more.length === 0 && bytes.length > KEY_ID_BYTES && base64(bytes) === signature
    return wellFormed && name
      ? { name, keyId: bytes.subarray(0, KEY_ID_BYTES), signature: bytes.subarray(KEY_ID_BYTES) }
      : undefined
  })
  return signatures.every((one) => one !== undefined) ? { text: note.slice(0, end + 1), signatures } : undefined
}

/** SHA-256(name ‖ newline ‖ type ‖ key), the first four bytes. */
function noteKeyId(name: string, key: KeyObject): Uint8Array {
  const data = concat(Buffer.from(`${name}\n`), new Uint8Array([ED25519]), rawPublicKey(key))
  return hash('sha256', data, 'buffer').subarray(0, KEY_ID_BYTES)
}

const rawPublicKey = (key: KeyObject): Uint8Array => Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
