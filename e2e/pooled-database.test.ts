/** Two nodes that reach PostgreSQL through PgBouncer, which lends a connection for one transaction only; LISTEN goes past it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startPgbouncer } from '@signet/testkit/pgbouncer.ts'
import { startPostgresServer } from '@signet/testkit/postgres-server.ts'
import { startTcpProxy } from '@signet/testkit/tcp-proxy.ts'
import { until } from '@signet/testkit/until.ts'
import { Browser, claimsOf, createWorld, grant, patientRequest, tokenRequest } from './world.ts'

const server = await startPostgresServer({ listen: 'tcp' })
const pool = await startPgbouncer(server.port as number)
if ('skip' in pool) await server.close()

describe('two nodes behind PgBouncer', { skip: 'skip' in pool ? pool.skip : false }, () => {
  it('serve as one, wake each other past it, and bear its absence', async () => {
    if ('skip' in pool) return
    const closing: (() => Promise<unknown>)[] = [() => server.close(), () => pool.stop()]
    try {
      const way = await startTcpProxy(Number(new URL(pool.through(server.url)).port))
      closing.push(() => way.close())
      const world = await createWorld({
        database: `postgres://postgres@127.0.0.1:${way.port}/postgres`,
        nodes: 2,
        operations: true,
        settings: { databaseDirect: server.url },
      })
      closing.push(() => world.close())
      await world.resource()
      const shop = await world.client()
      let tokens = await grant(world, new Browser(), shop, await world.person())
      const at = (node: number) => `http://localhost:${world.nodes[node]?.port}`
      const refreshing = () => ({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token as string })
      const refresh = (node: number) => tokenRequest(at(node), shop, refreshing())
      const rotate = async (node: number) => {
        const { status, body } = await patientRequest(at(node), shop, refreshing())
        assert.equal(status, 200, JSON.stringify(body))
        tokens = body
      }
      for (let n = 0; n < 4; n++) await rotate(n % 2)
      // Many at once, so that transactions of both nodes take turns on the pool's few connections: one successor all the same.
      const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => patientRequest(at(n % 2), shop, refreshing())))
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
      assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1)
      tokens = answers[0]?.body ?? assert.fail()

      // One of the two makes a revocation, and knows by that; the other is woken, unless a poll that is under way reads it first.
      const learned = async (by: string) => {
        const counts = await Promise.all(world.nodes.map((node) => node.metric(`signet_log_delay_seconds_count{by="${by}"}`)))
        return counts.filter((count) => Number(count) > 0).length
      }
      await until(async () => {
        await rotate(0)
        const target = { kind: 'token', id: claimsOf(tokens.access_token).jti } as const
        await world.admin.call('revoke', { body: { target, reason: 'story' } })
        await until(async () => !(await world.introspect(shop, tokens.access_token)).active)
        return (await learned('commit')) > 0 && (await learned('wake_up')) > 0
      })

      way.cut()
      for (const node of [0, 1]) {
        const { status, body, headers } = await refresh(node)
        assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'], 'it does not go through the pooler')
        assert.ok(Number(headers.get('retry-after')) > 0)
        await until(async () => (await world.nodes[node]?.metric('signet_bus_linked')) === 1, 'LISTEN goes past the pooler')
      }
      way.heal()
      await until(async () => (await refresh(0)).status === 200 && (await refresh(1)).status === 200)
      for (let n = 0; n < 4; n++) await rotate(n % 2)
    } finally {
      for (const close of closing.reverse()) await close()
    }
  })
})
