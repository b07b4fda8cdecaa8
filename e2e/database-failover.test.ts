/**
 * Three nodes on a PostgreSQL that is lost and replaced by its standby. Whoever asks meanwhile is told to come back, nobody is told that his
 * tokens are over, validators go on, and the refresh that was under way gets its one successor from whichever node is asked again.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type PostgresServer, startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import { startValidator } from './remote-validator.ts'
import { API, Browser, claimsOf, createWorld, grant, patientRequest, type Tokens, tokenRequest, type World } from './world.ts'

const NODES = 3

type Client = Awaited<ReturnType<World['client']>>
type Answer = Awaited<ReturnType<typeof tokenRequest>>

const HOW = {
  'is killed': (server: PostgresServer) => server.kill(),
  'stands still with its connections open': async (server: PostgresServer) => server.pause(),
}

describe('a cluster whose database', () => {
  for (const [how, lose] of Object.entries(HOW)) {
    it(`${how} answers 503 until the standby is promoted, and goes on where it was`, async () => {
      const primary = await startPostgresServer({ listen: 'tcp' })
      const closing: (() => Promise<unknown>)[] = [() => primary.close()]
      try {
        const standby = await primary.addStandby('second')
        await primary.set('synchronous_standby_names', 'second')
        const world = await createWorld({
          database: `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`,
          nodes: NODES,
          settings: { failover: 'lossless' },
          policy: { graceSeconds: 300 }, // A retry must find its successor however slow this machine is.
        })
        closing.push(() => world.close())
        await world.resource()
        const shop = await world.client()
        const validator = await startValidator({
          issuer: world.issuer,
          audience: API,
          permissions: { read: { scopes: ['notes:read'], maxStalenessSeconds: 3600 } },
          feedCredentials: await world.feedCredentials(),
        })
        closing.push(
          () => validator.stop(),
          async () => primary.resume(),
        )

        let tokens = await grant(world, new Browser(), shop, await world.person())
        for (let node = 0; node < NODES; node++) tokens = granted(await refreshAtLast(world, node, shop, tokens))
        assert.equal((await validator.check(tokens.access_token, ['read'])).allowed, true)

        const refusals: Answer[] = []
        const flow = startFlow(world, shop, refusals)
        await flow.pass(30)
        // One is on its way to each node when it happens: whether it came through nobody knows, and nobody has to.
        const underWay = Array.from({ length: NODES }, (_, node) => refresh(world, node, shop, tokens))
        await lose(primary)
        for (const answer of await Promise.all(underWay)) if (answer.status !== 200) refusals.push(answer)
        await Promise.all(
          world.nodes.map(async (_, node) => {
            const forms = [{ grant_type: 'client_credentials' }, { grant_type: 'authorization_code', code: 'any' }]
            const asked = forms.map((form) => tokenRequest(at(world, node), shop, form as Record<string, string>))
            asked.push(refresh(world, node, shop, tokens))
            asked.push(tokenRequest(at(world, node), shop, { token: tokens.refresh_token as string }, '/revoke'))
            for (const answer of await Promise.all(asked)) {
              assert.equal(answer.status, 503, `node ${node}: ${JSON.stringify(answer.body)}`)
              refusals.push(answer)
            }
            const status = async (path: string) => (await fetch(at(world, node) + path)).status
            assert.deepEqual(await Promise.all(['/readyz', '/healthz', '/jwks'].map(status)), [503, 200, 200])
          }),
        )
        assert.equal((await validator.check(tokens.access_token, ['read'])).allowed, true, 'validation stops with the store')

        await standby.promote()
        const promotedMs = performance.now()
        const successors = await Promise.all(
          Array.from({ length: NODES }, (_, node) => untilGranted(() => refresh(world, node, shop, tokens), refusals)),
        )
        process.stdout.write(
          `# ${how}: all nodes refresh ${(performance.now() - promotedMs).toFixed(0)} ms after the promotion\n`,
        )
        await flow.pass(30)
        await flow.end()

        assert.equal(new Set(successors.map(({ refresh_token }) => refresh_token)).size, 1, 'a token has two successors')
        const { items } = await world.admin.call('listGrants', { params: { id: claimsOf(tokens.access_token).sub } })
        assert.deepEqual(
          items.map(({ generation, status }) => [generation, status]),
          [[NODES + 1, 'active']],
        )
        tokens = successors[0] as Tokens
        for (let node = 0; node < NODES; node++) tokens = granted(await refreshAtLast(world, node, shop, tokens))
        assert.equal((await validator.check(tokens.access_token, ['read'])).allowed, true)
        const target = { kind: 'token', id: claimsOf(tokens.access_token).jti } as const
        await world.admin.call('revoke', { body: { target, reason: 'story' } })
        const { verdict } = await validator.untilDenied(tokens.access_token, PATIENCE_MS)
        assert.equal(!verdict.allowed && verdict.reason, 'revoked', 'the validator does not follow any more')

        assert.ok(refusals.length >= NODES * 3)
        for (const { status, body, headers } of refusals) {
          assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'], JSON.stringify(body))
          assert.ok(Number(headers.get('retry-after')) > 0, 'nobody says when to come back')
        }
        for (const { process: one } of world.nodes) assert.equal(await isRunning(one.ended), true, 'a node has exited')
      } finally {
        for (const close of closing.reverse()) await close()
      }
    })
  }
})

const at = (world: World, node: number): string => `http://localhost:${world.nodes[node]?.port}`

const refresh = (world: World, node: number, client: Client, tokens: Tokens): Promise<Answer> =>
  tokenRequest(at(world, node), client, refreshing(tokens))

const refreshAtLast = (world: World, node: number, client: Client, tokens: Tokens): Promise<Answer> =>
  patientRequest(at(world, node), client, refreshing(tokens))

const refreshing = ({ refresh_token }: Tokens) => ({ grant_type: 'refresh_token', refresh_token: refresh_token as string })

function granted({ status, body }: Answer): Tokens {
  assert.equal(status, 200, JSON.stringify(body))
  return body
}

/** What a client does: the same request again until it is answered. */
async function untilGranted(ask: () => Promise<Answer>, refusals: Answer[]): Promise<Tokens> {
  for (const began = performance.now(); ; ) {
    const answer = await ask()
    if (answer.status === 200) return answer.body
    refusals.push(answer)
    if (answer.status !== 503 || performance.now() - began > PATIENCE_MS) return granted(answer)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** A service that gets tokens through the balancer all the time; what it does not get goes to `refusals`. */
function startFlow(world: World, client: Client, refusals: Answer[]) {
  let served = 0
  let going = true
  const run = (async () => {
    while (going) {
      const answer = await tokenRequest(world.issuer, client, { grant_type: 'client_credentials' })
      if (answer.status === 200) served++
      else refusals.push(answer)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  run.catch(() => {}) // Told by `end`.
  return {
    async pass(count: number) {
      const began = performance.now()
      for (const from = served; served < from + count; await new Promise((resolve) => setTimeout(resolve, 5)))
        if (performance.now() - began > PATIENCE_MS) throw new Error('the service gets no tokens')
    },
    async end() {
      going = false
      await run
    },
  }
}

const isRunning = (ended: Promise<never>): Promise<boolean> =>
  Promise.race([
    ended.then(
      () => false,
      () => false,
    ),
    new Promise<boolean>((resolve) => setImmediate(() => resolve(true))),
  ])
