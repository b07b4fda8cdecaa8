/**
 * Two nodes on one PostgreSQL, and a bus that is killed, emptied or frozen: what is revoked on one node meanwhile is refused through the
 * other and by validators within the stated bounds, nobody sees an error, and afterwards it is as it was. NATS, and NOTIFY. (The bus within
 * a process cannot be lost: it is a function call.)
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, describe, it } from 'node:test'
import { createAdminClient } from '@signet/api/client.ts'
import type { Credentials } from '@signet/api/credentials.ts'
import { startNats } from '@signet/testkit/nats.ts'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { Client } from 'pg'
import { startValidator } from './remote-validator.ts'
import { API, claimsOf, createWorld, introspect, patientRequest, unavailable, type World } from './world.ts'

const nats = await startNats()
const why = (await unavailable('postgres')) ?? ('skip' in nats ? nats.skip : undefined)
if (!('skip' in nats)) after(() => nats.stop())

interface Bus {
  readonly settings: Readonly<Record<string, unknown>>
  /** A validator on NATS beside the one on the stream. */
  readonly nats?: { readonly servers: string }
  /** What happens to it, and what ends that. */
  readonly faults: Readonly<Record<string, (world: World) => Promise<() => Promise<void>>>>
}

const BUSES: Readonly<Record<string, Bus>> = {
  NATS: {
    settings: 'skip' in nats ? {} : { bus: nats.url },
    ...('skip' in nats ? {} : { nats: { servers: nats.url } }),
    faults: {
      'is killed': async () => {
        if ('skip' in nats) return async () => {}
        await nats.kill()
        return () => nats.restart()
      },
      'is killed and comes back with its store empty': async () => {
        if ('skip' in nats) return async () => {}
        await nats.kill()
        return () => nats.wipe()
      },
      'stands still': async () => {
        if ('skip' in nats) return async () => {}
        nats.freeze()
        return async () => nats.thaw()
      },
    },
  },
  NOTIFY: {
    settings: {},
    faults: {
      'has its connections killed': async (world) => {
        await onBusConnections(
          world,
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet bus'",
        )
        return async () => {}
      },
      'stands still': async (world) => {
        const pids = await onBusConnections(world, "select pid from pg_stat_activity where application_name = 'signet bus'")
        for (const pid of pids) process.kill(pid, 'SIGSTOP')
        return async () => {
          for (const pid of pids) process.kill(pid, 'SIGCONT')
        }
      },
    },
  },
}

for (const [name, bus] of Object.entries(BUSES)) {
  describe(`a cluster whose bus is ${name}`, { skip: why ?? false }, () => {
    for (const [what, fail] of Object.entries(bus.faults)) {
      it(`loses nothing but time when it ${what}`, async () => {
        const world = await createWorld({ engine: 'postgres', nodes: 2, operations: true, settings: bus.settings })
        const closing: (() => Promise<unknown>)[] = [() => world.close()]
        try {
          await world.resource()
          const shop = await world.client()
          const options = { issuer: world.issuer, audience: API, feedCredentials: await world.feedCredentials() }
          const onStream = await startValidator(options)
          closing.push(() => onStream.stop())
          const onNats = bus.nats === undefined ? undefined : await startValidator({ ...options, feed: { nats: bus.nats } })
          if (onNats !== undefined) closing.push(() => onNats.stop())

          const [one, other] = world.nodes as [World['nodes'][number], World['nodes'][number]]
          const credentials = JSON.parse(await readFile(world.credentialsFile, 'utf8')) as Credentials
          const admin = createAdminClient({ credentials, server: `http://localhost:${one.port}` })
          const token = async (node: { port: number }): Promise<string> => {
            const form = { grant_type: 'client_credentials', scope: 'notes:read', resource: API }
            const { status, body } = await patientRequest(`http://localhost:${node.port}`, shop, form)
            assert.equal(status, 200, JSON.stringify(body))
            return body.access_token
          }
          /** Revokes on one node; the delays after which the other node and the validators refuse. */
          const takeBack = async () => {
            const victim = await token(other)
            for (const validator of [onStream, onNats]) assert.equal((await validator?.check(victim))?.allowed ?? true, true)
            await admin.call('revoke', {
              body: { target: { kind: 'token', id: claimsOf(victim).jti as string }, reason: 'story' },
            })
            const acknowledgedAt = performance.timeOrigin + performance.now()
            const refused = async (validator: typeof onStream): Promise<number> => {
              const { verdict, atMs } = await validator.untilDenied(victim, PATIENCE_MS)
              assert.equal(!verdict.allowed && verdict.reason, 'revoked')
              return Math.max(0, atMs - acknowledgedAt)
            }
            const [byStream, byNats, byOther] = await Promise.all([
              refused(onStream),
              onNats === undefined ? 0 : refused(onNats),
              inactive(`http://localhost:${other.port}`, shop, victim, acknowledgedAt),
            ])
            return { byStream, byNats, byOther }
          }
          const linked = (value: number) =>
            until(async () =>
              (await Promise.all(world.nodes.map((node) => node.metric('signet_bus_linked')))).every((is) => is === value),
            )
          const learned = async (node: World['nodes'][number], by: string) =>
            (await node.metric(`signet_log_delay_seconds_count{by="${by}"}`)) ?? 0
          /** NATS leads; it does so once it has brought a batch. */
          const natsLeads = () =>
            until(async () => {
              if (onNats === undefined || (await onNats.stats()).source === 'nats') return true
              await takeBack()
              return false
            })

          await linked(1)
          await natsLeads()
          const before = await takeBack()
          const heal = await fail(world)
          try {
            // More than once, so that the fault is met before and after it was noticed. As long as it lasts, nothing would come without the poll
            // (of the nodes) and the fallback (of the validator).
            for (let i = 0; i < 3; i++) {
              const during = await takeBack()
              await token(one)
              process.stdout.write(`# ${name} ${what}: ${told(during)}\n`)
            }
            if (onNats !== undefined) {
              await until(async () => {
                const { source, fallbacks, freshness } = await onNats.stats()
                return source === 'sse' && fallbacks >= 1 && freshness === 'fresh'
              }, 'the validator on NATS is fresh by the stream')
              await linked(0)
            }
          } finally {
            await heal()
          }
          await linked(1)
          const wokenBefore = await learned(other, 'wake_up')
          await natsLeads()
          const healed = await takeBack()
          process.stdout.write(`# ${name} ${what}: before, ${told(before)}; afterwards, ${told(healed)}\n`)
          // The one has made them all, and knows by that. What the other's poll happens to find first it is not woken for.
          assert.ok((await learned(one, 'commit')) > 0)
          await until(async () => {
            if ((await learned(other, 'wake_up')) > wokenBefore) return true
            await takeBack()
            return false
          }, 'the other node is woken again')
        } finally {
          for (const close of closing.reverse()) await close()
        }
      })
    }
  })
}

const told = (delays: Readonly<Record<string, number>>): string =>
  Object.entries(delays)
    .filter(([, ms]) => ms > 0)
    .map(([who, ms]) => `${who} ${ms.toFixed(0)} ms`)
    .join(', ')

/** How long after the acknowledgment a node says that the token is not active any more. */
async function inactive(
  server: string,
  client: { id: string; client_secret?: string | undefined },
  victim: string,
  acknowledgedAt: number,
): Promise<number> {
  await until(async () => !(await introspect(server, client, victim)).active)
  return performance.timeOrigin + performance.now() - acknowledgedAt
}

async function onBusConnections(world: World, query: string): Promise<readonly number[]> {
  const client = new Client({ connectionString: world.database })
  await client.connect()
  try {
    const { rows } = await client.query<{ pid: number }>(`${query} and datname = current_database()`)
    assert.ok(rows.length >= 2)
    return rows.map(({ pid }) => pid)
  } finally {
    await client.end()
  }
}
