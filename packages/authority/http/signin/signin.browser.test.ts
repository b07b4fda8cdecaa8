/**
 * A person at a real browser: password, passkey (a virtual authenticator), consent, account, sign-out, with every page looked
 * at by axe in light and dark. Skipped, loudly, where there is no Chromium.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, describe, test } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import type { ClientId } from '@signet/kernel/ids.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { startTestAuthority, type TestAuthority } from '@signet/testkit/authority.ts'
import { authorizePath } from '@signet/testkit/sign-in.ts'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { createPasswords } from '../../signin/password.ts'
import { parseSessionCookie } from '../../signin/session.ts'
import { createSetupLink } from '../../signin/setup.ts'
import { sha256 } from '../../surroundings.ts'

const CHROMIUM = process.env.SIGNET_CHROMIUM || '/usr/bin/chromium'
const skip = existsSync(CHROMIUM) ? false : `no Chromium at ${CHROMIUM}; set SIGNET_CHROMIUM`
const ARGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const PASSWORD = 'four grey herons'

describe('signing in with a browser', { skip }, () => {
  let authority: TestAuthority
  let app: Server
  let browser: Browser
  let context: BrowserContext
  let page: Page
  let complaints: string[] = []
  let callback = ''

  before(async () => {
    authority = await startTestAuthority()
    // An app whose callback redirects to another origin, as many do: `form-action` must not stop that.
    app = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://localhost')
      if (url.pathname === '/callback')
        response.writeHead(303, { location: `http://127.0.0.1:${port()}/home${url.search}` }).end()
      else response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>App</title><h1>App</h1>')
    })
    await new Promise<void>((resolve) => app.listen(0, () => resolve()))
    const port = () => (app.address() as AddressInfo).port
    callback = `http://localhost:${port()}/callback`
    await authority.addResource({ name: 'Notes', scopes: [{ name: 'notes:read', description: 'Read your notes' }] })
    const notes = { authMethod: 'none', secrets: [], redirectUris: [callback], scopes: ['openid', 'notes:read'] } as const
    await authority.addClient({
      ...notes,
      id: 'notes' as ClientId,
      name: 'Notes Web',
      firstParty: false,
      postLogoutRedirectUris: [`${callback}?bye`],
    })
    await authority.addClient({ ...notes, id: 'own' as ClientId, name: 'House App' })
    const passwordHash = await createPasswords(authority.surroundings.chance).hash(new Secret(PASSWORD))
    for (const username of ['ada', 'bob', 'cyd']) await authority.addSubject({ username, passwordHash })
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS.split(' '), timeout: PATIENCE_MS })
  })
  after(async () => {
    await browser?.close()
    app?.close()
    await authority?.close()
  })
  afterEach(async () => {
    await context?.close()
    assert.deepEqual(complaints, [], 'the browser had nothing to complain about')
    complaints = []
  })

  const visit = async (colorScheme: 'light' | 'dark' = 'light', javaScriptEnabled = true) => {
    const viewport = { width: 390, height: 780 }
    // Else a colour may be looked at while it changes.
    context = await browser.newContext({ colorScheme, javaScriptEnabled, viewport, reducedMotion: 'reduce' })
    context.setDefaultTimeout(PATIENCE_MS)
    page = await context.newPage()
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => {
      // A refused form is a 400 by design; everything else, such as a policy violation, is not.
      if (message.type() === 'error' && !/status of (400|404|410|429)/.test(message.text())) complaints.push(message.text())
    })
  }
  const authenticator = async () => {
    const cdp = await context.newCDPSession(page)
    await cdp.send('WebAuthn.enable')
    const options = {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
    } as const
    await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { ...options, automaticPresenceSimulation: true } })
  }
  const open = (path: string) => page.goto(authority.issuer + path)
  const ask = (change: Record<string, string> = {}) => open(authorizePath({ redirect_uri: callback, ...change }))
  /** Where the page goes on by itself, perhaps before it is there as a whole. */
  const passThrough = (path: string) => page.goto(authority.issuer + path, { waitUntil: 'commit' })
  const askForOwn = () => passThrough(authorizePath({ redirect_uri: callback, client_id: 'own' }))
  const headed = (name: string | RegExp) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor()
  const signIn = async (username: string, password = PASSWORD) => {
    await page.getByLabel('Username or e-mail').fill(username)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  }
  const axe = async () => {
    await page.waitForLoadState()
    const { violations } = await new AxeBuilder({ page }).analyze()
    assert.deepEqual(
      violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
      [],
      page.url(),
    )
  }
  const sessionInBrowser = async () => {
    const cookie = (await context.cookies()).find(({ name }) => name === '__Host-signet_session')
    const key = parseSessionCookie(cookie?.value)
    return key === undefined ? undefined : authority.store.sessions.find(key.id)
  }

  for (const scheme of ['light', 'dark'] as const) {
    test(`password and consent lead back to the app, past its own redirects; every page is accessible (${scheme})`, async () => {
      await visit(scheme)
      const username = scheme === 'light' ? 'ada' : 'bob'
      await ask()
      await headed('Sign in')
      await axe()
      await signIn(username, 'not the password')
      assert.match(await page.getByRole('alert').first().innerText(), /don’t match/)
      await axe()
      await signIn(username)
      await page.waitForURL(/\/consent\//)
      await headed(/Notes Web/)
      assert.match(await page.locator('.ask').innerText(), /Read your notes/)
      await axe()
      await page.getByRole('button', { name: 'Allow', exact: true }).click()
      await page.waitForURL(/127\.0\.0\.1.*\/home\?code=sgc_/)
      assert.equal(new URL(page.url()).searchParams.get('iss'), authority.issuer)

      await askForOwn()
      await page.waitForURL(/\/home\?code=/) // No page in between: one sign-in serves every app.

      for (const path of [
        '/account',
        '/account/password',
        '/account/passkeys/new',
        '/logout',
        '/authorize',
        '/setup/nothing',
        '/',
      ]) {
        await open(path)
        await axe()
      }
    })
  }

  test('a passkey made on the account page signs in without a name, and steps up', async () => {
    await visit()
    await authenticator()
    await open('/account')
    await signIn('cyd')
    await page.getByRole('link', { name: 'Add a passkey' }).click()
    await page.getByLabel('Name').fill('Test key')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.waitForURL(/done=passkey_added/)
    assert.match(await page.locator('main').innerText(), /Test key/)
    await axe()

    // A password is not enough where an app asks for more.
    await ask({ client_id: 'own', acr_values: 'urn:signet:acr:passkey' })
    await headed('Use your passkey')
    await axe()
    await page.getByRole('button', { name: 'Use your passkey' }).click()
    await page.waitForURL(/\/home\?code=/)
    assert.deepEqual([(await sessionInBrowser())?.acr, (await sessionInBrowser())?.amr[1]], ['urn:signet:acr:passkey', 'user'])

    await open('/account')
    await page.getByRole('link', { name: 'Remove passkey Test key' }).click()
    await headed('Remove “Test key”?')
    await axe()
    const boxes = [page.getByRole('button', { name: 'Remove' }), page.getByRole('link', { name: 'Keep it' })].map((each) =>
      each.boundingBox(),
    )
    const [remove, keep] = await Promise.all(boxes)
    assert.equal(keep?.width, remove?.width)
    assert.ok((keep?.y ?? 0) >= (remove?.y ?? 0) + (remove?.height ?? 0) + 8, 'nobody presses the one for the other')

    // In a browser that has never been here, the key is offered in the name's own field …
    await context.clearCookies()
    await askForOwn()
    await page.waitForURL(/\/home\?code=/)
    assert.equal((await sessionInBrowser())?.acr, 'urn:signet:acr:passkey')

    // … and by a button, also where the browser can't offer it by itself.
    await context.clearCookies()
    await page.addInitScript('PublicKeyCredential.isConditionalMediationAvailable = async () => false')
    await ask({ client_id: 'own' })
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click()
    await page.waitForURL(/\/home\?code=/)
  })

  test('an invited person sets up with a passkey alone', async () => {
    await visit()
    await authenticator()
    const { clock, chance } = authority.surroundings
    const link = await authority.store.transact((tx) =>
      createSetupLink(
        tx,
        { kind: 'invitation', roles: [] },
        { actor: 'system' },
        { issuer: authority.issuer, clock, chance, sha256 },
      ),
    )
    await page.goto(link.url)
    await axe()
    await page.getByLabel('Username or e-mail').fill('dora')
    await page.getByRole('button', { name: 'Set up with a passkey' }).click()
    await page.waitForURL(/done=set_up/)
    assert.equal((await authority.store.subjects.findByUsername('dora'))?.passwordHash, undefined)
    await page.getByRole('button', { name: 'Sign out', exact: true }).click()
    await headed('You’re signed out')
    await axe()
    await passThrough('/account')
    await page.waitForURL(/\/account$/)
    await headed('dora')
  })

  test('a passkey that is refused says so where a screen reader hears it', async () => {
    await visit()
    await authenticator()
    await ask()
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click()
    await page.locator('[data-passkey-error]:not([hidden])').waitFor()
    assert.match(await page.locator('[data-passkey-error]').innerText(), /No passkey was used/)
    await axe()
  })

  test('everything but passkeys works without a script', async () => {
    await visit('light', false)
    await ask({ client_id: 'own' })
    assert.equal(await page.getByRole('button', { name: 'Sign in with a passkey' }).isVisible(), false)
    await signIn('ada')
    await page.waitForURL(/\/home\?code=/)
    await open('/logout')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await headed('You’re signed out')
    assert.equal(
      (await context.cookies()).some(({ name }) => name === '__Host-signet_session'),
      false,
    )
  })

  test('an app signs its person out and gets them back', async () => {
    await visit()
    await ask({ client_id: 'own' })
    await signIn('bob')
    await page.waitForURL(/\/home\?code=/)
    const session = await sessionInBrowser()
    const query = new URLSearchParams({ client_id: 'notes', post_logout_redirect_uri: `${callback}?bye`, state: 's' })
    await open(`/logout?${query}`)
    await headed('Sign out?')
    await axe()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(/\/home\?bye=?&state=s/)
    assert.equal((await authority.store.sessions.find(session?.id as never))?.status, 'revoked')
  })

  test('the keyboard alone is enough: from the first field to the app', async () => {
    await visit()
    await ask({ client_id: 'own' })
    await page.locator('input:focus').waitFor() // The first field takes the focus by itself, but only once the page is drawn.
    await page.keyboard.type('ada')
    await page.keyboard.press('Tab')
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/home\?code=/)
  })
})
