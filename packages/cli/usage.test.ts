import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { run, start } from './cli.testkit.ts'

describe('without an authority, the command line', () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'signet-usage-'))
  })
  after(() => rm(directory, { recursive: true, force: true }))
  const signet = (...args: string[]) => run(args, { cwd: directory })

  const CREDENTIALS = {
    issuer: 'http://localhost:9',
    client_id: 'cli',
    private_jwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' },
  }
  async function credentials(value: unknown, mode = 0o600): Promise<string> {
    const path = join(directory, `cli-${Math.random().toString(36).slice(2)}.json`)
    await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value), { mode })
    await chmod(path, mode)
    return path
  }

  test('shows how it is used', async () => {
    const [whole, bare, one] = await Promise.all([signet('--help'), signet(), signet('client', 'create', '--help')])
    assert.deepEqual([whole.code, bare.code, one.code], [0, 0, 0])
    for (const command of [
      'serve',
      'client',
      'user',
      'token',
      'revoke',
      'keys',
      'feed',
      'audit',
      'lineage',
      'backup',
      'doctor',
      'completion',
    ]) {
      assert.match(whole.out, new RegExp(`^  ${command} `, 'm'))
    }
    assert.doesNotMatch(whole.out, /__complete/)
    assert.match(one.out, /--platform/)
  })

  test('ends with 2 for wrong usage, and says what may have been meant', async () => {
    const [command, sub, missing, flag, value, far, before] = await Promise.all([
      signet('cleint', 'list'),
      signet('client', 'lst'),
      signet('client', 'show'),
      signet('client', 'list', '--jsn'),
      signet('client', 'list', '--limit', 'many'),
      signet('nope'),
      signet('--server', 'http://localhost:9', 'client', 'list'),
    ])
    assert.deepEqual([command.code, sub.code, missing.code, flag.code, value.code], [2, 2, 2, 2, 2])
    assert.match(command.err, /Did you mean `client`/)
    assert.match(sub.err, /Did you mean `list`/)
    assert.match(missing.err, /^ID is missing\./)
    assert.doesNotMatch(far.err, /Did you mean/)
    assert.match(before.err, /^Flags come after the command/)
    assert.match(flag.err, /^There is no flag --jsn\. Did you mean --json\? Add --help/)
    assert.match(value.err, /whole number/)
    assert.equal(command.out + sub.out + missing.out, '')
  })

  test('says so with --json in one object, as any other trouble', async () => {
    for (const [why, ...args] of [
      ['--limit cannot be "x": write a whole number.', 'client', 'list', '--limit', 'x'],
      ['There is no flag --lmit. Did you mean --limit?', 'client', 'list', '--lmit', '5'],
      ['ID is missing.', 'client', 'show'],
      ['--client is missing, or its value. --resource is missing, or its value.', 'api-key', 'create', 'x', '--scope', 'y'],
      ['There is no command clinet. Did you mean `client`?', 'clinet'],
    ] as const) {
      const { code, err, out } = await signet(...args, '--json')
      const { error } = JSON.parse(err)
      assert.deepEqual([code, out, error.code, error.why.slice(0, why.length)], [2, '', 'usage', why])
      assert.ok(error.what && error.advice)
    }
    assert.equal((await signet('client', '--help', '--json')).code, 0)
  })

  test('names a flag whose value will not do as it was typed, and says how to write it', async () => {
    const form = 'write 47/50, a duration such as 10s, or both: 47/50,10s'
    for (const [says, ...args] of [
      [`--wait cannot be "soon": ${form}. Add`, 'revoke', 'scope', 'x', '--wait', 'soon'],
      [`--wait cannot be "7/6": ${form}. Add`, 'revoke', 'scope', 'x', '--wait', '7/6'],
      [`--wait cannot be "5/6,1s,2s": ${form}. Add`, 'revoke', 'scope', 'x', '--wait', '5/6,1s,2s'],
      ['--wait takes one value, and is given "5s" and "6s". Add', 'revoke', 'scope', 'x', '--wait', '5s', '--wait', '6s'],
      ['--per-second cannot be "x": write a whole number. Add', 'batch', 'plan', '--per-second', 'x'],
      ['--first-party cannot be "so": write yes or no, or no value at all. Add', 'client', 'update', 'c', '--first-party=so'],
      [
        '--platform cannot be "wep": write web, browser, native or service. Did you mean web?',
        'client',
        'create',
        'x',
        '--platform',
        'wep',
      ],
      ['--platform is missing, or its value. Add', 'client', 'create', 'x'],
      ['--limit has no value: --after follows it. Add', 'client', 'list', '--limit', '--after', 'x'],
      ['--no-dpop takes no value. Add', 'client', 'update', 'c', '--no-dpop=x'],
      ['There is no flag -x. Add', 'client', 'list', '-x'],
      ['SEQ cannot be "x": write a whole number. Add', 'revoke', 'undo', 'x'],
    ] as const) {
      const { code, err, out } = await signet(...args)
      assert.deepEqual([code, out, err.slice(0, says.length)], [2, '', says])
    }
  })

  test('names it also where the value is read by the command itself', async () => {
    const path = await credentials(CREDENTIALS)
    for (const [flag, ...args] of [
      ['--since', 'audit', 'search', '--since', '2x'],
      ['--since', 'feed', 'tail', '--since', '2026'],
      ['--issued-before', 'batch', 'plan', '--issued-before', '2x'],
      ['--access-token-life', 'client', 'update', 'c', '--access-token-life', 'soon'],
      ['--scope', 'resource', 'put', 'https://api.example', '--name', 'x', '--scope', 'y'],
      ['--claim', 'user', 'update', 'ada', '--claim', 'y'],
    ] as const) {
      const { code, err } = await signet(...args, '--credentials', path)
      assert.equal(code, 2, err)
      assert.match(err, new RegExp(`${flag} cannot be ".*"\\.[^]* Write `))
    }
  })

  test('ends with 2 and says where it looked when there are no credentials', async () => {
    const { code, err, out } = await signet('client', 'list')
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /\.signet\/cli\.json/)
    assert.match(err, /--credentials/)
  })

  test('refuses credentials that others may read, as ssh does', async () => {
    for (const mode of [0o644, 0o640, 0o604]) {
      const { code, err } = await signet('client', 'list', '--credentials', await credentials(CREDENTIALS, mode))
      assert.equal(code, 2)
      assert.match(err, /others may read it/)
      assert.match(err, /chmod 600/)
    }
  })

  test('refuses credentials that are none', async () => {
    for (const value of ['{"half', { issuer: 'http://localhost:9' }, { ...CREDENTIALS, private_jwk: { kty: 'oct', k: 'k' } }]) {
      const { code, err } = await signet('client', 'list', '--credentials', await credentials(value))
      assert.equal(code, 2, err)
    }
  })

  test('ends with 3 when nobody answers, and says how to start it', async () => {
    const file = await credentials(CREDENTIALS)
    const [plain, json, doctor] = await Promise.all([
      signet('client', 'list', '--credentials', file),
      signet('client', 'list', '--json', '--credentials', file),
      signet('doctor', '--credentials', file),
    ])
    assert.deepEqual([plain.code, json.code, doctor.code], [3, 3, 3])
    assert.match(plain.err, /signet serve/)
    const { error } = JSON.parse(json.err)
    assert.equal(error.code, 'unreachable')
    assert.ok(error.what && error.why && error.advice)
    assert.equal(json.out, '')
  })

  test('says what a restore or a migration lacks as it says any other trouble', async () => {
    const scrap = join(directory, 'scrap.db')
    await writeFile(scrap, 'this is no database, however long it is. '.repeat(50))
    const away = ['--database', 'postgres://nobody:hunter2@127.0.0.1:9/x', '--json']
    const [missing, plain, settings, unreached, unmigrated] = await Promise.all([
      signet('restore', 'nothing', '--yes', '--json'),
      signet('restore', scrap, '--yes'),
      signet('migrate', '--database', 'mysql://x', '--json'),
      signet('restore', '-', '--yes', ...away),
      signet('migrate', ...away),
    ])
    assert.deepEqual([missing.code, plain.code, settings.code, unreached.code, unmigrated.code], [1, 1, 2, 3, 3])
    for (const { err } of [unreached, unmigrated])
      assert.equal(JSON.parse(err).error.why, 'database: cannot be used now: connect ECONNREFUSED 127.0.0.1:9')
    assert.equal(JSON.parse(missing.err).error.code, 'restore')
    assert.match(JSON.parse(missing.err).error.why, /nothing: no such backup/)
    assert.match(
      plain.err,
      /^error {2}The backup was not put in the place of the store\.\n.*not a database\.\n.*Nothing was changed/,
    )
    assert.deepEqual(JSON.parse(settings.err).error.details[0].path, 'database (--database)')
  })

  test('says of a start that cannot be, with --json, what every other trouble says', async () => {
    const slip = { cwd: directory, env: { SIGNET_RELAY_LISTN: 'x', SIGNET_ISSUER: 'https://auth.example/x' } }
    const [authority, relay] = await Promise.all([
      run(['serve', '--json'], slip),
      run(['relay', '--listen', 'x', '--json'], slip),
    ])
    const named = { path: 'SIGNET_RELAY_LISTN', message: 'is no setting; did you mean SIGNET_RELAY_LISTEN?' }
    for (const { code, out, err } of [authority, relay]) {
      assert.deepEqual([code, out], [2, ''])
      const { error } = JSON.parse(err)
      assert.equal(error.why, 'The configuration is not usable')
      assert.ok(error.what && error.advice && error.code)
      assert.deepEqual(error.details[0], named)
    }
    assert.equal(JSON.parse(relay.err).error.details[1].path, 'listen (--listen)')
  })

  test('starts an authority beside variables of others, and names those that nobody knows', async () => {
    const env = { SIGNET_VERSION: '1.2', SIGNET_SERVICE_HOST: '10.0.0.1', SIGNET_PORT: 'tcp://10.0.0.1:80', SIGNET_URL: 'x' }
    const authority = start(['serve', '--listen', '127.0.0.1:0', '--state', 'others'], { cwd: directory, env })
    let log = ''
    authority.stderr.on('data', (chunk) => {
      log += chunk
    })
    const [ready] = await once(createInterface({ input: authority.stdout }), 'line')
    authority.kill('SIGTERM')
    const [code] = await once(authority, 'close')
    assert.deepEqual([code, JSON.parse(ready as string).ready], [0, true])
    const warnings = log.split('\n').filter((line) => line.includes('variables'))
    assert.deepEqual(
      warnings.map((line) => [JSON.parse(line).level, JSON.parse(line).variables]),
      [['warn', ['SIGNET_VERSION']]],
    )
  })

  test('tells a restore that failed with the stacks of its causes when asked to debug', async () => {
    const away = ['--database', 'postgres://127.0.0.1:9/x', '--json', '--yes']
    const { code, err } = await run(['restore', '-', ...away], { cwd: directory, env: { SIGNET_DEBUG: '1' } })
    assert.equal(code, 3)
    assert.match(JSON.parse(err).error.why, /cannot be used now\n +at .*because of .*ECONNREFUSED 127\.0\.0\.1:9\n +at /s)
  })

  test('asks before a restore for what it will do, of a database that was put back too', async () => {
    const [file, database] = await Promise.all([signet('restore', 'monday', '--json'), signet('restore', '-', '--json')])
    assert.match(
      JSON.parse(file.err).error.why,
      /Put monday in the place of the store in \.signet\? Everybody has to sign in again/,
    )
    assert.match(JSON.parse(database.err).error.why, /End what may have been revoked since the copy .* put back to\? Everybody/)
  })

  test('takes every flag of the authority, and hands it on', async () => {
    const guide = await readFile(join(import.meta.dirname, '../../docs/operating.md'), 'utf8')
    const flags = [...guide.matchAll(/^\| `\w+` \| `SIGNET_\w+` \| `(--[\w-]+)` /gm)].map(([, flag]) => flag as string)
    const wrong = ['--failover', 'never', '--insecure-plain-bus', 'never', '--insecure-http-issuer', 'never']
    const [help, refused, restore] = await Promise.all([
      signet('serve', '--help'),
      signet('serve', ...wrong),
      signet('restore', '-', '--yes', '--database-file', 'nowhere', '--database-direct', 'mysql://x', '--json'),
    ])
    assert.ok(flags.length > 15)
    for (const flag of flags) assert.match(help.out, new RegExp(`\\[?${flag}\\b`), flag)
    assert.equal(refused.code, 2)
    for (const setting of ['failover', 'insecurePlainBus', 'insecureHttpIssuer']) assert.match(refused.err, new RegExp(setting))
    assert.equal(restore.code, 2)
    for (const setting of ['databaseFile', 'databaseDirect']) assert.match(restore.err, new RegExp(setting))
  })

  test('tells what a drill does where it is run', async () => {
    const { code, out } = await signet('drill', 'show', 'mass-sign-out', '--json')
    const shown = JSON.parse(out)
    assert.equal(code, 0)
    assert.match(shown.does[0], /signs 5 people in/)
    assert.match(shown.does_named[0], /takes back everything/)
    const file = await credentials(CREDENTIALS)
    const named = await signet('drill', 'run', 'mass-sign-out', '--environment', 'named', '--credentials', file)
    assert.match(named.err, /1\. takes back everything/)
    assert.doesNotMatch(named.err, /signs \d people in/)
  })

  test('looks into a token without asking anybody', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const token = `${part({ alg: 'ES256', typ: 'at+jwt', kid: 'k1' })}.${part({ iss: 'https://id.example', sub: 'ada\u001b[31m', exp: 1_700_000_000, cnf: { jkt: 'thumb' } })}.c2ln`
    const { code, out, err } = await run(['token', 'inspect', '-', '--offline'], { cwd: directory, input: token })
    assert.deepEqual([code, err], [0, ''])
    assert.match(out, /access token \(RFC 9068\)/)
    assert.match(out, /so it is over/)
    assert.match(out, /useless without it/)
    assert.doesNotMatch(out, /\u001b/)
    const argument = await signet('token', 'inspect', token, '--offline')
    assert.match(argument.err, /shell's history/)
    const garbage = await run(['token', 'inspect', '-', '--offline'], { cwd: directory, input: 'garbage' })
    assert.equal(garbage.code, 2)
  })

  test('completes commands, flags and values for each shell', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, out } = await signet('completion', shell)
      assert.equal(code, 0)
      assert.match(out, /__complete --/)
    }
    assert.equal((await signet('completion', 'tcsh')).code, 2)
    const proposals = async (...words: string[]) =>
      (await signet('__complete', '--', ...words)).out.split('\n').map((line) => line.split('\t')[0])
    assert.deepEqual(await proposals('cli'), ['client', ''])
    assert.ok((await proposals('revoke', '')).includes('everything'))
    assert.deepEqual(await proposals('client', 'create', '--platform', 's'), ['service', ''])
  })

  test('says its version', async () => {
    assert.match((await signet('--version')).out, /^\d+\.\d+\.\d+$/m)
  })
})
