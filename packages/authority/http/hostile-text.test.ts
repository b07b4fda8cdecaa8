/**
 * Text that no database takes or that is longer than anything: at every route, as a part of its path, its query, its form and its JSON, with
 * everything else as it should be, the answer is that it will not do. PostgreSQL refuses a text with a NUL; that must never be our fault.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ADMIN_SCOPES, type Endpoint, endpoints } from '@signet/api/schema.ts'
import { basicAuth } from '@signet/testkit/authority.ts'
import { startPostgres } from '@signet/testkit/postgres.ts'
import { authorizePath, openSignInWorld } from '@signet/testkit/sign-in.ts'
import { PATIENCE_MS } from '@signet/testkit/until.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { realSurroundings } from '../surroundings.ts'
import { type AdminWorld, startAdminWorld } from './admin/admin.testkit.ts'

const server = await startPostgres()
after(() => ('skip' in server ? undefined : server.stop()))

/** As they stand in a URL or a form. */
const HOSTILE = {
  NUL: '%00',
  'a NUL within': 'a%00b',
  'a control character': 'a%1f',
  'a lone surrogate': '%ED%A0%80',
  'a torn character': '%F0%9F%98',
  'far too much': 'a'.repeat(6000),
} as const
const JSON_HOSTILE = ['\u0000', 'a\u0000b', '\ud800', 'a\udc00b', 'a'.repeat(60_000)]
const FIELDS = [
  'client_id',
  'client_secret',
  'grant_type',
  'code',
  'code_verifier',
  'redirect_uri',
  'refresh_token',
  'scope',
  'resource',
  'token',
  'token_type_hint',
  'state',
  'nonce',
  'prompt',
  'max_age',
  'acr_values',
  'login_hint',
  'id_token_hint',
  'username',
  'password',
  'form',
  'client_assertion',
  'client_assertion_type',
  'decision',
  'passkey',
  'name',
  'probe',
  'after',
  'epoch',
  'validator',
  'region',
  'done',
  'v',
] as const

interface Route {
  readonly method: string
  readonly path: string
}

for (const engine of ['sqlite', 'postgres'] as const)
  describe(`text that will not do, on ${engine}`, {
    skip: engine === 'postgres' && 'skip' in server ? server.skip : false,
  }, () => {
    let world: AdminWorld
    let token: string
    let routes: readonly Route[]
    const storeOf = async () => {
      if (engine === 'sqlite' || 'skip' in server) return {}
      return { store: await openPostgresStore({ url: await server.freshDatabase(), surroundings: realSurroundings() }) }
    }
    before(async () => {
      world = await startAdminWorld({ ...(await storeOf()), settings: { addressRate: { perSecond: 10_000, burst: 100_000 } } })
      await world.authority.addResource()
      await world.authority.addClient()
      token = (await world.admin.accessToken(ADMIN_SCOPES.join(' '))).access_token
      routes = readRoutes(world.authority.app.printRoutes({ commonPrefix: false }))
    })
    after(async () => {
      await world.authority.close()
      if (engine === 'postgres') await world.authority.store.close()
    })

    async function answer(
      method: string,
      path: string,
      body?: { type: string; text: string },
      headers: Record<string, string> = {},
    ) {
      const authorization = path.startsWith('/admin/') ? `Bearer ${token}` : (basicAuth('client').authorization as string)
      const ask = async () => {
        const response = await fetch(world.authority.url + path, {
          method,
          redirect: 'manual',
          signal: AbortSignal.timeout(PATIENCE_MS),
          headers: { authorization, ...(body === undefined ? {} : { 'content-type': body.type }), ...headers },
          ...(body === undefined ? {} : { body: body.text }),
        })
        if ((response.headers.get('content-type') ?? '').includes('event-stream')) await response.body?.cancel()
        else await response.arrayBuffer()
        return response.status
      }
      const status = await ask()
      if (status !== 503) return status
      // Once more after a look at the log: the machine may have stood still, and the node does not know enough to be ready.
      await world.authority.registry.lookNow()
      return ask()
    }

    test('is refused in each part of each path', async () => {
      const wrong: string[] = []
      for (const { method, path } of routes)
        for (const name of path.match(/:\w+/g) ?? [])
          for (const [what, text] of Object.entries(HOSTILE)) {
            const filled = path.replaceAll(/:\w+/g, (one) => (one === name ? text : 'x'))
            const form = method === 'POST' && !path.startsWith('/admin/')
            const status = await answer(method, filled, form ? { type: FORM_TYPE, text: '' } : undefined)
            if (status < 400 || status > 499) wrong.push(`${status} for ${what} in ${method} ${path}`)
          }
      assert.deepEqual(wrong, [])
      assert.ok(routes.filter(({ path }) => path.includes(':')).length > 30, 'the map was read')
    })

    test('is no fault of ours in any parameter of a query', async () => {
      const wrong: string[] = []
      const names = new Set([
        ...FIELDS,
        ...Object.values(endpoints).flatMap(({ query }: Endpoint) => Object.keys(query?.shape ?? {})),
      ])
      for (const { method, path } of routes.filter((route) => route.method === 'GET' || route.method === 'DELETE')) {
        const known = (Object.values(endpoints) as Endpoint[]).find(
          (one) => one.method === method && path === `/admin/v1${one.path}`,
        )
        for (const name of known === undefined ? names : Object.keys(known.query?.shape ?? {})) {
          const [what, text] = nextHostile()
          const status = await answer(method, `${path.replaceAll(/:\w+/g, 'x')}?${name}=${text}`)
          if (status > 499) wrong.push(`${status} for ${what} as ${name} of ${method} ${path}`)
        }
      }
      assert.deepEqual(wrong, [])
    })

    test('is no fault of ours in any field of a form', async () => {
      const wrong: string[] = []
      for (const { method, path } of routes.filter((route) => route.method === 'POST' && !route.path.startsWith('/admin/')))
        for (const name of FIELDS) {
          const [what, text] = nextHostile()
          const status = await answer(method, path.replaceAll(/:\w+/g, 'x'), { type: FORM_TYPE, text: `${name}=${text}` })
          if (status > 499) wrong.push(`${status} for ${what} as ${name} of ${method} ${path}`)
        }
      assert.deepEqual(wrong, [])
    })

    test('is refused in the JSON of an administrator, however deep', async () => {
      for (const text of JSON_HOSTILE) {
        const bodies: [string, string, unknown][] = [
          ['POST', '/admin/v1/subjects', { username: `p${text.length}`, claims: { a: [{ b: text }] } }],
          ['POST', '/admin/v1/subjects', { username: `p${text.length}`, claims: { [text]: 1 } }],
          ['POST', '/admin/v1/subjects', { username: `p${text.length}`, roles: [text] }],
          [
            'PUT',
            `/admin/v1/resources/${encodeURIComponent('https://a.example')}`,
            { name: 'A', scopes: [{ name: 'a', description: text }] },
          ],
          ['POST', '/admin/v1/revocations', { target: { kind: 'subject', id: text, issuer: 'https://x.example' }, reason: 'x' }],
        ]
        for (const [method, path, body] of bodies) {
          const status = await answer(method, path, { type: 'application/json', text: JSON.stringify(body) })
          assert.ok(status >= 400 && status <= 499, `${status} for ${JSON.stringify(text).slice(0, 20)} in ${method} ${path}`)
        }
      }
    })

    test('is refused inside what is encoded once more', async () => {
      const jwt = (payload: object) =>
        [{ alg: 'ES256', kid: 'a\u0000', typ: 'at+jwt' }, payload].map(segment).join('.').concat('.AAAA')
      for (const text of JSON_HOSTILE.map((one) => one.slice(0, 100))) {
        const basic = { authorization: `Basic ${btoa(`${encodeURIComponent(text.toWellFormed())}:secret`)}` }
        const claims = { iss: text, sub: text, aud: text, client_id: text, jti: text, sid: text }
        const assertion = {
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: jwt(claims),
        }
        const sent: [string, Record<string, string>, Record<string, string>][] = [
          ['/token', { grant_type: 'client_credentials' }, basic],
          ['/token', { grant_type: 'client_credentials', ...assertion }, { authorization: '' }],
          ['/introspect', { token: jwt(claims) }, {}],
          ['/revoke', { token: jwt(claims) }, {}],
          ['/leaks', { token: jwt(claims) }, {}],
        ]
        for (const [path, form, headers] of sent) {
          const status = await answer('POST', path, { type: FORM_TYPE, text: new URLSearchParams(form).toString() }, headers)
          assert.ok(status < 500, `${status} at ${path}`)
        }
        assert.ok((await answer('GET', `/logout?id_token_hint=${jwt(claims)}`)) < 500)
        assert.ok((await answer('GET', '/userinfo', undefined, { authorization: `Bearer ${jwt(claims)}` })) < 500)
        assert.ok((await answer('GET', '/admin/v1/status', undefined, { authorization: `Bearer ${jwt(claims)}` })) < 500)
      }
    })

    test('is refused from somebody who is signed in, with the token of the form', async () => {
      const own = await openSignInWorld(await storeOf())
      try {
        await own.addApp()
        await own.addPerson('ada', 'four grey herons')
        const who = own.visitor()
        await who.submit(await who.open(authorizePath()), { username: 'ada', password: 'four grey herons' })
        const fields =
          (await who.open('/account')).forms.find(({ action }) => action.startsWith('/account/'))?.fields ??
          assert.fail('no form')
        const paths = readRoutes(own.authority.app.printRoutes({ commonPrefix: false })).filter(
          ({ method, path }) => method === 'POST' && path.startsWith('/account/') && path.includes(':'),
        )
        assert.ok(paths.length >= 4)
        for (const { path } of paths)
          for (const text of ['%00', 'a%00', 'a%1f', 'a'.repeat(900)]) {
            const done = await who.post(path.replace(/:\w+/, text), fields, { 'sec-fetch-site': 'same-origin' })
            assert.ok(done.status < 500, `${done.status} at ${path} with ${text.slice(0, 10)}`)
          }
      } finally {
        await own.close()
        if (engine === 'postgres') await own.authority.store.close()
      }
    })
  })

/** One after the other: there are more parameters and routes than kinds, so that all of them meet many of both. */
let turn = 0
const nextHostile = (): [string, string] => Object.entries(HOSTILE)[turn++ % Object.keys(HOSTILE).length] as [string, string]

const FORM_TYPE = 'application/x-www-form-urlencoded'
const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The framework's tree of routes, as lines with a whole path each. */
function readRoutes(tree: string): Route[] {
  const parents: string[] = []
  const found: Route[] = []
  for (const line of tree.split('\n')) {
    const match = /^((?:[│ ] {3})*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?/.exec(line)
    if (match === null) continue
    const depth = (match[1] as string).length / 4
    parents[depth] = match[2] as string
    const path = parents.slice(0, depth + 1).join('')
    for (const method of (match[3] ?? '').split(', '))
      if (method !== '' && method !== 'HEAD' && method !== 'OPTIONS') found.push({ method, path })
  }
  return found
}
