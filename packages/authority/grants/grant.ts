/**
 * What every grant does alike: who may use it, what the tokens are bound to, how long they live, from when on they count. Each grant
 * itself is one file beside this one: judge purely, sign first, commit last.
 */
import type { Confirmation } from '@signet/kernel/claims.ts'
import { fault } from '@signet/kernel/errors.ts'
import { type Chance, type Clock, epochSeconds } from '@signet/kernel/surroundings.ts'
import type { AuditActor } from '../audit/events.ts'
import { type AuthenticatedClient, clientAgain, type KnownClients } from '../clients/authenticate-client.ts'
import { ageMs, type Moment } from '../clients/recent.ts'
import type { SingleUse } from '../clients/single-use.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { Registry } from '../revocation/registry.ts'
import type { IssuerStanding } from '../revocation/standing.ts'
import type { ClientRecord, GrantType } from '../store/ports/clients.ts'
import type { ResourceRecord } from '../store/ports/resources.ts'
import type { Standing } from '../store/ports/standing.ts'
import type { Store } from '../store/store.ts'
import type { Mint, Minted } from '../tokens/mint.ts'
import { sealAccessToken } from '../tokens/opaque-access-token.ts'
import { refuse } from './refuse.ts'
import type { Catalog } from './target.ts'

/** Who asks for tokens, and what the request proved. */
export interface Caller {
  readonly client: AuthenticatedClient
  /** The registry's, from before the client was looked up: of cutoffs past it this request cannot know what else came with them. */
  readonly reachMs: number
  /** Thumbprint of the key whose DPoP proof came with the request. */
  readonly jkt: string | undefined
  /** 8 bytes: keyed digest of network and agent, to compare and not to read. */
  readonly seen: Uint8Array
  /** The client's assertion and the DPoP proof: used up in the commit of what they bought. */
  readonly uses: readonly SingleUse[]
}

/** What a token request is answered with. Spans are in seconds. */
export interface TokenSet {
  readonly accessToken: string
  readonly tokenType: 'Bearer' | 'DPoP'
  readonly expiresInSeconds: number
  readonly scope: readonly string[]
  readonly idToken?: string
  readonly refresh?: {
    readonly token: string
    /** Until it ends unless it is used. */
    readonly expiresInSeconds: number
    /** Until the authorization ends whatever happens. */
    readonly authorizationExpiresInSeconds: number
  }
}

/** What grants are made of; each names the part of it that it uses. */
export interface GrantParts {
  readonly store: Store
  readonly mint: Mint
  readonly keys: Pick<KeyRing, 'ring' | 'isAhead' | 'refresh'>
  readonly catalog: Catalog
  readonly registry: Pick<Registry, 'assertMayMint' | 'issuerStanding' | 'ageMs' | 'scopeCutoffMs'>
  readonly settings: PolicySettings
  /** The `pv` of tokens. */
  readonly policyVersion: string
  readonly issuer: string
  readonly clock: Clock
  readonly chance: Chance
}

/** The client, if it is registered for this grant type. */
export function permitted(caller: Caller, grant: GrantType): ClientRecord {
  const client = caller.client.record
  if (!client.grantTypes.includes(grant)) throw refuse('unauthorized_client', 'grant_not_allowed')
  return client
}

/** What the tokens are bound to: the key that was proved, if one was; one must be where client or resource demand it (RFC 9449 §5). */
export function confirmation(caller: Caller, resource: ResourceRecord): Confirmation | undefined {
  if (caller.jkt !== undefined) return { jkt: caller.jkt }
  if (caller.client.record.dpopBound || resource.dpopRequired) throw refuse('invalid_dpop_proof', 'dpop_proof_missing')
  return undefined
}

/** Seconds that an access token lives: what policy says, or less where client or resource say so. */
export function accessTokenSeconds(client: ClientRecord, resource: ResourceRecord, settings: PolicySettings): number {
  const whole = settings.accessTokenSeconds
  return Math.min(whole, client.accessTokenSeconds ?? whole, resource.accessTokenSeconds ?? whole)
}

/** A minted access token in the form that its resource wants: what the client gets, and what anything about it is computed from. */
export function tokenFor(resource: ResourceRecord, issued: Minted, parts: Pick<GrantParts, 'keys' | 'chance'>): string {
  return resource.tokenFormat === 'opaque' ? sealAccessToken(issued.token, parts) : issued.token
}

/** How everything of this issuer stands, and the moment as of which that is certain. */
export interface KnownIssuer {
  readonly standing: IssuerStanding
  readonly at: Moment
}

/** Asked once for each judgement, so that what says whether a grant has ended and what says after what to issue is one answer. */
export function knowIssuer({ registry, clock }: Pick<GrantParts, 'registry' | 'clock'>): KnownIssuer {
  const age = registry.ageMs()
  return { standing: registry.issuerStanding(), at: { wallMs: clock.now() - age, monotonicMs: clock.monotonic() - age } }
}

/**
 * The millisecond that issue times must exceed: the largest cutoff on anything the token hangs on. Throws a fault when this node's
 * clock or knowledge is worse than the guard covers (docs/architecture.md, "The guard"); of what a request reads, the client was
 * first, so that is the oldest.
 *
 * Every cutoff comes from the record that also said whether the thing has ended. A newer cutoff from elsewhere would carry a
 * token past the revocation of a grant that is not known to have ended yet. For the same reason none may lie past what the whole node
 * had heard of when the request came: a person's claims epoch, read just now, would carry the token past the end of his client,
 * which another node has put into the log before it. Throws `Behind` then.
 */
export function issueFloor(
  issuer: KnownIssuer,
  standings: readonly (Pick<Standing, 'cutoffMs'> | undefined)[],
  scope: readonly string[],
  { client, reachMs }: Caller,
  { registry, settings, clock }: Pick<GrantParts, 'registry' | 'settings' | 'clock'>,
): number {
  registry.assertMayMint()
  const oldestMs = Math.max(ageMs(clock, client.knownAt), ageMs(clock, issuer.at))
  if (oldestMs > settings.mintStalenessMilliseconds) {
    throw fault('overloaded', { because: `the request took so long that what it knows is ${Math.round(oldestMs)} ms old` })
  }
  let floorMs = Math.max(client.record.cutoffMs, issuer.standing.cutoffMs)
  for (const standing of standings) if (standing !== undefined) floorMs = Math.max(floorMs, standing.cutoffMs)
  // A scope has no record. The log alone says, perhaps more than the request began with, which `reachMs` is for.
  floorMs = Math.max(floorMs, registry.scopeCutoffMs(scope))
  if (floorMs > reachMs && floorMs >= clock.now()) throw new Behind()
  return floorMs
}

/** Something a token hangs on was cut off by an entry of the log that this node has yet to read. Nothing has been changed. */
export class Behind extends Error {}

/** Times that a request may find its node behind; each catches up with everything that was committed by then. */
const MAX_BEHIND = 4

/** Runs a grant, again if the node has to catch up with the log first. */
export async function abreast<T>(
  caller: Caller,
  run: (caller: Caller) => Promise<T>,
  { registry, clients }: { readonly registry: Pick<Registry, 'lookNow' | 'reachMs'>; readonly clients: KnownClients },
): Promise<T> {
  let asking = caller
  for (let tries = 1; ; tries++) {
    try {
      return await run(asking)
    } catch (error) {
      if (!(error instanceof Behind)) throw error
      if (tries === MAX_BEHIND) throw fault('overloaded', { cause: error })
      await registry.lookNow()
      const { reachMs } = registry // Before the client is looked up, so that he is known at least as well.
      asking = { ...asking, reachMs, client: await clientAgain(asking.client, clients) }
    }
  }
}

/** Version of the ring key that new refresh tokens are tagged with. */
export function newestRing(keys: Pick<KeyRing, 'ring'>): number {
  const ring = keys.ring()
  if (ring === undefined) throw fault('keys_unavailable')
  return ring.version
}

/** Seconds from the issue time to `endAt`, at most `seconds`: no token outlives the grant it comes from. 0 when that is over. */
export function secondsWithin(seconds: number, endAt: number, floorMs: number, clock: Clock): number {
  return Math.max(0, Math.min(seconds, endAt - epochSeconds(Math.max(clock.now(), floorMs + 1))))
}

export const secondsUntil = (endAt: number, clock: Clock): number => Math.max(0, endAt - epochSeconds(clock.now()))

export const tokenType = (cnf: Confirmation | undefined): TokenSet['tokenType'] => (cnf?.jkt === undefined ? 'Bearer' : 'DPoP')

export const actorOf = (caller: Caller): AuditActor => `client:${caller.client.record.id}`
