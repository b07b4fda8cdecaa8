/**
 * People and their apps: they sign in, refresh, lose answers and ask again, with several tabs at once, and never use a refresh token that they
 * know to be spent. Some are robbed. Whether they were treated as promised is judged here, since only here it is known who is honest.
 */

import type { TokenSet } from '@signet/authority/grants/grant.ts'
import { parseRefreshToken } from '@signet/authority/tokens/refresh-token.ts'
import { Fault, Refusal } from '@signet/kernel/errors.ts'
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'
import type { Dice } from './dice.ts'
import { ISSUER } from './names.ts'
import type { Asker, SimulatedNode } from './node.ts'
import type { World } from './world.ts'

/** Between two refreshes of one family, at least: longer than any request of the one before can still be under way. */
const REST_MS = 13_000
/** And so much more, unless something makes the app hurry. */
const IDLE_MS = 23_000
const PATIENCE_MS = 4000
/** No attempt begins in this last part of the grace, milliseconds: what is sent then may come too late. */
const GRACE_RESERVE_MS = 8500
const OWNER = new Uint8Array(8).fill(1)
const STRANGER = new Uint8Array(8).fill(9)

export interface Login {
  readonly name: string
  readonly subject: SubjectId
  readonly client: ClientId
  readonly session: string
  readonly device: string
  readonly madeMs: number
  readonly agreedMs: number
  readonly beganMs: number
  readonly jkt: string | undefined
  family: string
  refresh: string
  /** Somebody else uses its tokens, or its owner used one twice: it may end. */
  tainted: boolean
  over: boolean
  /** Lets its app find its access token refused, so that it refreshes at once; undefined while it has just done so. */
  hurry: (() => void) | undefined
}

/** The other side did not answer, or was not there. */
export class NoAnswer extends Error {}

/** One request to some node, or to this one. What is neither a refusal nor a fault of the node's is a bug. */
export async function ask<T>(
  world: World,
  dice: Dice,
  request: (node: SimulatedNode) => Promise<T>,
  place = world.pickNode(dice),
): Promise<T> {
  const { machine, node } = place
  const serve = async () => {
    if (node === undefined || !machine.isUp) throw new NoAnswer('refused')
    try {
      return await request(node)
    } catch (cause) {
      if (!(cause instanceof Refusal || cause instanceof Fault)) {
        world.history.violate('no request ends in a bug', String((cause as Error).stack ?? cause))
      }
      throw cause
    }
  }
  return world.network.call(world.apps, machine, serve, { patienceMs: PATIENCE_MS, lost: () => new NoAnswer('lost') })
}

export async function live(subject: SubjectId, name: string, world: World): Promise<void> {
  const dice = world.dice.named(name)
  const { apps } = world
  await apps.delay(dice.between(0, 4000))
  for (let count = 1; !world.isEnding; count++) {
    const login = await signIn(subject, `${name}#${count}`, world, dice)
    if (login === undefined) await apps.delay(dice.between(500, 3000))
    else await keep(login, world, dice)
  }
}

async function signIn(subject: SubjectId, name: string, world: World, dice: Dice): Promise<Login | undefined> {
  const { history, time } = world
  const client = dice.pick(world.appClients)
  const jkt = dice.happens(world.boundShare) ? thumbprint(dice) : undefined
  const asker: Asker = { client, jkt, seen: OWNER }
  const verifier = Buffer.from(dice.chance.bytes(32)).toString('base64url')
  const beganMs = time.nowMs
  try {
    const { code, ...made } = await ask(world, dice, (node) => node.signIn(subject, client, verifier, jkt))
    const exchange = () => ask(world, dice, (node) => node.exchange(code, verifier, asker, made), world.pickAnywhere(dice))
    const tokens = await exchange()
    const refresh = tokens.refresh?.token ?? ''
    const family = parseRefreshToken(refresh)?.family ?? ''
    const login: Login = {
      name,
      subject,
      client,
      jkt,
      family,
      refresh,
      beganMs,
      tainted: false,
      over: false,
      hurry: undefined,
      ...made,
    }
    world.logins.push(login)
    history.tell(
      `${name} signed in (subject ${subject.slice(-6)}, family ${family.slice(-6)}${jkt === undefined ? '' : ', bound to a key'})`,
    )
    if (dice.happens(0.03)) {
      login.tainted = true
      history.tell(`${name} sends its code once more`)
      await exchange().catch(() => {})
    }
    return login
  } catch (cause) {
    if (cause instanceof Refusal && cause.code === 'invalid_grant' && !isEnded({ subject, client, beganMs }, world)) {
      history.violate('no honest sign-in is refused', `${name}: ${cause.message}`)
    }
    return undefined
  }
}

async function keep(login: Login, world: World, dice: Dice): Promise<void> {
  const { apps, history } = world
  if (dice.happens(world.theftShare)) void rob(login, world, dice.named('thief'))
  while (!login.over && !world.isEnding) {
    await apps.delay(REST_MS)
    const hurried = Promise.withResolvers<void>()
    login.hurry = hurried.resolve
    await Promise.race([apps.delay(dice.between(0, IDLE_MS)), hurried.promise])
    login.hurry = undefined
    if (world.isEnding) return
    const tabs = dice.happens(0.25) ? 2 : 1
    const endings = await Promise.all(Array.from({ length: tabs }, () => refreshUntilKnown(login, login.refresh, world, dice)))
    const next = endings.find((ending) => typeof ending === 'object')
    if (next !== undefined) login.refresh = next.refresh?.token ?? ''
    else {
      login.over = true
      history.tell(`${login.name} ${endings.includes('over') ? 'has to sign in again' : 'gives up on its family'}`)
    }
    if (dice.happens(0.08)) login.over = true // Moves on to another login, leaving this one lying.
  }
}

/** Asks with the same token until it is answered or the grace would be over. */
async function refreshUntilKnown(login: Login, presented: string, world: World, dice: Dice): Promise<TokenSet | 'over' | 'lost'> {
  const { time, history, apps, settings } = world
  const graceMs = (login.jkt === undefined ? settings.graceSeconds : settings.graceSecondsWithProof) * 1000
  const deadlineMs = time.nowMs + graceMs - GRACE_RESERVE_MS
  const asker: Asker = { client: login.client, jkt: login.jkt, seen: OWNER }
  for (let attempt = 0; attempt === 0 || time.nowMs < deadlineMs; attempt++) {
    try {
      return await ask(world, dice, (node) => node.refresh(presented, asker, login), world.pickAnywhere(dice))
    } catch (cause) {
      if (cause instanceof Refusal && cause.code === 'invalid_grant') {
        if (!login.tainted && !isEnded(login, world))
          history.violate('no honest family is killed', `${login.name}: ${cause.message}`)
        return 'over'
      }
      if (cause instanceof Refusal && !cause.reason.endsWith('_suspended')) {
        if (!isEnded(login, world)) history.violate('no honest request is refused', `${login.name}: ${cause.message}`)
        return 'over'
      }
      await apps.delay(dice.between(100, 1500))
    }
  }
  return 'lost'
}

/** Whether anybody asked for something that ends it, and had not heard that it was done before it began: until then he asks again. */
function isEnded(login: Pick<Login, 'subject' | 'client' | 'beganMs'> & Partial<Login>, world: World): boolean {
  if (world.restoredMs.some((atMs) => atMs >= login.beganMs)) return true
  if (world.mayHaveEndedElsewhere?.(login) === true) return true
  const ids = [ISSUER, login.subject, login.client, login.session, login.device, login.family]
  return world.history.revocations.some(
    // A node may have known the client as it was up to the mint staleness ago, so one that came just before counts as well.
    (fact) =>
      ids.includes(fact.id as never) && fact.act !== 'renew' && (fact.heardMs ?? Number.POSITIVE_INFINITY) > login.beganMs - 3000,
  )
}

/** Copies the refresh token as it is at some moment, and uses it later: from elsewhere, without the key, perhaps as another client. */
async function rob(login: Login, world: World, dice: Dice): Promise<void> {
  const { apps, history } = world
  await apps.delay(dice.between(1000, 40_000))
  let stolen = login.refresh
  const client = dice.happens(0.25) ? dice.pick(world.appClients) : login.client
  const isAble = client === login.client && login.jkt === undefined
  await apps.delay(dice.happens(0.5) ? dice.between(0, 3000) : dice.between(0, 45_000))
  if (world.isEnding) return
  if (isAble) login.tainted = true
  history.tell(
    `a thief uses a token of ${login.name}${isAble ? '' : client === login.client ? ' without its key' : ' as another client'}`,
  )
  for (let times = dice.whole(1, 4); times > 0 && !world.isEnding; times--) {
    try {
      const asker: Asker = { client, jkt: dice.happens(0.5) ? thumbprint(dice) : undefined, seen: STRANGER }
      const tokens = await ask(world, dice, (node) => node.refresh(stolen, asker, login), world.pickAnywhere(dice))
      if (!isAble) history.violate('a refresh token is worth nothing to another', `the thief of ${login.name} got tokens`)
      stolen = tokens.refresh?.token ?? stolen
    } catch {
      // What he is told is of no use to him.
    }
    await apps.delay(dice.between(200, 15_000))
  }
}

/** Of a key that somebody holds (RFC 7638). */
const thumbprint = (dice: Dice): string => Buffer.from(dice.chance.bytes(32)).toString('base64url')
