import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ConfigError } from '@signet/kernel/config-sources.ts'
import { loadConfig } from './config.ts'
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
  it('says of a number that is none where it was given, what was given and the form', () => {
    for (const text of ['x', '', '1e2', '-1', '301', '1.5'])
      assert.equal(
        problemOf(() => loadConfig({ 'drain-seconds': text }, {})),
        `The configuration is not usable:\n  drainSeconds (--drain-seconds): must be a whole number from 0 to 300, not "${text}"`,
      )
    assert.match(
      problemOf(() => loadConfig({ config: fileWith({ trustedProxies: null }) }, {})),
      /trustedProxies \(file .*\): must be a whole number from 0 to 10, not null/,
    )
    assert.equal(loadConfig({ 'drain-seconds': '30' }, {}).drainSeconds, 30)
    assert.equal(loadConfig({ config: fileWith({ drainSeconds: 20 }) }, {}).drainSeconds, 20)
  })

  it('says that a file is not JSON without a piece of what is in it', () => {
    for (const text of [
      '{"database": hunter2}',
      'hunter2',
      `{"database": "postgres://h/d", "x": hunter2, "y": ${'1'.repeat(99)}}`,
    ]) {
      const problem = problemOf(() => loadConfig({ config: fileWith(text) }, {}))
      assert.match(problem, /not JSON: Unexpected token 'h'$/)
      assert.doesNotMatch(problem, /unter2|postgres/)
    }
  })

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
    for (const [flag, form] of [
      ['listen', 'HOST:PORT'],
      ['operations', '"off" or HOST:PORT'],
    ] as const)
      for (const text of ['127.0.0.1:65536', '127.0.0.1', '[::1]:x', ':4800']) {
        const problem = problemOf(() => loadConfig({ [flag]: text }, {}))
        assert.ok(problem.includes(`${flag} (--${flag}): must be ${form} with a port from 0 to 65535`), problem)
      }
    assert.equal(loadConfig({ listen: '[::1]:65535' }, {}).port, 65_535)
    assert.match(
      problemOf(() => loadConfig({ config: fileWith({ lissten: 'x' }) }, {})),
      /lissten \(file .*\): is no setting; did you mean listen\?$/m,
    )
    assert.match(
      problemOf(() => loadConfig({ config: fileWith({ policy: { graceSeconds: 9999 } }) }, {})),
      /policy\.graceSeconds/,
    )
    const inside = fileWith({
      region: { name: 'eu', peers: [{ name: 'US', url: 'x', clientSecretFile: 'f' }], more: 1 },
    })
    const problem = problemOf(() => loadConfig({ config: inside }, {}))
    assert.ok(problem.includes(`region.peers.0.name (file ${inside}): must be 1 to 32 lower-case`), problem)
    assert.ok(problem.includes(`region.more (file ${inside}): is no setting`), problem)
    assert.match(
      problemOf(() => loadConfig({ config: fileWith('{') }, {})),
      /not JSON/,
    )
    assert.match(
      problemOf(() => loadConfig({}, { SIGNET_CONFIG: '/nonexistent/signet.json' })),
      /config file \(SIGNET_CONFIG\): .*signet\.json: not found/,
    )
  })

  it('says of settings that do not go together where each was given', () => {
    const policy = fileWith({ policy: { accessTokenSeconds: 900, graceSecnds: 3 }, databaseDirect: 'postgres://direct/signet' })
    const lines = (flags: Record<string, string>, env: Record<string, string>) =>
      problemOf(() => loadConfig(flags, env))
        .split('\n')
        .slice(1)
    assert.deepEqual(lines({ config: policy, issuer: 'http://auth.example/x' }, { SIGNET_BUS_CA_FILE: '/ca.pem' }), [
      '  issuer (--issuer): must be an origin without a path',
      '  issuer (--issuer): plain http is for loopback only; use https, or set insecureHttpIssuer to true in the file if you mean it',
      `  databaseDirect (file ${policy}): is for PostgreSQL, and database is "sqlite"`,
      '  busCaFile (SIGNET_BUS_CA_FILE): is for a bus on NATS, and bus is "auto"',
      `  policy.graceSecnds (file ${policy}): is no setting; did you mean graceSeconds?`,
    ])
    assert.deepEqual(lines({ database: 'mysql://x' }, { SIGNET_DATABASE_FILE: '/nonexistent/url' }), [
      '  database (--database): give either database or databaseFile, not both',
      '  databaseFile (SIGNET_DATABASE_FILE): give either database or databaseFile, not both',
      '  databaseFile (SIGNET_DATABASE_FILE): /nonexistent/url: not found',
      '  databaseFile (SIGNET_DATABASE_FILE): must be a postgres:// URL, or "sqlite"',
    ])
    assert.deepEqual(lines({ 'master-key-file': '/m.key' }, { SIGNET_MASTER_KEY: 'AAAA' }), [
      '  masterKeyFile (--master-key-file): give either a file or the key itself in SIGNET_MASTER_KEY, not both',
    ])
  })

  it('says what a value must be in words for whoever runs it', () => {
    const policy = fileWith({ policy: { graceSeconds: 301, accessTokenSeconds: 1, signingAlgorithm: 'HS256' } })
    assert.deepEqual(
      problemOf(() => loadConfig({ issuer: 'nope', migrations: 'yes', state: '' }, {}))
        .split('\n')
        .slice(1),
      [
        '  issuer (--issuer): must be a URL that begins with https:// or http://',
        '  state (--state): must not be empty',
        '  migrations (--migrations): must be auto or off',
      ],
    )
    assert.deepEqual(
      problemOf(() => loadConfig({ config: policy }, {}))
        .split('\n')
        .slice(1),
      [
        `  policy.accessTokenSeconds (file ${policy}): must not be below 10`,
        `  policy.graceSeconds (file ${policy}): must not be above 300`,
        `  policy.signingAlgorithm (file ${policy}): must be ES256, EdDSA, RS256 or PS256`,
      ],
    )
  })

  it('refuses a variable that is nearly called as one of ours, and says which, but not what is in it', () => {
    const problem = problemOf(() =>
      loadConfig({ 'drain-seconds': 'x' }, { SIGNET_DATABSE: 'postgres://u:geheim@h/d', SIGNET_PORT: 'tcp://10.0.0.1:80' }),
    )
    assert.deepEqual(problem.split('\n').slice(1), [
      '  SIGNET_DATABSE: is no setting; did you mean SIGNET_DATABASE?',
      '  drainSeconds (--drain-seconds): must be a whole number from 0 to 300, not "x"',
    ])
    loadConfig({}, { SIGNET_PORT: 'tcp://10.0.0.1:80', SIGNET_VERSION: '1.2', SIGNET_CONFIG: '' })
  })

  it('takes the bus from the database unless it is named', () => {
    assert.deepEqual(loadConfig({}, {}).bus, { engine: 'in-process' })
    const url = 'postgres://localhost/signet'
    assert.deepEqual(loadConfig({ database: url }, {}).bus, { engine: 'postgres', url })
    const bus = { engine: 'nats', servers: ['nats://127.0.0.1:4222'], credentialsFile: undefined, caFile: undefined }
    assert.deepEqual(loadConfig({ bus: 'nats://127.0.0.1:4222' }, {}).bus, bus)
    const servers = ['tls://a.example:4222', 'tls://b.example']
    const several = loadConfig({}, { SIGNET_BUS: servers.join(', ') }).bus
    assert.deepEqual(several.engine === 'nats' && several.servers, servers)
    const listed = loadConfig({ config: fileWith({ bus: servers }) }, {}).bus
    assert.deepEqual(listed, several)
  })

  it('refuses a bus that would give its credentials away, or that cannot be', () => {
    for (const [bus, sentence] of [
      ['nats://user:secret@127.0.0.1:4222', /^\s*bus \(--bus\): must not hold a user name or password/m],
      ['nats://nats.example:4222', /^\s*bus \(--bus\): plain nats:\/\/ is for this machine only.*insecurePlainBus/m],
      ['nats://127.0.0.1:4222,tls://nats.example', /all nats:\/\/ or all tls:\/\//],
      ['redis://127.0.0.1', /bus \(--bus\): must be nats:\/\//],
      ['nats://127.0.0.1:4222/?x=1', /bus \(--bus\): must be nats:\/\//],
      ['', /bus \(--bus\): must be nats:\/\//],
      [Array(17).fill('nats://127.0.0.1').join(','), /1 to 16 servers/],
    ] as const) {
      const problem = problemOf(() => loadConfig({ bus }, {}))
      assert.match(problem, sentence)
      assert.doesNotMatch(problem, /secret/)
    }
    const plain = loadConfig({ config: fileWith({ bus: 'nats://nats.example', insecurePlainBus: true }) }, {}).bus
    assert.equal(plain.engine, 'nats')
  })

  it("wants the bus's credentials in a file that others cannot read", () => {
    const bus = 'tls://nats.example'
    const file = fileWith('user:password')
    chmodSync(file, 0o644)
    assert.match(
      problemOf(() => loadConfig({ bus, 'bus-credentials-file': file }, {})),
      /busCredentialsFile \(--bus-credentials-file\): .*0600/,
    )
    chmodSync(file, 0o600)
    assert.deepEqual(loadConfig({ bus, 'bus-credentials-file': file, 'bus-ca-file': file }, {}).bus, {
      engine: 'nats',
      servers: [bus],
      credentialsFile: file,
      caFile: file,
    })
    assert.match(
      problemOf(() => loadConfig({ bus }, { SIGNET_BUS_CA_FILE: '/nonexistent/ca.pem' })),
      /busCaFile \(SIGNET_BUS_CA_FILE\): .*not found/,
    )
    assert.match(
      problemOf(() => loadConfig({ 'bus-credentials-file': file }, {})),
      /busCredentialsFile \(--bus-credentials-file\): is for a bus on NATS/,
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

  it('takes other regions with names of their own, over https, and their secrets from files that others cannot read', () => {
    const secret = fileWith('a secret of a link\n')
    chmodSync(secret, 0o600)
    const peer = { name: 'west', url: 'https://west.example', clientSecretFile: secret }
    const load = (region: unknown) => loadConfig({ config: fileWith({ region }) }, {})
    const { region } = load({ name: 'east', peers: [peer] })
    assert.deepEqual(
      [region?.peers[0]?.clientSecret.reveal(), region?.insecureIgnorePeerStaleness],
      ['a secret of a link', false],
    )
    assert.equal(JSON.stringify(region).includes('a secret'), false)
    const problem = (peers: unknown, name = 'east') => problemOf(() => load({ name, peers }))
    assert.match(problem([peer], 'west'), /region \(file .*\): .*a name of its own/)
    assert.match(problem([peer, { ...peer, url: 'http://west.example' }]), /region\.peers\.1\.url \(file .*\): plain http is for/)
    assert.match(problem([{ ...peer, url: 'https://west.example/auth' }]), /region\.peers\.0\.url \(file .*\): must be an origin/)
    assert.match(problem([{ ...peer, clientSecretFile: '/nonexistent/secret' }]), /clientSecretFile \(file .*\): .*not found/)
    chmodSync(secret, 0o644)
    assert.match(problem([peer]), /clientSecretFile/)
    assert.match(problem([], 'East'), /lower-case/)
  })

  it('gives every policy a version that changes with any setting', () => {
    const a = loadConfig({}, {}).settings
    assert.equal(policyVersion(a, sha256), policyVersion({ ...a }, sha256))
    assert.notEqual(policyVersion(a, sha256), policyVersion({ ...a, graceSeconds: 29 }, sha256))
  })
})
