/** What a newcomer meets first. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'

describe('npm start -- --check', () => {
  it('goes through the life of a token and ends with 0', () => {
    const script = join(import.meta.dirname, '../packages/cli/start/main.ts')
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8', timeout: 280_000 })
    assert.equal(status, 0, stdout + stderr)
    for (const step of ['set up', 'once', 'sign in', 'call', 'rotate', 'retry', 'revoke', 'renew', 'theft', 'again'])
      assert.match(stdout, new RegExp(`✔ ${step}`))
  })
})
