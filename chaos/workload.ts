/**
 * The steady life of a cluster: people whose tabs refresh, services with credentials of their own, thieves, and operators who take things back
 * and look after the place. Bounded: each loop has one request under way, and waits between two.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { ApiError } from '@signet/api/errors.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import { REDIRECT } from '../packages/cli/drill/oauth.ts'
import { API, type Cluster } from './cluster.ts'
import type { Ids } from './facts.ts'
import { insist } from './insist.ts'
import { Browser, type Client, createRequests, type Holding, type Person, type Requests } from './requests.ts'

export interface Workload {
  readonly requests: Requests
  readonly shop: Client
  readonly machine: Client
  /** Access tokens that were given to validators, by name. */
  readonly tokens: ReadonlyMap<string, { readonly token: string; readonly ids: Ids }>
  /** Families that were taken back, for a last try. */
  readonly ended: readonly Holding[]
  /** What ended a part of it: a mistake of the harness. */
  readonly broke: unknown
  stop(): Promise<void>
}

const FAMILIES = 4
const TABS = 2
const DOOMED_PEOPLE = 3
const STOCK = 4
/** An access token is watched so long after the next one came, or after its revocation. */
const WATCH_MS = 4000
/**
 * After a request that was not answered a family stays at its generation for so long, whatever tabs ask: what was sent may still arrive. Outside of
 * a test minutes lie between two generations.
 */
const SETTLE_MS = 6000
/** A tab sleeps so long at most: after the grace (30 s) the token before counts as stolen. */
const SLEEP_MS = 15_000

interface Scene {
  readonly cluster: Cluster
  readonly requests: Requests
  readonly shop: Client
  readonly tokens: Map<string, { token: string; ids: Ids }>
  readonly ended: Holding[]
  readonly stock: { fresh: Holding[]; shared: Holding[] }
  stopping: boolean
}

export async function startWorkload(cluster: Cluster): Promise<Workload> {
  const { admin, issuer, surroundings } = cluster
  const requests = createRequests(issuer, surroundings.recorder)
  const shop = await insist(() =>
    newClient(cluster, {
      platform: 'web',
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      redirect_uris: [REDIRECT],
      first_party: true,
    }),
  )
  const machine = await insist(() => newClient(cluster, { platform: 'service', grant_types: ['client_credentials'] }))
  const person = () =>
    insist(async (): Promise<Person> => {
      const username = `p${randomBytes(6).toString('hex')}`
      const password = randomBytes(15).toString('base64url')
      const { id } = await admin.call('createSubject', { body: { username, password } })
      return { subject: id, username, password }
    })
  const scene: Scene = {
    cluster,
    requests,
    shop,
    tokens: new Map(),
    ended: [],
    stock: { fresh: [], shared: [] },
    stopping: false,
  }
  const people = await Promise.all(Array.from({ length: FAMILIES + DOOMED_PEOPLE }, person))
  const doomed = people.splice(FAMILIES)
  let broke: unknown
  const loops = [
    ...people.map((one) => family(scene, one)),
    ...Array.from({ length: 2 }, () => service(scene, machine)),
    stockUp(scene, doomed.slice(1), 'fresh'),
    stockUp(scene, doomed.slice(0, 1), 'shared'),
    ...Array.from({ length: 2 }, () => operator(scene)),
    thief(scene),
    caretaker(scene),
  ].map((loop) =>
    loop.catch((error: unknown) => {
      broke ??= error
    }),
  )
  return {
    requests,
    shop,
    machine,
    tokens: scene.tokens,
    ended: scene.ended,
    get broke() {
      return broke
    },
    async stop() {
      scene.stopping = true
      await Promise.all(loops)
    },
  }
}

const pause = (least: number, most = least) =>
  new Promise<void>((resolve) => setTimeout(resolve, least + Math.random() * (most - least)))

async function newClient({ admin }: Cluster, body: object): Promise<Client> {
  const made = await admin.call('createClient', {
    body: {
      name: 'A client',
      auth_method: 'client_secret_basic',
      scopes: ['notes:read', 'notes:write'],
      resources: [API],
      ...body,
    } as never,
  })
  return { id: made.id, secret: made.client_secret as string }
}

/** Validators judge it from now on, until it was replaced and is of no more interest. */
function show({ cluster, tokens }: Scene, { accessToken, ids }: { accessToken?: string; ids?: Ids }): string | undefined {
  if (accessToken === undefined || ids?.token === undefined) return undefined
  tokens.set(ids.token, { token: accessToken, ids })
  cluster.watch({ name: ids.token, token: accessToken })
  return ids.token
}

function hideLater({ cluster }: Scene, name: string | undefined): void {
  if (name !== undefined) setTimeout(() => cluster.forget(name), WATCH_MS).unref()
}

// ── People ──

async function family(scene: Scene, person: Person): Promise<void> {
  const { requests, shop } = scene
  while (!scene.stopping) {
    const holding = await requests.signIn(new Browser(), shop, person)
    if (holding === undefined) {
      await pause(100, 300)
      continue
    }
    const life = createFamily(scene, holding)
    await Promise.all(Array.from({ length: TABS }, () => tab(scene, life)))
  }
}

/** What the tabs of one browser share. */
interface Family {
  current: string
  previous: string | undefined
  readonly holding: Holding
  /** Somebody has presented the current token. */
  touched: boolean
  /** When somebody first did, and when of the token before. */
  usedAt: number
  previousUsedAt: number
  /** What is presented by requests under way. */
  readonly flying: string[]
  settledAt: number
  shown: string | undefined
  ended: boolean
}

const createFamily = (scene: Scene, holding: Holding): Family => ({
  current: holding.refreshToken,
  previous: undefined,
  holding,
  touched: false,
  usedAt: 0,
  previousUsedAt: 0,
  flying: [],
  settledAt: 0,
  shown: show(scene, holding),
  ended: false,
})

async function tab(scene: Scene, life: Family): Promise<void> {
  while (!scene.stopping && !life.ended) {
    await pause(100, 500)
    // A tab that has slept presents the token before; once somebody went on from the current one that would be a spent one.
    const isInGrace = performance.now() - life.previousUsedAt < SLEEP_MS
    const sleepy = life.previous !== undefined && isInGrace && !life.touched && Math.random() < 0.2
    const isSettled = performance.now() > life.settledAt && life.flying.every((token) => token === life.current)
    if (!sleepy && !life.touched && !isSettled) continue
    await renew(scene, life, sleepy ? (life.previous as string) : life.current)
  }
}

async function renew(scene: Scene, life: Family, presented: string): Promise<void> {
  if (presented === life.current && !life.touched) {
    life.touched = true
    life.usedAt = performance.now()
  }
  life.flying.push(presented)
  const answer = await scene.requests.refresh(scene.shop, { ...life.holding, refreshToken: presented })
  life.flying.splice(life.flying.indexOf(presented), 1)
  if (answer.status === undefined) life.settledAt = performance.now() + SETTLE_MS
  if (answer.status === 400) life.ended = true
  if (answer.status !== 200 || presented !== life.current) return
  if (answer.refreshToken !== undefined) {
    life.previous = life.current
    life.previousUsedAt = life.usedAt
    life.current = answer.refreshToken
    life.touched = false
  }
  hideLater(scene, life.shown)
  life.shown = show(scene, answer)
}

// ── Services ──

async function service(scene: Scene, client: Client): Promise<void> {
  let shown: string | undefined
  while (!scene.stopping) {
    const answer = await scene.requests.machine(client)
    if (answer.accessToken !== undefined && Math.random() < 0.1) {
      hideLater(scene, shown)
      shown = show(scene, answer)
    }
    await pause(200, 400)
  }
}

// ── Those whose trust ends ──

/** `fresh`: each with a sign-in of its own; `shared`: all of one session. */
async function stockUp(scene: Scene, people: readonly Person[], shelf: 'fresh' | 'shared'): Promise<void> {
  let browser = new Browser()
  for (let turn = 0; !scene.stopping; turn++) {
    if (scene.stock[shelf].length >= STOCK) {
      await pause(50)
      continue
    }
    if (shelf === 'fresh') browser = new Browser()
    const person = people[turn % people.length] as Person
    const holding = await scene.requests.signIn(browser, scene.shop, person)
    if (holding === undefined) {
      browser = new Browser()
      await pause(100, 300)
      continue
    }
    show(scene, holding)
    scene.stock[shelf].push(holding)
    await pause(shelf === 'fresh' ? 600 : 60)
  }
}

/** Of one shelf; the fresh ones for what would end others of the same session too. */
async function take(scene: Scene, shelf: 'fresh' | 'shared'): Promise<Holding | undefined> {
  while (!scene.stopping) {
    const holding = scene.stock[shelf].shift()
    if (holding !== undefined) return holding
    await pause(20)
  }
  return undefined
}

async function operator(scene: Scene): Promise<void> {
  for (let turn = Math.floor(Math.random() * 100); !scene.stopping; turn++) {
    if (turn % 40 === 17) await endKey(scene)
    else if (turn % 12 === 5) await endClient(scene)
    else if (turn % 12 === 9) await suspendForAWhile(scene)
    else if (turn % 6 === 2) {
      const kind = (['session', 'device', 'subject'] as const)[Math.floor(turn / 6) % 3] as KeyKind
      const holding = await take(scene, 'fresh')
      if (holding !== undefined) await end(scene, holding, kind, turn % 18 === 2 && kind === 'subject' ? 'renew' : 'revoke')
    } else {
      const holding = await take(scene, 'shared')
      if (holding !== undefined) await end(scene, holding, turn % 2 === 0 ? 'grant' : 'token', 'revoke')
    }
    await pause(60, 140)
  }
}

async function end(scene: Scene, holding: Holding, kind: KeyKind, act: 'revoke' | 'renew'): Promise<void> {
  const isDone = await revoke(scene, kind, holding.ids[kind] as string, act, holding.madeAt)
  if (isDone && act === 'revoke' && kind !== 'token') scene.ended.push(holding)
  hideLater(scene, holding.ids.token)
}

async function revoke(scene: Scene, kind: KeyKind, target: string, act: 'revoke' | 'renew', madeAt: number): Promise<boolean> {
  const { admin, surroundings } = scene.cluster
  const { recorder } = surroundings
  const id = recorder.number()
  recorder.note({ is: 'revoking', id, kind, target, act })
  const receipt = await again(scene, (idempotencyKey) =>
    careful(scene, `to ${act} a ${kind}`, madeAt, () =>
      admin.call('revoke', {
        body: { target: { kind, id: target }, reason: 'chaos', keep_grants: act === 'renew' },
        idempotencyKey,
        scope: 'signet:admin',
      } as never),
    ),
  )
  if (receipt === undefined) return false
  const { epoch, seq } = receipt as unknown as { epoch: string; seq: number }
  recorder.note({ is: 'revoked', id, epoch, seq })
  return true
}

/** Three times at most, until it is acknowledged: the same question with the same key. */
async function again<T>(scene: Scene, ask: (idempotencyKey: string) => Promise<T | undefined>): Promise<T | undefined> {
  const key = randomUUID()
  for (let tries = 0; tries < 3 && !scene.stopping; tries++) {
    const answer = await ask(key)
    if (answer !== undefined) return answer
    await pause(100, 200)
  }
  return undefined
}

/** What the admin API answers about something that is there since `madeAt`; undefined when it says "not now" or nothing. Any other no is a fact. */
async function careful<T>(
  { cluster }: Scene,
  what: string,
  madeAt: number | undefined,
  run: () => Promise<T>,
): Promise<T | undefined> {
  const { recorder } = cluster.surroundings
  const call = recorder.number()
  const ids = { client: 'signet-cli', issuer: cluster.issuer }
  recorder.note({ is: 'asked', call, who: 'honest', what, ids, ...(madeAt !== undefined && { madeAt }) })
  try {
    return await run()
  } catch (error) {
    const { status = 0, code = 'none', reason = 'none', name } = error as ApiError
    if (name !== 'ApiError' && name !== 'TimeoutError' && !(error instanceof TypeError)) throw error
    // The client has no access to the header; that 503 carries it is seen at /token.
    const again = status === 503 || status === 429
    recorder.note({
      is: 'answered',
      call,
      ...(status > 0 && { status, error: code, reason }),
      ...(again && { retryAfter: true }),
    })
    return undefined
  }
}

async function endClient(scene: Scene): Promise<void> {
  const madeAt = scene.cluster.surroundings.recorder.now()
  const client = await careful(scene, 'to create a client', undefined, () =>
    newClient(scene.cluster, { platform: 'service', grant_types: ['client_credentials'] }),
  )
  if (client === undefined) return
  const answer = await scene.requests.machine(client, madeAt)
  const shown = show(scene, answer)
  await revoke(scene, 'client', client.id, 'revoke', madeAt)
  hideLater(scene, shown)
}

/** The key that signs now is stolen. */
async function endKey(scene: Scene): Promise<void> {
  const madeAt = scene.cluster.surroundings.recorder.now()
  const answer = await scene.requests.machine(scene.shop)
  const shown = show(scene, answer)
  if (answer.ids?.key !== undefined) await revoke(scene, 'key', answer.ids.key, 'revoke', madeAt)
  hideLater(scene, shown)
}

async function suspendForAWhile(scene: Scene): Promise<void> {
  const { admin, surroundings } = scene.cluster
  const { recorder } = surroundings
  const holding = await take(scene, 'shared')
  const target = holding?.ids.grant
  if (holding === undefined || target === undefined) return
  const id = recorder.number()
  recorder.note({ is: 'revoking', id, kind: 'grant', target, act: 'suspend' })
  const receipt = await again(scene, (idempotencyKey) =>
    careful(scene, 'to suspend a grant', holding.madeAt, () =>
      admin.call('suspend', { body: { target: { kind: 'grant', id: target }, reason: 'chaos' }, idempotencyKey }),
    ),
  )
  if (receipt !== undefined) {
    recorder.note({ is: 'revoked', id, epoch: receipt.epoch, seq: receipt.seq })
    await pause(200, 400)
  }
  recorder.note({ is: 'resuming', kind: 'grant', target })
  const lift = (idempotencyKey: string) => admin.call('resume', { params: { kind: 'grant', id: target }, idempotencyKey })
  // Whether there is anything to lift nobody knows then.
  if (receipt === undefined) await lift(randomUUID()).catch(() => undefined)
  else
    await again(scene, (key) =>
      careful(scene, 'to lift a suspension', holding.madeAt, async () => {
        await lift(key)
        return true
      }),
    )
  hideLater(scene, holding.ids.token)
}

/** Takes a refresh token, and presents it when its owner has long gone on. */
async function thief(scene: Scene): Promise<void> {
  const { recorder } = scene.cluster.surroundings
  while (!scene.stopping) {
    await pause(400, 900)
    const holding = await take(scene, 'shared')
    if (holding === undefined) return
    let refreshToken = holding.refreshToken
    let steps = 0
    for (let tries = 0; tries < 6 && steps < 2 && !scene.stopping; tries++) {
      const answer = await scene.requests.refresh(scene.shop, { ...holding, refreshToken })
      if (answer.status === undefined) break // What was sent may still arrive, and would be a theft by then.
      if (answer.refreshToken === undefined) {
        await pause(200)
        continue
      }
      refreshToken = answer.refreshToken
      steps++
    }
    if (steps < 2) continue
    const id = recorder.number()
    recorder.note({ is: 'revoking', id, kind: 'grant', target: holding.ids.grant as string, act: 'revoke' })
    const answer = await scene.requests.refresh(scene.shop, holding, 'spent')
    if (answer.status === 400) {
      recorder.note({ is: 'revoked', id })
      scene.ended.push({ ...holding, refreshToken })
    }
    hideLater(scene, holding.ids.token)
  }
}

/** What goes on beside it in the admin API. */
async function caretaker(scene: Scene): Promise<void> {
  const { admin } = scene.cluster
  for (let turn = 0; !scene.stopping; turn++) {
    await pause(300, 700)
    if (turn % 4 === 0)
      await careful(scene, 'to list clients', undefined, () => admin.call('listClients', { query: { limit: 10 } }))
    else if (turn % 4 === 1) await careful(scene, 'to make a checkpoint', undefined, () => admin.call('makeCheckpoint'))
    else if (turn % 4 === 2)
      await careful(scene, 'to rotate a key', undefined, () =>
        admin.call('rotateKey', { body: { purpose: 'ring', force: false } }),
      )
    else await careful(scene, 'to see the feed', undefined, () => admin.call('showFeed'))
  }
}
