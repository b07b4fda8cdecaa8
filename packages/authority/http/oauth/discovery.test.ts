import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startTestAuthority, type TestAuthority } from '@signet/testkit/authority.ts'

let authority: TestAuthority
before(async () => {
  authority = await startTestAuthority()
})
after(() => authority.close())

const get = (path: string, headers: Record<string, string> = {}) => fetch(authority.url + path, { headers })

describe('discovery', () => {
  it('is one document at both well-known addresses, and names endpoints that exist', async () => {
    const [oauth, openid] = await Promise.all([
      get('/.well-known/oauth-authorization-server'),
      get('/.well-known/openid-configuration'),
    ])
    const metadata = (await oauth.json()) as Record<string, unknown>
    assert.deepEqual(await openid.json(), metadata)
    assert.equal(metadata.issuer, authority.issuer)
    for (const [name, url] of Object.entries(metadata)) {
      if (!name.endsWith('_endpoint') && name !== 'jwks_uri') continue
      const answer = await fetch(url as string, { method: 'OPTIONS', redirect: 'manual' })
      const got = answer.status === 204 ? answer : await fetch(url as string, { redirect: 'manual' })
      assert.notEqual(got.status, 404, `${name} ${url}`)
    }
  })

  it('says what is supported, in the words of the standards', async () => {
    const metadata = (await (await get('/.well-known/openid-configuration')).json()) as Record<string, unknown>
    assert.deepEqual(metadata.code_challenge_methods_supported, ['S256'])
    assert.deepEqual(metadata.response_types_supported, ['code'])
    assert.deepEqual(metadata.id_token_signing_alg_values_supported, ['ES256'])
    assert.equal(metadata.authorization_response_iss_parameter_supported, true)
    assert.ok((metadata.dpop_signing_alg_values_supported as string[]).includes('ES256'))
    assert.ok(!(metadata.introspection_endpoint_auth_methods_supported as string[]).includes('none'))
  })

  it('publishes the feed and when each key begins and ends', async () => {
    const metadata = (await (await get('/.well-known/openid-configuration')).json()) as Record<string, unknown>
    assert.equal((metadata.signet_feed as Record<string, unknown>).head, `${authority.issuer}/feed/head`)
    const schedule = metadata.signet_key_schedule as { kid: string; state: string; active_at: number; retiring_at: number }[]
    const { keys } = (await (await get('/jwks')).json()) as { keys: { kid: string; d?: string }[] }
    assert.deepEqual(schedule.map(({ kid }) => kid).sort(), keys.map(({ kid }) => kid).sort())
    assert.deepEqual(schedule.map(({ state }) => state).sort(), ['active', 'next'])
    for (const key of schedule) assert.ok(key.retiring_at > key.active_at)
    for (const key of keys) assert.equal(key.d, undefined)
  })

  it('may be cached and read from any page, and is not sent twice to whoever has it', async () => {
    for (const path of ['/jwks', '/.well-known/openid-configuration']) {
      const first = await get(path)
      assert.equal(first.headers.get('cache-control'), 'public, max-age=300')
      assert.equal(first.headers.get('access-control-allow-origin'), '*')
      const etag = first.headers.get('etag') as string
      assert.equal((await get(path, { 'if-none-match': etag })).status, 304)
      assert.equal((await get(path, { 'if-none-match': `"other", W/${etag}` })).status, 304)
      assert.equal((await get(path, { 'if-none-match': '"other"' })).status, 200)
    }
  })
})
