/** A validator whose network is gone: it knows how stale it is and gives up permissions one by one; healed, it has missed nothing. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { type RemoteValidator, startValidator } from './remote-validator.ts'
import { API, Browser, createWorld, grant, type World } from './world.ts'

const WRITE_BOUND_SECONDS = 2

async function following(world: World): Promise<RemoteValidator> {
  const feedCredentials = await world.feedCredentials()
  return startValidator({
    issuer: world.issuer,
    audience: API,
    feedCredentials,
    permissions: {
      read: { scopes: ['notes:read'], maxStalenessSeconds: 3600 },
      write: { scopes: ['notes:write'], maxStalenessSeconds: WRITE_BOUND_SECONDS },
    },
  })
}

for (const how of ['cut', 'freeze'] as const) {
  describe(`a validator whose network is ${how === 'cut' ? 'cut' : 'frozen'}`, () => {
    it('passes read, refuses write exactly when its bound is over, and catches up on what was revoked meanwhile', async () => {
      const world = await createWorld({ proxied: true })
      let validator: RemoteValidator | undefined
      try {
        await world.resource()
        const shop = await world.client()
        validator = await following(world)
        const [mine, theirs] = [
          await grant(world, new Browser(), shop, await world.person()),
          await grant(world, new Browser(), shop, await world.person()),
        ]
        const service = validator
        const mayWrite = async () => (await service.check(mine.access_token, ['write'])).allowed
        await until(mayWrite, 'write is allowed')

        world.proxy[how]()
        const cutAtMs = performance.now()
        await world.admin.call('revoke', {
          body: { target: { token: theirs.access_token }, reason: 'story' },
          idempotencyKey: 'meanwhile',
        })
        // The verdict itself says how stale it is: refused with more than the bound, allowed with less, whatever the machine's pace. Whatever
        // it says, it has heard nothing that was asked after the cut.
        let refusedAt: number | undefined
        for (const end = performance.now() + PATIENCE_MS; refusedAt === undefined && performance.now() < end; ) {
          const sinceCutMs = performance.now() - cutAtMs
          const verdict = await validator.check(mine.access_token, ['write'])
          if (verdict.allowed) {
            assert(verdict.stalenessMs <= WRITE_BOUND_SECONDS * 1000, `write passed at ${verdict.stalenessMs} ms`)
            assert(sinceCutMs <= WRITE_BOUND_SECONDS * 1000, `write passed ${sinceCutMs} ms after the cut`)
          } else {
            assert.equal(verdict.reason, 'stale')
            assert.equal(verdict.status, 503)
            assert(verdict.stalenessMs > WRITE_BOUND_SECONDS * 1000, `write was refused at ${verdict.stalenessMs} ms already`)
            refusedAt = verdict.stalenessMs
          }
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        assert(refusedAt !== undefined, 'write never gave up')
        const read = await validator.check(mine.access_token, ['read'])
        assert.equal(read.allowed, true, 'read gave up before its bound')
        assert.equal(read.freshness, 'degraded')
        assert.deepEqual(read.allowed && read.permissions, ['read'])
        assert.equal(
          (await validator.check(theirs.access_token, ['read'])).allowed,
          true,
          'the revocation got through a cut network?',
        )

        world.proxy.heal()
        const { verdict } = await validator.untilDenied(theirs.access_token, PATIENCE_MS)
        assert.equal(!verdict.allowed && verdict.reason, 'revoked', 'missed a revocation')
        await until(mayWrite, 'write comes back')
      } finally {
        await validator?.stop()
        await world.close()
      }
    })
  })
}
