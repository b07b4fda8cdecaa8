import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ADMIN_SCOPES, type Endpoint, type EndpointName, endpoints } from '@signet/api/schema.ts'
import type { ClientId, SubjectId } from '@signet/kernel/ids.ts'
import { type AdminWorld, startAdminWorld } from './admin.testkit.ts'

describe('the admin API opens', () => {
  let world: AdminWorld
  before(async () => {
    world = await startAdminWorld()
  })
  after(() => world.authority.close())

  const all = Object.entries(endpoints) as [EndpointName, Endpoint][]
  /** A path with ids that nothing has, and a body that no endpoint takes: what gets past the door is refused behind it. */
  const ask = (endpoint: Endpoint, token?: string) => {
    const path = endpoint.path.replace(/:\w+/g, 'nothing')
    return world.raw(endpoint.method, path, {
      ...(token === undefined ? {} : { token }),
      ...(endpoint.method === 'GET' || endpoint.method === 'DELETE' ? {} : { body: { surprise: true } }),
    })
  }

  test('to nobody without a token, and says which it takes', async () => {
    for (const [name, endpoint] of all) {
      const answer = await ask(endpoint)
      assert.equal(answer.status, 401, name)
      assert.match(answer.headers.get('www-authenticate') ?? '', /^(Bearer|DPoP)\b/, name)
    }
  })

  test('by exactly the scope of each endpoint, or by signet:admin', async () => {
    for (const scope of [...ADMIN_SCOPES, 'signet:feed'] as const) {
      const { access_token } = await (await world.as(scope)).accessToken(scope)
      for (const [name, endpoint] of all) {
        const answer = await ask(endpoint, access_token)
        const may = scope === 'signet:admin' || scope === endpoint.scope
        if (may)
          assert.ok(answer.status !== 401 && answer.status !== 403, `${name} with ${scope}: ${answer.status} ${answer.text}`)
        else assert.equal(answer.status, 403, `${name} with ${scope}: ${answer.text}`)
        if (!may) assert.match(answer.headers.get('www-authenticate') ?? '', /insufficient_scope/, name)
      }
    }
  })

  test('before the input is looked at: who may not ask learns nothing of what would be right', async () => {
    const { access_token } = await (await world.as('signet:read')).accessToken('signet:read')
    const answer = await world.raw('POST', '/clients', { token: access_token, body: '{"broken' })
    assert.ok(answer.status === 403 || answer.status === 400)
    assert.equal((await world.raw('POST', '/clients', { token: access_token, body: { nonsense: 1 } })).status, 403)
  })

  test('to a person only while the role is theirs, whatever the token says', async () => {
    const { authority } = world
    const token = async (roles: readonly string[]) => {
      const subject = await authority.addSubject({ roles })
      const minted = authority.mint.accessToken({ ...forAuthority(authority.issuer), subject: subject.id })
      return { id: subject.id, token: minted.token }
    }
    const administrator = await token(['admin'])
    assert.equal((await world.raw('GET', '/status', administrator)).status, 200)
    const other = await token([])
    const refused = await world.raw('GET', '/status', other)
    assert.deepEqual([refused.status, refused.body.reason], [403, 'not_an_administrator'])
    const suspended = await token(['admin'])
    await authority.store.transact((tx) => tx.subjects.changeStanding(suspended.id, { from: ['active'], to: 'suspended' }))
    assert.equal((await world.raw('GET', '/status', suspended)).status, 403)
    const gone = authority.mint.accessToken({ ...forAuthority(authority.issuer), subject: crypto.randomUUID() as SubjectId })
    assert.equal((await world.raw('GET', '/status', { token: gone.token })).status, 403)
  })

  test('to no token that is revoked, for somebody else, or bound to a key that is not shown', async () => {
    const { authority, admin } = world
    const mint = (more: object) =>
      authority.mint.accessToken({
        ...forAuthority(authority.issuer),
        subject: 'operator' as unknown as SubjectId,
        client: 'operator' as ClientId,
        ...more,
      })
    const good = mint({})
    assert.equal((await world.raw('GET', '/status', good)).status, 200)
    await admin.call('revoke', { body: { target: { kind: 'token', id: good.id }, reason: 'test' } })
    assert.equal((await world.raw('GET', '/status', good)).status, 401)
    assert.equal((await world.raw('GET', '/status', mint({ audience: 'https://api.example' }))).status, 401)
    assert.equal((await world.raw('GET', '/status', mint({ cnf: { jkt: 'x'.repeat(43) } }))).status, 401)
  })

  test('but never the way to text that no database takes', async () => {
    const { access_token } = await (await world.as('signet:admin')).accessToken('signet:admin')
    for (const path of ['/clients?after=a%00', '/resources?after=%00', '/fleet?after=%00', '/audit/events?text=a%00']) {
      const answer = await world.raw('GET', path, { token: access_token })
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'], path)
    }
  })

  test('to no token in the query or in a cookie', async () => {
    const { access_token } = await world.admin.accessToken('signet:read')
    assert.equal((await world.raw('GET', `/status?access_token=${access_token}`)).status, 401)
    assert.equal((await world.raw('GET', '/status', { headers: { cookie: `access_token=${access_token}` } })).status, 401)
  })

  test('and lets no cache keep what it says, and no page of another origin read it', async () => {
    const { access_token } = await world.admin.accessToken('signet:read')
    const answer = await world.raw('GET', '/clients', { token: access_token, headers: { origin: 'https://evil.example' } })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('cache-control'), 'no-store')
    assert.equal(answer.headers.get('access-control-allow-origin'), null)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  })
})

const forAuthority = (issuer: string) => ({
  client: 'console' as ClientId,
  scope: ['signet:admin'],
  audience: issuer,
  seconds: 60,
  floorMs: 0,
  policy: 'test',
})
