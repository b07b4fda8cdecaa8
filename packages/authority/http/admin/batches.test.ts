import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Batch, Call } from '@signet/api/schema.ts'
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'
import { basicAuth, TEST_API, TEST_REDIRECT } from '@signet/testkit/authority.ts'
import { type AdminWorld, refusedWith, startAdminWorld, wrongMembers } from './admin.testkit.ts'

const AGENT = 'the agent of this test'

describe('batches', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld({ settings: { batchWarnGrants: 3, batchWarnShare: 1 } })
    await world.authority.addResource()
    await world.authority.addClient()
  })
  after(() => world.authority.close())

  async function login(subject?: SubjectId) {
    const id = subject ?? (await world.authority.addSubject()).id
    const browser = await world.authority.signIn(id)
    const { code, verifier } = await world.authority.issueCode({ client: 'client' as ClientId }, browser)
    const form = { code, code_verifier: verifier, redirect_uri: TEST_REDIRECT, resource: TEST_API }
    const headers = { ...basicAuth('client'), 'user-agent': AGENT }
    const { body } = await world.authority.post('/token', { grant_type: 'authorization_code', ...form }, headers)
    return { subject: id, refresh: body.refresh_token as string, access: body.access_token as string }
  }
  const refresh = async ({ refresh }: { refresh: string }) => {
    const form = { grant_type: 'refresh_token', refresh_token: refresh }
    return world.authority.post('/token', form, { ...basicAuth('client'), 'user-agent': AGENT })
  }
  type Selector = NonNullable<Call<'planBatch'>['body']>['selector']
  async function plan(selector: Selector, action: 'revoke' | 'suspend' = 'revoke', admin = world.admin): Promise<Batch> {
    for await (const line of admin.stream('planBatch', { body: { selector, action, reason: 'test' } })) {
      if (line.kind === 'result') return line
    }
    throw new Error('no result')
  }
  async function done({ id }: Batch): Promise<Batch> {
    for (;;) {
      const batch = await world.admin.call('showBatch', { params: { id } })
      if (batch.state !== 'running') return batch
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  test('end what their selector names, and nothing else', async () => {
    const [meant, other] = [await login(), await login()]
    const { username } = await world.admin.call('showSubject', { params: { id: meant.subject } })
    const planned = await plan({ subjects: [username, meant.subject], scope: 'api:read' })
    assert.deepEqual([planned.grants, planned.subjects, planned.method], [1, 1, 'grants'])
    assert.ok(!JSON.stringify(planned).includes(username))
    assert.equal((await refresh(meant)).status, 200, 'a plan changes nothing')
    const again = await login(meant.subject) // After the plan's moment and its guard it would not be in it; this soon it may be.
    await world.admin.call('startBatch', { params: { id: planned.id }, body: {}, idempotencyKey: planned.id })
    const ended = await done(planned)
    assert.equal(ended.state, 'done')
    assert.ok(ended.moved >= 1)
    assert.deepEqual([(await refresh(meant)).body.error, (await refresh(other)).status], ['invalid_grant', 200])
    assert.ok(again)
    const listed = await world.admin.call('listBatches', { query: { limit: 1 } })
    assert.deepEqual([listed.items[0]?.id, listed.items[0]?.state], [planned.id, 'done'])
  })

  test('suspend, and undo just that', async () => {
    const held = await login()
    const planned = await plan({ subjects: [held.subject], platform: 'web' }, 'suspend')
    await world.admin.call('startBatch', { params: { id: planned.id }, body: {} })
    assert.equal((await done(planned)).moved, 1)
    assert.equal((await refresh(held)).body.reason, 'grant_suspended')
    const undo = () => world.admin.call('undoBatch', { params: { id: planned.id }, body: { reason: 'wrong' } })
    const undoing = await undo()
    assert.equal((await undo()).id, undoing.id)
    assert.equal((await done(undoing)).moved, 1)
    assert.equal((await refresh(held)).status, 200)
    await assert.rejects(world.admin.call('pauseBatch', { params: { id: planned.id } }), refusedWith(409, 'batch_state'))
  })

  test('by network tell apart what is kept of it: the /24 or /48 with the agent', async () => {
    const here = await login()
    await refresh(here)
    const subjects = [here.subject]
    const count = async (network: string, agents: string[]) => (await plan({ subjects, network, agents })).grants
    const counts = [await count('127.0.0.0/24', ['another', AGENT]), await count('::1/48', [AGENT])]
    assert.deepEqual(counts.toSorted(), [0, 1], 'it came over one of the two')
    assert.equal(await count('127.0.0.0/24', ['another']), 0)
    assert.equal(await count('203.0.113.0/24', [AGENT]), 0)
    for (const network of ['127.0.0.0/16', '127.0.0.1', '::1/64', 'here', '127.0.0.0/24/24']) {
      await assert.rejects(plan({ subjects, network, agents: [AGENT] }), wrongMembers('selector.network'))
    }
  })

  test('that are wide need the number of the plan and signet:admin', async () => {
    for (let i = 0; i < 4; i++) await login()
    const planned = await plan({ client: 'client' })
    assert.deepEqual([planned.warning, planned.method, planned.entries], [true, 'one_cutoff', 1])
    const start = (body: { accept?: number }, admin = world.admin, scope?: 'signet:admin') =>
      admin.call('startBatch', { params: { id: planned.id }, body, ...(scope === undefined ? {} : { scope }) })
    const accept = { accept: planned.touches ?? -1 }
    await assert.rejects(start(accept, await world.as('signet:revoke')), refusedWith(403, 'needs_wider_scope'))
    await assert.rejects(start({}, world.admin, 'signet:admin'), refusedWith(409, 'blast_radius_not_accepted'))
    await assert.rejects(start({ accept: 1 }, world.admin, 'signet:admin'), refusedWith(409, 'blast_radius_not_accepted'))
    assert.equal((await start(accept, world.admin, 'signet:admin')).state, 'running')
    assert.equal((await done(planned)).moved, 1)
    const everything = await plan({ everything: true })
    assert.deepEqual([everything.warning, everything.method], [true, 'one_cutoff'])
    await world.admin.call('cancelBatch', { params: { id: everything.id } })
  })

  test('over a client that acts for itself, or has API keys, warn: of what hangs on those no grant tells', async () => {
    const warned = async (client: string, action?: 'suspend') => {
      const { grants, api_keys, own_tokens, touches, warning, id } = await plan({ client }, action)
      return { told: [grants, api_keys, own_tokens, touches, warning], id }
    }
    await world.as('signet:read')
    const service = await warned('only-signet-read', 'suspend')
    assert.deepEqual(service.told, [0, 0, true, 1, true])
    const start = (accept: number) =>
      world.admin.call('startBatch', { params: { id: service.id }, body: { accept }, scope: 'signet:admin' })
    await assert.rejects(start(0), refusedWith(409, 'blast_radius_not_accepted'))
    assert.equal((await start(1)).state, 'running')
    const id = 'keyed' as ClientId
    await world.authority.addClient({ id, grantTypes: ['authorization_code', 'refresh_token'] })
    assert.deepEqual((await warned(id)).told, [0, 0, undefined, 0, false])
    for (const more of [{}, {}, { status: 'revoked' as const }, { expiresAt: 1 }])
      await world.authority.addApiKey({ client: id, scopes: ['api:read'], ...more })
    assert.deepEqual((await warned(id)).told, [0, 2, undefined, 2, true])
  })

  test('over people for whom API keys act warn of them, until they have ended', async () => {
    const id = 'keyed-by-people' as ClientId
    await world.authority.addClient({ id, grantTypes: ['authorization_code', 'refresh_token'] })
    const someone = () => world.authority.addSubject()
    const [one, other, nobodyElse] = [await someone(), await someone(), await someone()]
    const keyFor = (subject: SubjectId, expiresAt?: number) =>
      world.authority.addApiKey({ client: id, subject, scopes: ['api:read'], ...(expiresAt === undefined ? {} : { expiresAt }) })
    await Promise.all([keyFor(one.id), keyFor(one.id), keyFor(other.id), keyFor(other.id, 1), keyFor(nobodyElse.id)])
    const subjects = [one.id, other.id]
    const planned = await plan({ subjects })
    assert.deepEqual([planned.grants, planned.api_keys, planned.touches, planned.warning], [0, 3, 3, true])
    const start = (accept?: number) =>
      world.admin.call('startBatch', {
        params: { id: planned.id },
        body: accept === undefined ? {} : { accept },
        scope: 'signet:admin',
      })
    await assert.rejects(start(), refusedWith(409, 'blast_radius_not_accepted'))
    await start(3)
    assert.equal((await done(planned)).moved, 2)
    const again = await plan({ subjects })
    assert.deepEqual([again.api_keys, again.touches, again.warning], [0, 0, false])
    assert.equal((await plan({ subjects: [nobodyElse.id] })).api_keys, 1)
    assert.equal((await plan({ subjects: [nobodyElse.id], client: id })).api_keys, undefined, 'grant by grant no key ends')
    await world.admin.call('deleteClient', { params: { id } })
    assert.equal((await plan({ subjects: [nobodyElse.id] })).api_keys, 0)
  })

  test('that cannot be meant are refused, with the member named', async () => {
    await assert.rejects(plan({}), wrongMembers('selector'))
    await assert.rejects(plan({ everything: true, client: 'client' }), wrongMembers('selector'))
    await assert.rejects(plan({ network: '127.0.0.0/24' }), wrongMembers('selector'))
    await assert.rejects(plan({ subjects: ['nobody-at-all'] }), wrongMembers('selector.subjects.0'))
    await assert.rejects(plan({ client: 'nobody' }), refusedWith(404, 'unknown_client'))
    const id = '018f0000-0000-7000-8000-000000000000'
    await assert.rejects(world.admin.call('showBatch', { params: { id } }), refusedWith(404, 'unknown_batch'))
  })
})
