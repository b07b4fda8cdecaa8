/** A node whose wall clock is off by more than policy allows issues nothing and says so; the others go on, and it goes on when its clock is right. */
import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import { Browser, createWorld, grant, patientRequest, type Tokens, tokenRequest, unavailable } from './world.ts'

const RIGHT = 0
const WRONG = 1
/** Seconds. Policy allows half of one. */
const ALLOWED = [0.3, -0.3]
const TOO_FAR = [2, -2, 3600, -3600]

const library = process.env.SIGNET_FAKETIME ?? ''
const why = library === '' ? 'libfaketime is not installed' : await unavailable('postgres')

describe('a node whose clock is wrong', { skip: why ?? false }, () => {
  it('stops issuing beyond what policy allows, says so, and goes on when its clock is right again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'signet-clock-'))
    const file = join(folder, 'clock')
    /** As a whole, so that nobody reads half of it. */
    const setClock = async (seconds: number) => {
      await writeFile(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
      await rename(`${file}.new`, file)
    }
    await setClock(0)
    const faked = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1', // Only the wall clock can be set.
      DONT_FAKE_MONOTONIC: '1',
    }
    const policy = { graceSeconds: 300 } // The node that was wrong gives the same successor, however late.
    const world = await createWorld({ engine: 'postgres', nodes: 2, operations: true, environments: [{}, faked], policy })
    try {
      await world.resource()
      const shop = await world.client()
      let tokens = await grant(world, new Browser(), shop, await world.person())
      const at = (node: number) => `http://localhost:${world.nodes[node]?.port}`
      const refreshing = () => ({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token as string })
      const refresh = (node: number) => tokenRequest(at(node), shop, refreshing())
      const rotate = async (node: number): Promise<Tokens> => {
        const { status, body } = await patientRequest(at(node), shop, refreshing())
        assert.equal(status, 200, `node ${node}: ${JSON.stringify(body)}`)
        return body
      }
      const readiness = () => world.nodes[WRONG]?.readiness() ?? assert.fail()
      for (const seconds of ALLOWED) {
        await setClock(seconds)
        // Unless what it knows is old as well, which a moment later it is not.
        await until(async () => (await refresh(WRONG)).status === 200, `it issues at ${seconds} s`)
        tokens = await rotate(WRONG)
        await until(async () => (await readiness()).ready, `it is ready at ${seconds} s`)
      }
      for (const seconds of TOO_FAR) {
        await setClock(seconds)
        // The very first one: nothing was measured since. A clock that jumps ahead also makes what the node knows look old.
        const { status, body, headers } = await refresh(WRONG)
        assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'], `${seconds} s`)
        assert.ok(Number(headers.get('retry-after')) > 0)
        await until(async () => {
          const { ready, failed } = await readiness()
          assert.equal(ready, false, `${seconds} s`)
          return failed.includes('clock') // Not so when its checks took too long.
        }, `it says why at ${seconds} s`)
        await until(() => world.balancer.ready[WRONG] === false)
        for (let n = 0; n < 4; n++) {
          const { status } = await world.token(shop, { grant_type: 'client_credentials' })
          assert.equal(status, 200, 'the others do not go on')
        }
        const successor = await rotate(RIGHT)
        await setClock(0)
        await until(() => world.balancer.ready[WRONG] === true)
        await until(async () => (await refresh(WRONG)).status === 200, 'it issues again')
        assert.equal((await rotate(WRONG)).refresh_token, successor.refresh_token)
        tokens = successor
      }
    } finally {
      await world.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
