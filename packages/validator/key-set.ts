/** The keys of one issuer, as its JWKS lists them: looked up by id and algorithm, replaced as a whole. */
import { type Algorithm, importJwk, isRecord, type VerifyingKey } from './jwk.ts'
import type { KeyFinder } from './token.ts'

/** A JWKS lists a handful; what comes after so many is not looked at. */
const MAX_KEYS = 100

/** Moves whenever an answer of any key set may have changed. Shared by all sets of a validator. */
export interface KeysVersion {
  version: number
}

export class KeySet implements KeyFinder {
  private readonly algorithms: readonly Algorithm[]
  private readonly shared: KeysVersion
  /** By algorithm and id; without id, under the empty one. */
  private keys = new Map<string, VerifyingKey>()
  private sources = new Map<string, readonly [string, VerifyingKey][]>()
  private document: readonly unknown[] = []
  /** Their ids: another list only when the keys are others. */
  kids: readonly string[] = []

  constructor(algorithms: readonly Algorithm[], shared: KeysVersion) {
    this.algorithms = algorithms
    this.shared = shared
  }

  get size(): number {
    return this.sources.size
  }
  /** The JWKs as they came, to be kept on disk. */
  get jwks(): readonly unknown[] {
    return this.document
  }

  find(kid: string | undefined, alg: Algorithm): VerifyingKey | undefined {
    if (kid !== undefined) return this.keys.get(`${alg} ${kid}`)
    // Without an id there must be no choice.
    let only: VerifyingKey | undefined
    for (const key of this.keys.values()) {
      if (key.alg !== alg) continue
      if (only !== undefined) return undefined
      only = key
    }
    return only
  }

  /**
   * Takes a JWKS. False, and nothing changes, when it holds no key we can use: an issuer without keys has a fault, and its
   * tokens must not die of it. True with `changed` told apart, so that what was verified before stays so.
   */
  replace(jwks: unknown): { readonly taken: boolean; readonly changed: boolean } {
    if (!isRecord(jwks) || !Array.isArray(jwks.keys)) return { taken: false, changed: false }
    const keys = new Map<string, VerifyingKey>()
    const sources = new Map<string, readonly [string, VerifyingKey][]>()
    const document: unknown[] = []
    for (const jwk of jwks.keys.slice(0, MAX_KEYS)) {
      const text = JSON.stringify(jwk)
      // An unchanged JWK keeps its key object, by which tokens that were seen before know it.
      const entries = this.sources.get(text) ?? this.entriesOf(jwk)
      if (entries.length === 0) continue
      sources.set(text, entries)
      document.push(jwk)
      for (const [name, key] of entries) if (!keys.has(name)) keys.set(name, key)
    }
    if (keys.size === 0) return { taken: false, changed: false }
    const changed = sources.size !== this.sources.size || [...sources.keys()].some((text) => !this.sources.has(text))
    if (changed) {
      this.keys = keys
      this.kids = [...new Set([...keys.keys()].map((name) => name.slice(name.indexOf(' ') + 1)))]
      this.sources = sources
      this.document = document
      this.shared.version++
    }
    return { taken: true, changed }
  }

  private entriesOf(jwk: unknown): readonly [string, VerifyingKey][] {
    const kid = isRecord(jwk) && typeof jwk.kid === 'string' ? jwk.kid : ''
    return importJwk(jwk, this.algorithms).map((key) => [`${key.alg} ${kid}`, key])
  }
}
