import assert from 'node:assert/strict'
import { request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { ADMIN_BASE, type AuditVerification } from '@signet/api/schema.ts'
import type { SubjectId } from '@signet/kernel/ids.ts'
import { basicAuth, TEST_API, TEST_REDIRECT } from '@signet/testkit/authority.ts'
import { until } from '@signet/testkit/until.ts'
import { type AdminWorld, refusedWith, startAdminWorld, wrongMembers } from './admin.testkit.ts'

describe('the record', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
    await world.authority.addResource()
    await world.authority.addClient()
  })
  after(() => world.authority.close())

  async function verify(copies: string[] = []): Promise<Extract<AuditVerification, { kind: 'result' }>> {
    for await (const line of world.admin.stream('verifyAudit', { body: { copies } })) if (line.kind === 'result') return line
    throw new Error('no result')
  }
  const verifyUnlessBusy = () => verify().catch((error: unknown) => void refusedWith(409, 'busy')(error))

  test('is searched by text, by type, by family of types and by time', async () => {
    const { id } = await world.admin.call('createSubject', { body: { username: 'ada' } })
    const found = async (query: object) => (await world.admin.call('searchAudit', { query })).items.map(({ type }) => type)
    assert.deepEqual(await found({ text: id }), ['subject.created'])
    assert.deepEqual(await found({ type: 'subject.created' }), ['subject.created'])
    assert.deepEqual(await found({ type: 'subject.*', text: id }), ['subject.created'])
    assert.deepEqual(await found({ type: 'client.*', text: id }), [])
    assert.deepEqual(await found({ text: id, from_ms: Date.now() + 60_000 }), [])
    assert.deepEqual(await found({ text: id, to_ms: 1000, from_ms: 0 }), [])
  })

  test('is read in pages that join without gap or overlap', async () => {
    for (let i = 0; i < 7; i++) await world.admin.call('createSubject', { body: { username: `person-${i}` } })
    const seen: string[] = []
    for (let after: string | undefined, first = true; first || after !== undefined; first = false) {
      const page = await world.admin.call('searchAudit', {
        query: { type: 'subject.created', limit: 2, ...(after === undefined ? {} : { after }) },
      })
      seen.push(...page.items.map(({ id }) => id))
      after = page.next
    }
    assert.equal(new Set(seen).size, seen.length)
    assert.equal(seen.length, (await world.events('subject.created')).length)
    await assert.rejects(world.admin.call('searchAudit', { query: { after: 'nonsense' } }), wrongMembers('after'))
  })

  test('is verified as it stands, with progress, and against notes that were kept', async () => {
    const { note } = await world.admin.call('makeCheckpoint')
    const kinds: string[] = []
    for await (const line of world.admin.stream('verifyAudit', { body: {} })) kinds.push(line.kind)
    assert.equal(kinds.at(-1), 'result')
    assert.ok(kinds.includes('progress'))
    const result = await verify([note])
    assert.deepEqual([result.sound, result.findings, result.checkpoints], [true, [], 1])
    assert.ok(result.events > 10)
    const forged = await verify([note.replace(/number 1/, 'number 2')])
    assert.equal(forged.sound, false)
    const { note: second } = await world.admin.call('makeCheckpoint')
    const newest = await world.admin.call('listCheckpoints', { query: { limit: 1 } })
    const before = await world.admin.call('listCheckpoints', { query: { limit: 5, after: newest.next ?? '' } })
    assert.deepEqual(
      [...newest.items, ...before.items].map((item) => item.note),
      [second, note],
    )
    assert.equal(before.next, undefined)
    await assert.rejects(world.admin.call('listCheckpoints', { query: { after: 'x' } }), wrongMembers('after'))
  })

  test('is verified by one at a time', async () => {
    const first = world.admin.stream('verifyAudit', { body: {} })
    const second = world.admin.stream('verifyAudit', { body: {} })
    const [one, other] = await Promise.allSettled([first.next(), second.next()])
    for (const outcome of [one, other]) if (outcome.status === 'rejected') refusedWith(409, 'busy')(outcome.reason)
    await first.return(undefined)
    await second.return(undefined)
    await until(async () => (await verifyUnlessBusy())?.sound === true, 'whoever goes away leaves the place free')
  })

  test('is verified for the next one although the one before went away before its first line', async () => {
    const { audit } = world.authority.store
    const { checkpoints } = audit
    const [asked, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const slow = async () => {
      asked.resolve()
      await gone.promise
      return checkpoints()
    }
    const { access_token } = await world.admin.accessToken('signet:read')
    const { server } = world.authority.app
    server.once('connection', (connection: Socket) => connection.once('close', () => gone.resolve()))
    Object.assign(audit, { checkpoints: slow })
    try {
      const { address: host, port } = server.address() as AddressInfo
      const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' }
      const path = `${ADMIN_BASE}/audit/verifications`
      const reader = request({ host, port, path, method: 'POST', headers, agent: false }).on('error', () => {})
      reader.end('{}')
      await asked.promise
      reader.destroy()
      await gone.promise
    } finally {
      Object.assign(audit, { checkpoints })
    }
    await until(async () => (await verifyUnlessBusy())?.sound === true)
  })

  test('draws the lineage of a token: from the person to its end', async () => {
    const { id } = await world.admin.call('createSubject', { body: { username: 'lineage' } })
    const browser = await world.authority.signIn(id as SubjectId)
    const { code, verifier } = await world.authority.issueCode({ client: 'client' as never }, browser)
    const form = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: TEST_REDIRECT,
      resource: TEST_API,
    }
    const { body } = await world.authority.post('/token', form, basicAuth('client'))
    const { jti, gid } = JSON.parse(atob(body.access_token.split('.')[1]))
    await world.admin.call('revoke', { body: { target: { kind: 'grant', id: gid }, reason: 'lineage' } })
    const { root, complete } = await world.admin.call('showLineage', { params: { id: jti } })
    assert.equal(complete, true)
    const line: string[] = []
    for (let node: typeof root | undefined = root; node !== undefined; node = node.children[0]) line.push(node.kind)
    assert.equal(line.at(-1), 'token')
    assert.ok(line.includes('family'))
    const text = JSON.stringify(root)
    assert.ok(text.includes(jti) && text.includes(gid) && text.includes('"reason":"lineage"'))
    await assert.rejects(world.admin.call('showLineage', { params: { id: crypto.randomUUID() } }), refusedWith(404, 'unknown_id'))
  })
})

describe('the authority says of itself', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
  })
  after(() => world.authority.close())

  test('how it is, with its keys, its store and its clock', async () => {
    const askedMs = Date.now()
    const status = await world.admin.call('showStatus')
    const tookMs = Date.now() - askedMs
    assert.deepEqual([status.issuer, status.engine], [world.authority.issuer, 'sqlite'])
    assert.ok(status.now_ms >= askedMs && status.now_ms <= askedMs + tookMs)
    assert.ok(Math.abs(status.store.clock_offset_ms) <= tookMs / 2 + 1)
    await until(async () => (await world.admin.call('showStatus')).ready) // Not in the moment after the machine stood still.
    assert.ok(status.keys.some(({ purpose, state }) => purpose === 'token' && state === 'active'))
  })

  test('which policy is in force, in the words of the wire', async () => {
    const { settings } = await world.admin.call('showPolicy')
    assert.equal(settings.access_token_seconds, world.authority.settings.accessTokenSeconds)
    assert.deepEqual(settings.client_rate, { per_second: 500, burst: 1000 })
    assert.equal(settings.retire_prior_access_token_after_seconds, null)
  })
})

describe('a request that is not as it should be', () => {
  let world: AdminWorld
  let token: string
  before(async () => {
    world = await startAdminWorld()
    token = (await world.admin.accessToken('signet:admin')).access_token
  })
  after(() => world.authority.close())
  const ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
    world.raw(method, path, { token, ...(body === undefined ? {} : { body }), ...(headers === undefined ? {} : { headers }) })

  test('is refused with its members named, and nothing it held repeated', async () => {
    const answer = await ask('POST', '/clients', { name: 'CANARY\u0007', platform: 'CANARY', surprise_CANARY: 1, auth_method: 7 })
    assert.equal(answer.status, 400)
    assert.deepEqual([answer.body.error, answer.body.reason, answer.body.action], ['invalid_request', 'invalid_members', 'none'])
    assert.deepEqual(answer.body.details.map(({ path }: { path: string }) => path).sort(), [
      'auth_method',
      'body',
      'grant_types',
      'name',
      'platform',
    ])
    assert.ok(!answer.text.includes('CANARY'))
  })

  test('is refused when it is torn, too large, of another type or by a method nobody takes', async () => {
    assert.equal((await ask('POST', '/clients', '{"name": ')).status, 400)
    assert.equal((await ask('POST', '/clients', '[1,2]')).status, 400)
    assert.equal((await ask('POST', '/clients', 'null')).status, 400)
    assert.equal((await ask('POST', '/clients', { name: 'x'.repeat(70_000) })).status, 413)
    assert.equal((await ask('POST', '/clients', 'name=x', { 'content-type': 'application/x-www-form-urlencoded' })).status, 415)
    assert.equal((await ask('PUT', '/clients', {})).status, 405)
    assert.equal((await ask('GET', '/nowhere')).status, 404)
    assert.equal((await ask('POST', '/clients', '{"__proto__":{"x":1}}')).status, 400)
  })

  test('is refused with parameters that are unknown, repeated or out of bounds', async () => {
    for (const path of [
      '/clients?limit=0',
      '/clients?limit=501',
      '/clients?limit=ten',
      '/clients?surprise=1',
      '/clients?limit=1&limit=2',
      '/clients?after=',
    ]) {
      assert.equal((await ask('GET', path)).status, 400, path)
    }
    assert.equal((await ask('GET', '/clients/..%2f..%2fetc')).status, 400)
    assert.equal((await ask('GET', '/subjects/not-a-uuid')).status, 400)
    assert.equal(
      (await ask('POST', '/revocations', { target: { kind: 'client', id: 'x' }, reason: 'r' }, { 'idempotency-key': 'a b' }))
        .status,
      400,
    )
  })

  test('changes nothing', async () => {
    const types = (await world.admin.call('searchAudit', { query: { limit: 500 } })).items.map(({ type }) => type)
    assert.deepEqual([...new Set(types.filter((type) => !type.startsWith('key.')))], ['token.issued'])
  })
})
