/**
 * One authority node, composed of the real parts as compose.ts does, on a simulated machine. Its door takes values where the real one
 * takes HTTP. What it acknowledges becomes a fact of the history here, before any answer can get lost; what it signs, in notary.ts.
 */

import { makeCheckpoint } from '@signet/authority/audit/checkpoint.ts'
import {
  authenticateClient,
  createKnownClients,
  followLog,
  vouchedClient,
} from '@signet/authority/clients/authenticate-client.ts'
import { authorizationCode } from '@signet/authority/grants/authorization-code.ts'
import { clientCredentials } from '@signet/authority/grants/client-credentials.ts'
import { issueCode } from '@signet/authority/grants/code.ts'
import { abreast, type Caller, type TokenSet } from '@signet/authority/grants/grant.ts'
import { identifyToken } from '@signet/authority/grants/identify-token.ts'
import { createLivingTokens } from '@signet/authority/grants/living-token.ts'
import { refreshToken } from '@signet/authority/grants/refresh-token.ts'
import { createCatalog } from '@signet/authority/grants/target.ts'
import { createOwnValidator } from '@signet/authority/http/protected.ts'
import { openPublicPart } from '@signet/authority/keys/key-record.ts'
import { openKeyRing } from '@signet/authority/keys/key-ring.ts'
import { MasterKey } from '@signet/authority/keys/master-key.ts'
import { keysFollowLog } from '@signet/authority/keys-follow-log.ts'
import { policyVersion } from '@signet/authority/policy/load-settings.ts'
import { guardMilliseconds, type PolicySettings } from '@signet/authority/policy/settings.ts'
import { REGION_SCOPE, readKeys } from '@signet/authority/regions/link-messages.ts'
import { openRegions, type Regions } from '@signet/authority/regions/regions.ts'
import { openFeed } from '@signet/authority/revocation/feed.ts'
import { createSignedKeys } from '@signet/authority/revocation/feed-keys.ts'
import { openRegistry } from '@signet/authority/revocation/registry.ts'
import { openRetirement } from '@signet/authority/revocation/retire.ts'
import { createRevoker } from '@signet/authority/revocation/revoke.ts'
import type { Target, Why } from '@signet/authority/revocation/target.ts'
import { createTidings } from '@signet/authority/revocation/tidings.ts'
import { createTriggers } from '@signet/authority/revocation/triggers.ts'
import { establish, prepareSession } from '@signet/authority/signin/establish.ts'
import type { Visitor } from '@signet/authority/signin/visitor.ts'
import type { KeyRecord } from '@signet/authority/store/ports/keys.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { sha256 } from '@signet/authority/surroundings.ts'
import { signJwt } from '@signet/authority/tokens/jwt.ts'
import { createMint } from '@signet/authority/tokens/mint.ts'
import { parseRefreshToken } from '@signet/authority/tokens/refresh-token.ts'
import type { Bus } from '@signet/bus/bus.ts'
import { fault, Refusal } from '@signet/kernel/errors.ts'
import type { ClientId, SessionId, SubjectId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import type { History, RevocationFact } from './history.ts'
import type { Machine } from './machine.ts'
import { API, ISSUER, REDIRECT, SERVICE_SECRET } from './names.ts'
import { createNotary, type Made } from './notary.ts'
import { createRegionDoor, createSimulatedElsewhere, formOf, REGION_SECRET, type RegionSeat, regionUrl } from './region-door.ts'
import type { Tampering } from './tampering.ts'
import type { VirtualTime } from './time.ts'

export interface NodeParts {
  readonly machine: Machine
  readonly time: VirtualTime
  readonly history: History
  readonly settings: PolicySettings
  readonly store: Store
  /** The engine itself, for what tampers with the node. */
  readonly truth: () => Store
  readonly bus: Bus
  readonly masterKey: Uint8Array
  readonly tampering: Tampering
  /** Where there are several regions. */
  readonly region?: RegionSeat
}

export type SimulatedNode = Awaited<ReturnType<typeof startNode>>

type Login = Made & { readonly jkt: string | undefined }

/** Who asks at the token endpoint, as the door would have found out. */
export interface Asker {
  readonly client: ClientId
  readonly isService?: boolean
  readonly jkt?: string | undefined
  /** Another region has authenticated it. */
  readonly isVouched?: boolean
  /** Network and agent. */
  readonly seen: Uint8Array
}

/** Opens everything over the store's link; throws what the store throws. */
export async function startNode(parts: NodeParts) {
  const { machine, time, history, bus, tampering } = parts
  const { clock, chance, timers } = machine.surroundings
  const settings = tampering.settings?.(parts.settings) ?? parts.settings
  const store = tampering.store?.(parts.store, parts) ?? parts.store
  const master = new MasterKey(parts.masterKey, chance)
  const seat = parts.region
  const peerKeys = async () => (await store.peers.all()).flatMap((peer) => readKeys(peer.keys))
  const keys = await openKeyRing({ store, master, clock, chance, settings, ...(seat && { peerKeys }) })
  bus.subscribe('keys', () => void keys.refresh().catch(() => {}))
  const common = { store, settings, issuer: ISSUER, bus, clock, chance, timers, sha256 }
  const opened = await openRegistry({ ...common, tidings: createTidings(keys, chance) })
  const registry = tampering.registry?.(opened, parts) ?? opened
  keysFollowLog(opened, keys, ISSUER)
  const revoker = createRevoker({ ...common, store: tampering.revokerStore?.(store, parts) ?? store, keys, registry })
  const retirement = openRetirement(common)
  const regions = seat && (await openRegionsOf(seat))
  const livingTokens = createLivingTokens({ issuer: ISSUER, keys, registry, clock, settings, sha256 })
  const triggers = createTriggers({
    store,
    revoker,
    clock,
    chance,
    identify: (token) => identifyToken(token, { store, keys, livingTokens }),
  })
  const signFeed = (typ: string, payload: object) => signJwt(keys.signer('feed'), { typ }, payload)
  const openedHub = openFeed({
    store,
    registry,
    issuer: ISSUER,
    clock,
    timers,
    peersAgeMs: regions?.ageMs,
    sign: signFeed,
  })
  const signedKeys = createSignedKeys({
    issuer: ISSUER,
    keys,
    epoch: () => (keys.isDoubted ? '-' : (registry.position?.epoch ?? '-')),
    sign: signFeed,
    clock,
  })
  const hub = tampering.hub?.(openedHub, { registry, keys }) ?? openedHub
  const { noted, issuing } = createNotary({ time, history, clock })
  const made = createMint({ keys, issuer: ISSUER, clock, chance, guardMs: guardMilliseconds(settings) })
  const mint = noted(tampering.mint?.(made, parts) ?? made)
  const catalog = createCatalog(common)
  const clients = createKnownClients(common)
  const identities = { clients, issuer: ISSUER, settings, clock, sha256 }
  followLog(clients, registry, ISSUER)
  const grantParts = {
    ...common,
    mint,
    keys,
    catalog,
    registry,
    revoker,
    triggers,
    retirement,
    policyVersion: policyVersion(settings, sha256),
    pace: () => 0,
    refreshed: () => {},
  }
  const here = { store, keys, sha256 }
  const elsewhere =
    seat && regions && createSimulatedElsewhere({ regions, here, behind: seat.behind, authenticate: (asker) => callerOf(asker) })
  const door = seat && regions && openDoor(seat, regions)
  every(KEY_TICK_MS, () => keys.tick())
  every(PURGE_MS, () => store.now().then((nowMs) => store.purge(nowMs, 200)))

  return {
    regions,
    /** What other regions ask. */
    door,
    machine,
    keys,
    registry,
    hub,
    signedKeys,
    settings,

    /** A person signs in in a browser, and agrees that a client may act for them: session, then code. */
    async signIn(subject: SubjectId, client: ClientId, verifier: string, jkt?: string) {
      const visitor = {
        signedIn: undefined,
        deviceKeys: [],
        userAgent: undefined,
        address: '192.0.2.1',
        browser: undefined,
      } as unknown as Visitor
      const prepared = prepareSession(subject, visitor, [], { clock, chance, sha256 })
      const proof = { acr: 'urn:signet:acr:password', amr: ['pwd'] }
      const made = await store.transact(async (tx) =>
        establish(tx, await tx.subjects.find(subject), proof, prepared, visitor, { settings, revoker }),
      )
      if (typeof made === 'string') throw new Refusal('access_denied', 'subject_suspended')
      const madeMs = time.nowMs
      const session = await store.sessions.find(made.session.id as SessionId)
      if (session === undefined) throw fault('store_unavailable')
      const code = await store.transact((tx) =>
        issueCode(tx, common, {
          client,
          subject,
          session: session.id,
          device: session.device,
          redirectUri: REDIRECT,
          codeChallenge: Buffer.from(sha256(verifier)).toString('base64url'),
          scope: ['api:read'],
          resources: [API],
          authAt: session.authAt,
          acr: session.acr,
          amr: session.amr,
          sessionCreatedAtMs: session.createdAtMs,
          ...(jkt === undefined ? {} : { jkt }),
        }),
      )
      return { code, madeMs, agreedMs: time.nowMs, session: session.id, device: session.device }
    },

    exchange: async (code: string, verifier: string, asker: Asker, made: Made) =>
      (await elsewhere?.(code, formOf.code(code, verifier), asker, { ...made, jkt: asker.jkt })) ??
      exchangeHere(code, verifier, asker, made),

    /** `login` is what the token comes from, whoever asks with it now. */
    async refresh(token: string, asker: Asker, login: Login) {
      const passedOn = await elsewhere?.(token, formOf.refresh(token), asker, login)
      if (passedOn === undefined) return refreshHere(token, asker, login)
      const { family = '' } = parseRefreshToken(token) ?? {}
      history.refreshed(token, passedOn.refresh?.token ?? '', family)
      return passedOn
    },

    service: (asker: Asker) =>
      issuing(undefined, async () =>
        abreast(
          await callerOf(asker),
          (caller) => clientCredentials({ scope: undefined, resources: [API] }, caller, grantParts),
          { registry, clients },
        ),
      ),

    async revoke(target: Target, why: Why, fact: RevocationFact) {
      const receipt = await (fact.act === 'suspend' ? revoker.suspend(target, why) : revoker.revoke(target, why))
      history.acknowledged(fact, receipt.cutoffMs)
      return receipt
    },
    resume: (target: Target, why: Why) => revoker.resume(target, why),
    undo: (request: { epoch: string; seqs: readonly number[] }, why: Why) => revoker.undo(request, why),
    rotateKey: (purpose: 'token' | 'feed' | 'ring') => keys.rotate(purpose, 'operator:sim', { force: true }),
    leak: (token: string) => triggers.leakedToken(token, 'operator:sim'),
    checkpoint: () => makeCheckpoint({ store, keys, issuer: ISSUER, chance }),
  }

  async function openRegionsOf({ name, peers, fetch }: RegionSeat): Promise<Regions> {
    const clientSecret = new Secret(REGION_SECRET)
    const config = {
      name,
      peers: peers.map((peer) => ({ name: peer, url: regionUrl(peer), clientSecret })),
      insecureIgnorePeerStaleness: false,
    }
    const given = {
      ...common,
      registry: opened,
      keys,
      surroundings: machine.surroundings,
      fetch,
      opens: (key: KeyRecord) => openPublicPart(master, key) !== undefined,
    }
    const regions = await openRegions(config, tampering.regionParts?.(given, parts) ?? given)
    return tampering.regions?.(regions, parts) ?? regions
  }

  function openDoor({ behind }: RegionSeat, regions: Regions) {
    return createRegionDoor({
      regions,
      validator: createOwnValidator({ ...common, keys, registry, surroundings: machine.surroundings }),
      here,
      behind,
      async service(client, secret) {
        const { reachMs } = registry
        const known = await authenticateClient(bySecret(client, secret), identities)
        const caller: Caller = { client: known, reachMs, jkt: undefined, seen: new Uint8Array(8), uses: [] }
        const request = { scope: REGION_SCOPE, resources: [ISSUER] }
        return abreast(caller, (asking) => clientCredentials(request, asking, grantParts), { registry, clients })
      },
      exchange: exchangeHere,
      refresh: refreshHere,
    })
  }

  function exchangeHere(code: string, verifier: string, asker: Asker, made: Made): Promise<TokenSet> {
    return issuing(made, async () => {
      const request = { code, redirectUri: REDIRECT, codeVerifier: verifier, scope: undefined, resources: [] }
      const answer = await abreast(await callerOf(asker), (caller) => authorizationCode(request, caller, grantParts), {
        registry,
        clients,
      })
      history.began(parseRefreshToken(answer.refresh?.token ?? '')?.family ?? '')
      return answer
    })
  }

  function refreshHere(token: string, asker: Asker, login: Login): Promise<TokenSet> {
    return issuing(
      login,
      async () => {
        const beganMs = time.nowMs
        const asked = { refreshToken: token, scope: undefined, resources: [] }
        const caller = await callerOf(asker)
        const changed = (await tampering.caller?.(caller, token, parts)) ?? caller
        const answer = await abreast(changed, (caller) => refreshToken(asked, caller, grantParts), { registry, clients })
        const presented = parseRefreshToken(token)
        if (presented === undefined) return answer
        const { family, generation } = presented
        const graceMs = 1000 * (login.jkt !== undefined ? settings.graceSecondsWithProof : settings.graceSeconds)
        history.refreshed(token, answer.refresh?.token ?? '', family)
        history.answered(family, generation, beganMs, graceMs)
        return answer
      },
      token,
    )
  }

  async function callerOf({ client, isService, isVouched, jkt, seen }: Asker): Promise<Caller> {
    const { reachMs } = registry
    const credentials = isService ? bySecret(client, SERVICE_SECRET) : ({ method: 'none', clientId: client } as const)
    const known = isVouched
      ? await vouchedClient({ client, proven: false }, identities)
      : await authenticateClient(credentials, identities)
    return { client: known, reachMs, jkt, seen, uses: [] }
  }

  function every(milliseconds: number, task: () => Promise<unknown>): void {
    const again = () => every(milliseconds, task)
    timers.after(
      milliseconds,
      () =>
        void task()
          .catch(() => {})
          .then(again),
    )
  }
}

const bySecret = (clientId: string, secret: string) =>
  ({ method: 'client_secret_basic', clientId, secret: new Secret(secret) }) as const

/** As in compose.ts, but more often: a run is short. */
const KEY_TICK_MS = 5000
const PURGE_MS = 7000
