import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ConfigError, loadConfig } from './config.ts'
import { policyVersion } from './policy/load-settings.ts'
import { sha256 } from './surroundings.ts'

const fileWith = (content: unknown): string => {
  const path = join(mkdtempSync(join(tmpdir(), 'signet-config-')), 'signet.json')
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}
const problemOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    assert(error instanceof ConfigError)
    return error.message
  }
  assert.fail('accepted')
}

describe('configuration', () => {
  it('needs nothing to start on one machine', () => {
    const config = loadConfig({}, {})
    assert.equal(config.issuer, 'http://localhost:4800')
    assert.equal(config.database.engine, 'sqlite')
    assert.equal(config.settings.accessTokenSeconds, 300)
  })

  it('lets a flag beat the environment, and the environment the file', () => {
    const file = fileWith({ listen: '127.0.0.1:1111', logLevel: 'warn', state: 'a' })
    const config = loadConfig({ config: file, listen: '127.0.0.1:3333' }, { SIGNET_LISTEN: '127.0.0.1:2222', SIGNET_STATE: 'b' })
    assert.equal(config.port, 3333)
    assert.match(config.stateDirectory, /b$/)
    assert.equal(config.logLevel, 'warn')
  })

  it('names the setting that is wrong and where it came from', () => {
    assert.match(
      problemOf(() => loadConfig({}, { SIGNET_LISTEN: 'nowhere' })),
      /listen \(SIGNET_LISTEN\): must be HOST:PORT/,
    )
    assert.match(
      problemOf(() => loadConfig({ config: fileWith({ lissten: 'x' }) }, {})),
      /unknown setting: lissten/,
    )
    assert.match(
      problemOf(() => loadConfig({ config: fileWith({ policy: { graceSeconds: 9999 } }) }, {})),
      /policy\.graceSeconds/,
    )
    assert.match(
      problemOf(() => loadConfig({ config: fileWith('{') }, {})),
      /not JSON/,
    )
    assert.match(
      problemOf(() => loadConfig({ config: '/nonexistent/signet.json' }, {})),
      /not found/,
    )
  })

  it('refuses an access token life above the cap unless told in so many words', () => {
    assert.match(
      problemOf(() => loadConfig({ config: fileWith({ policy: { accessTokenSeconds: 900 } }) }, {})),
      /allowLongAccessTokens/,
    )
    const allowed = loadConfig({ config: fileWith({ policy: { accessTokenSeconds: 900, allowLongAccessTokens: true } }) }, {})
    assert.equal(allowed.settings.accessTokenSeconds, 900)
    assert.match(
      problemOf(() =>
        loadConfig({ config: fileWith({ policy: { accessTokenSeconds: 7200, allowLongAccessTokens: true } }) }, {}),
      ),
      /3600/,
    )
  })

  it('refuses plain http for an issuer that is not on loopback', () => {
    assert.match(
      problemOf(() => loadConfig({ issuer: 'http://auth.example' }, {})),
      /plain http is for loopback only/,
    )
    assert.equal(loadConfig({ issuer: 'https://auth.example/' }, {}).issuer, 'https://auth.example')
  })

  it('gives every policy a version that changes with any setting', () => {
    const a = loadConfig({}, {}).settings
    assert.equal(policyVersion(a, sha256), policyVersion({ ...a }, sha256))
    assert.notEqual(policyVersion(a, sha256), policyVersion({ ...a, graceSeconds: 29 }, sha256))
  })
})
