/** The issuers whose tokens a validator takes, and their keys: the part that network and process have in common. */
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import { createDiscovery, type Discovery } from './discovery.ts'
import type { Events, TroubleKind, ValidatorEvents } from './events.ts'
import { fetchTransport, nodeTransport, type Transport } from './http.ts'
import { type Algorithm, SIGNET_ALGORITHMS } from './jwk.ts'
import { Jwks, type JwksParts } from './jwks.ts'
import { mediaType } from './jws.ts'
import { KeySet, type KeysVersion } from './key-set.ts'
import type { ForeignSettings, Settings, ValidatorOptions } from './options.ts'
import { type KeyFinder, SIGNET_TYPES, type TrustedIssuer } from './token.ts'

export interface KnowledgeParts {
  readonly options: ValidatorOptions
  readonly settings: Settings
  readonly surroundings: Surroundings
  readonly events: Events<ValidatorEvents>
  /** The tightest staleness bound, milliseconds. */
  readonly tightestMs: number
  trouble(what: TroubleKind, cause: unknown): void
}

/** Keys of foreign issuers always come over the network. */
export abstract class Issuers {
  protected readonly parts: KnowledgeParts
  protected readonly abort = new AbortController()
  protected readonly transport: Transport
  protected readonly shared: KeysVersion = { version: 0 }
  protected readonly sets = new Map<string, { readonly keys: KeySet; readonly jwks: Jwks }>()
  readonly issuers = new Map<string, TrustedIssuer>()
  onProgress: () => void = () => {}

  constructor(parts: KnowledgeParts) {
    this.parts = parts
    this.transport = parts.options.fetch === undefined ? nodeTransport() : fetchTransport(parts.options.fetch)
    for (const foreign of parts.settings.foreign) this.addForeign(foreign)
  }

  async seek(issuer: string, kid: string | undefined, alg: Algorithm): Promise<'found' | 'absent' | 'unsure'> {
    return this.sets.get(issuer)?.jwks.seek(kid, alg) ?? 'absent'
  }

  protected addSignet(keys: KeyFinder): void {
    const { settings } = this.parts
    this.issuers.set(settings.issuer, {
      issuer: settings.issuer,
      audiences: settings.audiences,
      algorithms: new Set(SIGNET_ALGORITHMS),
      types: SIGNET_TYPES,
      keys,
      isSignet: true,
      maxLifeSeconds: Number.POSITIVE_INFINITY,
    })
  }

  private addForeign(foreign: ForeignSettings): void {
    const discovery = this.discoveryOf(foreign.issuer)
    const { jwksUri } = foreign
    const uri = jwksUri === undefined ? async () => (await discovery.metadata()).jwksUri : () => Promise.resolve(jwksUri)
    const keys = this.addSet(foreign.issuer, foreign.algorithms, uri)
    this.issuers.set(foreign.issuer, {
      issuer: foreign.issuer,
      audiences: foreign.audiences,
      algorithms: new Set(foreign.algorithms),
      types: new Set(foreign.types.map(mediaType)),
      keys,
      isSignet: false,
      maxLifeSeconds: foreign.maxTokenSeconds,
    })
  }

  protected discoveryOf(issuer: string): Discovery {
    return createDiscovery({
      issuer,
      transport: this.transport,
      surroundings: this.parts.surroundings,
      allowInsecureHttp: this.parts.settings.allowInsecureHttp,
      signal: this.abort.signal,
    })
  }

  protected addSet(
    issuer: string,
    algorithms: readonly Algorithm[],
    uri: () => Promise<string>,
    read?: JwksParts['read'],
  ): KeySet {
    const keys = new KeySet(algorithms, this.shared)
    const onChange = (): void => {
      this.parts.events.emit('keys', { issuer, kids: keys.kids })
      this.onProgress()
    }
    const jwks = this.jwksOf(keys, uri, onChange, read === undefined ? {} : { read })
    this.sets.set(issuer, { keys, jwks })
    return keys
  }

  protected jwksOf(
    keys: KeySet,
    uri: () => Promise<string>,
    onChange: () => void,
    how: Pick<JwksParts, 'seekEveryMs' | 'read'> = {},
  ): Jwks {
    return new Jwks({
      keys,
      uri,
      transport: this.transport,
      surroundings: this.parts.surroundings,
      signal: this.abort.signal,
      onChange,
      onTrouble: (cause) => this.parts.trouble('keys', cause),
      ...how,
    })
  }
}
