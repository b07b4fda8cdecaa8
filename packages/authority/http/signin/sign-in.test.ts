import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { TEST_REDIRECT } from '@signet/testkit/authority.ts'
import { type PageVisitor, unescapeText, type VisitedPage } from '@signet/testkit/page-visitor.ts'
import { authorizePath, openSignInWorld, type SignInWorld } from '@signet/testkit/sign-in.ts'
import { parseSessionCookie, type SessionKey } from '../../signin/session.ts'
import type { SubjectRecord } from '../../store/ports/subjects.ts'

const PASSWORD = 'four grey herons'

describe('signing in for an app', () => {
  let world: SignInWorld
  before(async () => {
    world = await openSignInWorld()
    await world.addApp()
    await world.addApp({ id: 'own' as ClientId, name: 'House App', firstParty: true })
    await world.addApp({
      id: 'cli' as ClientId,
      name: 'House CLI',
      firstParty: true,
      platform: 'native',
      redirectUris: ['http://127.0.0.1/cb', 'com.example.cli:/cb'],
    })
    await world.addPerson('ada@example.org', PASSWORD)
    await world.addPerson('bob', 'seven tall herons')
  })
  after(() => world.close())

  const visitor = (address?: string): PageVisitor => world.visitor(address === undefined ? {} : { address })
  const signIn = (who: PageVisitor, page: VisitedPage, username = 'ada@example.org', password = PASSWORD): Promise<VisitedPage> =>
    who.submit(page, { username, password }, { at: '/signin/' })
  const sessionOf = (who: PageVisitor) => (parseSessionCookie(who.cookies.get('__Host-signet_session')) as SessionKey).id

  test('from the app’s request through password and consent to a code, with state and issuer', async () => {
    const ada = visitor()
    const page = await ada.open(authorizePath())
    assert.equal(page.status, 200)
    assert.match(page.text, /<h1>Sign in<\/h1>/)
    const consent = await signIn(ada, page)
    assert.match(consent.text, /Notes Web/)
    assert.match(consent.text, /Read your notes/)
    assert.doesNotMatch(consent.text, /Change and delete/)
    const done = await ada.submit(consent, { decision: 'allow' })
    assert.equal(done.status, 303)
    const answer = new URL(done.location as string)
    assert.equal(answer.origin + answer.pathname, TEST_REDIRECT)
    assert.equal(answer.searchParams.get('state'), 'st4te')
    assert.equal(answer.searchParams.get('iss'), world.authority.issuer)
    assert.match(answer.searchParams.get('code') as string, /^sgc_/)
    assert.deepEqual([...ada.cookies.keys()].sort(), [
      '__Host-signet_device',
      '__Host-signet_interaction',
      '__Host-signet_session',
    ])
  })

  test('in a live session another app gets its code with no credential prompt, and a first-party app without any page', async () => {
    const ada = visitor()
    await signIn(ada, await ada.open(authorizePath()))
    const again = await ada.get(authorizePath({ client_id: 'own' }))
    assert.equal(again.status, 303)
    assert.match(again.location as string, /^https:\/\/app\.example\/callback\?code=sgc_/)
    const silent = await ada.get(authorizePath({ prompt: 'none' }))
    assert.match(silent.location as string, /code=sgc_/)
  })

  test('the code carries how and when the person proved who they are', async () => {
    const ada = visitor()
    await signIn(ada, await ada.open(authorizePath({ client_id: 'own' })))
    const session = await world.authority.store.sessions.find(sessionOf(ada))
    assert.equal(session?.acr, 'urn:signet:acr:password')
    assert.deepEqual(session?.amr, ['pwd'])
    assert.equal(session?.authAt, Math.floor(world.clock.now() / 1000))
  })

  test('prompt=none without a session says login_required, without consent consent_required', async () => {
    const stranger = visitor()
    const refused = await stranger.get(authorizePath({ prompt: 'none' }))
    assert.equal(new URL(refused.location as string).searchParams.get('error'), 'login_required')
    assert.equal(new URL(refused.location as string).searchParams.get('iss'), world.authority.issuer)
    const bob = visitor()
    await signIn(bob, await bob.open(authorizePath({ client_id: 'own' })), 'bob', 'seven tall herons')
    const asked = await bob.get(authorizePath({ prompt: 'none' }))
    assert.equal(new URL(asked.location as string).searchParams.get('error'), 'consent_required')
  })

  test('declining tells the app access_denied and is not remembered as consent', async () => {
    const bob = visitor()
    const consent = await signIn(bob, await bob.open(authorizePath()), 'bob', 'seven tall herons')
    const done = await bob.submit(consent, { decision: 'deny' })
    assert.equal(new URL(done.location as string).searchParams.get('error'), 'access_denied')
    assert.equal(new URL(done.location as string).searchParams.get('state'), 'st4te')
    const again = await bob.open(authorizePath())
    assert.match(again.text, /would like access/)
  })

  test('wider scopes than were agreed to are asked for again', async () => {
    const ada = visitor()
    const consent = await signIn(ada, await ada.open(authorizePath({ scope: 'openid notes:read notes:write' })))
    assert.match(consent.text, /Change and delete your notes/)
  })

  test('max_age and prompt=login ask again, keep the session, and change the cookie’s secret', async () => {
    const ada = visitor()
    await signIn(ada, await ada.open(authorizePath({ client_id: 'own' })))
    const before = ada.cookies.get('__Host-signet_session')
    world.clock.advance(120_000)
    const page = await ada.open(authorizePath({ client_id: 'own', max_age: '60' }))
    assert.match(page.text, /Confirm it’s you/)
    const done = await signIn(ada, page)
    assert.match(done.location as string, /code=sgc_/)
    const after = ada.cookies.get('__Host-signet_session') as string
    assert.notEqual(after, before)
    assert.equal(after.slice(4, 24), (before as string).slice(4, 24), 'the same session id')
    ada.cookies.set('__Host-signet_session', before as string)
    const stolen = await ada.open(authorizePath({ client_id: 'own' }))
    assert.match(stolen.text, /<h1>Sign in<\/h1>/, 'the old cookie is worth nothing')
  })

  test('a level above the session’s asks for a passkey', async () => {
    const ada = visitor()
    await signIn(ada, await ada.open(authorizePath({ client_id: 'own' })))
    const page = await ada.open(authorizePath({ client_id: 'own', acr_values: 'urn:signet:acr:passkey' }))
    assert.match(page.text, /Use your passkey/)
    assert.doesNotMatch(page.text, /type="password"/)
    const silent = await ada.get(authorizePath({ client_id: 'own', acr_values: 'urn:signet:acr:passkey', prompt: 'none' }))
    assert.match(silent.location as string, /error=login_required/)
  })

  test('an interaction belongs to the browser that began it', async () => {
    const ada = visitor()
    const begun = await ada.get(authorizePath())
    const thief = visitor()
    const none = await thief.get(begun.location as string)
    assert.equal(none.status, 400)
    assert.match(none.text, /Cookies are needed/)
    await thief.open(authorizePath())
    const other = await thief.get(begun.location as string)
    assert.match(other.text, /another browser/)
  })

  test('a form without this browser’s token, or from another site, changes nothing', async () => {
    const ada = visitor()
    const page = await ada.open(authorizePath())
    const fields = { username: 'ada@example.org', password: PASSWORD }
    const action = page.forms[0]?.action as string
    for (const [values, headers] of [
      [fields, {}],
      [{ ...fields, form_token: 'A'.repeat(43) }, {}],
      [{ ...fields, ...page.forms[0]?.fields, ...fields }, { 'sec-fetch-site': 'cross-site' }],
      [{ ...fields, ...page.forms[0]?.fields, ...fields }, { origin: 'https://evil.example' }],
    ] as const) {
      const refused = await ada.post(action, values, headers)
      assert.equal(refused.status, 400)
      assert.match(refused.text, /out of date/)
    }
    assert.equal(ada.cookies.has('__Host-signet_session'), false)
  })

  test('an interaction is finished once; going back says so', async () => {
    const ada = visitor()
    const page = await ada.open(authorizePath({ client_id: 'own' }))
    const done = await signIn(ada, page)
    assert.match(done.location as string, /code=/)
    const again = await ada.get(page.url)
    assert.equal(again.status, 400)
    assert.match(again.text, /done its job/)
    const replay = await signIn(ada, page)
    assert.equal(replay.status, 400)
  })

  test('of twenty answers to one consent page, one gets a code', async () => {
    const bob = visitor()
    const consent = await signIn(bob, await bob.open(authorizePath()), 'bob', 'seven tall herons')
    const answers = await Promise.all(Array.from({ length: 20 }, () => bob.submit(consent, { decision: 'allow' })))
    assert.equal(answers.filter(({ location }) => location?.includes('code=')).length, 1)
    const { id } = (await world.authority.store.subjects.findByUsername('bob')) as SubjectRecord
    await world.authority.store.transact((tx) => tx.consents.delete(id, 'notes' as ClientId))
  })

  test('a consent page shown to one person does not count for another who signed in since', async () => {
    const ada = visitor()
    const consent = await signIn(ada, await ada.open(authorizePath({ prompt: 'consent' })))
    const other = await ada.open(`/signin/${consent.url.split('/').at(-1)}?switch=1`)
    await signIn(ada, other, 'bob', 'seven tall herons')
    const stale = await ada.submit(consent, { decision: 'allow' })
    assert.equal(stale.status, 400)
    assert.match(stale.text, /out of date/)
  })

  test('signing in as someone else ends the session that was here', async () => {
    const both = visitor()
    await signIn(both, await both.open(authorizePath({ client_id: 'own' })))
    const adas = sessionOf(both)
    const page = await both.open(authorizePath({ client_id: 'own', prompt: 'login' }))
    const other = await both.open(`${page.url}?switch=1`)
    await signIn(both, other, 'bob', 'seven tall herons')
    assert.equal((await world.authority.store.sessions.find(adas))?.status, 'revoked')
  })

  test('a native app on loopback may use any port, and is shown before it gets anything silently', async () => {
    const ada = visitor()
    await signIn(ada, await ada.open(authorizePath({ client_id: 'own' })))
    const silent = await ada.get(authorizePath({ client_id: 'cli', redirect_uri: 'http://127.0.0.1:53682/cb', prompt: 'none' }))
    assert.match(silent.location as string, /^http:\/\/127\.0\.0\.1:53682\/cb\?error=interaction_required/)
    const page = await ada.open(authorizePath({ client_id: 'cli', redirect_uri: 'http://127.0.0.1:53682/cb' }))
    assert.match(page.text, /Continue to <span class="app">House CLI<\/span>\?/)
    const done = await ada.submit(page, { decision: 'allow' })
    assert.match(done.location as string, /^http:\/\/127\.0\.0\.1:53682\/cb\?code=/)
  })

  test('a browser gets a page that goes on, so that form-action holds for our form alone; an app’s own scheme a redirect', async () => {
    const ada = visitor()
    const page = await ada.open(authorizePath({ client_id: 'own' }))
    const done = await ada.submit(
      page,
      { username: 'ada@example.org', password: PASSWORD },
      { headers: { 'sec-fetch-mode': 'navigate' } },
    )
    assert.equal(done.status, 200)
    const to = /content="0; url=([^"]*)"/.exec(done.text)?.[1] as string
    assert.match(unescapeText(to), /^https:\/\/app\.example\/callback\?code=sgc_/)
    assert.match(String(page.headers['content-security-policy']), /form-action 'self';/)
    const native = await ada.open(authorizePath({ client_id: 'cli', redirect_uri: 'com.example.cli:/cb' }))
    assert.match(String(native.headers['content-security-policy']), /form-action 'self' com\.example\.cli:;/)
    const back = await ada.submit(native, { decision: 'allow' }, { headers: { 'sec-fetch-mode': 'navigate' } })
    assert.equal(back.status, 303)
    assert.match(back.location as string, /^com\.example\.cli:\/cb\?code=/)
  })

  test('a wrong password and an unknown name get the same answer', async () => {
    const texts = []
    for (const username of ['ada@example.org', 'nobody.here']) {
      const who = visitor('203.0.113.7')
      const page = await who.open(authorizePath())
      const refused = await signIn(who, page, username, 'not the password')
      assert.equal(refused.status, 400)
      texts.push(refused.text.replaceAll(/sgi_[\w-]+|value="[^"]*"|data-options="[^"]*"/g, ''))
    }
    assert.equal(texts[0], texts[1])
  })

  test('no page can be cached, framed, or run anything but our own script', async () => {
    const page = await visitor().open(authorizePath())
    assert.equal(page.headers['cache-control'], 'no-store')
    const policy = String(page.headers['content-security-policy'])
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ])
      assert.ok(policy.includes(part), part)
    assert.doesNotMatch(page.text, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i)
  })

  test('a session ends when it was idle for long', async () => {
    const ada = visitor()
    await signIn(ada, await ada.open(authorizePath({ client_id: 'own' })))
    world.clock.advance(world.authority.settings.sessionIdleSeconds * 1000 + 1000)
    const page = await ada.open(authorizePath({ client_id: 'own' }))
    assert.match(page.text, /<h1>Sign in<\/h1>/)
  })

  test('what happened is in the audit record, without names', async () => {
    const text = await world.auditText()
    for (const type of ['signin.succeeded', 'signin.refused', 'consent.given', 'consent.refused', 'code.issued'])
      assert.ok(text.includes(`"${type}"`), type)
    assert.doesNotMatch(text, /ada@example|bob|sg[a-z]_/)
  })
})
