/** Whoever takes things back: revocations of every kind, suspensions, key changes, reports of leaked tokens. Asks until answered, under one idempotency key. */

import type { Target } from '@signet/authority/revocation/target.ts'
import { signJwt } from '@signet/authority/tokens/jwt.ts'
import { Refusal } from '@signet/kernel/errors.ts'
import { type ClientId, newId, type TokenId } from '@signet/kernel/ids.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { Dice } from './dice.ts'
import type { Act, RevocationFact } from './history.ts'
import { API, ISSUER } from './names.ts'
import type { SimulatedNode } from './node.ts'
import { ask } from './people.ts'
import type { NodePlace, World } from './world.ts'

const TRIES = 12

export async function operate(world: World): Promise<void> {
  const dice = world.dice.named('operator')
  const { apps } = world
  await apps.delay(6000)
  for (let count = 0; !world.isEnding; count++) {
    await apps.delay(dice.between(300, world.revocationEveryMs * 2))
    if (!world.isEnding) void act(world, dice, count)
  }
}

async function act(world: World, dice: Dice, count: number): Promise<void> {
  const { history, apps } = world
  const login = world.logins.length === 0 ? undefined : dice.pick(world.logins.slice(-8))
  const token = history.tokens.length === 0 ? undefined : dice.pick(history.tokens.slice(-20))
  const what = dice.whole(0, 19)
  const subject = login?.subject ?? dice.pick(world.subjects)
  const key = `act-${count}`
  if (what < 4 && login) await take(world, dice, { kind: 'grant', id: login.family }, 'revoke', key)
  else if (what < 6 && login) await take(world, dice, { kind: 'session', id: login.session }, 'revoke', key)
  else if (what < 8 && login) await take(world, dice, { kind: 'device', id: login.device }, 'revoke', key)
  else if (what < 10 && token?.ids.token) await take(world, dice, { kind: 'token', id: token.ids.token }, 'revoke', key)
  else if (what < 13) await take(world, dice, { kind: 'subject', id: subject }, 'revoke', key)
  else if (what < 15)
    await take(
      world,
      dice,
      dice.happens(0.7) ? { kind: 'subject', id: subject } : { kind: 'scope', id: 'api:read' },
      'renew',
      key,
    )
  else if (what < 17) {
    const target: Target = dice.happens(0.7) ? { kind: 'subject', id: subject } : { kind: 'client', id: dice.pick(world.clients) }
    const fact = await take(world, dice, target, 'suspend', key)
    await apps.delay(dice.between(500, 6000))
    if (fact.ackMs !== undefined) await resume(world, dice, target, fact, key)
  } else if (what < 18) {
    await endThenRenew(world, dice, key)
  } else if (what < 19) await retry(world, dice, (node) => node.service(world.service))
  else if (token) {
    history.tell(`${token.name} is reported leaked`)
    // Who reports it ends the token and what it came from, whichever of the two had not ended yet.
    const facts = (['token', 'grant'] as const).flatMap((kind) =>
      token.ids[kind] === undefined
        ? []
        : history.asked(kind, token.ids[kind], 'revoke', `the end of ${kind} ${token.ids[kind].slice(-6)} as leaked`),
    )
    const report = await retry(world, dice, (node) => node.leak(token.text))
    if (report?.outcome !== 'revoked') return
    for (const fact of facts) history.acknowledged(fact, 0)
  }
}

/**
 * The end of a client or of everything and, on its heels, a claims epoch of somebody whose app refreshes at once: maybe at a node that has
 * not heard of the first yet, and must not issue past it for the sake of the second.
 */
async function endThenRenew(world: World, dice: Dice, key: string): Promise<void> {
  const waiting = world.logins.filter((login) => login.hurry !== undefined)
  const login = waiting.length === 0 ? undefined : dice.pick(waiting)
  const client = login?.client ?? dice.pick(world.clients)
  const end: Target = dice.happens(0.5) ? { kind: 'issuer', id: ISSUER } : { kind: 'client', id: client }
  if (end.kind === 'client') await knock(world, dice, client)
  const place = world.pickNode(dice)
  await take(world, dice, end, dice.happens(0.8) ? 'revoke' : 'renew', key, place)
  if (login === undefined) return
  await take(world, dice, { kind: 'subject', id: login.subject }, 'renew', `${key}-epoch`, place)
  for (const one of world.logins) if (one.subject === login.subject) one.hurry?.()
}

/** A client that is much in use: every node has just had to do with it, and remembers it for a moment. */
async function knock(world: World, dice: Dice, client: ClientId): Promise<void> {
  const asker = { client, seen: new Uint8Array(8) }
  const nothing = (node: SimulatedNode) => node.refresh('of no worth', asker, { madeMs: 0, agreedMs: 0, jkt: undefined })
  await Promise.all(world.nodes.map((place) => ask(world, dice, nothing, place).catch(() => {})))
}

export async function take(
  world: World,
  dice: Dice,
  target: { kind: KeyKind; id: string },
  kind: Act,
  key: string,
  place?: NodePlace,
): Promise<RevocationFact> {
  const { history } = world
  const name = `${kind} of ${target.kind} ${target.id.slice(-6)}`
  const fact = history.asked(target.kind, target.id, kind, name)
  const why = {
    // Of its own: an undoing takes later revocations by the same actor for the same reason as one mistake with the one it names.
    reason: `simulated ${key}`,
    actor: 'operator:sim',
    idempotencyKey: key,
    ...(kind === 'renew' ? { keepGrants: true } : {}),
  }
  const receipt = await retry(world, dice, (node) => node.revoke(target, why, fact), place)
  if (receipt !== undefined) fact.heardMs = world.time.nowMs
  history.tell(receipt === undefined ? `${name}: nobody knows whether it was done` : `${name}: acknowledged as ${receipt.seq}`)
  return fact
}

async function resume(world: World, dice: Dice, target: Target, fact: RevocationFact, key: string): Promise<void> {
  const { history } = world
  history.lifted(fact, false)
  await retry(world, dice, (node) =>
    node.resume(target, { reason: 'simulated', actor: 'operator:sim', idempotencyKey: `${key}-resume` }),
  )
  history.lifted(fact, true) // Suspensions that came meanwhile may have found it suspended, and are lifted with it.
  history.tell(`${fact.name}: lifted`)
}

/** Undefined when it was refused or never answered. `place` is the node that is asked first. */
export async function retry<T>(
  world: World,
  dice: Dice,
  request: Parameters<typeof ask<T>>[2],
  place?: NodePlace,
): Promise<T | undefined> {
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      return await ask(world, dice, request, tries === 0 ? place : undefined)
    } catch (cause) {
      if (cause instanceof Refusal) return undefined
      await world.apps.delay(dice.between(50, 1200))
    }
  }
  return undefined
}

export async function changeKey(world: World, dice: Dice): Promise<void> {
  const purpose = dice.pick(['token', 'token', 'feed', 'ring'] as const)
  world.history.tell(`the ${purpose} key is changed by hand`)
  await retry(world, dice, (node) => node.rotateKey(purpose))
}

/** Somebody has copied a signing key, and writes tokens of his own until, and after, it is taken back. */
export async function leakKey(world: World, dice: Dice): Promise<void> {
  const { history, apps, time } = world
  const { node } = world.pickNode(dice)
  // A node that has not read its keys since the epoch changed uses none, and so shows none.
  if (node === undefined || node.keys.isDoubted) return
  const stolen = node.keys.signer('token')
  history.tell(`signing key ${stolen.id.slice(-6)} has leaked`)
  const forge = () => {
    const atMs = apps.surroundings.clock.now() + dice.whole(-2000, 4000)
    const jti = newId<TokenId>(atMs, dice.chance)
    const subject = dice.pick(world.subjects)
    const iat = Math.floor(atMs / 1000)
    const claims = {
      iss: ISSUER,
      aud: API,
      sub: subject,
      client_id: world.appClients[0],
      scope: 'api:read',
      iat,
      exp: iat + 60,
      jti,
    }
    history.signed({
      name: `forged token ${jti.slice(-6)}`,
      text: signJwt(stolen, { typ: 'at+jwt' }, claims),
      ids: { token: jti, key: stolen.id, issuer: ISSUER, subject, client: world.appClients[0] as string, scope: 'api:read' },
      issuedAtMs: atMs,
      expiresAtMs: (iat + 60) * 1000,
      beganMs: time.nowMs,
      signedMs: time.nowMs,
      grantMadeMs: time.nowMs,
      agreedMs: time.nowMs,
      lifted: false,
      bound: false,
      forged: true,
    })
  }
  forge()
  await apps.delay(dice.between(100, 4000))
  forge()
  const fact = take(world, dice, { kind: 'key', id: stolen.id }, 'revoke', `leaked-${stolen.id}`)
  world.leakedKeys.push(stolen.id)
  await fact
  for (let i = 0; i < 3 && !world.isEnding; i++) {
    await apps.delay(dice.between(10, 5000))
    forge()
  }
}
