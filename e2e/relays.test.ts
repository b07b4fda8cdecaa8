/** A service that reaches its authority over two relays alone: revocations arrive, a relay that freezes cannot hide it, one that dies comes back. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { freePort } from '@signet/testkit/free-port.ts'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { type StartedProcess, startProcess } from '../packages/cli/start/process.ts'
import { type RemoteValidator, startValidator } from './remote-validator.ts'
import { API, Browser, createWorld, grant, type World } from './world.ts'

const WRITE_BOUND_SECONDS = 3

/** A relay in a process of its own, on a port that it keeps. */
async function startRelay(state: string, name: string, world: World, flags: Readonly<Record<string, string>>) {
  const port = await freePort()
  const { clientId, clientSecret } = await world.feedCredentials()
  const secretFile = join(state, `${name}-secret`)
  await writeFile(secretFile, clientSecret, { mode: 0o600 })
  const args = Object.entries({
    issuer: world.issuer,
    listen: `127.0.0.1:${port}`,
    state: join(state, name),
    'client-id': clientId,
    'client-secret-file': secretFile,
    operations: '127.0.0.1:0',
    'log-level': 'error',
    ...flags,
  }).flatMap(([flag, value]) => [`--${flag}`, value])
  const url = `http://127.0.0.1:${port}`
  let running: StartedProcess = await startProcess(name, 'packages/gateway/main.ts', args)
  await becomes(async () => (await fetch(`${url}/readyz`)).ok, `${name} is ready`)
  return {
    url,
    get process() {
      return running
    },
    async start() {
      running = await startProcess(name, 'packages/gateway/main.ts', args)
    },
  }
}

/** Also while it cannot be asked. */
const becomes = (holds: () => Promise<boolean>, what: string): Promise<void> => until(() => holds().catch(() => false), what)

describe('a service behind two relays', () => {
  it('hears of revocations, notices a frozen relay, and goes on when one was killed', async () => {
    const world = await createWorld()
    const state = await mkdtemp(join(tmpdir(), 'signet-relays-'))
    const started: { readonly process: StartedProcess }[] = []
    let validator: RemoteValidator | undefined
    try {
      await world.resource()
      const shop = await world.client()
      const outer = await startRelay(state, 'outer', world, {})
      started.push(outer)
      const inner = await startRelay(state, 'inner', world, {
        upstream: outer.url,
        'upstream-keys': `${outer.url}/feed/jwks`,
        'open-to-everyone': 'true',
      })
      started.push(inner)
      assert.equal((await fetch(`${outer.url}/feed/snapshot`)).status, 401, 'the outer relay asks for a token')

      validator = await startValidator({
        issuer: world.issuer,
        audience: API,
        feed: {
          url: inner.url,
          relayKeys: await (await fetch(`${inner.url}/feed/jwks`)).json(),
          authorityKeys: await (await fetch(`${world.issuer}/feed/jwks`)).json(),
        },
        permissions: {
          read: { scopes: ['notes:read'], maxStalenessSeconds: 3600 },
          write: { scopes: ['notes:write'], maxStalenessSeconds: WRITE_BOUND_SECONDS },
        },
      })
      const service = validator
      const someone = async () => (await grant(world, new Browser(), shop, await world.person())).access_token
      const revoke = (token: string) => world.admin.call('revoke', { body: { target: { token }, reason: 'story' } })
      const may = async (token: string, what: string) => (await service.check(token, [what])).allowed

      // Taken back at the authority, refused two relays away.
      const [first, second, third, mine] = [await someone(), await someone(), await someone(), await someone()]
      await becomes(() => may(mine, 'write'), 'write is allowed')
      await revoke(first)
      const { verdict } = await service.untilDenied(first, PATIENCE_MS)
      assert.equal(!verdict.allowed && verdict.reason, 'revoked')

      // The relay in the middle stands still, with its connections open.
      process.kill(outer.process.pid, 'SIGSTOP')
      await revoke(second)
      let stale = await service.check(mine, ['write'])
      await until(async () => {
        if (stale.allowed) stale = await service.check(mine, ['write'])
        return !stale.allowed
      }, 'write gives up')
      assert.equal(!stale.allowed && stale.reason, 'stale')
      assert.ok(stale.stalenessMs > WRITE_BOUND_SECONDS * 1000)
      assert.equal(await may(mine, 'read'), true, 'read bears it')
      assert.equal(await may(second, 'read'), true, 'the revocation cannot have come through')
      process.kill(outer.process.pid, 'SIGCONT')
      const late = await service.untilDenied(second, PATIENCE_MS)
      assert.equal(!late.verdict.allowed && late.verdict.reason, 'revoked', 'nothing is missed')
      await becomes(() => may(mine, 'write'), 'write is allowed again')

      // And dies without a word; the one behind it goes on from where it stood.
      await outer.process.kill()
      await revoke(third)
      await outer.start()
      const last = await service.untilDenied(third, PATIENCE_MS)
      assert.equal(!last.verdict.allowed && last.verdict.reason, 'revoked')
      await becomes(() => may(mine, 'write'), 'write is allowed in the end')
    } finally {
      await validator?.stop()
      for (const { process: one } of started.reverse()) await one.kill()
      await world.close()
      await rm(state, { recursive: true, force: true })
    }
  })
})
