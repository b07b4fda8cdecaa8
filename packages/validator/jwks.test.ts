/** When a key set is fetched: on the way of a test's clock, from an issuer that is a list of answers. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { testKey } from './issuer.testkit.ts'
import { SIGNET_ALGORITHMS } from './jwk.ts'
import { Jwks, type JwksParts } from './jwks.ts'
import { KeySet } from './key-set.ts'

const [old, next] = [testKey('old').jwk, testKey('next').jwk]

/** A key set whose issuer publishes `published`, which tests change. */
async function knowing(over: Partial<JwksParts> = {}) {
  const surroundings = manualSurroundings('jwks')
  const issuer = { published: [old], asked: 0 }
  const transport: JwksParts['transport'] = async () => {
    issuer.asked++
    const body = Buffer.from(JSON.stringify({ keys: issuer.published }))
    const header = (name: string) => (name === 'cache-control' ? 'max-age=3600' : undefined)
    return { status: 200, header, body: pieces(body), discard() {} }
  }
  const jwks = new Jwks({
    keys: new KeySet(SIGNET_ALGORITHMS, { version: 0 }),
    uri: async () => 'https://auth.example/jwks',
    transport,
    surroundings,
    signal: new AbortController().signal,
    onChange() {},
    onTrouble(cause) {
      throw cause
    },
    ...over,
  })
  await jwks.start()
  return { jwks, issuer, clock: surroundings.clock }
}
async function* pieces(bytes: Uint8Array) {
  yield bytes
}

describe('a key id that was not in the set', () => {
  it('is asked for seldom, then not for a minute: anybody can make one up', async () => {
    const { jwks, issuer, clock } = await knowing()
    clock.advance(1000)
    assert.equal(await jwks.seek('next', 'ES256'), 'absent')
    issuer.published = [old, next]
    clock.advance(59_000)
    assert.deepEqual([await jwks.seek('next', 'ES256'), issuer.asked], ['absent', 2])
    clock.advance(1000)
    assert.deepEqual([await jwks.seek('next', 'ES256'), issuer.asked], ['found', 3])
  })

  it('is asked for again after the pause alone where only the issuer can name one: another of its nodes may have answered', async () => {
    const { jwks, issuer, clock } = await knowing({ seekEveryMs: 10_000 })
    for (const asked of [2, 3, 4]) {
      clock.advance(9999)
      assert.equal(await jwks.seek('next', 'ES256'), 'unsure')
      clock.advance(1)
      assert.deepEqual([await jwks.seek('next', 'ES256'), issuer.asked], ['absent', asked])
    }
    issuer.published = [old, next]
    clock.advance(10_000)
    assert.equal(await jwks.seek('next', 'ES256'), 'found')
  })
})
