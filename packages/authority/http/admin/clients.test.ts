import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createAdminClient } from '@signet/api/client.ts'
import type { Call } from '@signet/api/schema.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { basicAuth } from '@signet/testkit/authority.ts'
import { until } from '@signet/testkit/until.ts'
import { type AdminWorld, refusedWith, startAdminWorld, wrongMembers } from './admin.testkit.ts'

const API = 'https://orders.example'
type NewClient = NonNullable<Call<'createClient'>['body']>

// Nodes may answer on what they knew of a client a moment ago: what has changed is waited for.
describe('clients', () => {
  let world: AdminWorld
  const create = (body: Partial<NewClient> = {}) => world.admin.call('createClient', { body: { ...SERVICE, ...body } })
  const token = (id: string, secret: string) =>
    world.authority.post(
      '/token',
      { grant_type: 'client_credentials', scope: 'orders:read', resource: API },
      basicAuth(id, secret),
    )

  before(async () => {
    world = await startAdminWorld()
    await world.admin.call('putResource', {
      params: { uri: API },
      body: { name: 'Orders', scopes: [{ name: 'orders:read', description: 'See orders' }] },
    })
  })
  after(() => world.authority.close())

  test('get a secret that works and is shown once', async () => {
    const { id, client_secret: secret = '' } = await create()
    assert.match(secret, /^sgx_/)
    assert.equal((await token(id, secret)).status, 200)
    const shown =
      JSON.stringify(await world.admin.call('showClient', { params: { id } })) +
      JSON.stringify(await world.admin.call('listClients', { query: { limit: 500 } }))
    assert.ok(!shown.includes(secret))
    const record = await world.authority.store.clients.find(id as ClientId)
    assert.ok(!JSON.stringify(record).includes(secret))
    assert.ok(!JSON.stringify(await world.admin.call('searchAudit', { query: { limit: 500 } })).includes(secret.slice(4)))
  })

  test('are on record as made, changed and removed by whom', async () => {
    const { id } = await create()
    await world.admin.call('updateClient', { params: { id }, body: { name: 'Other' } })
    await world.admin.call('deleteClient', { params: { id } })
    for (const type of ['client.created', 'client.updated', 'client.deleted']) {
      const events = (await world.events(type)).filter((event) => event.ids.client === id)
      assert.deepEqual(
        events.map(({ actor }) => actor),
        ['client:operator'],
        type,
      )
    }
  })

  test('rotate their secret with an overlap, and without one', async () => {
    const { id, client_secret: first = '' } = await create()
    const { client_secret: second, previous_expires_at } = await world.admin.call('rotateClientSecret', {
      params: { id },
      body: { overlap_seconds: 600 },
    })
    assert.ok((previous_expires_at ?? 0) * 1000 > Date.now())
    await until(async () => (await token(id, second)).status === 200)
    assert.equal((await token(id, first)).status, 200)
    const { client_secret: third } = await world.admin.call('rotateClientSecret', { params: { id }, body: {} })
    await until(async () => (await token(id, second)).status === 401)
    assert.deepEqual([(await token(id, first)).status, (await token(id, third)).status], [401, 200])
  })

  test('have two secrets at most, however often they rotate', async () => {
    const { id } = await create()
    for (let i = 0; i < 4; i++) await world.admin.call('rotateClientSecret', { params: { id }, body: { overlap_seconds: 600 } })
    assert.equal((await world.admin.call('showClient', { params: { id } })).secrets.length, 2)
  })

  test('without a secret have none to rotate', async () => {
    const { id } = await create({ ...WEB, platform: 'browser', auth_method: 'none' })
    await assert.rejects(
      world.admin.call('rotateClientSecret', { params: { id }, body: {} }),
      refusedWith(409, 'client_without_secret'),
    )
  })

  test('are taken as a whole or not at all, each wrong member named', async () => {
    const cases: [Partial<NewClient>, ...string[]][] = [
      [{ platform: 'service', auth_method: 'none' }, 'auth_method', 'grant_types'],
      [{ ...WEB, platform: 'native', auth_method: 'client_secret_basic' }, 'auth_method'],
      [{ auth_method: 'private_key_jwt' }, 'jwks'],
      [{ grant_types: ['refresh_token'] }, 'grant_types'],
      [{ ...WEB, redirect_uris: [] }, 'redirect_uris'],
      [{ redirect_uris: ['https://a.example/cb'] }, 'redirect_uris'],
      [{ scopes: ['orders:read', 'nope'] }, 'scopes.1'],
      [{ resources: [API, 'https://unknown.example'] }, 'resources.1'],
      [{ introspects: ['https://unknown.example'] }, 'introspects.0'],
      [{ access_token_seconds: 3600 }, 'access_token_seconds'],
      [{ scopes: ['openid'] }, 'scopes.0'],
    ]
    for (const [body, ...paths] of cases) await assert.rejects(create(body), wrongMembers(...paths), JSON.stringify(body))
  })

  test('redirect to https, loopback or a scheme of their own, and to nothing else', async () => {
    const good = [
      'https://shop.example/cb',
      'https://shop.example/cb?x=1',
      'http://localhost:3000/cb',
      'http://127.0.0.1/cb',
      'http://[::1]:8/cb',
    ]
    await create({ ...WEB, redirect_uris: good })
    const bad = [
      'http://shop.example/cb',
      'https://shop.example/cb#x',
      'https://u:p@shop.example/cb',
      'https://*.shop.example/cb',
      'javascript:alert(1)//x',
      'data:text/html,x',
      'com.example.app:/cb',
      'shop.example/cb',
      'https://shop.example/ cb',
      'https:\\\\shop.example\\cb',
      'https://例え.example/cb', // No header can hold it.
    ]
    for (const uri of bad) await assert.rejects(create({ ...WEB, redirect_uris: [uri] }), wrongMembers('redirect_uris.0'), uri)
    const native = { ...WEB, platform: 'native' as const, auth_method: 'none' as const }
    await create({ ...native, redirect_uris: ['com.example.app:/cb', 'http://127.0.0.1/cb'] })
    for (const uri of ['myapp:/cb', 'javascript:alert(1)', 'com.example.app:']) {
      await assert.rejects(create({ ...native, redirect_uris: [uri] }), wrongMembers('redirect_uris.0'), uri)
    }
  })

  test('are never called by the id of a person, whose tokens theirs would read as', async () => {
    const { id } = await world.authority.addSubject()
    await assert.rejects(create({ id }), refusedWith(409, 'client_exists'))
  })

  test('change only in what is given, and null takes an own lifetime away', async () => {
    const { id } = await create({ access_token_seconds: 60 })
    const named = await world.admin.call('updateClient', { params: { id }, body: { name: 'Renamed' } })
    assert.deepEqual([named.name, named.access_token_seconds, named.scopes], ['Renamed', 60, ['orders:read']])
    const plain = await world.admin.call('updateClient', { params: { id }, body: { access_token_seconds: null } })
    assert.equal(plain.access_token_seconds, undefined)
    await assert.rejects(
      world.admin.call('updateClient', { params: { id }, body: { scopes: ['nope'] } }),
      wrongMembers('scopes.0'),
    )
    await assert.rejects(
      world.admin.call('updateClient', { params: { id: 'nobody' }, body: { name: 'x' } }),
      refusedWith(404, 'unknown_client'),
    )
  })

  test('that lose a scope lose the access tokens that carry it', async () => {
    const { id, client_secret: secret = '' } = await create()
    const { body } = await token(id, secret)
    const alive = () => world.admin.call('inspectToken', { body: { token: body.access_token } })
    assert.ok((await alive()).alive)
    await world.admin.call('updateClient', { params: { id }, body: { scopes: [] } })
    await until(async () => !(await alive()).alive)
    const found = await alive()
    assert.deepEqual([found.alive, found.revoked_by?.kind, found.revoked_by?.reason], [false, 'client', 'client_narrowed'])
  })

  test('that are removed take their tokens and API keys with them', async () => {
    const { id, client_secret: secret = '' } = await create()
    const { body } = await token(id, secret)
    const { api_key } = await world.admin.call('createApiKey', {
      body: { name: 'k', client: id, resource: API, scopes: ['orders:read'] },
    })
    await world.admin.call('deleteClient', { params: { id } })
    for (const text of [body.access_token, api_key])
      await until(async () => !(await world.admin.call('inspectToken', { body: { token: text } })).alive)
    await until(async () => (await token(id, secret)).status === 401)
    await assert.rejects(world.admin.call('showClient', { params: { id } }), refusedWith(404, 'unknown_client'))
  })

  test('that take the id of a removed one get living tokens, and none of what that one held', async () => {
    const { id, client_secret: secret = '' } = await create({ id: 'phoenix' })
    const before = (await token(id, secret)).body.access_token
    await world.admin.call('deleteClient', { params: { id } })
    const again = await create({ id: 'phoenix' })
    await until(async () => (await token(id, secret)).status === 401)
    const answer = await token(id, again.client_secret ?? '')
    assert.equal(answer.status, 200, answer.text)
    assert.equal((await world.admin.call('inspectToken', { body: { token: before } })).alive, false)
    assert.equal((await world.admin.call('inspectToken', { body: { token: answer.body.access_token } })).alive, true)
  })

  test('have ids of their own', async () => {
    await create({ id: 'taken' })
    await assert.rejects(create({ id: 'taken' }), refusedWith(409, 'client_exists'))
  })

  test('are listed in pages that join without gap or overlap', async () => {
    const seen: string[] = []
    for (let after: string | undefined, first = true; first || after !== undefined; first = false) {
      const page = await world.admin.call('listClients', { query: { limit: 3, ...(after === undefined ? {} : { after }) } })
      seen.push(...page.items.map((client) => client.id))
      after = page.next
    }
    assert.equal(new Set(seen).size, seen.length)
    assert.equal(seen.length, (await world.admin.call('listClients', { query: { limit: 500 } })).items.length)
  })

  test('that prove themselves by a key get tokens by it', async () => {
    const { publicKey, privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ])
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
    const { id } = await create({ auth_method: 'private_key_jwt', jwks: [{ kty, crv, x, y }] })
    const private_jwk = (await crypto.subtle.exportKey('jwk', privateKey)) as { kty: 'EC'; d: string }
    const asClient = createAdminClient({ credentials: { issuer: world.authority.issuer, client_id: id, private_jwk } })
    assert.equal((await asClient.accessToken('orders:read', API)).scope, 'orders:read')
  })
})

describe('resources', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
  })
  after(() => world.authority.close())
  const put = (uri: string, body: object = {}) =>
    world.admin.call('putResource', { params: { uri }, body: { name: 'API', scopes: [], ...body } })

  test('are put, replaced and removed, on record', async () => {
    const first = await put('https://a.example/x?y=1', { scopes: [{ name: 'a', description: 'Do a' }] })
    const second = await put('https://a.example/x?y=1', { name: 'Other' })
    assert.deepEqual([second.created_at, second.scopes, second.name], [first.created_at, [], 'Other'])
    await world.admin.call('deleteResource', { params: { uri: 'https://a.example/x?y=1' } })
    await assert.rejects(
      world.admin.call('showResource', { params: { uri: 'https://a.example/x?y=1' } }),
      refusedWith(404, 'unknown_id'),
    )
    assert.equal((await world.events('resource.put')).length, 2)
    assert.equal((await world.events('resource.deleted')).length, 1)
  })

  test('that are the authority itself stay as they are', async () => {
    const { issuer } = world.authority
    assert.ok(
      (await world.admin.call('showResource', { params: { uri: issuer } })).scopes.some(({ name }) => name === 'signet:admin'),
    )
    await assert.rejects(put(issuer), refusedWith(409, 'own_resource'))
    await assert.rejects(world.admin.call('deleteResource', { params: { uri: issuer } }), refusedWith(409, 'own_resource'))
    await assert.rejects(
      put('https://a.example', { scopes: [{ name: 'signet:admin', description: 'Pretend' }] }),
      wrongMembers('scopes.0.name'),
    )
  })

  test('are absolute URIs without fragment', async () => {
    for (const uri of ['orders', 'https://a.example/#x', 'https://a.example/ x'])
      await assert.rejects(put(uri), wrongMembers('uri'), uri)
    await put('urn:example:orders')
  })
})

const SERVICE: NewClient = {
  name: 'A service',
  platform: 'service',
  auth_method: 'client_secret_basic',
  grant_types: ['client_credentials'],
  scopes: ['orders:read'],
  resources: [API],
}
const WEB: Partial<NewClient> = {
  platform: 'web',
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: ['https://shop.example/cb'],
}
