import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import type { PageVisitor } from '@signet/testkit/page-visitor.ts'
import { openSignInWorld, type SignInWorld } from '@signet/testkit/sign-in.ts'
import { parseSessionCookie, type SessionKey } from '../../signin/session.ts'
import type { SubjectRecord } from '../../store/ports/subjects.ts'

const BYE = 'https://app.example/bye'

describe('signing out', () => {
  let world: SignInWorld
  let subject: SubjectRecord
  before(async () => {
    world = await openSignInWorld({ seed: 4 })
    await world.addApp()
    await world.addApp({ id: 'other' as ClientId, name: 'Other', postLogoutRedirectUris: [] })
    subject = await world.addPerson('ada', 'four grey herons')
  })
  after(() => world.close())

  const sessionOf = (who: PageVisitor) => (parseSessionCookie(who.cookies.get('__Host-signet_session')) as SessionKey).id
  const arrive = async () => {
    const who = world.visitor()
    await who.submit(await who.open('/account'), { username: 'ada', password: 'four grey herons' })
    return { who, session: sessionOf(who) }
  }
  const idToken = (session: string, client = 'notes') =>
    world.authority.mint.idToken({
      subject: subject.id,
      client: client as ClientId,
      session: session as never,
      seconds: 300,
      floorMs: 0,
      authAt: 0,
    } as never)
  const logout = (change: Record<string, string>) => `/logout?${new URLSearchParams(change)}`
  const isAlive = async (session: string) => (await world.authority.store.sessions.find(session as never))?.status === 'active'

  test('an app that shows the ID token of this session signs out at once, with state', async () => {
    const { who, session } = await arrive()
    const done = await who.get(logout({ id_token_hint: idToken(session), post_logout_redirect_uri: BYE, state: 'a&b' }))
    assert.equal(done.location, `${BYE}?state=a%26b`)
    assert.equal(await isAlive(session), false)
    assert.equal(who.cookies.has('__Host-signet_session'), false)
    assert.match((await who.open('/account')).text, /<h1>Sign in<\/h1>/)
  })

  test('an expired hint is as good', async () => {
    const { who, session } = await arrive()
    const hint = idToken(session)
    world.clock.advance(3600_000)
    const done = await who.get(logout({ id_token_hint: hint, post_logout_redirect_uri: BYE }))
    assert.equal(done.location, BYE)
  })

  test('without a hint of this very session the person is asked, and a link alone signs nobody out', async () => {
    const { who, session } = await arrive()
    const other = await arrive()
    for (const change of [{}, { client_id: 'notes' }, { id_token_hint: idToken(other.session) }, { id_token_hint: 'garbage' }]) {
      const page = await who.open(logout(change))
      assert.match(page.text, /Sign out\?/)
      assert.equal(await isAlive(session), true)
    }
    const page = await who.open(logout({ client_id: 'notes', post_logout_redirect_uri: BYE, state: 'x' }))
    const done = await who.submit(page, {}, { at: '/logout/confirm' })
    assert.equal(done.location, `${BYE}?state=x`)
    assert.equal(await isAlive(session), false)
    assert.equal(await isAlive(other.session), true)
  })

  test('an address that is not registered is never gone to', async () => {
    const { who, session } = await arrive()
    for (const change of [
      { client_id: 'notes', post_logout_redirect_uri: 'https://evil.example/' },
      { client_id: 'other', post_logout_redirect_uri: BYE },
      { post_logout_redirect_uri: BYE },
      { client_id: 'nobody', post_logout_redirect_uri: BYE },
      { id_token_hint: idToken(session), client_id: 'other' },
    ]) {
      const page = await who.get(logout(change))
      assert.equal(page.status, 400, JSON.stringify(change))
      assert.equal(page.location, undefined)
    }
    assert.equal(await isAlive(session), true)
    const forged = await who.open('/logout')
    const done = await who.submit(
      forged,
      { client_id: 'notes', post_logout_redirect_uri: 'https://evil.example/' },
      { at: 'confirm' },
    )
    assert.equal(done.location, undefined)
    assert.match(done.text, /signed out/)
  })

  test('an access token is no hint', async () => {
    const { who, session } = await arrive()
    const { token } = world.authority.mint.accessToken({
      subject: subject.id,
      client: 'notes' as ClientId,
      scope: [],
      audience: world.authority.issuer,
      session: session as never,
      seconds: 60,
      floorMs: 0,
      policy: 'x',
    })
    assert.match((await who.open(logout({ id_token_hint: token }))).text, /Sign out\?/)
  })

  test('a form from another site is sent on as a GET, where the person is asked', async () => {
    const { who, session } = await arrive()
    const sent = await who.post('/logout', { client_id: 'notes' }, { 'sec-fetch-site': 'cross-site' })
    assert.equal(sent.location, '/logout?client_id=notes')
    const forged = await who.post('/logout/confirm', {}, { 'sec-fetch-site': 'cross-site' })
    assert.equal(forged.status, 400)
    assert.equal(await isAlive(session), true)
  })

  test('whoever is not signed in is told so, and the app gets its answer', async () => {
    const nobody = world.visitor()
    assert.match((await nobody.get('/logout')).text, /You’re signed out/)
    assert.equal((await nobody.get(logout({ client_id: 'notes', post_logout_redirect_uri: BYE }))).location, BYE)
  })
})
