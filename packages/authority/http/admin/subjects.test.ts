import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { SubjectId } from '@signet/kernel/ids.ts'
import { basicAuth, TEST_API, TEST_REDIRECT } from '@signet/testkit/authority.ts'
import { type AdminWorld, refusedWith, startAdminWorld, wrongMembers } from './admin.testkit.ts'

const PASSWORD = 'seven quiet umbrellas'

describe('people', () => {
  let world: AdminWorld
  let count = 0
  const create = (body: object = {}) => world.admin.call('createSubject', { body: { username: `person-${++count}`, ...body } })

  before(async () => {
    world = await startAdminWorld()
    await world.authority.addResource()
    await world.authority.addClient()
  })
  after(() => world.authority.close())

  /** Somebody with a session, a device and a grant. */
  async function signedIn() {
    const { id } = await create({ claims: { name: 'Ada' } })
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
    return { id, ...browser, access: body.access_token as string, refresh: body.refresh_token as string }
  }
  const look = (token: string) => world.admin.call('inspectToken', { body: { token } })

  test('are created, found by any spelling of their name, and never show their password', async () => {
    const made = await create({ username: 'Ada.Lovelace@Example.org', password: PASSWORD, claims: { name: 'Ada' } })
    assert.deepEqual([made.username, made.has_password, made.passkeys], ['ada.lovelace@example.org', true, 0])
    const { items } = await world.admin.call('listSubjects', { query: { username: 'ADA.lovelace@example.ORG' } })
    assert.deepEqual(
      items.map(({ id }) => id),
      [made.id],
    )
    const record = await world.authority.store.subjects.find(made.id as SubjectId)
    assert.match(record?.passwordHash ?? '', /^\$argon2id\$/)
    assert.ok(!JSON.stringify(items).includes('argon2'))
    assert.deepEqual((await world.admin.call('listSubjects', { query: { username: 'not a name!' } })).items, [])
  })

  test('have a name of their own and a password that holds', async () => {
    await create({ username: 'taken' })
    await assert.rejects(create({ username: 'TAKEN' }), refusedWith(409, 'username_taken'))
    await assert.rejects(create({ username: '  ' }), wrongMembers('username'))
    for (const password of ['short', 'password1234', 'person-person-x']) {
      await assert.rejects(create({ username: 'person-person', password }), wrongMembers('password'), password)
    }
  })

  test('leave nothing personal in the record', async () => {
    await create({ username: 'very.private', claims: { name: 'Grace Hopper', email: 'grace@example.org' }, password: PASSWORD })
    const text = JSON.stringify(await world.admin.call('searchAudit', { query: { limit: 500 } }))
    for (const secret of ['very.private', 'Grace', 'grace@example.org', PASSWORD]) assert.ok(!text.includes(secret), secret)
  })

  test('are invited by a link that is shown once and opens the way to an account', async () => {
    const { url, expires_at } = await world.admin.call('inviteSubject', { body: { username: 'invited' } })
    assert.match(url, /\/setup\/sgu_[\w-]+$/)
    assert.ok(expires_at * 1000 > Date.now())
    const page = await fetch(url)
    assert.equal(page.status, 200)
    assert.ok((await page.text()).includes('invited'))
    await create({ username: 'there.already' })
    await assert.rejects(
      world.admin.call('inviteSubject', { body: { username: 'There.Already' } }),
      refusedWith(409, 'username_taken'),
    )
    const text = JSON.stringify(await world.admin.call('searchAudit', { query: { limit: 500 } }))
    assert.ok(!text.includes(url.slice(-20)))
  })

  test('who lost every way in get a link to set up another', async () => {
    const { id } = await create()
    const { url } = await world.admin.call('recoverSubject', { params: { id } })
    assert.equal((await fetch(url)).status, 200)
  })

  test('renew their tokens silently when their claims or roles change', async () => {
    const { id, access, refresh } = await signedIn()
    const changed = await world.admin.call('updateSubject', {
      params: { id },
      body: { claims: { name: 'Augusta' }, roles: ['admin'] },
    })
    assert.deepEqual([changed.claims, changed.roles], [{ name: 'Augusta' }, ['admin']])
    assert.equal((await look(access)).revoked_by?.reason, 'claims_changed')
    assert.equal((await look(refresh)).alive, true)
    const renamed = await world.admin.call('updateSubject', { params: { id }, body: { username: 'renamed' } })
    assert.deepEqual([renamed.username, renamed.claims], ['renamed', { name: 'Augusta' }])
    await create({ username: 'somebody' })
    await assert.rejects(
      world.admin.call('updateSubject', { params: { id }, body: { username: 'Somebody' } }),
      refusedWith(409, 'username_taken'),
    )
  })

  test('lose sessions, grants and tokens with their password', async () => {
    const { id, access, refresh } = await signedIn()
    await world.admin.call('setPassword', { params: { id }, body: { password: PASSWORD } })
    assert.equal((await world.admin.call('showSubject', { params: { id } })).has_password, true)
    assert.equal((await look(access)).alive, false)
    assert.equal((await look(refresh)).alive, false)
    await world.admin.call('setPassword', { params: { id }, body: { password: null } })
    assert.equal((await world.admin.call('showSubject', { params: { id } })).has_password, false)
  })

  test('show what they hold, without any secret', async () => {
    const { id, session, device } = await signedIn()
    const page = { params: { id }, query: { limit: 10 } }
    const sessions = await world.admin.call('listSessions', page)
    const devices = await world.admin.call('listDevices', page)
    const grants = await world.admin.call('listGrants', page)
    assert.deepEqual([sessions.items[0]?.id, devices.items[0]?.id, grants.items[0]?.session], [session, device, session])
    assert.deepEqual([grants.items[0]?.client, grants.items[0]?.generation, grants.items[0]?.bound], ['client', 0, false])
    assert.doesNotMatch(JSON.stringify([sessions, devices, grants]), /hash|secret|nonce|"seen"/i)
    assert.deepEqual((await world.admin.call('listPasskeys', { params: { id } })).items, [])
  })

  test('lose a passkey that is taken from them, and nobody else does', async () => {
    const [mine, others] = [await create(), await create()]
    await world.authority.store.transact(async (tx) => {
      await tx.subjects.addPasskey({
        id: 'cred-1',
        subject: mine.id as SubjectId,
        publicKey: new Uint8Array(9),
        counter: 0,
        transports: [],
        name: 'Key',
        createdAt: 1,
      })
    })
    await assert.rejects(
      world.admin.call('deletePasskey', { params: { id: others.id, passkey: 'cred-1' } }),
      refusedWith(404, 'unknown_passkey'),
    )
    await world.admin.call('deletePasskey', { params: { id: mine.id, passkey: 'cred-1' } })
    // Whoever holds it may have used it.
    assert.ok(((await world.authority.store.subjects.find(mine.id as SubjectId))?.revokedMs ?? 0) > 0)
    assert.deepEqual((await world.admin.call('listPasskeys', { params: { id: mine.id } })).items, [])
    assert.equal((await world.events('passkey.removed')).at(-1)?.ids.subject, mine.id)
  })

  test('who are deleted are gone, and every token of theirs is dead', async () => {
    const { id, access, refresh } = await signedIn()
    await world.admin.call('deleteSubject', { params: { id } })
    await assert.rejects(world.admin.call('showSubject', { params: { id } }), refusedWith(404, 'unknown_subject'))
    assert.equal((await look(access)).alive, false)
    assert.equal((await look(refresh)).alive, false)
    await assert.rejects(world.admin.call('deleteSubject', { params: { id } }), refusedWith(404, 'unknown_subject'))
  })

  test('are suspended and go on where they were when resumed', async () => {
    const { id, refresh } = await signedIn()
    const target = { kind: 'subject' as const, id }
    await world.admin.call('suspend', { body: { target, reason: 'leave' } })
    assert.equal((await world.admin.call('showSubject', { params: { id } })).status, 'suspended')
    assert.equal((await look(refresh)).alive, false)
    await world.admin.call('resume', { params: target })
    assert.equal((await world.admin.call('showSubject', { params: { id } })).status, 'active')
    assert.equal((await look(refresh)).alive, true)
  })
})
