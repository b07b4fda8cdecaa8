import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ADMIN_SCOPES, type Endpoint, type EndpointName, endpoints } from './schema.ts'

const all = Object.entries(endpoints) as [EndpointName, Endpoint][]

describe('the endpoint table', () => {
  test('names each place once', () => {
    const places = all.map(([, { method, path }]) => `${method} ${path}`)
    assert.equal(new Set(places).size, places.length)
  })

  test('describes exactly the parameters that the path has', () => {
    for (const [name, { path, params }] of all) {
      const inPath = [...path.matchAll(/:(\w+)/g)].map(([, parameter]) => parameter)
      assert.deepEqual(Object.keys(params?.shape ?? {}), inPath, name)
    }
  })

  test('lets nothing be changed with the scope for reading', () => {
    const looks = new Set<EndpointName>(['verifyAudit', 'inspectToken'])
    for (const [name, { method, scope }] of all) {
      assert.ok(ADMIN_SCOPES.includes(scope))
      if (method !== 'GET' && !looks.has(name)) assert.notEqual(scope, 'signet:read', name)
      if (method === 'GET') assert.equal(scope, 'signet:read', name)
    }
  })

  test('refuses members it does not know, everywhere', () => {
    for (const [name, { params, query, body }] of all) {
      for (const schema of [params, query, body]) {
        const issues = schema?.safeParse({ surprise: 1 }).error?.issues ?? []
        if (schema !== undefined)
          assert.ok(
            issues.some(({ code }) => code === 'unrecognized_keys'),
            name,
          )
      }
    }
  })

  test('bounds every listing', () => {
    for (const [name, { query, path }] of all) {
      if (query === undefined || !('limit' in query.shape)) continue
      assert.ok(!query.safeParse({ limit: 501, client: 'a' }).success, name)
      assert.ok(!query.safeParse({ limit: 0, client: 'a' }).success, name)
      assert.ok(query.safeParse({ ...(path === '/api-keys' ? { client: 'a' } : {}) }).success, name)
    }
  })
})

describe('the shape of requests', () => {
  const takes = (name: EndpointName, body: unknown) => (endpoints[name] as Endpoint).body?.safeParse(body).success === true
  const client = { name: 'Shop', platform: 'web', auth_method: 'none', grant_types: ['authorization_code'] }

  test('takes a public key and refuses a private or shared one', () => {
    const withKey = (jwk: object) => takes('createClient', { ...client, jwks: [jwk] })
    assert.ok(withKey({ kty: 'EC', crv: 'P-256', x: 'x', y: 'y' }))
    assert.ok(!withKey({ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' }))
    assert.ok(!withKey({ kty: 'oct', k: 'k' }))
    assert.ok(!withKey({ kty: 'RSA', n: 'n', e: 'e', p: 'p' }))
  })

  test('refuses claims that only the authority may make', () => {
    const withClaims = (claims: object) => takes('createSubject', { username: 'ada', claims })
    assert.ok(withClaims({ name: 'Ada', groups: ['a', 'b'] }))
    for (const name of ['sub', 'iss', 'aud', 'exp', 'acr', 'client_id', 'scope', 'cnf', 'act'])
      assert.ok(!withClaims({ [name]: 'x' }), name)
    assert.ok(!withClaims({ __proto__x: 1 }))
  })

  test('takes a target by id or by token, never by both', () => {
    const revokes = (target: object) => takes('revoke', { target, reason: 'r' })
    assert.ok(revokes({ kind: 'subject', id: 'x' }))
    assert.ok(revokes({ token: 'x' }))
    assert.ok(!revokes({ kind: 'subject', id: 'x', token: 'x' }))
    assert.ok(!revokes({ kind: 'planet', id: 'x' }))
    assert.ok(!revokes({}))
    assert.ok(!takes('revoke', { target: { token: 'x' } }), 'there is no revocation without a reason')
  })

  test('names a backup, never a place', () => {
    for (const name of ['../x', 'a/b', '.hidden', '', 'a.db', 'x'.repeat(65)]) assert.ok(!takes('startBackup', { name }), name)
    assert.ok(takes('startBackup', { name: 'before-upgrade_2' }))
  })

  test('has ids of clients that fit a URL, a header and a log', () => {
    for (const id of ['a b', '', 'ä', '-x', 'x'.repeat(129), 'a/b', 'a\n'])
      assert.ok(!takes('createClient', { ...client, id }), JSON.stringify(id))
    assert.ok(takes('createClient', { ...client, id: 'shop.web:eu-1' }))
  })
})
