import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createAdminClient } from '@signet/api/client.ts'
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'
import { encodeOpaque } from '@signet/kernel/opaque-token.ts'
import { basicAuth, TEST_API, TEST_REDIRECT } from '@signet/testkit/authority.ts'
import { type AdminWorld, refusedWith, startAdminWorld } from './admin.testkit.ts'

describe('revocations', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
    await world.authority.addResource()
    await world.authority.addClient()
  })
  after(() => world.authority.close())

  async function tokens() {
    const { id } = await world.authority.addSubject()
    const browser = await world.authority.signIn(id)
    const { code, verifier } = await world.authority.issueCode({ client: 'client' as ClientId }, browser)
    const form = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: TEST_REDIRECT,
      resource: TEST_API,
    }
    const { body } = await world.authority.post('/token', form, basicAuth('client'))
    return {
      ...browser,
      access: body.access_token as string,
      refresh: body.refresh_token as string,
      claims: JSON.parse(atob(body.access_token.split('.')[1])),
    }
  }
  const revoke = (target: object, more: object = {}) =>
    world.admin.call('revoke', { body: { target: target as never, reason: 'test', ...more } })
  const look = (token: string) => world.admin.call('inspectToken', { body: { token } })

  test('end each kind of target, and the inspection names what ended it', async () => {
    for (const kind of ['token', 'grant', 'session', 'device', 'subject', 'scope'] as const) {
      const held = await tokens()
      const { jti, gid, sid, did, sub, scope } = held.claims
      const id = { token: jti, grant: gid, session: sid, device: did, subject: sub, scope: scope.split(' ')[0] }[kind]
      const receipt = await revoke({ kind, id })
      assert.deepEqual([receipt.target.kind, receipt.target.id, receipt.already], [kind, id, false])
      const found = await look(held.access)
      assert.deepEqual(
        [found.alive, found.reason, found.revoked_by?.kind, found.revoked_by?.seq],
        [false, 'revoked', kind, receipt.seq],
        kind,
      )
      assert.equal((await look(held.refresh)).alive, kind === 'token' || kind === 'scope', kind)
    }
  })

  test('say of what expired long ago that nothing had to be revoked', async () => {
    const expired = await revoke({ kind: 'token', id: '018f0000-0000-7000-8000-000000000000' })
    assert.deepEqual([expired.already, expired.moot], [true, true])
    const { jti } = (await tokens()).claims
    const receipts = [await revoke({ kind: 'token', id: jti }), await revoke({ kind: 'token', id: jti })]
    assert.deepEqual(
      receipts.map(({ already, moot }) => [already, moot]),
      [
        [false, undefined],
        [true, undefined],
      ],
    )
  })

  test('take an opaque access token too, if it is one of ours', async () => {
    const uri = 'https://opaque.example'
    const scopes = [{ name: 'opaque:read', description: 'Read' }]
    const put = await world.admin.call('putResource', { params: { uri }, body: { name: 'x', scopes, token_format: 'opaque' } })
    assert.equal(put.token_format, 'opaque')
    await world.authority.addClient({ id: 'opaque' as ClientId, scopes: ['opaque:read'], resources: [uri] })
    const form = { grant_type: 'client_credentials', resource: uri }
    const { body } = await world.authority.post('/token', form, basicAuth('opaque'))
    const token: string = body.access_token
    const found = await look(token)
    assert.deepEqual([found.kind, found.alive, found.ids.client], ['access_token', true, 'opaque'])
    const forged = encodeOpaque('access_token', new Uint8Array(500))
    for (const bad of [forged, token.slice(0, -1), 'sga_']) {
      const told = await look(bad)
      assert.deepEqual([told.kind, told.alive, told.reason, told.ids], ['unknown', false, 'not_genuine', {}])
      await assert.rejects(revoke({ token: bad }), refusedWith(400, 'not_a_token'))
    }
    const receipt = await revoke({ token })
    assert.deepEqual([receipt.target.kind, receipt.target.id], ['token', found.ids.token])
    const ended = await look(token)
    assert.deepEqual([ended.alive, ended.reason, ended.revoked_by?.kind], [false, 'revoked', 'token'])
  })

  test('take the token itself in place of its id', async () => {
    const held = await tokens()
    assert.deepEqual((await revoke({ token: held.refresh })).target, {
      kind: 'grant',
      id: held.claims.gid,
      issuer: world.authority.issuer,
    })
    assert.equal((await revoke({ token: held.access })).target.kind, 'token')
    await assert.rejects(revoke({ token: 'nonsense' }), refusedWith(400, 'not_a_token'))
    await assert.rejects(revoke({ token: 'sgr_nonsense' }), refusedWith(400, 'not_a_token'))
  })

  test('reach tokens of another issuer by what they say of themselves', async () => {
    const foreign = [{ alg: 'RS256' }, { iss: 'https://other.example', jti: 'abc', exp: Math.floor(Date.now() / 1000) + 60 }].map(
      (part) => Buffer.from(JSON.stringify(part)).toString('base64url'),
    )
    const receipt = await revoke({ token: `${foreign.join('.')}.c2ln` })
    assert.deepEqual(receipt.target, { kind: 'token', id: 'abc', issuer: 'https://other.example' })
    const whole = await revoke({ kind: 'issuer', id: 'https://other.example', issuer: 'https://other.example' })
    assert.equal(whole.target.issuer, 'https://other.example')
  })

  test('asked for twice with one key give one answer and one entry', async () => {
    const { subject } = await tokens()
    const body = { target: { kind: 'subject' as const, id: subject }, reason: 'test' }
    const answers = await Promise.all([1, 2, 3].map(() => world.admin.call('revoke', { body, idempotencyKey: 'once' })))
    assert.equal(new Set(answers.map(({ seq }) => seq)).size, 1)
    const entries = (await log()).filter((entry) => entry.target === subject)
    assert.equal(entries.length, 1)
    const { subject: another } = await tokens()
    await assert.rejects(
      world.admin.call('revoke', { body: { ...body, target: { kind: 'subject', id: another } }, idempotencyKey: 'once' }),
      refusedWith(409, 'idempotency_key_reused'),
    )
  })

  test('that a refresh token survived are not named as its end', async () => {
    const { refresh, subject } = await tokens()
    const body = { target: { kind: 'subject' as const, id: subject as string }, reason: 'test' }
    await world.admin.call('suspend', { body })
    const held = await look(refresh)
    assert.deepEqual([held.reason, held.revoked_by?.kind], ['subject_suspended', 'subject'])
    await world.admin.call('resume', { params: body.target, query: { reason: 'test' } })
    const rotate = async (refresh_token: string): Promise<string> =>
      (await world.authority.post('/token', { grant_type: 'refresh_token', refresh_token }, basicAuth('client'))).body
        .refresh_token
    await rotate(await rotate(refresh))
    const spent = await look(refresh)
    assert.deepEqual([spent.alive, spent.reason, spent.revoked_by], [false, 'spent', undefined])
  })

  test('are held and lifted once with one key, whatever happened in between', async () => {
    const { subject } = await tokens()
    const target = { kind: 'subject' as const, id: subject }
    const status = async () => (await world.admin.call('showSubject', { params: { id: subject } })).status
    const suspend = () => world.admin.call('suspend', { body: { target, reason: 'test' }, idempotencyKey: 'held' })
    const resume = (idempotencyKey: string) => world.admin.call('resume', { params: target, idempotencyKey })
    const { seq } = await suspend()
    await resume('lifted')
    await resume('lifted')
    assert.equal(await status(), 'active')
    assert.equal((await suspend()).seq, seq) // It arrives late once more: that was done, and undone since.
    assert.equal(await status(), 'active')
    await assert.rejects(resume('another'), refusedWith(409, 'not_suspended'))
  })

  test('keep the grants of a subject alive when asked to', async () => {
    const held = await tokens()
    await revoke({ kind: 'subject', id: held.subject }, { keep_grants: true })
    assert.equal((await look(held.access)).alive, false)
    assert.equal((await look(held.refresh)).alive, true)
  })

  test('of a signing key, or of everything, take the scope for just that', async () => {
    const narrow = await world.as('signet:revoke')
    const kid = (await world.admin.call('listKeys')).items.find(({ purpose, state }) => purpose === 'token' && state === 'next')
      ?.id as string
    for (const target of [
      { kind: 'issuer' as const, id: world.authority.issuer },
      { kind: 'key' as const, id: kid },
    ]) {
      await assert.rejects(narrow.call('revoke', { body: { target, reason: 'test' } }), refusedWith(403, 'needs_wider_scope'))
    }
    const keeper = await world.as('signet:keys')
    await assert.rejects(keeper.call('revoke', { body: { target: { kind: 'key', id: kid }, reason: 'test' } }))
    const foreign = { kind: 'key' as const, id: kid, issuer: 'https://other.example' }
    await assert.rejects(
      narrow.call('revoke', { body: { target: foreign, reason: 'test' } }),
      refusedWith(403, 'needs_wider_scope'),
    )
  })

  test('say no to what there is not', async () => {
    await assert.rejects(revoke({ kind: 'subject', id: crypto.randomUUID() }), refusedWith(404, 'unknown_subject'))
    await assert.rejects(revoke({ kind: 'client', id: 'nobody' }), refusedWith(404, 'unknown_client'))
  })

  test('are read back in order, in pages', async () => {
    const all = await log()
    assert.ok(all.length > 5)
    assert.deepEqual(
      all.map(({ seq }) => seq),
      all.map((_, i) => (all[0]?.seq as number) + i),
    )
    assert.ok(all.every((entry) => entry.actor === 'client:operator'))
  })

  test('that were wrong and wide are undone: tokens and grants live again, in a new epoch', async () => {
    const held = await tokens()
    const receipt = await revoke({ kind: 'client', id: 'client' })
    assert.equal((await look(held.access)).alive, false)
    const undone = await world.admin.call('undoRevocations', {
      body: { epoch: receipt.epoch, seqs: [receipt.seq], reason: 'wrong client' },
    })
    assert.notEqual(undone.epoch, receipt.epoch)
    assert.equal(undone.removed, 1)
    assert.equal((await look(held.access)).alive, true)
    assert.equal((await look(held.refresh)).alive, true)
    await assert.rejects(
      world.admin.call('undoRevocations', { body: { epoch: receipt.epoch, seqs: [receipt.seq], reason: 'again' } }),
      refusedWith(409, 'epoch_changed'),
    )
    assert.equal((await world.events('admin.revocation_undone')).length, 1)
  })

  test('of everything leave the administrator able to go on', async () => {
    const held = await tokens()
    const target = { kind: 'issuer' as const, id: world.authority.issuer }
    await world.admin.call('revoke', { body: { target, reason: 'test' }, scope: 'signet:admin' })
    const { issuer } = world.authority
    const again = createAdminClient({
      credentials: { issuer, client_id: 'operator', client_secret: 'a secret of a client in a test' },
    })
    const found = await again.call('inspectToken', { body: { token: held.access } })
    assert.deepEqual([found.alive, found.revoked_by?.kind], [false, 'issuer'])
    assert.equal((await again.call('inspectToken', { body: { token: held.refresh } })).alive, false)
    assert.ok((await world.admin.call('showFeed')).seq > 0, 'a token that died is renewed')
  })

  test('show on the feed who has applied what', async () => {
    const { seq, fleet, node, open } = await world.admin.call('showFeed')
    assert.deepEqual([fleet, open], [{ applied: 0, lagging: 0, gone: 0 }, false])
    assert.equal(node.seq, seq)
  })

  async function log() {
    const { head } = await world.admin.call('listRevocations', { query: { limit: 1 } })
    const entries = []
    for (let from: number | undefined = head.floor; from !== undefined; ) {
      const page: Awaited<ReturnType<typeof read>> = await read(from)
      entries.push(...page.items)
      from = page.next
    }
    return entries
  }
  const read = (from: number) => world.admin.call('listRevocations', { query: { after: from, limit: 3 } })
})

describe('signing keys', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
  })
  after(() => world.authority.close())

  test('are listed with their schedule and never with their private part', async () => {
    const { items } = await world.admin.call('listKeys')
    assert.deepEqual([...new Set(items.map(({ purpose }) => purpose))].sort(), ['audit', 'feed', 'ring', 'token'])
    assert.doesNotMatch(JSON.stringify(items), /"(d|p|q|k|wrapped)":/)
  })

  test('hand over by schedule, or at once when forced, and old tokens go on', async () => {
    const { access_token } = await world.admin.accessToken('signet:read')
    const planned = await world.admin.call('rotateKey', { body: {} })
    assert.equal(planned.state, 'next')
    const forced = await world.admin.call('rotateKey', { body: { force: true } })
    assert.equal(forced.state, 'active')
    assert.equal((await world.raw('GET', '/status', { token: access_token })).status, 200)
  })

  test('that were stolen refuse everything they signed, and another signs at once', async () => {
    const { access_token } = await world.admin.accessToken('signet:read')
    const kid = JSON.parse(atob(access_token.split('.')[0] as string)).kid
    const receipt = await world.admin.call('compromiseKey', { params: { id: kid }, body: { reason: 'found on a laptop' } })
    assert.deepEqual([receipt.target.kind, receipt.target.id], ['key', kid])
    assert.equal((await world.raw('GET', '/status', { token: access_token })).status, 401)
    const { items } = await world.admin.call('listKeys')
    assert.equal(items.find(({ id }) => id === kid)?.state, 'compromised')
    const found = await world.admin.call('inspectToken', { body: { token: access_token } })
    assert.deepEqual([found.alive, found.revoked_by?.kind], [false, 'key'])
    await assert.rejects(
      world.admin.call('compromiseKey', { params: { id: 'nothing' }, body: { reason: 'x' } }),
      refusedWith(404, 'unknown_key'),
    )
  })
})

describe('API keys', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
    await world.authority.addResource()
    await world.authority.addClient()
  })
  after(() => world.authority.close())
  const create = (more: object = {}) =>
    world.admin.call('createApiKey', {
      body: { name: 'nightly', client: 'client', resource: TEST_API, scopes: ['api:read'], ...more },
    })
  const look = (token: string) => world.admin.call('inspectToken', { body: { token } })

  test('are shown once, and work', async () => {
    const { api_key, id } = await create()
    assert.match(api_key, /^sgk_/)
    assert.equal((await look(api_key)).alive, true)
    const shown = JSON.stringify([
      await world.admin.call('showApiKey', { params: { id } }),
      await world.admin.call('listApiKeys', { query: { client: 'client' } }),
    ])
    assert.ok(!shown.includes(api_key) && !shown.includes('secret'))
    assert.ok(!JSON.stringify(await world.admin.call('searchAudit', { query: { limit: 500 } })).includes(api_key.slice(4, 40)))
  })

  test('never reach further than their client and their resource', async () => {
    const wrong = (more: object) => assert.rejects(create(more), refusedWith(400, 'invalid_members'), JSON.stringify(more))
    await wrong({ resource: 'https://unknown.example' })
    await wrong({ resource: world.authority.issuer, scopes: ['signet:admin'] })
    await wrong({ scopes: ['nope'] })
    await wrong({ scopes: [] })
    await world.authority.addResource({ uri: 'https://strict.example', dpopRequired: true })
    await world.authority.addClient({ id: 'strict' as ClientId, resources: ['https://strict.example'] })
    await wrong({ client: 'strict', resource: 'https://strict.example' })
    await assert.rejects(create({ client: 'nobody' }), refusedWith(404, 'unknown_client'))
    await assert.rejects(create({ subject: crypto.randomUUID() }), refusedWith(404, 'unknown_subject'))
  })

  test('lose what their client or their resource loses, and are dead with the last of it', async () => {
    const { admin, authority } = world
    await authority.addClient({ id: 'reader' as ClientId, introspects: [TEST_API] })
    const lend = async (id: string) => {
      await authority.addClient({ id: id as ClientId })
      const { api_key } = await create({ client: id, scopes: ['api:read', 'api:write'] })
      const told = async () => {
        const { body } = await authority.post('/introspect', { token: api_key }, basicAuth('reader'))
        const { alive, reason } = await look(api_key)
        assert.equal(alive, body.active)
        return body.active ? body.scope : reason
      }
      assert.equal(await told(), 'api:read api:write')
      const become = async (body: object) => {
        await admin.call('updateClient', { params: { id }, body })
        return told()
      }
      return { told, become }
    }
    const narrowed = await lend('narrowed')
    assert.equal(await narrowed.become({ scopes: ['openid', 'api:read'] }), 'api:read')
    assert.equal(await narrowed.become({ scopes: ['openid'] }), 'out_of_reach')
    assert.equal(await (await lend('bound')).become({ dpop_bound: true }), 'out_of_reach')
    assert.equal(await (await lend('moved')).become({ scopes: ['openid'], resources: [] }), 'out_of_reach')
    const { told } = await lend('same')
    await authority.addResource({ scopes: [{ name: 'api:write', description: 'Write' }] })
    assert.equal(await told(), 'api:write')
    await authority.addResource({ dpopRequired: true })
    assert.equal(await told(), 'out_of_reach')
    await admin.call('deleteResource', { params: { uri: TEST_API } })
    assert.equal(await told(), 'out_of_reach')
    await authority.addResource()
    assert.equal(await told(), 'api:read api:write')
  })

  test('rotate with an overlap: both work, and the heir lives as long again', async () => {
    const first = await create({ expires_in_seconds: 3600 })
    const heir = await world.admin.call('rotateApiKey', { params: { id: first.id }, body: { overlap_seconds: 60 } })
    assert.deepEqual([(await look(first.api_key)).alive, (await look(heir.api_key)).alive], [true, true])
    const old = await world.admin.call('showApiKey', { params: { id: first.id } })
    assert.equal(old.replaced_by, heir.id)
    assert.ok((old.expires_at as number) - heir.created_at <= 61)
    assert.ok(Math.abs((heir.expires_at as number) - heir.created_at - 3600) <= 1)
    await assert.rejects(
      world.admin.call('rotateApiKey', { params: { id: first.id }, body: {} }),
      refusedWith(409, 'api_key_over'),
    )
    const last = await world.admin.call('rotateApiKey', { params: { id: heir.id }, body: { overlap_seconds: 0 } })
    assert.deepEqual([(await look(heir.api_key)).alive, (await look(last.api_key)).alive], [false, true])
  })

  test('rest while suspended, and go on when resumed', async () => {
    const { api_key, id } = await create()
    const body = { reason: 'maintenance' }
    assert.equal((await world.admin.call('suspendApiKey', { params: { id }, body })).status, 'suspended')
    assert.equal((await world.admin.call('suspendApiKey', { params: { id }, body })).status, 'suspended')
    assert.deepEqual([(await look(api_key)).alive, (await look(api_key)).reason], [false, 'suspended'])
    assert.equal((await world.admin.call('resumeApiKey', { params: { id } })).status, 'active')
    assert.equal((await look(api_key)).alive, true)
    const events = (await world.events('suspension.*')).filter((event) => event.ids.token === id)
    assert.deepEqual(
      events.map(({ type }) => type),
      ['suspension.made', 'suspension.lifted'],
    )
    await world.admin.call('revokeApiKey', { params: { id } })
    await assert.rejects(world.admin.call('resumeApiKey', { params: { id } }), refusedWith(409, 'api_key_over'))
  })

  test('end when revoked, alone or with whom they act for', async () => {
    const { api_key, id } = await create()
    await world.admin.call('revokeApiKey', { params: { id } })
    const found = await look(api_key)
    assert.deepEqual([found.alive, found.reason, found.revoked_by?.kind], [false, 'revoked', 'token'])
    await assert.rejects(world.admin.call('rotateApiKey', { params: { id }, body: {} }), refusedWith(409, 'api_key_over'))
    const { id: subject } = await world.authority.addSubject()
    const acting = await create({ subject })
    await world.authority.store.transact((tx) =>
      tx.subjects.changeStanding(subject as SubjectId, { from: ['active'], to: 'suspended' }),
    )
    assert.deepEqual([(await look(acting.api_key)).alive, (await look(acting.api_key)).reason], [false, 'subject_over'])
  })
})
