import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openSignInWorld, type SignInWorld } from '@signet/testkit/sign-in.ts'
import { createSetupLink, needsFirstAdministrator, type SetupOffer } from '../../signin/setup.ts'
import { sha256 } from '../../surroundings.ts'

const PASSWORD = 'seven tall herons'

describe('setting up from a one-time link', () => {
  let world: SignInWorld
  before(async () => {
    world = await openSignInWorld({ seed: 3 })
  })
  after(() => world.close())
  const offer = (what: SetupOffer, seconds?: number) =>
    world.authority.store.transact((tx) =>
      createSetupLink(
        tx,
        what,
        { actor: 'system', ...(seconds === undefined ? {} : { seconds }) },
        { issuer: world.authority.issuer, clock: world.clock, chance: world.chance, sha256 },
      ),
    )
  const pathOf = ({ url }: { url: string }) => new URL(url).pathname
  const chosen = (username: string) => ({ username, password: PASSWORD, repeated: PASSWORD })

  test('the first link used makes the administrator, signs them in, and makes all others of its kind worthless', async () => {
    assert.equal(await needsFirstAdministrator(world.authority.store), true)
    const [one, two] = [await offer({ kind: 'first', roles: ['admin'] }), await offer({ kind: 'first', roles: ['admin'] })]
    const root = world.visitor()
    const page = await root.open(pathOf(one))
    assert.match(page.text, /Set up the administrator/)
    assert.equal((await root.open(pathOf(one))).status, 200, 'looking does not spend it')
    const done = await root.submit(page, chosen('root'))
    assert.match(done.text, /You’re all set/)
    assert.deepEqual((await world.authority.store.subjects.findByUsername('root'))?.roles, ['admin'])

    const late = world.visitor()
    const second = await late.submit(await late.open(pathOf(two)), chosen('second'))
    assert.equal(second.status, 410)
    assert.equal(await world.authority.store.subjects.findByUsername('second'), undefined)
    assert.equal((await late.open(pathOf(one))).status, 410)
  })

  test('of ten people who use one invitation at once, one gets the account', async () => {
    const link = await offer({ kind: 'invitation', roles: [] })
    const people = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const person = world.visitor()
        return { person, page: await person.open(pathOf(link)), name: `guest-${i}` }
      }),
    )
    const done = await Promise.all(people.map(({ person, page, name }) => person.submit(page, chosen(name))))
    assert.equal(done.filter(({ status }) => status === 200).length, 1)
    assert.equal(done.filter(({ status }) => status === 410).length, 9)
  })

  test('what is wrong with a choice is said at its field, and the link still works', async () => {
    const link = await offer({ kind: 'invitation', roles: [] })
    const person = world.visitor()
    let page = await person.open(pathOf(link))
    for (const [values, words] of [
      [{ ...chosen('root') }, /Someone has that name/],
      [{ ...chosen('<b>') }, /Use letters, digits/],
      [{ ...chosen('zoe'), password: 'short', repeated: 'short' }, /too short/],
      [{ ...chosen('zoe'), password: 'Password123!', repeated: 'Password123!' }, /first that anyone would try/],
      [{ ...chosen('heron'), password: 'my heron is grey', repeated: 'my heron is grey' }, /your name/],
      [{ ...chosen('zoe'), repeated: 'seven tall storks' }, /aren’t the same/],
      [{ ...chosen('zoe'), password: '', repeated: '' }, /Choose a password/],
      [{ ...chosen('zoe'), passkey: '{}' }, /passkey couldn’t be set up/],
    ] as const) {
      page = await person.submit(page, values)
      assert.equal(page.status, 400)
      assert.match(page.text, words)
      assert.doesNotMatch(page.text, new RegExp(PASSWORD))
    }
    assert.match((await person.submit(page, chosen('Zoe@Example.org'))).text, /all set/)
    assert.ok(await world.authority.store.subjects.findByUsername('zoe@example.org'))
  })

  test('a link is over when its time is, and garbage never was one', async () => {
    const link = await offer({ kind: 'invitation', roles: [] }, 60)
    world.clock.advance(61_000)
    const person = world.visitor()
    assert.equal((await person.open(pathOf(link))).status, 410)
    for (const handle of ['x', 'sgu_', `sgu_${'A'.repeat(48)}`, '..%2f..'])
      assert.equal((await person.get(`/setup/${handle}`)).status, 410, handle)
  })

  test('an older recovery link, or one from before everything was revoked, works no more', async () => {
    const { revoker, issuer } = world.authority
    const subject = await world.addPerson('mary', PASSWORD)
    const recovery = { kind: 'recovery', roles: [], subject: subject.id } as const
    const [older, newer] = [await offer(recovery), await offer(recovery)]
    const stranger = world.visitor()
    const page = await stranger.open(pathOf(older)) // Held open until later.
    const owner = world.visitor()
    await owner.submit(await owner.open(pathOf(newer)), { password: 'six small herons', repeated: 'six small herons' })
    assert.equal((await stranger.submit(page, { password: PASSWORD, repeated: PASSWORD })).status, 410)
    assert.equal((await stranger.open(pathOf(older))).status, 410)

    // As a restored backup does, to which a used link is an unused one.
    const invitation = await offer({ kind: 'invitation', roles: ['admin'] })
    await revoker.revoke({ kind: 'issuer', id: issuer }, { reason: 'test', actor: 'operator:test' })
    assert.equal((await stranger.open(pathOf(invitation))).status, 410)
    assert.equal((await stranger.open(pathOf(await offer({ kind: 'invitation', roles: [] })))).status, 200)
  })

  test('a recovery replaces every way in and ends what was begun by the old ones', async () => {
    const subject = await world.addPerson('lost', 'the old password')
    const thief = world.visitor()
    const signIn = await thief.open('/account')
    assert.match((await thief.submit(signIn, { username: 'lost', password: 'the old password' })).text, /How you sign in/)
    const link = await offer({ kind: 'recovery', roles: [], subject: subject.id })
    const owner = world.visitor()
    const page = await owner.open(pathOf(link))
    assert.match(page.text, /value="lost"[^>]*readonly/)
    assert.match((await owner.submit(page, { password: PASSWORD, repeated: PASSWORD })).text, /all set/)
    assert.match((await thief.open('/account')).text, /<h1>Sign in<\/h1>/)
    const again = world.visitor()
    const refused = await again.submit(await again.open('/account'), { username: 'lost', password: 'the old password' })
    assert.equal(refused.status, 400)
    assert.match((await owner.open('/account')).text, /How you sign in/, 'the session begun by the recovery goes on')
  })

  test('the link is nowhere in the store, and no name in the record', async () => {
    const link = await offer({ kind: 'invitation', roles: [] })
    const found = await world.authority.store.codes.find(sha256(new TextEncoder().encode(link.handle)), 'setup', 0)
    assert.equal(found, undefined)
    const text = await world.auditText()
    for (const type of ['setup.offered', 'subject.created', 'password.changed']) assert.ok(text.includes(`"${type}"`), type)
    assert.doesNotMatch(text, /zoe|sgu_|lost|guest-/)
  })
})
