import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { Refusal } from '@signet/kernel/errors.ts'
import { Secret } from '@signet/kernel/secret.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { exportJWK, importJWK, type JWTPayload, SignJWT } from 'jose'
import { defaultSettings } from '../policy/settings.ts'
import type { ClientRecord } from '../store/ports/clients.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { sha256 } from '../surroundings.ts'
import { authenticateClient, type ClientCredentials, type ClientParts, createKnownClients } from './authenticate-client.ts'
import { createRecent } from './recent.ts'
import { useUp } from './single-use.ts'

const ISSUER = 'https://id.example'
const surroundings = manualSurroundings('clients')
const { clock } = surroundings
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })

let store: Store
let parts: ClientParts

const record = (id: string, fields: Partial<ClientRecord>): ClientRecord => ({
  id: id as ClientRecord['id'],
  name: id,
  platform: 'service',
  authMethod: 'client_secret_basic',
  secrets: [],
  jwks: [],
  redirectUris: [],
  postLogoutRedirectUris: [],
  grantTypes: ['client_credentials'],
  scopes: [],
  resources: [],
  introspects: [],
  dpopBound: false,
  firstParty: true,
  status: 'active',
  cutoffMs: 0,
  revokedMs: 0,
  createdAt: 0,
  ...fields,
})
const hashed = (secret: string) => ({ sha256: sha256(secret), createdAt: 0 })
const nowAt = () => Math.floor(clock.now() / 1000)

before(async () => {
  store = await openSqliteStore({ path: ':memory:', surroundings })
  const jwks = [{ ...(await exportJWK(ec.publicKey)), kid: 'ec' }, await exportJWK(ed.publicKey)]
  const clients = [
    record('basic', { secrets: [hashed('s3cret'), { ...hashed('old'), expiresAt: nowAt() + 60 }] }),
    record('post', { authMethod: 'client_secret_post', secrets: [hashed('s3cret')] }),
    record('public', { authMethod: 'none', platform: 'browser' }),
    record('jwt', { authMethod: 'private_key_jwt', jwks }),
    record('keyless', { authMethod: 'private_key_jwt' }),
    record('suspended', { secrets: [hashed('s3cret')], status: 'suspended' }),
    record('revoked', { secrets: [hashed('s3cret')], status: 'revoked' }),
    record('nosecret', {}),
  ]
  await store.transact(async (tx) => {
    for (const client of clients) assert.ok(await tx.clients.create(client))
  })
  const clientsKnown = createKnownClients({ store, settings: defaultSettings, clock })
  parts = { clients: clientsKnown, issuer: ISSUER, settings: defaultSettings, clock, sha256 }
})
after(() => store.close())

const basic = (clientId: string, secret: string): ClientCredentials => ({
  method: 'client_secret_basic',
  clientId,
  secret: new Secret(secret),
})
const by = (assertion: string, clientId?: string): ClientCredentials => ({
  method: 'private_key_jwt',
  clientId,
  assertion: new Secret(assertion),
})

let count = 0
function assertion(
  changes: JWTPayload & { alg?: string; kid?: string; typ?: string; key?: KeyObject } = {},
  client = 'jwt',
): Promise<string> {
  const { alg = 'ES256', kid, typ, key = ec.privateKey, ...claims } = changes
  const payload = { iss: client, sub: client, aud: ISSUER, exp: nowAt() + 60, iat: nowAt(), jti: `jti ${++count}`, ...claims }
  return new SignJWT(payload)
    .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }), ...(typ === undefined ? {} : { typ }) })
    .sign(key)
}

async function refusedFor(credentials: ClientCredentials): Promise<string> {
  const error = await authenticateClient(credentials, parts).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof Refusal, String(error))
  return `${error.code} ${error.reason}`
}
const FAILED = 'invalid_client client_authentication_failed'

describe('a client with a secret', () => {
  it('is let in with it, and with the one it is replacing until that ends', async () => {
    assert.equal((await authenticateClient(basic('basic', 's3cret'), parts)).record.id, 'basic')
    assert.equal((await authenticateClient(basic('basic', 'old'), parts)).record.id, 'basic')
    clock.advance(61_000)
    assert.equal(await refusedFor(basic('basic', 'old')), FAILED)
  })

  it('gets one answer for a wrong secret, an unknown name, another method and a missing secret', async () => {
    assert.equal(await refusedFor(basic('basic', 'wrong')), FAILED)
    assert.equal(await refusedFor(basic('nobody', 's3cret')), FAILED)
    assert.equal(await refusedFor({ ...basic('basic', 's3cret'), method: 'client_secret_post' } as ClientCredentials), FAILED)
    assert.equal(await refusedFor(basic('post', 's3cret')), FAILED)
    assert.equal(await refusedFor(basic('nosecret', '')), FAILED)
    assert.equal(await refusedFor(basic('jwt', 's3cret')), FAILED)
    assert.equal(await refusedFor(basic('public', 's3cret')), FAILED)
    assert.equal(await refusedFor(basic('revoked', 's3cret')), FAILED)
    assert.equal(await refusedFor(basic('x'.repeat(129), 's3cret')), FAILED)
    assert.equal(await refusedFor({ method: 'none', clientId: 'basic' }), FAILED)
    assert.equal(await refusedFor({ method: 'none', clientId: 'nobody' }), FAILED)
  })

  it('costs one look at the store when it is refused, whether its name is known, remembered or neither', async () => {
    let looks = 0
    const load = (id: string) => {
      looks++
      return store.clients.find(id as ClientRecord['id'])
    }
    const clients = createRecent(load, { maxAgeMs: 500, capacity: 100, clock })
    const looksFor = async (clientId: string, secret: string) => {
      const before = looks
      await authenticateClient(basic(clientId, secret), { ...parts, clients }).catch(() => {})
      return looks - before
    }
    assert.deepEqual([await looksFor('basic', 's3cret'), await looksFor('basic', 's3cret')], [1, 0])
    for (const name of ['basic', 'basic', 'nobody', 'nobody', 'nobody else']) assert.equal(await looksFor(name, 'wrong'), 1, name)
  })

  it('is not looked for under a name that none can have, by secret or assertion', async () => {
    const clients = createRecent(async () => assert.fail('PostgreSQL takes no NUL'), { maxAgeMs: 500, capacity: 100, clock })
    for (const name of ['a\u0000b', '\u0000', '\u0001', 'é', '\ud800']) {
      for (const credentials of [basic(name, 's3cret'), by(await assertion({}, name))]) {
        const refused = (error: unknown) => error instanceof Refusal && `${error.code} ${error.reason}` === FAILED
        await assert.rejects(authenticateClient(credentials, { ...parts, clients }), refused, JSON.stringify(name))
      }
    }
  })

  it('is told of its suspension only after it has proved who it is', async () => {
    assert.equal(await refusedFor(basic('suspended', 's3cret')), 'access_denied client_suspended')
    assert.equal(await refusedFor(basic('suspended', 'wrong')), FAILED)
  })

  it('goes on at once when it is resumed, however lately it was refused', async () => {
    const client = record('resting', { secrets: [hashed('s3cret')], status: 'suspended' })
    await store.transact((tx) => tx.clients.create(client))
    assert.equal(await refusedFor(basic('resting', 's3cret')), 'access_denied client_suspended')
    await store.transact((tx) => tx.clients.changeStanding(client.id, { from: ['suspended'], to: 'active' }))
    assert.equal((await authenticateClient(basic('resting', 's3cret'), parts)).record.id, 'resting')
  })

  it('is refused within a second of losing its secret', async () => {
    await authenticateClient(basic('post-2', 'x'), parts).catch(() => {})
    const client = record('fading', { secrets: [hashed('one')] })
    await store.transact((tx) => tx.clients.create(client))
    await authenticateClient(basic('fading', 'one'), parts)
    await store.transact((tx) => tx.clients.update({ ...client, secrets: [hashed('two')] }))
    clock.advance(defaultSettings.mintStalenessMilliseconds)
    assert.equal(await refusedFor(basic('fading', 'one')), FAILED)
    assert.equal((await authenticateClient(basic('fading', 'two'), parts)).record.id, 'fading')
  })
})

describe('a client with a key (private_key_jwt)', () => {
  it('is let in by an assertion for the issuer, by any of its keys', async () => {
    assert.equal((await authenticateClient(by(await assertion()), parts)).record.id, 'jwt')
    assert.equal((await authenticateClient(by(await assertion({ kid: 'ec' })), parts)).record.id, 'jwt')
    assert.equal((await authenticateClient(by(await assertion({ alg: 'EdDSA', key: ed.privateKey })), parts)).record.id, 'jwt')
  })

  it('is not let in by another key, another client, or without a signature', async () => {
    assert.equal(await refusedFor(by(await assertion({ key: other.privateKey }))), FAILED)
    assert.equal(await refusedFor(by(await assertion({ kid: 'unknown' }))), FAILED)
    assert.equal(await refusedFor(by(await assertion({}, 'nobody'))), FAILED)
    assert.equal(await refusedFor(by(await assertion({}, 'keyless'))), FAILED)
    assert.equal(await refusedFor(by(await assertion({}, 'basic'))), FAILED)
    assert.equal(await refusedFor(by(await assertion(), 'basic')), FAILED)
    assert.equal(await refusedFor(by(await assertion({ sub: 'basic' }))), FAILED)
    const [, payload] = (await assertion()).split('.')
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    assert.equal(await refusedFor(by(`${none}.${payload}.`)), FAILED)
    assert.equal(await refusedFor(by('not an assertion')), FAILED)
    assert.equal(await refusedFor(by('')), FAILED)
    assert.equal(await refusedFor(by(`${'a'.repeat(9000)}.b.c`)), FAILED)
    const hmac = await new SignJWT({ iss: 'jwt', sub: 'jwt', aud: ISSUER, exp: nowAt() + 60, jti: 'h' })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.alloc(32, 1))
    assert.equal(await refusedFor(by(hmac)), FAILED)
  })

  it('is not let in by the key that stands in for a missing one, although anyone can sign with that', async () => {
    // Its private half is the number 1.
    const one = {
      kty: 'EC',
      crv: 'P-256',
      x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY',
      y: 'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU',
      d: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE',
    }
    const key = (await importJWK(one, 'ES256')) as unknown as KeyObject
    for (const client of ['nobody', 'keyless', 'jwt', 'basic']) {
      assert.equal(await refusedFor(by(await assertion({ key }, client))), FAILED)
      assert.equal(await refusedFor(by(await assertion({ key, exp: nowAt() - 600 }, client))), FAILED)
    }
  })

  it('may say that it is an assertion, and must not say that it is something else', async () => {
    for (const typ of ['JWT', 'client-authentication+jwt', 'application/client-authentication+jwt'])
      assert.equal((await authenticateClient(by(await assertion({ typ })), parts)).record.id, 'jwt')
    for (const typ of ['dpop+jwt', 'at+jwt', 'oauth-authz-req+jwt', ''])
      assert.equal(await refusedFor(by(await assertion({ typ }))), FAILED)
  })

  it('must say whom it is for, only us, and must not live long', async () => {
    const invalid = 'invalid_client assertion_invalid'
    assert.equal(await refusedFor(by(await assertion({ aud: 'https://elsewhere.example' }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ aud: [ISSUER, 'https://elsewhere.example'] }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ aud: [ISSUER] }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ aud: `${ISSUER}/` }))), invalid)
    // A malicious server names our token endpoint as its own, and passes on what was made for it.
    assert.equal(await refusedFor(by(await assertion({ aud: `${ISSUER}/token` }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ aud: [] }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ aud: undefined } as never))), invalid)
    assert.equal(await refusedFor(by(await assertion({ exp: nowAt() + 331 }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ exp: undefined } as never))), invalid)
    assert.equal(await refusedFor(by(await assertion({ jti: undefined } as never))), invalid)
    assert.equal(await refusedFor(by(await assertion({ jti: 'x'.repeat(257) }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ nbf: nowAt() + 120 }))), invalid)
    assert.equal(await refusedFor(by(await assertion({ exp: nowAt() - 31 }))), 'invalid_client assertion_expired')
  })

  it('works once: the second use of the same assertion undoes the transaction it is in', async () => {
    const text = await assertion()
    const first = await authenticateClient(by(text), parts)
    const second = await authenticateClient(by(text), parts)
    await store.transact((tx) => useUp(tx, first.uses))
    await assert.rejects(
      store.transact((tx) => useUp(tx, second.uses)),
      (error) => error instanceof Refusal && error.reason === 'assertion_replayed',
    )
  })
})
