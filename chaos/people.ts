/** Those who hold tokens: people whose tabs refresh, services with credentials of their own, people whose trust is going to end, and thieves. */
import { Browser, type Client, type Holding, type Person } from './requests.ts'
import { hideLater, pause, type Scene, show, take } from './scene.ts'

const TABS = 2
const STOCK = 4
/**
 * After a request that was not answered a family stays at its generation for so long, whatever tabs ask: what was sent may still arrive. Outside of
 * a test minutes lie between two generations.
 */
const SETTLE_MS = 6000
/** A tab sleeps so long at most: after the grace (30 s) the token before counts as stolen. */
const SLEEP_MS = 15_000

export async function family(scene: Scene, person: Person): Promise<void> {
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

export async function service(scene: Scene, client: Client): Promise<void> {
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

/** `fresh`: each with a sign-in of its own; `shared`: all of one session. */
export async function stockUp(scene: Scene, people: readonly Person[], shelf: 'fresh' | 'shared'): Promise<void> {
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

/** Takes a refresh token, and presents it when its owner has long gone on. */
export async function thief(scene: Scene): Promise<void> {
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
