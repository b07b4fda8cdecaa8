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
