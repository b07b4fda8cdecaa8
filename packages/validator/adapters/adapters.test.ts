import assert from 'node:assert/strict'
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { serve } from '@hono/node-server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { createValidator, type Validator } from '../index.ts'
import { ath, dpopKey, startIssuer, type TestIssuer } from '../issuer.testkit.ts'
import * as forExpress from './express.ts'
import * as forFastify from './fastify.ts'
import * as forHono from './hono.ts'
import * as forNode from './node.ts'

const AUDIENCE = 'https://api.example'
const PERMISSIONS = { read: {}, write: { acrValues: ['strong'], maxAgeSeconds: 60 } }
let issuer: TestIssuer
let validator: Validator

before(async () => {
  issuer = await startIssuer()
  validator = createValidator({ issuer: issuer.issuer, audience: AUDIENCE, permissions: PERMISSIONS, resourceMetadata: true })
  await validator.ready()
})
after(async () => {
  await validator.close()
  await issuer.close()
})

interface Running {
  readonly url: string
  close(): Promise<unknown> | unknown
}
const listening = (server: Server): Promise<Running> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      resolve({ url: `http://127.0.0.1:${port}`, close: () => server.close() })
    })
  })

/** The same small service with each framework: /v1/read needs `read`, /v1/write needs `write`, /v1/any any token. */
const services: Readonly<Record<string, () => Promise<Running>>> = {
  'node:http': () => {
    const metadata = forNode.serveMetadata(validator)
    const routes: Readonly<Record<string, RequestListener>> = {
      '/v1/read': forNode.protect(validator, { needs: 'read' }, (_q, response, verdict) => void response.end(verdict.claims.sub)),
      '/v1/write': forNode.protect(validator, { needs: ['read', 'write'] }, (_q, response) => void response.end('written')),
      '/v1/any': forNode.protect(validator, {}, (_q, response) => void response.end('any')),
    }
    return listening(
      createHttpServer((request, response) => {
        if (!metadata(request, response)) routes[request.url?.split('?')[0] ?? '']?.(request, response)
      }),
    )
  },
  fastify: async () => {
    const app = Fastify()
    forFastify.useSignet(app, validator)
    app.get('/v1/read', { onRequest: forFastify.protect(validator, { needs: 'read' }) }, (request) => request.verdict?.claims.sub)
    app.get('/v1/write', { onRequest: forFastify.protect(validator, { needs: ['read', 'write'] }) }, () => 'written')
    app.get('/v1/any', { onRequest: forFastify.protect(validator) }, () => 'any')
    return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
  },
  express: () => {
    const app = express()
    const router = express.Router()
    app.use(forExpress.serveMetadata(validator))
    router.get(
      '/read',
      forExpress.protect(validator, { needs: 'read' }),
      (q, r) => void r.send(forExpress.verdictOf(q).claims.sub),
    )
    router.get('/write', forExpress.protect(validator, { needs: ['read', 'write'] }), (_q, r) => void r.send('written'))
    router.get('/any', forExpress.protect(validator), (_q, r) => void r.send('any'))
    app.use('/v1', router)
    return listening(createHttpServer(app))
  },
  hono: () => {
    const app = new Hono<{ Variables: forHono.SignetVariables }>()
    forHono.serveMetadata(app as unknown as Hono, validator)
    app.get('/v1/read', forHono.protect(validator, { needs: 'read' }), (c) => c.text(c.get('verdict').claims.sub))
    app.get('/v1/write', forHono.protect(validator, { needs: ['read', 'write'] }), (c) => c.text('written'))
    app.get('/v1/any', forHono.protect(validator), (c) => c.text('any'))
    // As a gateway does: the headers of an answer that was fetched cannot be changed.
    app.get('/v1/passed-on', forHono.protect(validator, { needs: 'read' }), () => fetch(`${issuer.issuer}/jwks`))
    return new Promise((resolve) => {
      const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
        resolve({ url: `http://127.0.0.1:${port}`, close: () => server.close() })
      })
    })
  },
}

for (const [name, start] of Object.entries(services)) {
  describe(`a service made with ${name}`, () => {
    let service: Running
    before(async () => {
      service = await start()
    })
    after(() => service.close())
    const get = (path: string, headers: Record<string, string> = {}) => fetch(service.url + path, { headers })
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

    test('lets through what may pass, and its handler sees the verdict', async () => {
      const response = await get('/v1/read?x=1', bearer(issuer.mint({ scope: 'read' })))
      assert.equal(response.status, 200)
      assert.equal(await response.text(), 'user-1')
      assert.equal(response.headers.get('signet-freshness'), null)
      assert.equal((await get('/v1/any', { authorization: `bearer   ${issuer.mint()} ` })).status, 200)
    })

    test('challenges who brings no token, without an error code', async () => {
      const response = await get('/v1/read')
      assert.equal(response.status, 401)
      assert.equal(
        response.headers.get('www-authenticate'),
        'Bearer resource_metadata="https://api.example/.well-known/oauth-protected-resource"',
      )
      assert.deepEqual(await response.json(), {
        error: 'invalid_token',
        error_description: 'An access token is needed',
        reason: 'missing',
        action: 'reauthenticate',
      })
      for (const authorization of ['Basic abc', 'Digest x']) assert.equal((await get('/v1/read', { authorization })).status, 401)
    })

    test('calls a header that cannot be read a bad request', async () => {
      for (const authorization of ['Bearer', 'Bearer a b', 'Bearer a, Bearer b']) {
        const response = await get('/v1/read', { authorization })
        assert.equal(response.status, 400)
        assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer error="invalid_request"/)
        assert.equal(((await response.json()) as { error: string }).error, 'invalid_request')
      }
    })

    test('takes one Authorization header and no second', async () => {
      const good = `Bearer ${issuer.mint({ scope: 'read' })}`
      for (const authorization of [
        [good, good],
        [good, 'Bearer b'],
        ['Bearer b', good],
        [good, 'Basic abc'],
        ['Basic abc', good],
      ]) {
        const response = await new Promise<IncomingMessage>((resolve, reject) => {
          const sent = request(`${service.url}/v1/read`, { headers: { Authorization: authorization }, agent: false }, resolve)
          sent.on('error', reject).end()
        })
        response.resume()
        assert.equal(response.statusCode, 400, authorization.join(' and '))
        assert.match(response.headers['www-authenticate'] ?? '', /^Bearer error="invalid_request"/)
      }
    })

    test('refuses a bad token without repeating any of it', async () => {
      const token = issuer.mint({ scope: 'read' }).slice(0, -3)
      const response = await get('/v1/read', bearer(token))
      const body = await response.text()
      assert.equal(response.status, 401)
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer error="invalid_token", error_description=/)
      assert.equal(response.headers.get('cache-control'), 'no-store')
      for (const part of token.split('.'))
        assert.ok(!body.includes(part) && !(response.headers.get('www-authenticate') ?? '').includes(part))
    })

    test('says which scope is missing', async () => {
      const response = await get('/v1/read', bearer(issuer.mint({ scope: 'other' })))
      assert.equal(response.status, 403)
      assert.match(response.headers.get('www-authenticate') ?? '', /error="insufficient_scope".*scope="read"/)
      assert.equal(((await response.json()) as { action: string }).action, 'step_up')
    })

    test('says which sign-in is missing (RFC 9470)', async () => {
      const response = await get('/v1/write', bearer(issuer.mint({ scope: 'read write', acr: 'weak' })))
      assert.equal(response.status, 401)
      const challenge = response.headers.get('www-authenticate') ?? ''
      assert.match(challenge, /error="insufficient_user_authentication"/)
      assert.match(challenge, /acr_values="strong", max_age="60"/)
      const strong = issuer.mint({ scope: 'read write', acr: 'strong', auth_time: Math.floor(Date.now() / 1000) })
      assert.equal((await get('/v1/write', bearer(strong))).status, 200)
    })

    test('takes a bound token with its proof, once, and leads a client to the nonce it needs', async () => {
      const key = dpopKey()
      const token = issuer.mint({ scope: 'read', cnf: { jkt: key.jkt } })
      const proof = (more: object = {}) => key.proof({ htm: 'GET', htu: `${AUDIENCE}/v1/read`, ath: ath(token), ...more })
      const ask = (dpop: string) => get('/v1/read?page=2', { authorization: `DPoP ${token}`, dpop })

      const first = await ask(proof())
      assert.equal(first.status, 401)
      assert.match(first.headers.get('www-authenticate') ?? '', /^DPoP error="use_dpop_nonce".*algs="ES256 EdDSA RS256 PS256"/)
      const nonce = first.headers.get('dpop-nonce')
      assert.ok(nonce)

      const good = proof({ nonce })
      const second = await ask(good)
      assert.equal(second.status, 200)
      assert.ok(second.headers.get('dpop-nonce'))
      const third = await ask(good)
      assert.equal(third.status, 401)
      assert.match(third.headers.get('www-authenticate') ?? '', /invalid_dpop_proof/)
      assert.equal(((await third.json()) as { reason: string }).reason, 'proof_replayed')

      const stolen = await get('/v1/read', bearer(token))
      assert.equal(stolen.status, 401)
      assert.match(stolen.headers.get('www-authenticate') ?? '', /^DPoP error="invalid_token"/)
      // The Host header is the sender's own word: a proof for another host does not pass by it.
      const elsewhere = await ask(proof({ nonce, htu: `${service.url}/v1/read` }))
      assert.equal(((await elsewhere.json()) as { reason: string }).reason, 'binding_invalid')
    })

    test('serves its metadata (RFC 9728)', async () => {
      const response = await get('/.well-known/oauth-protected-resource')
      assert.equal(response.status, 200)
      assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
      assert.deepEqual(await response.json(), {
        resource: AUDIENCE,
        authorization_servers: [issuer.issuer],
        scopes_supported: ['read', 'write'],
        bearer_methods_supported: ['header'],
        dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'RS256', 'PS256'],
        dpop_bound_access_tokens_required: false,
      })
    })
  })
}

test('a service made with hono that passes on what it fetched answers a bound token too', async () => {
  const service = await (services.hono as () => Promise<Running>)()
  const key = dpopKey()
  const token = issuer.mint({ scope: 'read', cnf: { jkt: key.jkt } })
  const claims = { htm: 'GET', htu: `${AUDIENCE}/v1/passed-on`, ath: ath(token), nonce: validator.dpopNonce() }
  const headers = { authorization: `DPoP ${token}`, dpop: key.proof(claims) }
  const response = await fetch(`${service.url}/v1/passed-on`, { headers })
  await service.close()
  assert.equal(response.status, 200)
  assert.ok(response.headers.get('dpop-nonce'))
})

test('a permission that nobody could have is found when the route is set up', () => {
  assert.throws(() => forNode.protect(validator, { needs: 'raed' }, () => {}), /'raed'/)
  assert.throws(() => forFastify.protect(validator, { needs: ['raed'] }), /'raed'/)
  assert.throws(() => forExpress.protect(validator, { needs: 'raed' }), /'raed'/)
  assert.throws(() => forHono.protect(validator, { needs: 'raed' }), /'raed'/)
})

test('instances that share nonces and the memory of proofs let a proof pass once between them; others not at all', async () => {
  const used = new Set<string>()
  const nonceKey = new Uint8Array(32).fill(9)
  const replay = async ({ replayKey }: { replayKey: Uint8Array }) => {
    const id = Buffer.from(replayKey).toString('hex')
    if (used.has(id)) return 'replayed' as const
    used.add(id)
    return 'fresh' as const
  }
  const make = (dpop: object) => createValidator({ issuer: issuer.issuer, audience: AUDIENCE, dpop })
  const [a, b, other] = [make({ nonceKey, replay }), make({ nonceKey, replay }), make({})]
  const broken = make({
    nonceKey,
    replay: () => Promise.reject(new Error('the shared memory is away')),
  })
  try {
    const key = dpopKey()
    const token = issuer.mint({ cnf: { jkt: key.jkt } })
    const shown = (nonce: string | undefined) => ({
      method: 'GET',
      url: '/x',
      headers: { authorization: `DPoP ${token}`, dpop: key.proof({ htm: 'GET', htu: `${AUDIENCE}/x`, ath: ath(token), nonce }) },
    })
    const request = shown(a.dpopNonce())
    const reason = async (by: Validator, what = request) => {
      const verdict = await by.validate(what)
      return verdict.allowed ? 'allowed' : `${verdict.reason} ${verdict.status}`
    }
    assert.equal(await reason(a), 'allowed')
    assert.equal(await reason(b), 'proof_replayed 401')
    assert.equal(await reason(other), 'use_dpop_nonce 401')
    assert.equal(await reason(broken), 'overloaded 503')
    assert.throws(() => a.validateSync(request), TypeError)
    assert.equal(await reason(b, shown(a.dpopNonce())), 'allowed')
  } finally {
    await Promise.all([a, b, other, broken].map((each) => each.close()))
  }
})
