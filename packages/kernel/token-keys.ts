/**
 * From a token to its keys in the registry, and from there to whether it is dead. Digests are made once per token; those
 * that nearly all tokens share (client, signing key, scopes, issuer) are remembered. To remember the others costs more than to make them.
 */
import { MAX_ANCESTORS } from './claims.ts'
import { isFinalKind, KEY_KINDS, type KeyKind, revocationKey, type Salt, type TokenKeys } from './revocation.ts'
import { readWords, type Words } from './revocation-table.ts'
import type { RevocationView } from './revocation-view.ts'
import { MAX_TOKEN_SCOPES, scopeNames } from './scope.ts'
import type { Sha256 } from './surroundings.ts'
import { TwoGenerations } from './two-generations.ts'

/** A token's keys as they stand in the registry: four words each, side by side, and the kind of each. */
export interface TokenDigests {
  readonly words: Words
  readonly kinds: readonly KeyKind[]
  /** The salt they were made under; under another they say nothing. */
  readonly salt: Salt
}

/** Makes digests. Holds a bounded memory of the shared ones, per salt. */
export interface Keyer {
  digests(salt: Salt, keys: TokenKeys): TokenDigests
  /** The same without allocating: good until the next call. For a token that may never be seen again. */
  passing(salt: Salt, keys: TokenKeys): TokenDigests
}

/** The rule of revocation: the kind of the key that killed the token, or undefined while it lives. */
export function isRevoked(view: RevocationView, keyer: Keyer, keys: TokenKeys, issuedAtMs: number): KeyKind | undefined {
  return view.salt === undefined ? undefined : revokedBy(view, keyer.passing(view.salt, keys), issuedAtMs)
}

/** The same for digests made before, under the view's present salt. */
export function revokedBy(view: RevocationView, digests: TokenDigests, issuedAtMs: number): KeyKind | undefined {
  const { words, kinds } = digests
  if (!view.mayHoldAny(words, kinds.length)) return undefined
  for (let i = 0; i < kinds.length; i++) {
    const cutoffMs = view.cutoffOfWords(words, i * 4)
    if (cutoffMs === 0) continue
    const kind = kinds[i] as KeyKind
    if (cutoffMs >= issuedAtMs || isFinalKind(kind)) return kind
  }
  return undefined
}

/** Texts whose digests are remembered per kind, in each of two generations. */
const REMEMBERED = 1024
/** Digests that are kept share blocks: each with a buffer of its own, it is they that collections of garbage would be about. */
const BLOCK_WORDS = 1024
/** An id longer than this is hashed without the prepared prefix, and a text longer than this is not remembered. */
const MAX_PREPARED_ID = 512
/** Issuers with prepared prefixes; a validator trusts a handful. */
const MAX_ISSUERS = 64

/**
 * SHA-256 as a text of 32 characters, one for each byte (latin1). Node gives that in a third of the time it takes to give an array.
 */
export type Sha256Text = (data: Uint8Array) => string

export function createKeyer(sha256: Sha256, sha256Text?: Sha256Text): Keyer {
  let salt: Salt | undefined
  let byIssuer = new Map<string, IssuerKeyer>()
  let block: Words = new Uint32Array(0)
  let taken = 0

  function passing(asked: Salt, keys: TokenKeys): TokenDigests {
    if (salt !== asked) {
      salt = asked
      byIssuer = new Map()
    }
    let keyer = byIssuer.get(keys.issuer)
    if (keyer === undefined) {
      if (byIssuer.size >= MAX_ISSUERS) byIssuer.clear()
      keyer = new IssuerKeyer({ sha256, sha256Text }, asked, keys.issuer)
      byIssuer.set(keys.issuer, keyer)
    }
    return keyer.passing(keys)
  }
  return {
    passing,
    digests(asked, keys) {
      const { words, kinds } = passing(asked, keys)
      const count = kinds.length * 4
      if (taken + count > block.length) {
        block = new Uint32Array(Math.max(BLOCK_WORDS, count))
        taken = 0
      }
      const kept = block.subarray(taken, taken + count)
      for (let i = 0; i < count; i++) kept[i] = words[i] as number
      taken += count
      return { words: kept, kinds, salt: asked }
    },
  }
}

interface Hashes {
  readonly sha256: Sha256
  readonly sha256Text: Sha256Text | undefined
}

class IssuerKeyer {
  private readonly salt: Salt
  private readonly words: Words = new Uint32Array((KEY_KINDS.length + MAX_ANCESTORS + MAX_TOKEN_SCOPES) * 4)
  private readonly token: KindKeyer
  private readonly grant: KindKeyer
  private readonly session: KindKeyer
  private readonly device: KindKeyer
  private readonly subject: KindKeyer
  private readonly client: SharedDigests
  private readonly key: SharedDigests
  /** By the whole text of the claim, of which there are as few as there are clients. */
  private readonly scopes: SharedDigests
  /** Lists of kinds by which are present: a handful of shapes, shared by all tokens. */
  private readonly shapes = new Map<number, readonly KeyKind[]>()

  constructor(hashes: Hashes, salt: Salt, issuer: string) {
    const of = (kind: KeyKind): KindKeyer => new KindKeyer(hashes, salt, kind, issuer)
    this.salt = salt
    // Always there, so it stays in the first place.
    of('issuer').write(issuer, this.words, 0)
    this.token = of('token')
    this.grant = of('grant')
    this.session = of('session')
    this.device = of('device')
    this.subject = of('subject')
    const client = of('client')
    this.client = new SharedDigests((id) => client.digestsOf([id]))
    const key = of('key')
    this.key = new SharedDigests((id) => key.digestsOf([id]))
    const scope = of('scope')
    this.scopes = new SharedDigests((text) => scope.digestsOf(atMostScopes(scopeNames(text))))
  }

  passing(keys: TokenKeys): TokenDigests {
    const { token, grant, session, device, subject, client, key, scope } = keys
    const scopes = scope === undefined ? NONE : this.scopes.recall(scope)
    const ancestors = keys.ancestors?.length ?? 0
    if (ancestors > MAX_ANCESTORS) throw new RangeError(`a token has at most ${MAX_ANCESTORS} ancestors`)
    const shape =
      (token === undefined ? 0 : 1) |
      (grant === undefined ? 0 : 2) |
      (session === undefined ? 0 : 4) |
      (device === undefined ? 0 : 8) |
      (subject === undefined ? 0 : 16) |
      (client === undefined ? 0 : 32) |
      (key === undefined ? 0 : 64) |
      ((scopes.length / 4) << 7) |
      (ancestors << 16)
    const kinds = this.shapes.get(shape) ?? this.shapeOf(shape)
    const { words } = this
    // The order of `shapeOf`, after the issuer.
    let at = 4
    if (token !== undefined) at = this.token.write(token, words, at)
    if (grant !== undefined) at = this.grant.write(grant, words, at)
    if (session !== undefined) at = this.session.write(session, words, at)
    if (device !== undefined) at = this.device.write(device, words, at)
    if (subject !== undefined) at = this.subject.write(subject, words, at)
    if (client !== undefined) at = copyWords(this.client.recall(client), words, at)
    if (key !== undefined) at = copyWords(this.key.recall(key), words, at)
    at = copyWords(scopes, words, at)
    for (let i = 0; i < ancestors; i++) at = this.token.write(keys.ancestors?.[i] as string, words, at)
    return { words, kinds, salt: this.salt }
  }

  private shapeOf(shape: number): readonly KeyKind[] {
    const kinds: KeyKind[] = ['issuer']
    const order: readonly KeyKind[] = ['token', 'grant', 'session', 'device', 'subject', 'client', 'key']
    order.forEach((kind, bit) => {
      if (shape & (1 << bit)) kinds.push(kind)
    })
    for (let i = 0; i < ((shape >> 7) & 0x1ff); i++) kinds.push('scope')
    for (let i = 0; i < shape >> 16; i++) kinds.push('token')
    this.shapes.set(shape, kinds)
    return kinds
  }
}

const NONE: Words = new Uint32Array(0)

function atMostScopes(names: readonly string[]): readonly string[] {
  if (names.length > MAX_TOKEN_SCOPES) throw new RangeError(`a token has at most ${MAX_TOKEN_SCOPES} scopes`)
  return names
}

/** Digests of one kind and issuer: equal to `revocationKey`, but the part before the id is written once. */
class KindKeyer {
  private readonly hashes: Hashes
  private readonly salt: Salt
  private readonly kind: KeyKind
  private readonly issuer: string
  private readonly buffer: Uint8Array
  private readonly room: Uint8Array
  /** Of the buffer's beginning, by the length of the id: ids of one kind have one length, and making a view costs a fifth of the hash. */
  private readonly views: Uint8Array[] = []
  private readonly start: number
  private readonly encoder = new TextEncoder()

  constructor(hashes: Hashes, salt: Salt, kind: KeyKind, issuer: string) {
    this.hashes = hashes
    this.salt = salt
    this.kind = kind
    this.issuer = issuer
    const prefix = this.encoder.encode(`${kind}\u0000${issuer}\u0000`)
    this.start = salt.bytes.length + prefix.length
    this.buffer = new Uint8Array(this.start + MAX_PREPARED_ID * 3)
    this.buffer.set(salt.bytes)
    this.buffer.set(prefix, salt.bytes.length)
    this.room = this.buffer.subarray(this.start)
  }

  /** Writes the digest of `id` at `at` and returns the place after it. */
  write(id: string, words: Words, at: number): number {
    const { sha256, sha256Text } = this.hashes
    if (id.length > MAX_PREPARED_ID) {
      readWords(revocationKey(sha256, this.salt, this.kind, this.issuer, id), 0, words, at)
      return at + 4
    }
    const written = this.encode(id)
    let data = this.views[written]
    if (data === undefined) {
      data = this.buffer.subarray(0, this.start + written)
      this.views[written] = data
    }
    if (sha256Text === undefined) readWords(sha256(data), 0, words, at)
    else readTextWords(sha256Text(data), words, at)
    return at + 4
  }

  digestsOf(ids: readonly string[]): Words {
    const words = new Uint32Array(ids.length * 4)
    ids.forEach((id, i) => {
      this.write(id, words, i * 4)
    })
    return words
  }

  /** Writes `id` after the prefix, in UTF-8; the number of bytes. Nearly all ids are ASCII, and for those the encoder is the slower way. */
  private encode(id: string): number {
    const { room } = this
    for (let i = 0; i < id.length; i++) {
      const code = id.charCodeAt(i)
      if (code > 0x7f) return this.encoder.encodeInto(id, room).written
      room[i] = code
    }
    return id.length
  }
}

/** Digests that tokens share, remembered by the text they are made from. */
class SharedDigests {
  private readonly make: (text: string) => Words
  private readonly known = new TwoGenerations<string, Words>(2 * REMEMBERED)

  constructor(make: (text: string) => Words) {
    this.make = make
  }

  recall(text: string): Words {
    const known = this.known.get(text)
    if (known !== undefined) return known
    const words = this.make(text)
    // A long one may stand for hundreds of scopes; no authority of ours issues such.
    if (text.length <= MAX_PREPARED_ID) this.known.set(text, words)
    return words
  }
}

function copyWords(from: Words, to: Words, at: number): number {
  for (let i = 0; i < from.length; i++) to[at + i] = from[i] as number
  return at + from.length
}

function readTextWords(text: string, words: Words, to: number): void {
  for (let i = 0; i < 4; i++) {
    const from = i * 4
    words[to + i] =
      (text.charCodeAt(from) << 24) |
      (text.charCodeAt(from + 1) << 16) |
      (text.charCodeAt(from + 2) << 8) |
      text.charCodeAt(from + 3)
  }
}
