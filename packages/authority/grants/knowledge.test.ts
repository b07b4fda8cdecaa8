/** What a node may do with what it knows: nothing is minted on old knowledge, and a refresh can retire the tokens before it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createInProcessBus } from '@signet/bus/in-process.ts'
import type { ClientId } from '@signet/kernel/ids.ts'
import { basicAuth, startTestAuthority, TEST_REDIRECT, type TestAuthority } from '@signet/testkit/authority.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { openRegistry } from '../revocation/registry.ts'
import { createRevoker } from '../revocation/revoke.ts'
import type { Target } from '../revocation/target.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'

async function grant(authority: TestAuthority) {
  await authority.addResource()
  await authority.addClient({ id: 'web' as ClientId })
  const signedIn = await authority.signIn((await authority.addSubject()).id)
  const { code, verifier } = await authority.issueCode({ client: 'web' as ClientId }, signedIn)
  const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
  const { body } = await authority.post('/token', form, basicAuth('web'))
  return body as { access_token: string; refresh_token: string }
}
const refresh = (authority: TestAuthority, token: string) =>
  authority.post('/token', { grant_type: 'refresh_token', refresh_token: token }, basicAuth('web'))
const isActive = async (authority: TestAuthority, token: string): Promise<boolean> =>
  (await authority.post('/introspect', { token }, basicAuth('web'))).body.active

describe('a node that has not heard of the log for too long', () => {
  it('mints nothing, says that it is not the client, and goes on when it knows again', async () => {
    const surroundings = manualSurroundings('knowledge', Date.now())
    const authority = await startTestAuthority({ surroundings })
    try {
      const { refresh_token: token } = await grant(authority)
      surroundings.clock.step(5000) // The machine slept: its timers did not run, the world went on.
      const asleep = await refresh(authority, token)
      assert.deepEqual([asleep.status, asleep.body.error, asleep.body.action], [503, 'temporarily_unavailable', 'retry'])
      assert.throws(() => authority.registry.assertMayMint(), /^Fault: store_unavailable: .* 5000 ms ago$/, 'the log says why')
      assert.doesNotMatch(JSON.stringify(asleep.body), /ago/, 'why it is, is nobody else’s business')
      assert.equal((await authority.post('/token', { grant_type: 'client_credentials' }, basicAuth('web'))).status, 503)
      await authority.registry.lookNow()
      assert.equal((await refresh(authority, token)).status, 200)
    } finally {
      await authority.close()
    }
  })

  it('does not vouch for access tokens either', async () => {
    const surroundings = manualSurroundings('introspection', Date.now())
    const authority = await startTestAuthority({ surroundings })
    try {
      const { access_token: token } = await grant(authority)
      assert.equal(await isActive(authority, token), true)
      surroundings.clock.step(60_000)
      assert.equal((await authority.post('/introspect', { token }, basicAuth('web'))).status, 503)
      await authority.registry.lookNow()
      assert.equal(await isActive(authority, token), true)
    } finally {
      await authority.close()
    }
  })
})

describe('a client that is suspended a moment after it was last looked up', () => {
  it('gets nothing for a code, and not a token past its own suspension', async () => {
    const authority = await startTestAuthority()
    try {
      await grant(authority) // It is remembered from here on.
      const signedIn = await authority.signIn((await authority.addSubject()).id)
      const { code, verifier } = await authority.issueCode({ client: 'web' as ClientId }, signedIn)
      await authority.revoker.suspend({ kind: 'client', id: 'web' }, { reason: 'test', actor: 'operator:test' })
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
      const { status, body } = await authority.post('/token', form, basicAuth('web'))
      assert.deepEqual([status, body.access_token, body.reason], [403, undefined, 'client_suspended'])
    } finally {
      await authority.close()
    }
  })
})

describe('consent that is withdrawn', () => {
  it('takes the codes with it that were given for it', async () => {
    const authority = await startTestAuthority()
    try {
      await authority.addResource()
      const { id: client } = await authority.addClient({ id: 'web' as ClientId, firstParty: false })
      const { id: subject } = await authority.addSubject()
      const signedIn = await authority.signIn(subject)
      const consent = { subject, client, scopes: ['openid', 'api:read'], resources: [], grantedAt: 0 }
      const exchange = async (withdrawn: boolean) => {
        await authority.store.transact((tx) => tx.consents.put(consent))
        const { code, verifier } = await authority.issueCode({ client }, signedIn)
        if (withdrawn) await authority.store.transact((tx) => tx.consents.delete(subject, client))
        const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
        return (await authority.post('/token', form, basicAuth('web'))).body.error
      }
      assert.deepEqual([await exchange(false), await exchange(true)], [undefined, 'invalid_grant'])
    } finally {
      await authority.close()
    }
  })
})

describe('a refresh, where policy says so', () => {
  it('retires the access token before it at once, and not its own', async () => {
    const authority = await startTestAuthority({ settings: { retirePriorAccessTokenAfterSeconds: 0 } })
    try {
      const first = await grant(authority)
      assert.equal(await isActive(authority, first.access_token), true)
      await new Promise((resolve) => setTimeout(resolve, 2)) // Cutoffs are whole milliseconds.
      const second = await refresh(authority, first.refresh_token)
      await authority.registry.lookNow()
      assert.equal(await isActive(authority, first.access_token), false)
      assert.equal(await isActive(authority, second.body.access_token), true)
      // The repeated answer to a lost one is alive too.
      const again = await refresh(authority, first.refresh_token)
      assert.equal(again.body.refresh_token, second.body.refresh_token)
      await authority.registry.lookNow()
      assert.equal(await isActive(authority, again.body.access_token), true)
    } finally {
      await authority.close()
    }
  })
})

describe('everything is taken back while a token is being made', () => {
  /** An authority whose store lets something happen just before it says what a resource is. */
  async function interrupted() {
    const surroundings = realSurroundings()
    const store = await openSqliteStore({ path: ':memory:', surroundings })
    let happening: (() => Promise<unknown>) | undefined
    const resources: Store['resources'] = {
      list: (page) => store.resources.list(page),
      async find(uri) {
        const now = happening
        happening = undefined
        await now?.()
        return store.resources.find(uri)
      },
    }
    const watched = new Proxy(store, {
      get(target, name) {
        const value = name === 'resources' ? resources : Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const authority = await startTestAuthority({ store: watched, surroundings })
    return {
      authority,
      async whenAskedForResources(act: () => Promise<unknown>) {
        await new Promise((resolve) => setTimeout(resolve, authority.settings.mintStalenessMilliseconds / 2 + 50)) // None is remembered.
        happening = act
      },
      async close() {
        await authority.close()
        await store.close()
      },
    }
  }
  const revokeAll = async ({ revoker, registry, issuer }: TestAuthority) => {
    await revoker.revoke({ kind: 'issuer', id: issuer }, { reason: 'test', actor: 'operator:test' })
    await registry.lookNow()
  }

  it('so what a refresh gets is dead, and not issued just past the cutoff', async () => {
    const { authority, whenAskedForResources, close } = await interrupted()
    try {
      const { refresh_token: token } = await grant(authority)
      await whenAskedForResources(() => revokeAll(authority))
      const { body } = await refresh(authority, token)
      assert.equal(body.access_token !== undefined && (await isActive(authority, body.access_token)), false)
    } finally {
      await close()
    }
  })

  it('so what a code gets is dead as well', async () => {
    const { authority, whenAskedForResources, close } = await interrupted()
    try {
      await grant(authority)
      const signedIn = await authority.signIn((await authority.addSubject()).id)
      await whenAskedForResources(() => revokeAll(authority))
      const { code, verifier } = await authority.issueCode({ client: 'web' as ClientId }, signedIn)
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
      const { body } = await authority.post('/token', form, basicAuth('web'))
      assert.equal(body.access_token !== undefined && (await isActive(authority, body.access_token)), false)
    } finally {
      await close()
    }
  })
})

describe('a scope that is taken back', () => {
  it('ends the tokens with it that there are, and what is issued next lives, whatever the grant', async () => {
    const authority = await startTestAuthority()
    try {
      const held = await grant(authority)
      const form = { grant_type: 'client_credentials', scope: 'api:read' }
      const { body: own } = await authority.post('/token', form, basicAuth('web'))
      const signedIn = await authority.signIn((await authority.addSubject()).id)
      await authority.revoker.revoke({ kind: 'scope', id: 'api:read' }, { reason: 'test', actor: 'operator:test' })
      assert.deepEqual(
        [await isActive(authority, held.access_token), await isActive(authority, own.access_token)],
        [false, false],
      )
      const { code, verifier } = await authority.issueCode({ client: 'web' as ClientId }, signedIn)
      const exchange = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
      const next = [
        await refresh(authority, held.refresh_token),
        await authority.post('/token', form, basicAuth('web')),
        await authority.post('/token', exchange, basicAuth('web')),
      ]
      for (const { status, body } of next) assert.deepEqual([status, await isActive(authority, body.access_token)], [200, true])
    } finally {
      await authority.close()
    }
  })
})

describe('another node takes things back, and this one has not heard of it yet', () => {
  /** An authority, and a revoker of another node on the same store, whose wake-ups do not arrive. */
  async function withAnother() {
    const authority = await startTestAuthority()
    const { store, settings, issuer, keys } = authority
    const surroundings = realSurroundings()
    const bus = createInProcessBus(surroundings)
    const common = { store, settings, issuer, bus, sha256, ...surroundings }
    const registry = await openRegistry(common)
    const revoker = createRevoker({ ...common, keys, registry })
    const why = { reason: 'test', actor: 'operator:test' } as const
    return {
      authority,
      revoke: (target: Target) => revoker.revoke(target, why),
      renew: (target: Target) => revoker.revoke(target, { ...why, keepGrants: true }),
      async close() {
        revoker.close()
        registry.close()
        await bus.close()
        await authority.close()
      },
    }
  }

  for (const kind of ['issuer', 'client'] as const) {
    it(`so a claims epoch of the person does not carry a refresh past the end of the ${kind}`, async () => {
      const { authority, revoke, renew, close } = await withAnother()
      try {
        await authority.addResource()
        await authority.addClient({ id: 'web' as ClientId })
        const { id: subject } = await authority.addSubject()
        const { code, verifier } = await authority.issueCode({ client: 'web' as ClientId }, await authority.signIn(subject))
        const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: TEST_REDIRECT }
        const { body: first } = await authority.post('/token', form, basicAuth('web'))
        await authority.registry.lookNow()
        await revoke({ kind, id: kind === 'issuer' ? authority.issuer : 'web' })
        await renew({ kind: 'subject', id: subject })
        const { body } = await refresh(authority, first.refresh_token)
        await authority.registry.lookNow()
        assert.equal(body.access_token !== undefined && (await isActive(authority, body.access_token)), false)
      } finally {
        await close()
      }
    })
  }
})
