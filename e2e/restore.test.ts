/** Yesterday's backup is put back: what was revoked since stays dead, nobody can go on with old tokens, and signing in again works. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { startValidator } from './remote-validator.ts'
import { API, Browser, createWorld, grant } from './world.ts'

describe('a restored backup', () => {
  it('brings nothing back to life', async () => {
    const world = await createWorld()
    try {
      await world.resource()
      const shop = await world.client()
      const person = await world.person()
      const feedCredentials = await world.feedCredentials()
      const revoked = await grant(world, new Browser(), shop, person)
      const browser = new Browser()
      const untouched = await grant(world, browser, shop, person)
      for await (const _ of world.admin.stream('startBackup', { body: { name: 'yesterday' } })) {
        // Until it is written.
      }
      await world.admin.call('revoke', {
        body: { target: { token: revoked.refresh_token as string }, reason: 'after the backup' },
      })

      await world.stop()
      const command = [
        join(import.meta.dirname, '../packages/authority/main.ts'),
        'restore',
        join(world.state, 'backups/yesterday.db'),
        '--state',
        world.state,
        '--issuer',
        world.issuer,
      ]
      const { stdout } = await promisify(execFile)(process.execPath, command)
      assert.match(JSON.parse(stdout).epoch, /^[0-9a-f-]{36}$/)
      await world.start()

      const refresh = (tokens: { refresh_token?: string }) =>
        world.token(shop, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token as string })
      assert.equal((await refresh(revoked)).body.error, 'invalid_grant', 'a revoked family came back with the backup')
      assert.equal((await refresh(untouched)).body.error, 'invalid_grant', 'a family that might have been revoked came back')
      const validator = await startValidator({
        issuer: world.issuer,
        audience: API,
        feedCredentials,
      })
      try {
        for (const tokens of [revoked, untouched]) {
          const verdict = await validator.check(tokens.access_token)
          // A validator that starts now does not even learn the key that signed it.
          assert.equal(!verdict.allowed && verdict.reason, 'unknown_key')
        }
        const anew = await grant(world, new Browser(), shop, person)
        assert.equal((await validator.check(anew.access_token)).allowed, true)
        assert.equal((await refresh(anew)).status, 200)
      } finally {
        await validator.stop()
      }
    } finally {
      await world.close()
    }
  })
})
