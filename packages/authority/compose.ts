/**
 * Everything an authority is made of, built by plain calls in an order that can be read: store, keys, the registry that follows the
 * log, revocation, tokens and grants, sign-in, the door, and what runs by itself. Closing goes the other way round.
 */
import type { AddressInfo } from 'node:net'
import type { Bus } from '@signet/bus/bus.ts'
import { newId } from '@signet/kernel/ids.ts'
import { epochSeconds, type Surroundings } from '@signet/kernel/surroundings.ts'
import fastify from 'fastify'
import { carryFeed } from './carry-feed.ts'
import { createKnownClients, followLog } from './clients/authenticate-client.ts'
import { useUp } from './clients/single-use.ts'
import { closeInTime, createClosing, drained } from './closing.ts'
import type { Config } from './config.ts'
import { firstStart } from './first-start.ts'
import { isHere } from './grants/home.ts'
import { identifyToken } from './grants/identify-token.ts'
import { createLivingTokens } from './grants/living-token.ts'
import { createCatalog } from './grants/target.ts'
import { createHealthChecks } from './health-checks.ts'
import { operationsRoutes } from './http/health.ts'
import { createLimits } from './http/oauth/caller.ts'
import { createElsewhere } from './http/oauth/elsewhere.ts'
import { createStep } from './http/oauth/step.ts'
import { createVouching } from './http/oauth/vouching.ts'
import { createAdminAccess, createOwnValidator, requireToken } from './http/protected.ts'
import { createHttpServer } from './http/server.ts'
import { composeSignin } from './http/signin/compose-signin.ts'
import { openPublicPart } from './keys/key-record.ts'
import { type KeyRing, openKeyRing } from './keys/key-ring.ts'
import { findMasterKey, loadMasterKey, type MasterKey, type MasterOf } from './keys/master-key.ts'
import { keysFollowLog } from './keys-follow-log.ts'
import { openBus } from './open-bus.ts'
import { openStore } from './open-store.ts'
import { policyVersion } from './policy/load-settings.ts'
import { guardMilliseconds, type PolicySettings } from './policy/settings.ts'
import { readKeys } from './regions/link-messages.ts'
import { openRegions, type RegionConfig } from './regions/regions.ts'
import { openBatchRunner } from './revocation/batch-runner.ts'
import { createBatches } from './revocation/batches.ts'
import { openFeed } from './revocation/feed.ts'
import type { CarrierStream } from './revocation/feed-carrier.ts'
import { createSignedKeys } from './revocation/feed-keys.ts'
import { openFleetHearing } from './revocation/fleet.ts'
import { openRegistry } from './revocation/registry.ts'
import { openRetirement } from './revocation/retire.ts'
import { createRevoker, type Revoker } from './revocation/revoke.ts'
import { createTidings } from './revocation/tidings.ts'
import { createTriggers } from './revocation/triggers.ts'
import { sharedBudgets } from './shared-budgets.ts'
import type { Store } from './store/store.ts'
import { sha256 } from './surroundings.ts'
import { startTasks, type Tasks } from './tasks.ts'
import type { Log } from './telemetry/log.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { signJwt } from './tokens/jwt.ts'
import { createMint } from './tokens/mint.ts'
import { upkeep } from './upkeep.ts'
import { VERSION } from './version.ts'

export interface Authority {
  /** Where it listens; of use when the configuration said port 0. */
  readonly port: number
  /** One-time link for the first administrator, while there is no account. */
  readonly setupLink: string | undefined
  readonly store: Store
  readonly keys: KeyRing
  readonly revoker: Revoker
  /**
   * Drains: says that it is not ready and goes on serving for `drainSeconds`, so that load balancers leave it out; then ends streams with
   * their resume point, finishes what has begun, closes the store. `now` cuts the wait short.
   */
  close(now?: AbortSignal): Promise<void>
}

export interface Outside {
  readonly surroundings: Surroundings
  readonly log: Log
  /** Instead of the configured one, opened and closed by the caller: for tests. */
  readonly store?: Store
}

/** A node as configured: opens what it stands on, builds it, starts what runs by itself, listens. */
export async function composeAuthority(config: Config, outside: Outside): Promise<Authority> {
  const { issuer, settings, stateDirectory, trustedProxies, fleetMemorySeconds } = config
  const { surroundings, log } = outside
  const { clock, chance, timers } = surroundings
  const closing = createClosing()
  try {
    const env = takeMasterKeyVariable()
    const source = { file: config.masterKeyFile, chance, ...(env !== undefined && { env }) }
    let master = await findMasterKey(source)
    const masterOf: MasterOf = async ({ keys }) => {
      // Made for a store without keys alone: any other needs its own put back, and a new one in its place would hide that.
      master ??= await loadMasterKey({ ...source, create: (await keys.all()).length === 0 })
      return master
    }
    const store = outside.store ?? (await openStore(config, masterOf, surroundings, log))
    if (outside.store === undefined) closing.add(() => store.close())
    const { close: closeBus, ...buses } = await openBus(config, surroundings, log)
    closing.add(closeBus)
    const { region } = config
    let tasks: Tasks | undefined
    const node = await assemble({
      taskAges: () => tasks?.ages() ?? new Map(),
      region,
      issuer,
      settings,
      store,
      master: await masterOf(store),
      ...buses,
      surroundings,
      log,
      stateDirectory,
      trustedProxies,
      fleetMemorySeconds,
    })
    closing.add(() => node.close())

    const started = startTasks(upkeep({ store, keys: node.keys, issuer, surroundings }), { clock, timers, log })
    closing.add(() => started.close())
    tasks = started
    const setupLink = await firstStart({ store, issuer, stateDirectory, surroundings, sha256 })
    if (config.operations !== undefined) {
      const operations = fastify({ logger: false })
      operationsRoutes(operations, node.health)
      await operations.listen({ host: config.operations.host, port: config.operations.port })
      closing.add(() => operations.close())
    }
    await node.app.listen({ host: config.host, port: config.port })
    const { port } = node.app.server.address() as AddressInfo
    return { port, setupLink, store, keys: node.keys, revoker: node.revoker, close }

    async function close(now?: AbortSignal): Promise<void> {
      node.drain()
      await drained(config.drainSeconds * 1000, timers, now)
      await closing.run()
    }
  } catch (error) {
    await closing.run().catch(() => {})
    throw error
  }
}

export interface Foundation {
  readonly issuer: string
  readonly settings: PolicySettings
  readonly store: Store
  readonly master: MasterKey
  readonly bus: Bus
  /** Where the feed is carried to, beside the door: NATS. */
  readonly feedStream?: CarrierStream
  readonly surroundings: Surroundings
  readonly log: Log
  readonly stateDirectory: string
  readonly trustedProxies: number
  /** A validator that was not seen for so long is forgotten. */
  readonly fleetMemorySeconds: number
  readonly region?: RegionConfig | undefined
  /** Of what the node does by itself, when the caller has it do that. */
  taskAges?(): ReadonlyMap<string, number>
}

/** Everything between the store and the door, not yet listening. The caller closes what it gave. */
export async function assemble(foundation: Foundation) {
  const { issuer, settings, store, master, bus, surroundings, log, stateDirectory, trustedProxies } = foundation
  const { clock, chance, timers } = surroundings
  const startedAtMs = clock.now()
  const metrics = createMetrics()
  const closing = createClosing()
  try {
    const peerKeys = async () => (await store.peers.all()).flatMap((peer) => readKeys(peer.keys))
    const keys = await openKeyRing({ store, master, clock, chance, settings, ...(foundation.region && { peerKeys }) })
    bus.subscribe('keys', () => void keys.refresh().catch(() => {}))

    // What was taken back, and taking back.
    const common = { store, settings, issuer, bus, clock, chance, timers, sha256 }
    const registry = await openRegistry({
      ...common,
      tidings: createTidings(keys, chance),
      observe: {
        lost: (cause) => log.warn({ err: cause }, 'the revocation log cannot be followed'),
        found: () => log.info('the revocation log is followed again'),
        learned: (by, ms) => metrics.learned(by, ms / 1000),
      },
    })
    closing.add(() => registry.close())
    keysFollowLog(registry, keys, issuer)
    const observeRevocation = { revoked: (kind: string, ms: number) => metrics.revoked(kind, ms / 1000) }
    const revoker = createRevoker({ ...common, keys, registry, observe: observeRevocation })
    closing.add(() => revoker.close())
    const retirement = openRetirement(common)
    closing.add(() => retirement.close())
    const { region } = foundation
    const regions =
      region &&
      (await openRegions(region, {
        ...common,
        registry,
        keys,
        surroundings,
        opens: (key) => openPublicPart(master, key) !== undefined,
        observe: {
          lost: (name, cause) => log.warn({ region: name, err: cause }, 'another region cannot be followed'),
          found: (name) => log.info({ region: name }, 'the other region is followed again'),
          takenOver: metrics.takenOver,
          forwarded: metrics.forwarded,
        },
      }))
    if (regions !== undefined) closing.add(() => regions.close())
    const runner = openBatchRunner({
      ...common,
      revoker,
      holder: newId<string>(startedAtMs, chance),
      observe: {
        batched: metrics.batched,
        failed: (batch, cause) => log.error({ batch, err: cause }, 'a batch failed'),
      },
    })
    closing.add(() => runner.close())
    const batches = createBatches({ ...common, started: runner.wake })
    const livingTokens = createLivingTokens({ ...common, keys, registry })
    const identify = (token: string) => identifyToken(token, { store, keys, livingTokens })
    const triggers = createTriggers({ ...common, revoker, identify })
    const signFeed = (typ: string, payload: object) => signJwt(keys.signer('feed'), { typ }, payload)
    const hub = openFeed({
      ...common,
      registry,
      peersAgeMs: regions?.ageMs,
      sign: signFeed,
      observe: {
        fed: (entries, ms) => metrics.fedForward(entries, ms / 1000),
        unsigned: (cause) => log.warn({ err: cause }, 'the feed cannot be signed'),
      },
    })

    const fleet = openFleetHearing({
      ...common,
      clockOffsetMs: () => registry.clockOffsetMs(),
      memoryMs: foundation.fleetMemorySeconds * 1000,
      observe: { unwritten: (cause) => log.warn({ err: cause }, 'what validators have applied could not be written down yet') },
    })
    closing.add(() => fleet.close())

    // What is issued, and to whom.
    const mint = createMint({ ...common, keys, guardMs: guardMilliseconds(settings) })
    const catalog = createCatalog(common)
    const clients = createKnownClients(common)
    followLog(clients, registry, issuer)
    const version = policyVersion(settings, sha256)
    const validator = createOwnValidator({ ...common, keys, registry, surroundings })
    closing.add(() => validator.close())
    const budgets = sharedBudgets(store)
    const signin = composeSignin({ ...common, shared: budgets, keys, revoker, triggers, catalog, signedIn: metrics.signedIn })

    // The door.
    let draining = false
    const drain = () => {
      draining = true
    }
    const { taskAges = () => new Map<string, number>() } = foundation
    const stopping = () => draining || closing.begun
    const checks = createHealthChecks({ ...common, keys, registry, hub, regions, taskAges, stopping })
    const health = { checks, metrics: metrics.registry }
    const shared = { ...common, keys, registry, livingTokens, revoker, policyVersion: version }
    const callers = { clients, limits: createLimits(settings, clock, budgets), step: createStep(timers) }
    const here = (token: string) => isHere(token, { ...common, keys })
    const vouching = createVouching(chance)
    const elsewhere =
      regions &&
      createElsewhere({
        isHere: here,
        forward: regions.forward,
        useUp: (uses) => store.transact((tx) => useUp(tx, uses)),
      })
    const app = createHttpServer({
      issuer,
      log,
      chance,
      telemetry: metrics,
      trustedProxies,
      health,
      oauth: {
        ...shared,
        ...callers,
        elsewhere,
        vouching: regions && vouching,
        catalog,
        mint,
        triggers,
        retirement,
        validator,
        telemetry: metrics,
      },
      signin,
      admin: {
        ...shared,
        batches,
        regions,
        feed: hub,
        passwords: signin.passwords,
        checks,
        version: VERSION,
        startedAtMs,
        stateDirectory,
        log,
        access: createAdminAccess(validator),
      },
      region: {
        regions,
        vouching,
        isHere: here,
        authorize: (request, reply) => requireToken(request, reply, validator, 'signet:region'),
      },
      feed: {
        hub,
        fleet,
        open: settings.feedOpen,
        authorize: (request, reply) => requireToken(request, reply, validator, 'signet:feed'),
        watch: (verdict, ended) => validator.watch(verdict, ended),
        jwks: () => ({ ...keys.jwks('feed'), at: clock.now() }),
        signedKeys: createSignedKeys({
          issuer,
          keys,
          epoch: () => (keys.isDoubted ? '-' : (registry.position?.epoch ?? '-')),
          sign: signFeed,
          clock,
        }),
        jwksCacheSeconds: settings.jwksCacheSeconds,
        clock,
        timers,
      },
    })
    closing.add(() => closeInTime(app, timers))
    closing.add(() => hub.close()) // First of all: streams would keep the server open.
    if (foundation.feedStream !== undefined) {
      const carrying = { stream: foundation.feedStream, hub, registry, keys, issuer, surroundings, carried: metrics.carried }
      const carrier = carryFeed(carrying)
      closing.add(() => carrier.close())
    }
    metrics.bind({
      regions: () => regions?.status() ?? [],
      busLinked: () => bus.linked(),
      taskAges,
      feedReaders: () => hub.readers,
      stalenessMs: () => registry.ageMs(),
      registryEntries: () => registry.view.size,
      sequence: () => registry.position?.seq ?? 0,
      storeQueue: async () => (await store.health()).queued,
      batches: () => store.batches.count(),
      checks,
      clockOffsetMs: () => registry.clockOffsetMs(),
      keyAgeSeconds: () => epochSeconds(clock.now()) - (activeSince(keys) ?? 0),
    })
    return { app, keys, regions, mint, registry, revoker, triggers, hub, validator, health, drain, close: closing.run }
  } catch (error) {
    await closing.run().catch(() => {})
    throw error
  }
}

const activeSince = (keys: KeyRing): number | undefined =>
  keys.records().find(({ purpose, state }) => purpose === 'token' && state === 'active')?.activeAt

/** Taken out, so that whoever looks at this process's environment later does not find it, nor do its children. */
export function takeMasterKeyVariable(): string | undefined {
  const { SIGNET_MASTER_KEY } = process.env
  delete process.env.SIGNET_MASTER_KEY
  return SIGNET_MASTER_KEY
}
