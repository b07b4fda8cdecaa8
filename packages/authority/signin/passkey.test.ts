import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { idToBytes, newId, type SubjectId } from '@signet/kernel/ids.ts'
import type { PasskeyRecord } from '../store/ports/subjects.ts'
import { realSurroundings } from '../surroundings.ts'
import { creationOptions, relyingPartyOf, requestOptions, verifyNewPasskey, verifyPasskey } from './passkey.ts'

const { chance } = realSurroundings()
const site = { id: 'id.example', origin: 'https://id.example', name: 'Signet' }
const challenge = toBase64Url(chance.bytes(32))
const subject = newId<SubjectId>(1_800_000_000_000, chance)

// An authenticator in software, as much of it as is judged here: flags UP 1, UV 4, BE 8, BS 16, AT 64.
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const { x = '', y = '' } = key.publicKey.export({ format: 'jwk' })
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))
const credential = chance.bytes(16)
const cose = cbor(
  new Map<unknown, unknown>([
    [1, 2],
    [3, -7],
    [-1, 1],
    [-2, bytes(x)],
    [-3, bytes(y)],
  ]),
)
const hash = (data: string | Uint8Array): Buffer => createHash('sha256').update(data).digest()

interface Change {
  readonly flags?: number
  readonly counter?: number
  readonly rpId?: string
  readonly client?: Record<string, unknown>
}
function clientData(type: string, { client = {} }: Change): Buffer {
  return Buffer.from(JSON.stringify({ type, challenge, origin: site.origin, crossOrigin: false, ...client }))
}
function authData({ flags = 5, counter = 1, rpId = site.id }: Change, attested?: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(flags, 0)
  head.writeUInt32BE(counter, 1)
  return Buffer.concat([hash(rpId), head, attested ?? new Uint8Array(0)])
}
function assertion(change: Change & { userHandle?: string | undefined; id?: string } = {}): string {
  const data = authData(change)
  const client = clientData('webauthn.get', change)
  const signature = sign('sha256', Buffer.concat([data, hash(client)]), key.privateKey)
  const id = change.id ?? toBase64Url(credential)
  const userHandle = 'userHandle' in change ? change.userHandle : toBase64Url(idToBytes(subject))
  const response = {
    clientDataJSON: toBase64Url(client),
    authenticatorData: toBase64Url(data),
    signature: toBase64Url(signature),
    userHandle,
  }
  return JSON.stringify({ id, rawId: id, type: 'public-key', response, clientExtensionResults: {} })
}
function creation(change: Change & { fmt?: string; statement?: Map<unknown, unknown> } = {}): string {
  const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([0, credential.length]), credential, cose])
  const data = authData({ flags: 69, ...change }, attested)
  const client = clientData('webauthn.create', change)
  const object = cbor(
    new Map<unknown, unknown>([
      ['fmt', change.fmt ?? 'none'],
      ['attStmt', change.statement ?? new Map()],
      ['authData', new Uint8Array(data)],
    ]),
  )
  const id = toBase64Url(credential)
  const response = {
    clientDataJSON: toBase64Url(client),
    attestationObject: toBase64Url(object),
    transports: ['internal', 'telepathy'],
  }
  return JSON.stringify({ id, rawId: id, type: 'public-key', response, clientExtensionResults: {} })
}

const record: PasskeyRecord = {
  id: toBase64Url(credential),
  subject,
  publicKey: cose,
  counter: 1,
  transports: [],
  name: '',
  createdAt: 0,
}
const verify = (text: string, asked = challenge) =>
  verifyPasskey(text, asked, site, { passkey: async (id) => (id === record.id ? record : undefined) })

describe('signing in with a passkey', () => {
  test('a genuine answer names the passkey, its counter and how it was proved', async () => {
    assert.deepEqual(await verify(assertion({ counter: 7 })), { passkey: record, counter: 7, amr: ['hwk', 'user', 'mfa'] })
    const synced = await verify(assertion({ flags: 5 | 8 | 16 }))
    assert.ok(typeof synced === 'object')
    assert.deepEqual(synced.amr, ['swk', 'user', 'mfa'])
  })

  test('whatever does not fit is refused', async () => {
    for (const [what, text] of [
      ['no user verification', assertion({ flags: 1 })],
      ['nobody present', assertion({ flags: 4 })],
      ['another site', assertion({ rpId: 'evil.example' })],
      ['another origin', assertion({ client: { origin: 'https://evil.example' } })],
      ['a neighbour’s origin', assertion({ client: { origin: 'https://app.id.example' } })],
      ['another challenge', assertion({ client: { challenge: toBase64Url(chance.bytes(32)) } })],
      ['another ceremony', assertion({ client: { type: 'webauthn.create' } })],
      ['somebody else’s handle', assertion({ userHandle: toBase64Url(chance.bytes(16)) })],
      ['no handle', assertion({ userHandle: undefined })],
      [
        'a broken signature',
        assertion().replace(/"signature":"(.)/, (_, first: string) => `"signature":"${first === 'M' ? 'N' : 'M'}`),
      ],
    ] as const) {
      assert.equal(await verify(text), 'passkey_invalid', what)
    }
    assert.equal(await verify(assertion(), toBase64Url(chance.bytes(32))), 'passkey_invalid')
    assert.equal(await verify(assertion({ id: 'AAAA' })), 'passkey_unknown')
    assert.equal(await verify('{"id":1}'), 'passkey_malformed')
  })

  test('what the page is given names nobody and asks for verification', async () => {
    const options = await requestOptions(site, challenge)
    assert.equal(options.challenge, challenge)
    assert.equal(options.allowCredentials, undefined)
    assert.equal(options.userVerification, 'required')
  })
})

describe('making a passkey', () => {
  test('a genuine answer gives the credential; transports we don’t know are dropped', async () => {
    const made = await verifyNewPasskey(creation(), challenge, site)
    assert.ok(typeof made === 'object')
    assert.deepEqual([made.id, made.counter, made.transports], [record.id, 1, ['internal']])
    assert.deepEqual(Buffer.from(made.publicKey), Buffer.from(cose))
  })

  test('a certificate is never followed, and without verification or for another site nothing is made', async (t) => {
    const { mock: asked } = t.mock.method(globalThis, 'fetch', () => Promise.reject(new Error('nobody is there')))
    const withCertificate = new Map<unknown, unknown>([
      ['alg', -7],
      ['sig', chance.bytes(70)],
      ['x5c', [chance.bytes(300)]],
    ])
    assert.equal(
      await verifyNewPasskey(creation({ fmt: 'packed', statement: withCertificate }), challenge, site),
      'passkey_invalid',
    )
    assert.equal(asked.callCount(), 0)
    for (const fmt of ['tpm', 'android-key', 'android-safetynet', 'apple', 'fido-u2f', 'odd']) {
      assert.equal(await verifyNewPasskey(creation({ fmt }), challenge, site), 'passkey_invalid', fmt)
    }
    for (const change of [
      { flags: 65 },
      { rpId: 'evil.example' },
      { client: { origin: 'https://evil.example' } },
      { client: { challenge: 'AAAA' } },
    ]) {
      assert.equal(await verifyNewPasskey(creation(change), challenge, site), 'passkey_invalid')
    }
  })

  test('it is made to be found without a name, and known ones are left out', async () => {
    const options = await creationOptions(site, challenge, { subject, username: 'ada', name: 'Ada' }, [record])
    assert.equal(options.authenticatorSelection?.residentKey, 'required')
    assert.equal(options.authenticatorSelection?.userVerification, 'required')
    assert.equal(options.user.id, toBase64Url(idToBytes(subject)))
    assert.deepEqual(
      options.excludeCredentials?.map(({ id }) => id),
      [record.id],
    )
    assert.equal(options.attestation, 'none')
  })
})

test('passkeys are for issuers with a host name', () => {
  assert.equal(relyingPartyOf('http://localhost:4800')?.id, 'localhost')
  assert.equal(relyingPartyOf('https://id.example')?.origin, 'https://id.example')
  for (const address of ['http://127.0.0.1:4800', 'http://[::1]:4800', 'https://192.0.2.1'])
    assert.equal(relyingPartyOf(address), undefined)
})

/** As much of CBOR (RFC 8949) as an authenticator writes. */
function cbor(value: unknown): Uint8Array {
  const head = (major: number, size: number): Uint8Array =>
    size < 24
      ? new Uint8Array([(major << 5) | size])
      : size < 256
        ? new Uint8Array([(major << 5) | 24, size])
        : new Uint8Array([(major << 5) | 25, size >> 8, size & 255])
  const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value)
  if (typeof value === 'string') return join(head(3, Buffer.byteLength(value)), Buffer.from(value))
  if (value instanceof Uint8Array) return join(head(2, value.length), value)
  if (Array.isArray(value)) return join(head(4, value.length), ...value.map(cbor))
  if (value instanceof Map) return join(head(5, value.size), ...[...value].flat().map(cbor))
  throw new Error('not written by authenticators')
}
