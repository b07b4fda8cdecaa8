/** The drills that people on call practise with, as they run them; each in an environment of its own, and those that are for one in use there. SIGNET_NATS_SERVER. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startNats } from '@signet/testkit/nats.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { startValidator } from './remote-validator.ts'
import { API, Browser, createWorld, grant, type World } from './world.ts'

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}
interface Report {
  readonly ok: boolean
  readonly steps: readonly { readonly what: string; readonly ok: boolean; readonly ms?: number }[]
}

async function signet(...args: readonly string[]): Promise<Ran> {
  const main = join(import.meta.dirname, '../packages/cli/main.ts')
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (text) => {
    out += text
  })
  child.stderr.on('data', (text) => {
    err += text
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err }
}

async function passes(name: string, ...args: readonly string[]): Promise<Report> {
  const { code, out, err } = await signet('drill', 'run', name, '--json', ...args)
  assert.equal(code, 0, out + err)
  const report = JSON.parse(out) as Report
  assert.ok(report.ok && report.steps.length > 1 && report.steps.some(({ ms }) => ms !== undefined))
  return report
}

const postgres = await startPostgres()
const nats = await startNats()
after(async () => {
  if (!('skip' in postgres)) await postgres.stop()
  if (!('skip' in nats)) await nats.stop()
})

describe('a drill in a scratch environment', () => {
  for (const name of ['compromised-token', 'compromised-key', 'mass-sign-out', 'restore-without-resurrection']) {
    it(name, async () => void (await passes(name)))
  }
  it('store-failover', { skip: 'skip' in postgres ? postgres.skip : false }, async () => {
    if (!('skip' in postgres)) await passes('store-failover', '--database', await postgres.freshDatabase())
  })
  const missing = 'skip' in postgres ? postgres.skip : 'skip' in nats ? nats.skip : false
  it('bus-loss', { skip: missing }, async () => {
    if ('skip' in postgres || 'skip' in nats) return
    await passes('bus-loss', '--database', await postgres.freshDatabase(), '--bus', nats.url)
  })

  it('says what it needs when it does not have it', async () => {
    const { code, err } = await signet('drill', 'run', 'bus-loss')
    assert.equal(code, 2)
    assert.match(err, /--database URL/)
  })
})

describe('a drill in an environment that is in use', () => {
  let world: World
  before(async () => {
    world = await createWorld()
    await world.resource()
  })
  after(() => world.close())

  it('harms nobody where it says so, and waits for every validator', async () => {
    const validator = await startValidator({
      issuer: world.issuer,
      audience: API,
      feedCredentials: await world.feedCredentials(),
    })
    try {
      const shop = await world.client()
      const mine = await grant(world, new Browser(), shop, await world.person())
      while ((await world.admin.call('listFleet')).items.length === 0) await new Promise((resolve) => setTimeout(resolve, 100))
      const named = ['--environment', 'named', '--credentials', world.credentialsFile]
      const { steps } = await passes('compromised-token', ...named)
      assert.ok(
        steps.some(({ what }) => what === '1 validators are known to have applied it'),
        JSON.stringify(steps),
      )
      assert.equal((await validator.check(mine.access_token)).allowed, true)
      const { items } = await world.admin.call('listClients', { query: { limit: 100 } })
      assert.ok(!items.some(({ name, status }) => name === 'Drill' && status === 'active'), 'it left its client behind')

      const unasked = await signet('drill', 'run', 'mass-sign-out', ...named)
      assert.equal(unasked.code, 2, 'it did not ask before it signed everybody out')
      assert.equal((await validator.check(mine.access_token)).allowed, true)
      await passes('mass-sign-out', ...named, '--yes')
      const { verdict } = await validator.untilDenied(mine.access_token, 10_000)
      assert.equal(!verdict.allowed && verdict.reason, 'revoked')
    } finally {
      await validator.stop()
    }
  })

  it('is not to be had where it would cut connections', async () => {
    const { code, err } = await signet(
      'drill',
      'run',
      'store-failover',
      '--environment',
      'named',
      '--credentials',
      world.credentialsFile,
    )
    assert.equal(code, 2)
    assert.match(err, /scratch/)
  })
})
