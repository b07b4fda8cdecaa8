/** Three nodes on one PostgreSQL behind a load balancer that knows no sessions: what one began another goes on with, and what is used up is used up. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { ACCOUNT_ON_NETWORK } from '@signet/authority/signin/lockout.ts'
import { createDpopKey } from '@signet/testkit/dpop.ts'
import { until } from '@signet/testkit/until.ts'
import { authorizationUrl, Browser, createWorld, grant, tokenRequest, unavailable, type World } from './world.ts'

const RATE = { perSecond: 4, burst: 64 }
const NODES = 3

describe('a cluster', { skip: (await unavailable('postgres')) ?? false }, () => {
  let world: World
  let job: { id: string; client_secret?: string | undefined }
  before(async () => {
    world = await createWorld({ engine: 'postgres', nodes: NODES, settings: { drainSeconds: 8 } })
    await world.resource()
    job = await world.client({
      platform: 'service',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scopes: ['notes:read'],
    })
  })
  after(() => world.close())

  it('lets a sign-in begun on one node be finished on others, and its code be redeemed and refreshed anywhere', async () => {
    const shop = await world.client()
    const before = [...world.balancer.served]
    for (let n = 0; n < 4; n++) {
      const tokens = await grant(world, new Browser(), shop, await world.person())
      let { refresh_token } = tokens
      for (let round = 0; round < NODES; round++) {
        const { status, body } = await world.token(shop, { grant_type: 'refresh_token', refresh_token: refresh_token as string })
        assert.equal(status, 200, JSON.stringify(body))
        refresh_token = body.refresh_token
      }
    }
    assert.ok(
      world.balancer.served.every((count, n) => count > (before[n] ?? 0)),
      `served ${world.balancer.served}`,
    )
  })

  it('takes a DPoP nonce of another node, and no proof twice', async () => {
    const bound = await world.client({
      platform: 'service',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scopes: ['notes:read'],
      dpop_bound: true,
    })
    const key = createDpopKey()
    const ask = async (node: number, proof: string) => {
      const response = await fetch(`http://localhost:${world.nodes[node]?.port}/token`, {
        method: 'POST',
        headers: {
          dpop: proof,
          authorization: `Basic ${Buffer.from(`${bound.id}:${encodeURIComponent(bound.client_secret as string)}`).toString('base64')}`,
        },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
      return {
        status: response.status,
        nonce: response.headers.get('dpop-nonce'),
        body: (await response.json()) as Record<string, unknown>,
      }
    }
    const url = `${world.issuer}/token`
    const [first] = await answered(() => [ask(0, key.proof({ url }))])
    assert.equal(first?.body.error, 'use_dpop_nonce')
    const nonce = first?.nonce as string
    let proof = ''
    const [taken] = await answered(() => {
      proof = key.proof({ url, nonce })
      return [ask(1, proof)]
    })
    assert.equal(taken?.status, 200, 'a nonce of node 0 is not taken by node 1')
    for (const node of [0, 1, 2]) {
      const [again] = await answered(() => [ask(node, proof)])
      assert.deepEqual([again?.status, again?.body.reason], [400, 'proof_replayed'], `node ${node}`)
    }
    // The same for one that all of them get in the same moment.
    const answers = await answered(() => {
      const other = key.proof({ url, nonce })
      return [0, 1, 2].map((node) => ask(node, other))
    })
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 400, 400])
  })

  it('takes a client assertion once, whichever nodes get it at once', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
    const { id } = await world.client({
      platform: 'service',
      auth_method: 'private_key_jwt',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scopes: ['notes:read'],
      jwks: [{ kty, crv, x, y, alg: 'ES256' }],
    })
    for (let round = 0; round < 5; round++) {
      const answers = await answered(() => {
        const form = {
          grant_type: 'client_credentials',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: assertionOf(id, world.issuer, privateKey),
        }
        return world.nodes.map(({ port }) => tokenRequest(`http://localhost:${port}`, { id }, form))
      })
      const told = answers.map(({ status, body }) => (status === 200 ? 'granted' : `${body.error} ${body.reason}`))
      const refused = 'invalid_client assertion_replayed'
      assert.deepEqual(told.toSorted(), ['granted', refused, refused])
    }
  })

  it('counts wrong passwords together', async () => {
    const shop = await world.client()
    /** One page and one password, on one node. */
    const tryOnce = async (node: number, { username, password }: { username: string; password: string }) => {
      const browser = new Browser()
      browser.stopAt = shop.redirect_uris[0]
      world.balancer.only = node
      try {
        await until(async () => {
          await browser.open(authorizationUrl(world, shop, 'v'.repeat(43)))
          return browser.status !== 503
        })
        await browser.submit({ username, password })
      } finally {
        world.balancer.only = undefined
      }
      return browser.url.startsWith(shop.redirect_uris[0] as string) ? 'in' : browser.status
    }
    const { burst } = ACCOUNT_ON_NETWORK
    // No node sees more than half of the budget's tries, so each would let another one pass by what it saw itself.
    const careless = await world.person()
    for (let n = 0; n < burst; n++) assert.equal(await tryOnce(n % NODES, { ...careless, password: `wrong ${n}` }), 400)
    for (let node = 0; node < NODES; node++) assert.equal(await tryOnce(node, careless), 429, `node ${node} lets it try again`)
    // One try is left: the right password is taken, so it was not something else that kept the other one out.
    const lucky = await world.person()
    for (let n = 0; n < burst - 1; n++) assert.equal(await tryOnce(n % NODES, { ...lucky, password: `wrong ${n}` }), 400)
    assert.equal(await tryOnce(0, lucky), 'in')
  })

  it('loses no request when a node is told to stop', async () => {
    const flow = startFlow()
    await flow.pass(100)
    await until(() => world.balancer.ready[1] === true)
    const stopped = world.nodes[1]?.stop()
    await until(() => world.balancer.ready[1] === false)
    const served = world.balancer.served[1] as number
    await flow.pass(50)
    await stopped
    await flow.pass(100)
    const { failed, answered } = await flow.end()
    assert.deepEqual(failed, [], `of ${answered}`)
    assert.ok((world.balancer.served[1] as number) <= served + 4, 'it got requests although it was not ready')
    await world.nodes[1]?.start()
    await until(() => world.balancer.ready[1] === true)
  })

  it('errs only for whom the balancer sent to a node that died, and nobody is told that his tokens are over', async () => {
    const flow = startFlow()
    await flow.pass(50)
    await world.nodes[2]?.kill()
    await until(() => world.balancer.gone[2] === true)
    const knownMs = performance.now()
    await flow.pass(100)
    const { failed } = await flow.end()
    process.stdout.write(`# node killed: ${failed.length} requests failed\n`)
    const late = failed.filter(({ beganMs }) => beganMs > knownMs)
    assert.deepEqual(late, [], 'the other nodes err')
    assert.ok(failed.every(({ error }) => error !== 'invalid_grant' && error !== 'invalid_client'))
    await world.nodes[2]?.start()
    await until(() => world.balancer.ready[2] === true)
  })

  /** One client that gets tokens over and over, four at a time. */
  function startFlow() {
    const failed: { beganMs: number; error: string }[] = []
    let answered = 0
    let going = true
    const runs = Array.from({ length: 4 }, async () => {
      while (going) {
        const beganMs = performance.now()
        try {
          const { status, body } = await world.token(job, { grant_type: 'client_credentials' })
          if (status !== 200) failed.push({ beganMs, error: body.error ?? String(status) })
        } catch (error) {
          failed.push({ beganMs, error: String(error) })
        }
        answered++
      }
    })
    return {
      pass: (count: number) =>
        until(
          (
            (from) => () =>
              answered >= from + count
          )(answered),
        ),
      async end() {
        going = false
        await Promise.all(runs)
        return { failed, answered }
      },
    }
  }
})

describe('a rate limit of a cluster', { skip: (await unavailable('postgres')) ?? false }, () => {
  it('holds for all nodes together, and spares who stays under it', async () => {
    const world = await createWorld({ engine: 'postgres', nodes: NODES, policy: { clientRate: RATE } })
    try {
      await world.resource()
      const own = { platform: 'service', grant_types: ['client_credentials'], redirect_uris: [], scopes: ['notes:read'] }
      const [greedy, modest] = [await world.client(own), await world.client(own)]
      const began = performance.now()
      let granted = 0
      let spared = 0
      for (let round = 0; round < 20; round++) {
        const flood = Array.from({ length: 30 }, () => world.token(greedy, { grant_type: 'client_credentials' }))
        if (round % 2 === 0) spared += (await world.token(modest, { grant_type: 'client_credentials' })).status === 200 ? 1 : 0
        for (const { status, body, headers } of await Promise.all(flood)) {
          if (status === 200) granted++
          else assert.deepEqual([status, body.reason, Number(headers.get('retry-after')) > 0], [429, 'client_rate', true])
        }
      }
      const seconds = (performance.now() - began) / 1000
      const most = RATE.burst + RATE.perSecond * (seconds + 1) + NODES * (RATE.burst / 16)
      process.stdout.write(
        `# ${granted} of 600 granted in ${seconds.toFixed(1)} s by ${NODES} nodes, at most ${most.toFixed(0)}\n`,
      )
      assert.ok(granted <= most && granted >= RATE.burst, String(granted))
      assert.equal(spared, 10)
    } finally {
      await world.close()
    }
  })
})

/** Everybody's answers at once; another time when one was told to come back: a node that stood still knows too little to mint. */
async function answered<T extends { readonly status: number }>(ask: () => readonly Promise<T>[]): Promise<T[]> {
  let answers: T[] = []
  await until(async () => {
    answers = await Promise.all(ask())
    return answers.every(({ status }) => status !== 503)
  })
  return answers
}

/** RFC 7523 §3. */
function assertionOf(client: string, audience: string, key: KeyObject): string {
  const iat = Math.floor(Date.now() / 1000)
  const claims = { iss: client, sub: client, aud: audience, jti: randomUUID(), iat, exp: iat + 60 }
  const input = [{ alg: 'ES256', typ: 'JWT' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  const signature = sign('sha256', Buffer.from(input.join('.')), { key, dsaEncoding: 'ieee-p1363' })
  return [...input, signature.toString('base64url')].join('.')
}
