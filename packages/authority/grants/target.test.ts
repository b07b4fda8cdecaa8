import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { Refusal } from '@signet/kernel/errors.ts'
import { isSubset } from '@signet/kernel/scope.ts'
import { testClient } from '@signet/testkit/authority.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { defaultSettings } from '../policy/settings.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { type Catalog, createCatalog, narrowTarget, ownTarget, resolveTarget, type TargetRequest } from './target.ts'

const ISSUER = 'https://id.example'
const A = 'https://a.example'
const B = 'https://b.example'
const client = testClient({
  scopes: ['openid', 'profile', 'a:read', 'a:write', 'b:read', 'signet:feed'],
  resources: [A, B],
})
let catalog: Catalog

before(async () => {
  const surroundings = manualSurroundings()
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  const scopes = (...names: string[]) => names.map((name) => ({ name, description: name }))
  await store.transact(async (tx) => {
    const about = { name: 'x', dpopRequired: false, createdAt: 0 }
    await tx.resources.put({ uri: A, scopes: scopes('a:read', 'a:write', 'a:admin'), ...about })
    await tx.resources.put({ uri: B, scopes: scopes('b:read'), ...about })
    await tx.resources.put({ uri: 'https://c.example', scopes: scopes('c:read'), ...about })
  })
  catalog = createCatalog({ store, issuer: ISSUER, settings: defaultSettings, clock: surroundings.clock })
})

const asks = (scope: string | undefined, ...resources: string[]): TargetRequest => ({ scope, resources })
async function reasonOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    (value) => assert.fail(JSON.stringify(value)),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof Refusal, String(error))
  return `${error.code} ${error.reason}`
}

describe('what an authorization may be for', () => {
  it('is the resources that are named, with those of their scopes that are asked for', async () => {
    assert.deepEqual(await resolveTarget(asks('a:read', A), client, catalog), { resources: [A], scope: ['a:read'] })
    assert.deepEqual(await resolveTarget(asks('b:read a:read', A, B), client, catalog), {
      resources: [A, B],
      scope: ['b:read', 'a:read'],
    })
    assert.deepEqual(await resolveTarget(asks('a:read', A, A), client, catalog), { resources: [A], scope: ['a:read'] })
  })

  it('is the first resource of the client when none is named, or the authority when only its own scopes are', async () => {
    assert.deepEqual((await resolveTarget(asks('a:read'), client, catalog)).resources, [A])
    assert.deepEqual((await resolveTarget(asks('openid profile'), client, catalog)).resources, [ISSUER])
    assert.deepEqual((await resolveTarget(asks('signet:feed'), client, catalog)).resources, [ISSUER])
    assert.deepEqual((await resolveTarget(asks(undefined), { ...client, resources: [] }, catalog)).resources, [ISSUER])
  })

  it('comes with userinfo when somebody signs in', async () => {
    assert.deepEqual(await resolveTarget(asks('openid a:read'), client, catalog), {
      resources: [A, ISSUER],
      scope: ['openid', 'a:read'],
    })
  })

  it('is every scope the client has there when none is asked for', async () => {
    assert.deepEqual(await resolveTarget(asks(undefined, A), client, catalog), { resources: [A], scope: ['a:read', 'a:write'] })
  })

  it('is never a scope or a resource that the client may not have', async () => {
    assert.equal(await reasonOf(resolveTarget(asks('a:admin', A), client, catalog)), 'invalid_scope scope_not_allowed')
    assert.equal(await reasonOf(resolveTarget(asks('b:read', A), client, catalog)), 'invalid_scope scope_not_of_resource')
    assert.equal(await reasonOf(resolveTarget(asks('signet:feed', A), client, catalog)), 'invalid_scope scope_not_of_resource')
    assert.equal(
      await reasonOf(resolveTarget(asks(undefined, 'https://c.example'), client, catalog)),
      'invalid_target unknown_resource',
    )
    assert.equal(
      await reasonOf(resolveTarget(asks(undefined, 'https://x.example'), client, catalog)),
      'invalid_target unknown_resource',
    )
    const removed = { ...client, resources: ['https://x.example'] }
    assert.equal(await reasonOf(resolveTarget(asks(undefined), removed, catalog)), 'invalid_target unknown_resource')
  })
})

describe('what one token of a grant may be for', () => {
  const granted = { resources: [A, ISSUER], scope: ['openid', 'a:read', 'a:write'] }

  it('is one resource, with the scopes that belong there', async () => {
    const whole = await narrowTarget(granted, asks(undefined), client, catalog)
    assert.deepEqual([whole.resource.uri, whole.scope], [A, ['a:read', 'a:write']])
    const userinfo = await narrowTarget(granted, asks(undefined, ISSUER), client, catalog)
    assert.deepEqual([userinfo.resource.uri, userinfo.scope], [ISSUER, ['openid']])
    assert.deepEqual((await narrowTarget(granted, asks('openid a:read'), client, catalog)).scope, ['a:read'])
    assert.equal(
      await reasonOf(narrowTarget(granted, asks(undefined, A, ISSUER), client, catalog)),
      'invalid_target several_resources',
    )
  })

  it('is not what the client has lost since', async () => {
    const less = { ...client, scopes: ['openid', 'a:read'] }
    assert.deepEqual((await narrowTarget(granted, asks(undefined), less, catalog)).scope, ['a:read'])
    assert.equal(
      await reasonOf(narrowTarget(granted, asks(undefined), { ...client, resources: [B] }, catalog)),
      'invalid_target unknown_resource',
    )
  })

  it('is never more than was granted, whatever is asked for', async () => {
    const scope = fc.option(
      fc.subarray([...client.scopes, 'a:admin', 'x']).map((names) => names.join(' ')),
      { nil: undefined },
    )
    const resources = fc.subarray([A, B, ISSUER, 'https://c.example'], { maxLength: 2 })
    await fc.assert(
      fc.asyncProperty(scope, resources, async (asked, named) => {
        const token = await narrowTarget(granted, { scope: asked, resources: named }, client, catalog).catch(
          (error: unknown) => error,
        )
        if (token instanceof Refusal) return
        const { resource, scope: got } = token as { resource: { uri: string }; scope: string[] }
        assert.ok(isSubset(got, granted.scope) && granted.resources.includes(resource.uri))
      }),
      { numRuns: 200 },
    )
  })
})

describe("what a client's own token may be for", () => {
  it('is nothing about a person', async () => {
    assert.equal(await reasonOf(ownTarget(asks('openid'), client, catalog)), 'invalid_scope scope_not_allowed')
    assert.deepEqual((await ownTarget(asks(undefined, ISSUER), client, catalog)).scope, ['signet:feed'])
    assert.deepEqual((await ownTarget(asks('a:read'), client, catalog)).scope, ['a:read'])
  })
})
