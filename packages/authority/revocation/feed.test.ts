import assert from 'node:assert/strict'
import { it } from 'node:test'
import { signJwt } from '../tokens/jwt.ts'
import { type FeedReader, openFeed } from './feed.ts'
import { ISSUER, openWorld, WHY } from './world.testkit.ts'

const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** So many that a group is dear: the next comes 20 ms later, as it would for any larger number. */
const MANY = 2000

it('sends what comes first at once, and what comes meanwhile when the readers have been paid for', async () => {
  await sendsInGroups(await openWorld(), MANY, 20)
})

it('the same for a single reader where other nodes commit to the store too', async () => {
  const world = await openWorld()
  const store = Object.create(world.store, { engine: { value: 'postgres' } }) as typeof world.store
  await sendsInGroups({ ...world, store }, 1, 17)
})

it('says nothing of how old its knowledge of other regions is in an epoch that it has not read', async () => {
  const world = await openWorld()
  const sign = (typ: string, payload: object) => signJwt(world.keys.signer('feed'), { typ }, payload)
  const hub = openFeed({ ...world, sign, peersAgeMs: () => 5 })
  const ageMs = async () =>
    JSON.parse(Buffer.from((await hub.head('0123456789abcdef')).split('.')[1] as string, 'base64url').toString()).age_ms
  assert.equal(await ageMs(), 5)
  // Maybe of a store that went back in time, and without what it had taken over.
  const { salt } = await world.store.revocations.head()
  const head = world.store.transact((tx) => tx.revocations.newEpoch(world.token(), salt, [])).then(ageMs)
  assert.equal(await head, Number.MAX_SAFE_INTEGER)
  await world.registry.lookNow()
  assert.equal(await ageMs(), 5)
  hub.close()
  await world.close()
})

async function sendsInGroups(world: Awaited<ReturnType<typeof openWorld>>, readers: number, everyMs: number): Promise<void> {
  const sign = (typ: string, payload: object) => signJwt(world.keys.signer('feed'), { typ }, payload)
  const hub = openFeed({ ...world, sign, maxReaders: 2 * MANY })
  const got: string[] = []
  const { epoch } = await world.store.revocations.head()
  for (let n = 0; n < readers; n++) {
    hub.join(
      aReader((text) => n === 0 && got.push(text)),
      { epoch, seq: 0 },
    )
  }
  await turns()
  got.length = 0
  const revoke = (id: string) => world.revoker.revoke({ kind: 'subject', id, issuer: `${ISSUER}/other` }, WHY)
  const ids = () => got.map((text) => /^id: [\w-]+:(\d+)/.exec(text)?.[1])
  await revoke('first')
  assert.deepEqual(ids(), [], 'the caller is answered first')
  await turns()
  assert.deepEqual(ids(), ['1'])
  await revoke('second')
  await revoke('third')
  world.advance(everyMs - 1)
  await turns()
  assert.deepEqual(ids(), ['1'])
  world.advance(1)
  await turns()
  assert.deepEqual(ids(), ['1', '3'])
  hub.close()
  await world.close()
}

function aReader(take: (text: string) => void): FeedReader {
  let gone = false
  const end = () => {
    gone = true
  }
  return {
    owner: 'a reader',
    open() {},
    write: (bytes) => take(new TextDecoder().decode(bytes)),
    pending: () => 0,
    drained: async () => {},
    end,
    destroy: end,
    get gone() {
      return gone
    },
  }
}
