/** One simulated world: machines, network, store, nodes, validators, people; everything chosen by the seed. */

import { MasterKey } from '@signet/authority/keys/master-key.ts'
import { defaultSettings, type PolicySettings } from '@signet/authority/policy/settings.ts'
import { BY_HAND, endTheGap, type Gap } from '@signet/authority/restore.ts'
import type { ClientRecord } from '@signet/authority/store/ports/clients.ts'
import { sha256 } from '@signet/authority/surroundings.ts'
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'
import { newId } from '@signet/kernel/ids.ts'
import type { Present } from './builtins.ts'
import { createSimulatedBus, type SimulatedBus } from './bus.ts'
import type { Dice } from './dice.ts'
import type { SimulatedDisk } from './disk.ts'
import { serverOf } from './feed-door.ts'
import type { History } from './history.ts'
import { createMachine, EPOCH_MS, type Machine } from './machine.ts'
import { API, ISSUER, REDIRECT, SERVICE_SECRET } from './names.ts'
import { createNetwork, type Network, type Weather } from './network.ts'
import { type Asker, type SimulatedNode, startNode } from './node.ts'
import type { Login } from './people.ts'
import type { RegionSeat } from './region-door.ts'
import type { RelayPlace } from './relay.ts'
import { createRelays } from './relays.ts'
import { openStoreMachine, type StoreMachine } from './store.ts'
import type { Tampering } from './tampering.ts'
import type { VirtualTime } from './time.ts'
import { createWatcher, type Watcher } from './watcher.ts'

/** A node's place: its machine, and the node that runs on it, if one does. */
export interface NodePlace {
  readonly machine: Machine
  node: SimulatedNode | undefined
  /** Its clock may be set beyond what the policy allows; it has to notice. */
  crash(): void
  start(): void
}

export interface World {
  readonly dice: Dice
  readonly time: VirtualTime
  readonly history: History
  readonly network: Network
  readonly bus: SimulatedBus
  readonly disk: SimulatedDisk
  readonly settings: PolicySettings
  readonly store: StoreMachine
  readonly nodes: readonly NodePlace[]
  readonly watchers: readonly Watcher[]
  /** Between some of the validators and the nodes, in some worlds; the second may read from the first. */
  readonly relays: readonly RelayPlace[]
  /** Where people and operators are; it never fails. */
  readonly apps: Machine
  readonly subjects: readonly SubjectId[]
  readonly clients: readonly ClientId[]
  readonly appClients: readonly ClientId[]
  readonly service: Asker
  readonly logins: Login[]
  readonly leakedKeys: string[]
  /** When a copy took the store's place. */
  readonly restoredMs: number[]
  readonly boundShare: number
  readonly theftShare: number
  readonly revocationEveryMs: number
  isEnding: boolean
  /** What the next start of a node takes for the life of access tokens; the policy has been changed when it is not the settings'. */
  accessTokenSeconds: number
  pickNode(dice: Dice): NodePlace
  /** Where an app asks that knows the issuer's name alone: with several regions, it may lead to any. */
  pickAnywhere(dice: Dice): NodePlace
  /** With several regions, whose age both clocks of a node tell: whether they sleep; then their wall clocks are not set wrong. */
  readonly nodesSleep?: boolean
  /** With several regions: whether something that was done in another may have ended it. */
  mayHaveEndedElsewhere?(login: Pick<Login, 'subject' | 'client' | 'beganMs'> & Partial<Login>): boolean
  /** Stops every node, puts a copy in the place of the store and begins a new epoch, as restore.ts does; then starts the nodes. */
  restore(image: Uint8Array, takenMs: number): Promise<void>
  /** Puts a copy in the place of the store and begins a new epoch while the nodes run: nobody else must get at it before. */
  beginAnew(image: Uint8Array, takenMs: number, gap: Gap): Promise<void>
  /** Runs the world until the promise has settled. */
  until<T>(promise: Promise<T>): Promise<T>
}

export const CALM: Weather = { delayMs: [0.1, 3], slow: { share: 0, mostMs: 0 }, requestLoss: 0, answerLoss: 0 }

export interface WorldParts {
  readonly dice: Dice
  readonly time: VirtualTime
  readonly history: History
  readonly present: Present
  readonly disk: SimulatedDisk
  readonly tampering: Tampering
  readonly region?: RegionPlan
}

/** What a world that is one of several regions shares with the others, and what it has of its own. */
export interface RegionPlan {
  readonly name: string
  readonly network: Network
  readonly apps: Machine
  readonly settings: PolicySettings
  readonly masterKey: Uint8Array
  /** The same for all: each has the same people and clients. */
  readonly people: Dice
  /** Those under which the other regions come. */
  readonly clients: readonly (Partial<ClientRecord> & Pick<ClientRecord, 'id'>)[]
  /** What validators say is judged by the logs of all. */
  readonly watched: History
  seat(machine: Machine): RegionSeat
  pickAnywhere(dice: Dice): NodePlace
  /** Where a validator of this region reads when its way leads elsewhere; undefined: here. */
  pickForValidator(name: string): NodePlace | undefined
}

export async function createWorld(parts: WorldParts): Promise<World> {
  const { dice, time, history, present, disk, tampering } = parts
  const plan = parts.region
  const settings = plan?.settings ?? chooseSettings(dice.named('settings'))
  history.mintStalenessMs = settings.mintStalenessMilliseconds
  const network = plan?.network ?? createNetwork(time, dice.named('network'), CALM)
  const prefix = plan === undefined ? '' : `${plan.name}-`
  const machine = (name: string) => createMachine(prefix + name, time, dice.named(`machine ${name}`))
  const apps = plan?.apps ?? machine('apps')
  const until = async <T>(promise: Promise<T>): Promise<T> => {
    let isOver = false
    promise.then(
      () => (isOver = true),
      () => (isOver = true),
    )
    await time.run(time.nowMs + LONGEST_STEP_MS, () => isOver)
    if (!isOver) throw new Error('the world stands still')
    return promise
  }
  const store = await until(openStoreMachine({ machine: machine('store'), present, network, history, dice: dice.named('store') }))
  const { subjects, clients, service } = await until(populate(store, plan?.people ?? dice.named('people'), plan?.clients))
  const masterKey = plan?.masterKey ?? dice.named('master').chance.bytes(32)
  const shape = dice.named('shape')
  const bus = createSimulatedBus(network, dice.named('bus'), shape.happens(0.75))

  const places: NodePlace[] = Array.from({ length: shape.whole(1, plan === undefined ? 3 : 2) }, (_, index) =>
    place(machine(`node-${index + 1}`)),
  )
  for (const { machine: one } of places) one.setOffset(shape.between(-0.9, 0.9) * settings.clockOffsetMilliseconds)
  const pickNode = (by: Dice): NodePlace => {
    const up = places.filter(({ node }) => node !== undefined)
    return by.pick(up.length > 0 && by.happens(0.95) ? up : places)
  }

  const world: World = {
    dice,
    time,
    history,
    network,
    bus,
    disk,
    settings,
    store,
    nodes: places,
    watchers: [],
    relays: [],
    apps,
    subjects,
    clients,
    appClients: clients.slice(0, 2),
    service,
    logins: [],
    leakedKeys: [],
    restoredMs: [],
    boundShare: shape.pick([0, 0.2, 0.5]),
    theftShare: shape.pick([0, 0.15, 0.4]),
    revocationEveryMs: shape.pick([800, 2500, 6000]),
    isEnding: false,
    accessTokenSeconds: settings.accessTokenSeconds,
    pickNode,
    pickAnywhere: plan?.pickAnywhere ?? pickNode,
    restore,
    beginAnew,
    until,
  }
  for (const { start } of places) start()
  await until(
    (async () => {
      while (places.some(({ node }) => node === undefined)) await apps.delay(20)
    })(),
  )
  const ways = createRelays(world, { ...parts, machine, pickNode })
  ;(world.relays as RelayPlace[]).push(...ways.relays)
  const watchers = Array.from({ length: shape.whole(2, 3) }, (_, index) => {
    const one = machine(`validator-${index + 1}`)
    disk.add(one)
    one.setOffset(shape.between(-400, 400))
    const feed = ways.feedFor(one.name)
    return createWatcher({
      ...(feed === undefined ? {} : { feed }),
      machine: one,
      time,
      network,
      history: plan?.watched ?? history,
      tampering,
      dice: dice.named(`way to ${one.name}`),
      pick: (url) => reachedElsewhere(one.name) ?? ways.reached(url, shape),
      skewSeconds: settings.leewaySeconds,
      tightestSeconds: shape.pick([1, 3, 6, 15]),
      hasDisk: shape.happens(0.5),
    })
  })
  ;(world.watchers as Watcher[]).push(...watchers)
  void ways.watchOver().catch((cause: unknown) => history.failed(cause))
  return world

  function reachedElsewhere(name: string) {
    const other = plan?.pickForValidator(name)
    return other && { machine: other.machine, server: other.node && serverOf(other.node) }
  }

  function place(on: Machine): NodePlace {
    const self: NodePlace = {
      machine: on,
      node: undefined,
      crash() {
        on.crash()
        self.node = undefined
      },
      start() {
        on.start()
        void begin()
      },
    }
    const begin = async () => {
      const { life } = on
      try {
        const link = store.link(on)
        const node = await startNode({
          machine: on,
          time,
          history,
          settings: { ...settings, accessTokenSeconds: world.accessTokenSeconds },
          store: link,
          truth: () => store.engine,
          bus: bus.of(on),
          masterKey,
          tampering,
          ...(plan === undefined ? {} : { region: plan.seat(on) }),
        })
        if (on.life === life) self.node = node
      } catch (cause) {
        // The process ends with it, and is started again by whoever watches over it; at the end all must be there.
        history.tell(`${on.name} does not start: ${(cause as Error).message}`)
        await on.delay(300)
        return begin()
      }
    }
    return self
  }

  async function restore(image: Uint8Array, takenMs: number): Promise<void> {
    for (const one of places) one.crash()
    await beginAnew(image, takenMs, BY_HAND)
    for (const one of places) one.start()
  }

  async function beginAnew(image: Uint8Array, takenMs: number, gap: Gap): Promise<void> {
    await store.replace(image)
    const { surroundings } = store.machine
    const master = new MasterKey(masterKey, surroundings.chance)
    const { epoch } = await endTheGap(store.engine, { issuer: ISSUER, settings, master, surroundings }, gap)
    const { seq } = await store.engine.revocations.head()
    history.begunAnew(takenMs, { epoch, seq }, await store.engine.revocations.after(0, 1000))
    world.restoredMs.push(time.nowMs)
  }
}

const LONGEST_STEP_MS = 60_000

/** Small numbers, so that a run of two minutes sees expiries, rotations and graces come and go. */
export function chooseSettings(dice: Dice): PolicySettings {
  return {
    ...defaultSettings,
    signingAlgorithm: dice.pick(['EdDSA', 'EdDSA', 'ES256'] as const),
    accessTokenSeconds: dice.pick([20, 45, 90]),
    graceSeconds: dice.pick([15, 20, 30]),
    graceSecondsWithProof: dice.pick([20, 60]),
    graceForeignRunLimit: dice.pick([1, 3]),
    retirePriorAccessTokenAfterSeconds: dice.pick([undefined, undefined, 0, 2]),
    clockOffsetMilliseconds: dice.pick([200, 500]),
    mintStalenessMilliseconds: dice.pick([500, 1000, 2000]),
    commitAllowanceMilliseconds: dice.pick([200, 500, 1000]),
    leewaySeconds: dice.pick([5, 30]),
    keyPublishSeconds: 40,
    keyActiveSeconds: dice.pick([60, 100, 100_000]),
    jwksCacheSeconds: 30,
    feedOpen: true,
  }
}

async function populate({ engine }: StoreMachine, dice: Dice, others: RegionPlan['clients'] = []) {
  const standing = { status: 'active', cutoffMs: 0, revokedMs: 0 } as const
  const createdAt = EPOCH_MS / 1000 - 86_400
  const client = (id: string, over: Partial<ClientRecord>): ClientRecord => ({
    ...standing,
    id: id as ClientId,
    name: id,
    platform: 'web',
    authMethod: 'none',
    secrets: [],
    jwks: [],
    redirectUris: [REDIRECT],
    postLogoutRedirectUris: [],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['api:read'],
    resources: [API],
    introspects: [],
    dpopBound: false,
    firstParty: true,
    createdAt,
    ...over,
  })
  const secrets = [{ sha256: sha256(SERVICE_SECRET), createdAt }]
  const clients = [
    client('app-one', {}),
    client('app-two', {}),
    client('service', { platform: 'service', authMethod: 'client_secret_basic', grantTypes: ['client_credentials'], secrets }),
  ]
  const subjects = Array.from({ length: dice.whole(3, 5) }, () => newId<SubjectId>(EPOCH_MS - 86_400_000, dice.chance))
  await engine.transact(async (tx) => {
    await tx.resources.put({
      uri: API,
      name: 'api',
      scopes: [{ name: 'api:read', description: 'Read' }],
      dpopRequired: false,
      createdAt,
    })
    for (const one of clients) await tx.clients.create(one)
    for (const other of others) await tx.clients.create(client(other.id, other))
    for (const id of subjects) await tx.subjects.create({ ...standing, id, username: id, claims: {}, roles: [], createdAt })
  })
  const service: Asker = { client: 'service' as ClientId, isService: true, seen: new Uint8Array(8) }
  return { subjects, clients: clients.map(({ id }) => id), service }
}
