/** The drills that people on call practise with, as they run them; each in an environment of its own, and those that are for one in use there. SIGNET_NATS_SERVER. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { Fleet } from '@signet/api/schema.ts'
import { realSurroundings } from '@signet/authority/surroundings.ts'
import { openNatsLink } from '@signet/bus/nats-link.ts'
import { freePort } from '@signet/testkit/free-port.ts'
import { startNats } from '@signet/testkit/nats.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { ask } from '@signet/testkit/postgres-server.ts'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { playOut, type Run } from '../packages/cli/drill/drill.ts'
import { compromisedToken } from '../packages/cli/drill/tokens.ts'
import { startValidator } from './remote-validator.ts'
import { API, Browser, createWorld, grant, type World } from './world.ts'

interface Report {
  readonly ok: boolean
  readonly interrupted?: boolean
  readonly steps: readonly { readonly what: string; readonly ok: boolean; readonly ms?: number }[]
  readonly not_checked: readonly string[]
  readonly left?: unknown
}

/** One command, as people run it; `err` as far as it has come. */
function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const main = join(import.meta.dirname, '../packages/cli/main.ts')
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let [out, err] = ['', '']
  child.stdout.on('data', (text) => {
    out += text
  })
  child.stderr.on('data', (text) => {
    err += text
  })
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, out, err })),
  )
  return {
    ended,
    interrupt: () => child.kill('SIGINT'),
    async said(what: RegExp) {
      for (const untilMs = performance.now() + 60_000; !what.test(err); ) {
        assert.ok(child.exitCode === null && performance.now() < untilMs, `it did not say ${what}: ${out}${err}`)
        await wait(10)
      }
    },
  }
}

const signet = (...args: readonly string[]) => start(args).ended

async function passes(name: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Report> {
  const { code, out, err } = await start(['drill', 'run', name, '--json', ...args], env).ended
  assert.equal(code, 0, out + err)
  const report = JSON.parse(out) as Report
  assert.ok(report.ok && report.steps.length > 1 && report.steps.some(({ ms }) => ms !== undefined))
  assert.equal(report.left, undefined, out)
  return report
}

async function refused(code: number, why: RegExp, ...args: readonly string[]): Promise<void> {
  const ran = await signet('drill', 'run', ...args, '--json')
  assert.deepEqual([ran.code, ran.out], [code, ''], ran.err)
  assert.match(JSON.parse(ran.err).error.why, why)
}

const postgres = await startPostgres()
const nats = await startNats()
after(async () => {
  if (!('skip' in postgres)) await postgres.stop()
  if (!('skip' in nats)) await nats.stop()
})

const noPostgres = 'skip' in postgres ? postgres.skip : false
const noNats = 'skip' in nats ? nats.skip : false

describe('a drill in a scratch environment', () => {
  for (const name of ['compromised-key', 'mass-sign-out', 'restore-without-resurrection']) {
    it(name, async () => void (await passes(name)))
  }

  it('compromised-token, where a node of another authority is set up', async () => {
    const settings = { SIGNET_CONFIG: '/nowhere/signet.json', SIGNET_LISTEN: '127.0.0.1:1', SIGNET_BUS: 'nats://127.0.0.1:1' }
    await passes('compromised-token', [], { ...settings, SIGNET_DATABASE: 'postgres://127.0.0.1:1/live' })
  })

  it('store-failover, twice on the same database, and nothing of them is left in it', { skip: noPostgres }, async () => {
    if ('skip' in postgres) return
    const database = await postgres.freshDatabase()
    for (let i = 0; i < 2; i++) await passes('store-failover', ['--database', database])
    assert.deepEqual(await schemasOf(database), ['public'])
  })

  it('bus-loss, and nothing of it is left on NATS', { skip: noPostgres || noNats }, async () => {
    if ('skip' in postgres || 'skip' in nats) return
    const gone = `nats://127.0.0.1:${await freePort()}`
    const { steps } = await passes('bus-loss', ['--database', await postgres.freshDatabase(), '--bus', `${nats.url},${gone}`])
    assert.ok(steps.some(({ what, ok }) => ok && /notice that it is gone/.test(what)))
    assert.deepEqual(await streamsOf(nats.url), [])
  })

  it('does nothing in a database where anybody has a table', { skip: noPostgres }, async () => {
    if ('skip' in postgres) return
    for (const [schema, table, why] of [
      ['public', 'orders', /^it holds 1 table in the schema public$/],
      ['elsewhere', 'orders', /^it holds 1 table in the schema elsewhere$/],
      ['signet_drill_0a', 'orders', /killed has left 1 table in the schema signet_drill_0a$/],
    ] as const) {
      const database = await postgres.freshDatabase()
      await ask(database, `create schema if not exists ${schema}; create table ${schema}.${table} (id int)`)
      const before = await schemasOf(database)
      await refused(1, why, 'compromised-token', '--database', database)
      assert.deepEqual(await schemasOf(database), before)
    }
  })

  it("does nothing in an authority's database", { skip: noPostgres }, async () => {
    if ('skip' in postgres) return
    const database = await postgres.freshDatabase()
    const live = await createWorld({ database })
    try {
      const before = await contentsOf(database)
      await refused(1, /^it holds \d+ tables of an authority in the schema public$/, 'store-failover', '--database', database)
      assert.deepEqual(await contentsOf(database), before)
      assert.deepEqual(await schemasOf(database), ['public'])
    } finally {
      await live.close()
    }
  })

  it('says before it begins that it cannot use this database or this bus', async () => {
    const nobody = `127.0.0.1:${await freePort()}`
    await refused(3, /ECONNREFUSED/, 'store-failover', '--database', `postgres://${nobody}/x`)
    await refused(2, /must be a postgres/, 'store-failover', '--database', 'sqlite')
    const database = ['--database', `postgres://${nobody}/x`]
    await refused(2, /practises on SQLite/, 'restore-without-resurrection', ...database)
    await refused(2, /no certificate for tls/, 'bus-loss', ...database, '--bus', `tls://${nobody}`)
    await refused(2, /no place for credentials/, 'bus-loss', ...database, '--bus', `nats://u:word@${nobody}`)
    await refused(3, /no NATS server answers at nats/, 'bus-loss', ...database, '--bus', `nats://${nobody},nats://${nobody}`)
  })

  it('says before it begins that NATS wants credentials', { skip: noNats }, async () => {
    const closed = await startNats({ configuration: 'authorization { user: a, password: b }' })
    if ('skip' in closed) return
    try {
      await refused(2, /wants credentials/, 'bus-loss', '--database', 'postgres://127.0.0.1:1/x', '--bus', closed.url)
    } finally {
      await closed.stop()
    }
  })

  it('takes nothing for it that is meant for another environment, or for another drill', async () => {
    await refused(2, /--server and --credentials/, 'mass-sign-out', '--server', 'https://id.example')
    await refused(2, /--database and --bus/, 'mass-sign-out', '--environment', 'named', '--bus', 'nats://127.0.0.1')
    await refused(2, /no use for a bus/, 'mass-sign-out', '--bus', 'nats://127.0.0.1')
  })

  it('says what it needs when it does not have it', async () => {
    const { code, err } = await signet('drill', 'run', 'bus-loss')
    assert.equal(code, 2)
    assert.match(err, /--database URL/)
  })
})

const schemasOf = async (database: string): Promise<unknown[]> =>
  (
    await ask(database, "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1")
  ).map(({ nspname }) => nspname)

const contentsOf = (database: string) =>
  ask(
    database,
    "select 'log' as what, seq as n from revocation_head union all select 'clients', count(*) from clients order by 1",
  )

async function streamsOf(url: string): Promise<unknown> {
  const link = openNatsLink({ servers: [url] }, realSurroundings())
  try {
    await until(() => link.connection !== undefined, 'NATS')
    assert.ok(link.connection)
    const answer = await link.connection.request('$JS.API.STREAM.NAMES', undefined, { timeout: PATIENCE_MS })
    return JSON.parse(answer.string()).streams ?? []
  } finally {
    await link.close()
  }
}

describe('a drill in an environment that is in use', { skip: noPostgres }, () => {
  let world: World
  let named: readonly string[]
  before(async () => {
    world = await createWorld({ engine: 'postgres' })
    await world.resource()
    named = ['--environment', 'named', '--credentials', world.credentialsFile]
  })
  after(() => world?.close())

  const untilFleet = (isSo: (fleet: Fleet) => boolean) =>
    until(async () => isSo(await world.admin.call('listFleet')), 'the fleet')
  const validator = async (name: string) => {
    const feedCredentials = await world.feedCredentials()
    const started = await startValidator({ issuer: world.issuer, audience: API, feedCredentials, validatorId: name })
    await untilFleet(({ seq, items }) => items.some(({ id, applied }) => id === name && applied === seq))
    return {
      ...started,
      again: () => startValidator({ issuer: world.issuer, audience: API, feedCredentials, validatorId: name }),
    }
  }
  /** As when it was not heard of for some minutes. */
  const age = (name: string) =>
    ask(world.database, `update validators set seen_ms = seen_ms - 600000 where validator = '${name}'`)
  /** The node too: what it heard last it would write again. */
  const forget = async () => {
    await world.stop()
    await ask(world.database, 'delete from validators')
    await world.start()
  }
  const left = async () => {
    const [clients, resources] = await Promise.all([world.admin.call('listClients'), world.admin.call('listResources')])
    const drills = clients.items.filter(({ name, status }) => name === 'Drill' && status === 'active')
    return [...drills.map(({ id }) => id), ...resources.items.map(({ uri }) => uri).filter((uri) => uri !== API)]
  }

  it('does nothing where no validator reports, or its credentials lack a right', async () => {
    const shop = await world.client()
    const mine = await grant(world, new Browser(), shop, await world.person())
    const isAlive = async () => (await world.introspect(shop, mine.access_token)).active
    assert.ok(await isAlive())
    for (const name of ['compromised-token', 'compromised-key', 'mass-sign-out'])
      await refused(1, /^no validator reports to http/, name, ...named, '--yes')
    const weak = await credentialsWith(['signet:read', 'signet:revoke'])
    for (const [name, scope] of [
      ['compromised-token', 'signet:admin'],
      ['compromised-key', 'signet:keys'],
      ['mass-sign-out', 'signet:admin'],
    ] as const)
      await refused(1, new RegExp(`may not have ${scope}`), name, '--environment', 'named', '--credentials', weak, '--yes')
    assert.ok(await isAlive())
    assert.deepEqual(await left(), [])
  })

  it('harms nobody where it says so, and waits for every validator', async () => {
    const here = await validator('here')
    try {
      const shop = await world.client()
      const mine = await grant(world, new Browser(), shop, await world.person())
      for (let i = 0; i < 2; i++) {
        const { steps, not_checked } = await passes('compromised-token', named)
        assert.ok(
          steps.some(({ what, ok }) => ok && what === '1 validator said so'),
          JSON.stringify(steps),
        )
        assert.deepEqual(not_checked, [])
      }
      assert.equal((await here.check(mine.access_token)).allowed, true)
      assert.deepEqual(await left(), [])

      const unasked = await signet('drill', 'run', 'mass-sign-out', ...named)
      assert.equal(unasked.code, 2, 'it did not ask before it signed everybody out')
      assert.equal((await here.check(mine.access_token)).allowed, true)
      await passes('mass-sign-out', [...named, '--yes'])
      const { verdict } = await here.untilDenied(mine.access_token, PATIENCE_MS)
      assert.equal(!verdict.allowed && verdict.reason, 'revoked')
      for (let i = 0; i < 2; i++) await passes('compromised-key', [...named, '--yes'])
    } finally {
      await here.stop()
      await forget()
    }
  })

  it('says of which validators it has shown nothing', async () => {
    const [here, silent] = [await validator('here'), await validator('silent')]
    try {
      await silent.stop()
      await age('silent')
      const { not_checked } = await passes('compromised-token', named)
      assert.deepEqual(not_checked, ['1 validator that had not been heard of for a minute: silent'])
      const { out } = await signet('drill', 'run', 'compromised-token', ...named)
      assert.match(out, /not checked {2}1 validator that had/)
    } finally {
      await here.stop()
      await forget()
    }
  })

  it('fails when a validator does not follow, or falls silent meanwhile, and names it', async () => {
    for (const fallsSilent of [false, true]) {
      const [here, silent] = [await validator('here'), await validator('silent')]
      try {
        await silent.stop()
        const { steps, broke } = await playOut(
          (run) => {
            const shortly: Run['until'] = async (what, withinMs, isSo, lookMs) => {
              if (!what.startsWith('every validator')) return run.until(what, withinMs, isSo, lookMs)
              await untilFleet(({ seq, items }) => items.some(({ id, applied }) => id === 'here' && applied === seq))
              // Once its silence is counted, not before: who was gone from the start is another case.
              if (fallsSilent) await isSo().then(() => age('silent'))
              if (fallsSilent) await untilFleet(({ counts }) => counts.gone > 0)
              const isFollowed = await isSo() // However long it takes: it stays so.
              return run.until(what, 1000, async () => isFollowed, lookMs)
            }
            return compromisedToken.named?.play({ ...run, until: shortly }, world.admin) as Promise<void>
          },
          { told: () => {}, doing: () => {}, interrupted: new AbortController().signal, leftovers: [] },
        )
        assert.equal(broke, undefined)
        assert.deepEqual(steps.at(-1), { what: '1 validator said so, and not: silent', ok: false })
        assert.deepEqual(await left(), [])
      } finally {
        await here.stop()
        await forget()
      }
    }
  })

  it('is stopped by Ctrl-C, and leaves nothing behind', async () => {
    /** Nobody but one that was there until now, and will not follow. */
    const onlySilent = async () => (await validator('silent')).stop()
    try {
      await onlySilent()
      const running = start(['drill', 'run', 'compromised-token', ...named])
      await running.said(/introspection says that it is dead/)
      assert.equal((await left()).length, 2)
      running.interrupt()
      const { code, out } = await running.ended
      assert.equal(code, 130, out)
      assert.match(out, /you stopped it, and nothing of it is left/)
      assert.deepEqual(await left(), [])

      await onlySilent()
      const harming = start(['drill', 'run', 'mass-sign-out', ...named, '--yes', '--json'])
      await until(
        async () =>
          (await world.admin.call('listRevocations', { query: { after: 0, limit: 500 } })).items.at(-1)?.kind === 'issuer',
        'everybody is signed out',
      )
      harming.interrupt()
      const stopped = await harming.ended
      const report = JSON.parse(stopped.out) as Report
      assert.deepEqual([stopped.code, report.ok, report.interrupted], [130, false, true])
    } finally {
      await forget()
    }
  })

  it('goes on when the authority was away for a moment', async () => {
    const late = await validator('late')
    await late.stop()
    const running = start(['drill', 'run', 'compromised-token', ...named])
    await running.said(/introspection says that it is dead/)
    const node = world.nodes[0] as World['nodes'][number]
    await node.kill()
    await node.start()
    const again = await late.again()
    try {
      const { code, out, err } = await running.ended
      assert.equal(code, 0, out + err)
      assert.deepEqual(await left(), [])
    } finally {
      await again.stop()
      await forget()
    }
  })

  it('is not to be had where it would cut connections', async () => {
    await refused(2, /scratch/, 'store-failover', ...named)
  })

  async function credentialsWith(scopes: readonly string[]): Promise<string> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwk = { kid: 'k', alg: 'ES256' }
    const { id } = await world.admin.call('createClient', {
      body: {
        name: 'On call',
        platform: 'service',
        auth_method: 'private_key_jwt',
        grant_types: ['client_credentials'],
        scopes: [...scopes],
        resources: [world.issuer],
        jwks: [{ ...publicKey.export({ format: 'jwk' }), ...jwk, use: 'sig' }],
      } as never,
    })
    const path = join(world.state, 'on-call.json')
    const credentials = { issuer: world.issuer, client_id: id, private_jwk: { ...privateKey.export({ format: 'jwk' }), ...jwk } }
    await writeFile(path, JSON.stringify(credentials), { mode: 0o600 })
    return path
  }
})
