/** Those who use the admin API: operators who take things back, and a caretaker who looks after the place. */
import { randomUUID } from 'node:crypto'
import type { ApiError } from '@signet/api/errors.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { Holding } from './requests.ts'
import { hideLater, newClient, pause, type Scene, show, take } from './scene.ts'

export async function operator(scene: Scene): Promise<void> {
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

/** What goes on beside it in the admin API. */
export async function caretaker(scene: Scene): Promise<void> {
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
