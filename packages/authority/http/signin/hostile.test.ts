import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ClientId } from '@signet/kernel/ids.ts'
import { TEST_REDIRECT } from '@signet/testkit/authority.ts'
import { authorizePath, openSignInWorld, type SignInWorld } from '@signet/testkit/sign-in.ts'
import fc from 'fast-check'

const EVIL = `"><script>alert(1)</script><img src=x onerror=alert(1)>'\``

describe('what comes from outside', () => {
  let world: SignInWorld
  before(async () => {
    world = await openSignInWorld({ seed: 6 })
    await world.addApp({ name: EVIL })
    await world.addApp({ id: 'form' as ClientId, name: 'Form' })
    await world.addPerson('ada', 'four grey herons', { claims: { name: EVIL } })
    await world.authority.store.transact((tx) =>
      tx.resources.put({
        uri: 'https://evil.example',
        name: EVIL,
        scopes: [{ name: 'x', description: EVIL }],
        dpopRequired: false,
        createdAt: 0,
      }),
    )
    await world.addApp({ id: 'evil' as ClientId, name: EVIL, resources: ['https://evil.example'], scopes: ['x', 'openid'] })
  })
  after(() => world.close())

  /** Nothing but our own markup: every tag of the page is one that we wrote. */
  const assertClean = (text: string) => {
    assert.doesNotMatch(text, /<script>|onerror=(?!&)[^&]*>|<img/)
    assert.equal(text.includes(EVIL), false)
    assert.equal((text.match(/<script/g) ?? []).length, 1)
  }

  test('names, descriptions, hints and claims are text on every page', async () => {
    const ada = world.visitor({ userAgent: EVIL })
    const page = await ada.open(authorizePath({ login_hint: EVIL, state: EVIL, nonce: EVIL }))
    assertClean(page.text)
    assert.match(page.text, /value="&quot;&gt;&lt;script&gt;/)
    const refused = await ada.submit(page, { username: EVIL, password: EVIL })
    assertClean(refused.text)
    assert.equal(refused.text.includes(`alert(1)</script>`), false)
    const consent = await ada.submit(refused, { username: 'ada', password: 'four grey herons' })
    assertClean(consent.text)
    assertClean((await ada.open(authorizePath({ client_id: 'evil', resource: 'https://evil.example', scope: 'openid x' }))).text)
    assertClean((await ada.open('/account')).text)
    assertClean((await ada.open('/logout?client_id=evil')).text)
    const done = await ada.submit(consent, { decision: 'allow' })
    assert.equal(new URL(done.location as string).searchParams.get('state'), EVIL)
  })

  test('errors repeat nothing of the request', async () => {
    const who = world.visitor()
    for (const path of [
      `/authorize?client_id=${encodeURIComponent(EVIL)}`,
      authorizePath({ redirect_uri: `https://evil.example/${EVIL}` }),
      `/authorize?error=${encodeURIComponent(EVIL)}`,
      `/signin/${encodeURIComponent(EVIL)}`,
      `/consent/${encodeURIComponent(EVIL)}`,
      `/setup/${encodeURIComponent(EVIL)}`,
      `/logout?client_id=${encodeURIComponent(EVIL)}&post_logout_redirect_uri=javascript:alert(1)`,
      `/account?done=${encodeURIComponent(EVIL)}`,
    ]) {
      const page = await who.open(path)
      assert.doesNotMatch(page.text, /alert\(1\)/, path)
    }
  })

  test('an error that goes to the app has fixed words and escapes the state', async () => {
    const who = world.visitor()
    const sent = await who.get(authorizePath({ state: '&error=none#x', scope: `openid ${EVIL}` }))
    const answer = new URL(sent.location as string)
    assert.equal(answer.origin + answer.pathname, TEST_REDIRECT)
    assert.equal(answer.searchParams.get('error'), 'invalid_scope')
    assert.equal(answer.searchParams.get('state'), '&error=none#x')
    assert.doesNotMatch(answer.searchParams.get('error_description') as string, /script/)
  })

  test('a repeated parameter is told to the app when the address is beyond doubt, to the person when it is not', async () => {
    const who = world.visitor()
    const sent = await who.get(`${authorizePath()}&nonce=again`)
    assert.match(sent.location as string, /^https:\/\/app\.example\/callback\?error=invalid_request/)
    for (const doubtful of [`${authorizePath()}&redirect_uri=https%3A%2F%2Fevil.example`, `${authorizePath()}&client_id=evil`]) {
      const page = await who.get(doubtful)
      assert.equal(page.status, 400)
      assert.equal(page.location, undefined)
    }
  })

  test('POST /authorize is sent on as the GET it means, whatever is in it', async () => {
    const who = world.visitor()
    const sent = await who.post('/authorize', authorizePath().slice('/authorize?'.length), { 'sec-fetch-site': 'cross-site' })
    assert.equal(sent.status, 303)
    assert.match((await who.open(sent.location as string)).text, /<h1>Sign in<\/h1>/)
    for (const body of ['', 'a=b\r\nSet-Cookie: x=y', '%0d%0aLocation:%20//evil', '//evil.example', 'é\u0000']) {
      const odd = await who.post('/authorize', body)
      assert.equal(odd.status, 303)
      assert.match(odd.location as string, /^\/authorize(\?[\x21-\x7e]*)?$/)
      assert.equal(odd.headers['set-cookie'], undefined)
    }
    assert.equal((await who.post('/authorize', 'x'.repeat(20_000))).status, 413)
    assert.equal((await who.post('/authorize', '{}', { 'content-type': 'application/json' })).status, 415)
  })

  test('a request that is too long is refused before anything is written', async () => {
    const who = world.visitor()
    const page = await who.get(`${authorizePath()}&x=${'y'.repeat(13_000)}`)
    assert.equal(page.status, 400)
    assert.match(page.text, /It is too long\..*<code>query_too_long<\/code>/s)
    assert.equal(who.cookies.size, 0)
    const many = await who.get(`${authorizePath()}&${Array.from({ length: 65 }, (_, n) => `x${n}=y`).join('&')}`)
    assert.match(many.text, /It has too many parts\..*<code>too_many_parameters<\/code>/s)
  })

  test('whatever cookies and handles come, there is an answer below 500 and no session', async () => {
    const text = fc.string({ unit: fc.constantFrom(...'sgi_sgs_sgd_AZaz09-_=.%/\\ '), maxLength: 120 })
    await fc.assert(
      fc.asyncProperty(text, text, text, text, async (browser, session, device, handle) => {
        const who = world.visitor()
        who.cookies
          .set('__Host-signet_interaction', browser)
          .set('__Host-signet_session', session)
          .set('__Host-signet_device', device)
        for (const path of [
          `/signin/${encodeURIComponent(handle)}`,
          `/consent/${encodeURIComponent(handle)}`,
          `/setup/${encodeURIComponent(handle)}`,
          '/account',
          authorizePath(),
        ]) {
          const page = await who.get(path)
          assert.ok(page.status < 500, `${path}: ${page.status}`)
          assert.doesNotMatch(page.location ?? '', /code=/)
        }
      }),
      { numRuns: 40 },
    )
  })

  test('passkey answers that are garbage are refused and spend the challenge', async () => {
    const who = world.visitor()
    let page = await who.open(authorizePath({ client_id: 'form' }))
    const challengeOf = (text: string) => /challenge&quot;:&quot;([\w-]+)/.exec(text)?.[1]
    const seen = new Set([challengeOf(page.text)])
    for (const passkey of [
      'x',
      '{}',
      'null',
      '[]',
      '{"id":"x","response":{}}',
      JSON.stringify({
        id: 'A',
        rawId: 'A',
        type: 'public-key',
        response: { clientDataJSON: 'A', authenticatorData: 'A', signature: 'A' },
      }),
      '['.repeat(10_000),
    ]) {
      page = await who.submit(page, { passkey })
      assert.equal(page.status, 400)
      assert.match(page.text, /That passkey didn’t work/)
      seen.add(challengeOf(page.text))
    }
    assert.equal(seen.size, 8)
  })

  test('too many tries are told to wait, with 429 and Retry-After', async () => {
    const who = world.visitor({ address: '203.0.113.99' })
    let page = await who.open(authorizePath({ client_id: 'form' }))
    for (let i = 0; i < 6; i++) page = await who.submit(page, { username: 'ada', password: `wrong wrong ${i}` })
    assert.equal(page.status, 429)
    assert.ok(Number(page.headers['retry-after']) > 0)
    assert.match(page.text, /too many tries/)
  })
})
