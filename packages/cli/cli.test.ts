import assert from 'node:assert/strict'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { until } from '@signet/testkit/until.ts'
import { type CliWorld, start, startCliWorld } from './cli.testkit.ts'

const API = 'https://orders.example'
const ANSI = /\u001b\[/

describe('the command line', () => {
  let world: CliWorld
  let secret: string
  let apiKey: string
  before(async () => {
    world = await startCliWorld()
  })
  after(() => world.close())

  test('describes an API and registers its clients; secrets are shown once', async () => {
    const put = await world.json(
      'resource',
      'put',
      API,
      '--name',
      'Orders',
      '--scope',
      'orders:read=See orders',
      '--scope',
      'orders:write=Place, or cancel, orders',
    )
    assert.deepEqual(put.scopes[1], { name: 'orders:write', description: 'Place, or cancel, orders' })
    const made = await world.json(
      'client',
      'create',
      'Order worker',
      '--id',
      'worker',
      '--platform',
      'service',
      '--scope',
      'orders:read,orders:write',
      '--resource',
      API,
    )
    assert.deepEqual([made.id, made.auth_method, made.grant_types], ['worker', 'client_secret_basic', ['client_credentials']])
    secret = made.client_secret
    assert.match(secret, /^sgx_/)
    const rest = await Promise.all([
      world.signet('client', 'show', 'worker', '--json'),
      world.signet('client', 'list', '--json'),
      world.signet('audit', 'search', '--json'),
    ])
    for (const { code, out } of rest) {
      assert.equal(code, 0)
      assert.ok(!out.includes(secret.slice(4)))
    }
    const { items } = JSON.parse(rest[1]?.out ?? '')
    assert.deepEqual(
      items.map(({ id }: { id: string }) => id),
      ['signet-cli', 'worker'],
    )
  })

  test('draws tables without colour where nobody looks, with colour where somebody does', async () => {
    const [plain, forced, refused] = await Promise.all([
      world.signet('client', 'list'),
      world.signetWith({ env: { FORCE_COLOR: '1' } }, 'client', 'list'),
      world.signetWith({ env: { NO_COLOR: '1' } }, 'client', 'list'),
    ])
    assert.match(plain.out, /^ID +NAME +PLATFORM/)
    assert.match(plain.out, /^worker +Order worker +service/m)
    assert.doesNotMatch(plain.out, ANSI)
    assert.match(forced.out, ANSI)
    assert.doesNotMatch(refused.out, ANSI)
  })

  test('names every value that the authority does not take', async () => {
    const { code, err, out } = await world.signet(
      'client',
      'create',
      'Shop',
      '--platform',
      'web',
      '--redirect',
      'http://shop.example/cb',
      '--scope',
      'nope',
    )
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /redirect_uris\.0 .*https/)
    assert.match(err, /scopes\.0 /)
    const json = await world.signet(
      'client',
      'create',
      'Shop',
      '--platform',
      'web',
      '--redirect',
      'http://shop.example/cb',
      '--json',
    )
    assert.deepEqual(
      JSON.parse(json.err).error.details.map(({ path }: { path: string }) => path),
      ['redirect_uris.0'],
    )
  })

  test('says who may have been meant', async () => {
    const [client, user] = await Promise.all([world.signet('client', 'show', 'wroker'), world.signet('user', 'show', 'nobody')])
    assert.deepEqual([client.code, user.code], [1, 1])
    assert.match(client.err, /Did you mean worker\?/)
    assert.match(user.err, /There is no user nobody/)
  })

  test('takes passwords from standard input, never as arguments', async () => {
    const { code, out } = await world.signetWith(
      { input: 'seven quiet umbrellas\n' },
      'user',
      'create',
      'ada',
      '--name',
      'Ada\u009b31m Lovelace',
      '--admin',
      '--json',
    )
    assert.equal(code, 0)
    assert.ok(!out.includes('umbrellas'))
    assert.ok(!out.includes('\u009b') && JSON.parse(out).claims.name.includes('\u009b'), 'JSON holds the name, escaped')
    const shown = await world.signet('user', 'show', 'ADA')
    assert.match(shown.out, /^username +ada$/m)
    assert.match(shown.out, /^roles +admin$/m)
    assert.ok(!shown.out.includes('\u009b'), 'a name cannot steer the terminal')
    assert.equal((await world.signet('user', 'create', 'bob')).code, 2, 'nothing was piped in')
    const link = await world.signet('user', 'invite', 'bob')
    assert.match(link.out, /^http:\/\/localhost:\d+\/setup\/sgu_[\w-]+\n$/)
    assert.match(link.err, /works once/)
  })

  test('gets a token, explains it, proves it, takes it back and proves that', async () => {
    const issued = await world.signetWith(
      { input: secret },
      'token',
      'issue',
      '--client',
      'worker',
      '--scope',
      'orders:read',
      '--resource',
      API,
    )
    assert.equal(issued.code, 0, issued.err)
    const input = issued.out
    assert.match(input, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'the token alone, to be piped')
    const explained = await world.signetWith({ input }, 'token', 'inspect', '-')
    assert.equal(explained.code, 0)
    assert.match(explained.out, /may +orders:read/)
    assert.match(explained.out, /status +alive/)
    const good = await world.signetWith({ input }, 'token', 'verify', '-', '--json')
    assert.deepEqual([good.code, JSON.parse(good.out).good, JSON.parse(good.out).signature], [0, true, 'good'])
    const taken = await world.signetWith({ input }, 'revoke', 'token', '-', '--reason', 'leaked', '--json')
    const receipt = JSON.parse(taken.out)
    assert.deepEqual([taken.code, receipt.already, receipt.target.kind], [0, false, 'token'])
    assert.ok(receipt.seq >= 1 && receipt.took_ms > 0)
    assert.doesNotMatch(taken.out, /"took_ms": \d+\.\d\d/)
    const bad = await world.signetWith({ input }, 'token', 'verify', '-')
    assert.equal(bad.code, 1)
    assert.match(bad.out, /ended by +revocation \d+ of the token .*leaked/)
    const tampered = input.replace(/\.[\w-]{4}/, '.AAAA')
    assert.equal((await world.signetWith({ input: tampered }, 'token', 'inspect', '-', '--offline')).code, 2)
    const again = await world.signetWith({ input }, 'revoke', 'token', '-', '--json')
    assert.deepEqual([JSON.parse(again.out).already, JSON.parse(again.out).seq], [true, receipt.seq])
    const tree = await world.signetWith({ input }, 'lineage', '-')
    assert.match(tree.out, /^token [\da-f-]{36} .*ended/m)
    assert.match(tree.out, /├─ .*token\.issued/)
    for (const { err } of [issued, explained, taken]) assert.doesNotMatch(err, /history/)
  })

  test('gets an opaque token where the API wants one, looks into it and takes it back', async () => {
    const describeApi = [
      'resource',
      'put',
      API,
      '--name',
      'Orders',
      '--scope',
      'orders:read=See',
      '--scope',
      'orders:write=Place',
    ]
    assert.equal((await world.json(...describeApi, '--opaque')).token_format, 'opaque')
    assert.match((await world.signet('resource', 'show', API)).out, /^tokens +opaque$/m)
    const issue = ['token', 'issue', '--client', 'worker', '--scope', 'orders:read', '--resource', API]
    let input = ''
    // The authority rests on what it knew of a resource for a moment.
    for (let round = 0; round < 50 && !input.startsWith('sga_'); round++) {
      input = (await world.signetWith({ input: secret }, ...issue)).out
    }
    assert.match(input, /^sga_[\w-]+\n$/)
    const looked = await world.signetWith({ input }, 'token', 'inspect', '-')
    assert.match(looked.out, /opaque +an access token; only the authority can read it/)
    assert.match(looked.out, /status +alive/)
    assert.equal((await world.signetWith({ input }, 'token', 'verify', '-')).code, 0)
    const taken = await world.signetWith({ input }, 'revoke', 'token', '-', '--json')
    assert.deepEqual([taken.code, JSON.parse(taken.out).target.kind], [0, 'token'])
    assert.match((await world.signetWith({ input }, 'token', 'verify', '-')).out, /ended by +revocation \d+ of the token/)
    assert.equal((await world.json(...describeApi)).token_format, 'jwt')
  })

  test('makes, rotates and ends API keys', async () => {
    const made = await world.json(
      'api-key',
      'create',
      'nightly',
      '--client',
      'worker',
      '--resource',
      API,
      '--scope',
      'orders:read',
      '--expires',
      '30d',
    )
    apiKey = made.api_key
    const inspected = await world.signetWith({ input: apiKey }, 'token', 'inspect', '-')
    assert.match(inspected.out, /an API key/)
    const heir = await world.json('api-key', 'rotate', made.id, '--overlap', '1h')
    const { items } = await world.json('api-key', 'list')
    assert.deepEqual(items.map(({ id }: { id: string }) => id).sort(), [made.id, heir.id].sort())
    assert.ok(!JSON.stringify(items).includes(apiKey))
    assert.equal((await world.signet('api-key', 'revoke', heir.id)).code, 0)
    const dead = await world.signetWith({ input: heir.api_key }, 'token', 'verify', '-')
    assert.equal(dead.code, 1)
  })

  test('asks before what cannot be undone, and does nothing unasked', async () => {
    const before = (await world.json('feed', 'status')).seq
    const outcomes = await Promise.all([
      world.signet('revoke', 'everything'),
      world.signet('client', 'delete', 'worker'),
      world.signet('user', 'delete', 'ada'),
      world.signet('keys', 'compromise', 'k'),
      world.signet('keys', 'rotate', '--purpose', 'feed', '--force'),
    ])
    assert.match(outcomes[4].err, /pinned anew by hand/)
    for (const { code, err } of outcomes) {
      assert.equal(code, 2)
      assert.match(err, /--yes/)
    }
    assert.equal((await world.json('feed', 'status')).seq, before)
    assert.equal((await world.signet('client', 'show', 'worker')).code, 0)
  })

  test('takes a scope back, and says when no API has one of that name', async () => {
    const known = await world.signet('revoke', 'scope', 'orders:read', '--yes')
    assert.equal(known.code, 0, known.err)
    assert.doesNotMatch(known.err, /No API/)
    const misspelt = await world.signet('revoke', 'scope', 'orders:raed', '--yes')
    assert.equal(misspelt.code, 0, misspelt.err)
    assert.match(misspelt.err, /No API here has a scope orders:raed/)
  })

  test('shows the receipt of what is revoked, though it cannot wait for validators to the end', async () => {
    const revokeAndWait = async (env: Record<string, string> = {}) => {
      const { seq: before } = await world.json('feed', 'status')
      const args = ['revoke', 'scope', 'orders:read', '--yes', '--wait', '1/1,60s']
      const child = start(args, { cwd: world.directory, env })
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
      const [out, err] = [text(child.stdout), text(child.stderr)]
      return {
        interrupt: () => void child.kill('SIGINT'),
        isMade: () => until(async () => (await world.json('feed', 'status')).seq > before, 'it is revoked'),
        async ends(exit: number, complaint: RegExp) {
          assert.equal(await ended, exit, await err)
          assert.match(await out, /^done +revoked scope orders:read\nsequence +\d+ /) // Not the next, when a late commit was raised.
          assert.match(await err, complaint)
        },
      }
    }
    // Ctrl-C, when it is revoked and the answer is on its way.
    const way = await startWay(world.issuer, ({ method, url }, status) => {
      if (method === 'POST' && url?.endsWith('/revocations') && status === 200) interrupted.interrupt()
    })
    const interrupted = await revokeAndWait({ SIGNET_URL: way.url })
    const goOn = /^`signet fleet` says who is there and what they need; `signet receipt \d+ --wait 1\/1,60s` asks again\.\n$/
    await interrupted.ends(1, goOn)
    await way.close()
    // Once it has asked in vain: an answer from before would say that nobody has applied it.
    const inVain = Promise.withResolvers<void>()
    const cut = await startWay(world.issuer, (_request, status) => {
      if (status === undefined) inVain.resolve()
    })
    const cutOff = await revokeAndWait({ SIGNET_URL: cut.url })
    await cutOff.isMade()
    await world.stop()
    await inVain.promise
    cutOff.interrupt()
    const unknown = /which validators have applied it is not known[\s\S]* do +`signet receipt \d+ --wait 1\/1,60s` asks again/i
    await cutOff.ends(3, unknown)
    await cut.close()
    await world.restart()
    const nobody = await world.signet('revoke', 'scope', 'orders:read', '--yes', '--wait', '1s')
    assert.equal(nobody.code, 1, 'all that are there, and nobody is')
    assert.match(nobody.out, /^validators +none have reported$/m)
    const { seq } = await world.json('feed', 'status')
    const other = await world.signet('receipt', String(seq), '--epoch', 'another')
    assert.match(other.out, /^revoked +not known: its epoch is over/m)
    assert.match((await world.signet('receipt', String(seq))).out, /^revoked +scope orders:read/m)
  })

  test('follows the feed as validators see it, and looks back', async () => {
    const child = start(['feed', 'tail', '--json', '--count', '1'], { cwd: world.directory })
    const lines = createInterface({ input: child.stdout })
    const first = new Promise<string>((resolve) => lines.once('line', resolve))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await until(async () => (await world.json('feed', 'status')).readers === 1, 'it reads the feed')
    const { seq: before } = await world.json('feed', 'status')
    const { seq } = await world.json('suspend', 'client', 'worker', '--reason', 'maintenance')
    const seen = JSON.parse(await first)
    assert.deepEqual([seen.seq, seen.kind, seen.target, seen.reason], [before + 1, 'client', 'worker', 'maintenance'])
    assert.ok(seq > before, 'the same, or the one that raised it when the commit was late')
    assert.ok(seen.delay_ms >= 0 && seen.delay_ms < 600_000, 'not the delay but a time')
    assert.equal(await ended, 0)
    await world.json('resume', 'client', 'worker')
    const back = await world.signet('feed', 'tail', '--since', '1h', '--count', '2')
    assert.equal(back.out.trim().split('\n').length, 2)
  })

  test('counts what a revocation would take along, and changes nothing', async () => {
    const { seq } = await world.json('feed', 'status')
    const counted = await world.json('revoke', 'client', 'worker', '--dry-run')
    assert.deepEqual([counted.state, counted.own_tokens, counted.warning], ['planned', true, true])
    const told = await world.signet('revoke', 'everything', '--dry-run')
    assert.match(told.out, /^grants +\d+ of \d+$[\s\S]*Nothing was changed/m)
    assert.equal((await world.signet('revoke', 'client', 'worker', '--dry-run', '--keep-grants')).code, 2)
    assert.match((await world.signet('revoke', 'client', 'wroker', '--dry-run')).err, /Did you mean worker\?/)
    assert.equal((await world.json('feed', 'status')).seq, seq)
    assert.match((await world.signet('revoke', '--help')).out, /--dry-run counts[\s\S]*`signet batch plan`/)
  })

  test('says plainly that nothing had to be revoked, and what to do about a number that is not there', async () => {
    const expired = await world.signet('revoke', 'token', '018f0000-0000-7000-8000-000000000000', '--wait', '1/1,60s')
    assert.equal(expired.code, 0)
    assert.match(expired.out, /^nothing +had to be revoked: token 018f0000/)
    assert.doesNotMatch(expired.out, /sequence|cutoff|validators {2}/)
    const beyond = await world.signet('receipt', '99999')
    assert.equal(beyond.code, 1)
    assert.match(beyond.err, /`signet feed status` says how far the log is.*--epoch/)
    const ahead = await world.signet('feed', 'tail', '--since', '2999-01-01')
    assert.deepEqual([ahead.code, /yet to come/.test(ahead.err)], [2, true])
  })

  test('undoes what was wrong and wide', async () => {
    const { seq: before } = await world.json('feed', 'status')
    const { seq, epoch } = await world.json('revoke', 'client', 'worker', '--yes')
    const undone = await world.json('revoke', 'undo', String(seq), '--yes')
    assert.equal(undone.removed, seq - before, 'with those that it raised, if its commit was late')
    assert.notEqual(undone.epoch, epoch)
    assert.equal((await world.signet('revoke', 'undo', '99999', '--yes')).code, 1)
  })

  test('searches the record, proves it, and keeps a note to prove it by', async () => {
    const { items } = await world.json('audit', 'search', '--type', 'client.created')
    assert.deepEqual(
      items.map(({ ids }: { ids: { client: string } }) => ids.client),
      ['signet-cli', 'worker'],
    )
    const note = await world.signet('audit', 'checkpoint')
    const file = join(world.directory, 'note.txt')
    await writeFile(file, note.out)
    const verified = await world.signet('audit', 'verify', '--checkpoint', file, '--json')
    assert.deepEqual([verified.code, JSON.parse(verified.out).sound], [0, true])
    await writeFile(file, note.out.replace(/^chain (\S+) \d+/m, 'chain $1 1'))
    const forged = await world.signet('audit', 'verify', '--checkpoint', file)
    assert.equal(forged.code, 1)
    assert.match(forged.out, /no good signature/)
    assert.equal((await world.signet('audit', 'search', '--since', 'yesterday-ish')).code, 2)
  })

  test('looks after keys', async () => {
    const rotated = await world.json('keys', 'rotate', '--force')
    assert.equal(rotated.state, 'active')
    const { items } = await world.json('keys', 'list')
    assert.equal(items.find(({ id }: { id: string }) => id === rotated.id).state, 'active')
    assert.equal((await world.json('keys', 'rotate', '--purpose', 'feed', '--force', '--yes')).state, 'active')
  })

  test('finds nothing wrong on a well machine, and what is wrong on another', async () => {
    let well: { ok: boolean; findings: readonly { check: string }[] } = { ok: false, findings: [] }
    await until(async () => {
      well = JSON.parse((await world.signet('doctor', '--json')).out)
      return well.ok // One that stood still just now is not.
    }, 'it is well')
    const checks = well.findings.map(({ check }) => check)
    for (const check of [
      'this program',
      'state files',
      'authority',
      'versions',
      'clock',
      'store',
      'signing key',
      'audit record',
      'revocation log',
      'validators',
    ]) {
      assert.ok(checks.includes(check), check)
    }
    const master = join(world.state, 'master.key')
    await chmod(master, 0o644)
    const ill = await world.signet('doctor')
    await chmod(master, 0o600)
    assert.equal(ill.code, 1)
    assert.match(ill.out, /✗ state files .*master\.key/)
    assert.match(ill.out, /→ chmod go= /)
  })

  test('copies the store while it is in use, and puts the copy back', async () => {
    const { name, bytes } = await world.json('backup', 'before')
    assert.equal(name, 'before.db')
    const copy = join(world.state, 'backups', name)
    const found = await stat(copy)
    assert.deepEqual([found.size, found.mode & 0o777], [bytes, 0o600])
    const dump = (await readFile(copy)).toString('latin1')
    for (const text of [secret, apiKey, secret.slice(4, 30)]) assert.ok(!dump.includes(text), 'no secret is in it')
    assert.equal((await world.signet('backup', 'before')).code, 1)
    assert.equal((await world.signet('restore', 'before', '--yes')).code, 1, 'not under a running authority')
    await world.json(
      'client',
      'create',
      'Later',
      '--id',
      'later',
      '--platform',
      'service',
      '--scope',
      'orders:read',
      '--resource',
      API,
    )
    await world.stop()
    assert.equal((await world.signet('restore', 'before')).code, 2, 'not unasked')
    const restored = await world.signet('restore', 'before', '--yes', '--issuer', world.issuer, '--json')
    assert.equal(restored.code, 0, restored.err)
    assert.ok(JSON.parse(restored.out).previous)
    await world.restart()
    const ids = (await world.json('client', 'list')).items.map(({ id }: { id: string }) => id)
    assert.deepEqual(ids, ['signet-cli', 'worker'])
    const old = await world.signetWith({ input: apiKey }, 'token', 'verify', '-')
    assert.equal(old.code, 1, 'an API key of before came back to life')
  })

  test('ends everything when told so in so many words', async () => {
    const { target } = await world.json('revoke', 'everything', '--yes', '--reason', 'drill')
    assert.equal(target.kind, 'issuer')
    assert.equal((await world.signet('client', 'list')).code, 0, 'the operator can go on')
    assert.equal((await world.signet('client', 'delete', 'worker', '--yes')).code, 0)
    assert.equal((await world.signet('user', 'delete', 'ada', '--yes')).code, 0)
  })

  test('plans a batch, asks for its number, runs it and undoes it', async () => {
    const list = join(world.directory, 'people.txt')
    const made = await world.signetWith({ input: 'correct horse battery 17' }, 'user', 'create', 'batch-person', '--json')
    const { id } = JSON.parse(made.out)
    await writeFile(list, `# people\nbatch-person\n\n${id} # the same\n`)
    const planned = await world.json('batch', 'plan', '--action', 'suspend', '--users-file', list, '--reason', 'a test')
    assert.deepEqual([planned.state, planned.method, planned.selector], ['planned', 'one_cutoff', { subjects: 1 }])
    const piped = await world.signetWith({ input: 'batch-person' }, 'batch', 'plan', '--users-file', '-')
    assert.match(piped.out, /one cutoff/)
    const unasked = await world.signet('batch', 'start', planned.id)
    assert.equal(unasked.code, 2, 'nobody is there to say yes')
    assert.match(unasked.err, /Really suspend 1 person, with 0 grants\?/)
    const { code, out } = await world.signet('batch', 'start', planned.id, '--yes', '--watch', '--json')
    const steps = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual([code, steps.at(-1).state, steps.at(-1).moved], [0, 'done', 1])
    assert.equal((await world.json('user', 'show', 'batch-person')).status, 'suspended')
    const undoing = await world.json('batch', 'undo', planned.id, '--yes')
    assert.equal((await world.signet('batch', 'watch', undoing.id)).code, 0)
    assert.equal((await world.json('user', 'show', 'batch-person')).status, 'active')

    const everything = await world.json('batch', 'plan', '--everything')
    const refused = await world.signet('batch', 'start', everything.id)
    assert.equal(refused.code, 1)
    assert.match(refused.err, new RegExp(`--accept ${everything.grants}`))
    const waiting = await world.signet('batch', 'watch', everything.id)
    assert.equal(waiting.code, 1)
    assert.match(waiting.err, new RegExp(`signet batch start ${everything.id}`))
    const mistaken = await world.signet('batch', 'start', everything.id, '--accept', '999999')
    assert.equal(mistaken.code, 1)
    assert.match(
      mistaken.err,
      new RegExp(`it touches ${everything.touches} .*--accept says 999999[\\s\\S]*Add --accept ${everything.touches} if`, 'i'),
    )
    assert.equal((await world.json('batch', 'cancel', everything.id)).state, 'cancelled')
    assert.match((await world.signet('batch', 'list')).out, /cancelled[\s\S]*done/)
    assert.equal((await world.signet('batch', 'plan', '--network', '10.0.0.0/8', '--agent', 'x')).code, 1)
  })

  test('watches a batch on, though the authority goes and comes back', async () => {
    const names = ['batch-1', 'batch-2', 'batch-3']
    for (const name of names) await world.signetWith({ input: 'correct horse battery 17' }, 'user', 'create', name)
    const people = names.flatMap((name) => ['--user', name])
    const planned = await world.json('batch', 'plan', '--action', 'suspend', ...people, '--per-second', '1', '--reason', 'a test')
    const child = start(['batch', 'start', planned.id, '--yes', '--watch', '--json'], { cwd: world.directory })
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const err = text(child.stderr)
    const steps: { state: string; moved: number }[] = []
    const first = Promise.withResolvers<void>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      steps.push(JSON.parse(line))
      first.resolve()
    })
    await first.promise
    await world.stop()
    await new Promise((resolve) => setTimeout(resolve, 500)) // It has asked in vain by then; if not, this shows less, and is right all the same.
    await world.restart()
    assert.equal(await ended, 0, await err)
    assert.deepEqual([steps.at(-1)?.state, steps.at(-1)?.moved], ['done', 3])
  })
})

/** A way to an authority that tells of each request once its answer is there, before it goes on; without a status when there is none. */
async function startWay(issuer: string, answered: (request: IncomingMessage, status: number | undefined) => void) {
  const server = createServer((incoming, answer) => {
    const { method, url, headers } = incoming
    const outgoing = request(issuer + url, { method, headers, agent: false }, (got) => {
      answered(incoming, got.statusCode)
      answer.writeHead(got.statusCode ?? 502, got.headers)
      got.pipe(answer)
    })
    outgoing.on('error', () => {
      answered(incoming, undefined)
      answer.destroy()
    })
    incoming.pipe(outgoing)
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
