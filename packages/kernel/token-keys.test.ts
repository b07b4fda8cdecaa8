import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { KEY_KINDS, type KeyKind, revocationKey, type Salt, type TokenKeys } from './revocation.ts'
import { createRevocationView } from './revocation-view.ts'
import type { Sha256 } from './surroundings.ts'
import { createKeyer, isRevoked, revokedBy } from './token-keys.ts'

const sha256: Sha256 = (data) => hash('sha256', data, 'buffer')
const SALT: Salt = { version: 1, bytes: new Uint8Array(16).fill(3) }
const ISSUER = 'https://id.example'
const ISSUED = 1_800_000_000_000

const token: TokenKeys = {
  issuer: ISSUER,
  token: 't',
  grant: 'g',
  session: 's',
  device: 'd',
  subject: 'u',
  client: 'c',
  key: 'k',
  scope: 'read write',
  ancestors: ['root', 'middle'],
}

function viewWith(kind: KeyKind, id: string, cutoffMs: number, issuer = ISSUER) {
  const view = createRevocationView()
  view.begin({ epoch: 'e', seq: 0 }, SALT)
  const key = revocationKey(sha256, SALT, kind, issuer, id)
  view.applyBatch(
    { epoch: 'e', from: 1, to: 1, saltVersion: 1, entries: [{ key, cutoffMs, dropAfter: 2_000_000_000 }] },
    { nowMs: ISSUED, guardMs: 10_000 },
  )
  return view
}

test('every kind of key kills the token that has it, and no other', () => {
  const ids: Record<KeyKind, string> = {
    token: 't',
    grant: 'g',
    session: 's',
    device: 'd',
    subject: 'u',
    client: 'c',
    key: 'k',
    issuer: ISSUER,
    scope: 'write',
  }
  for (const kind of KEY_KINDS) {
    assert.equal(isRevoked(viewWith(kind, ids[kind], ISSUED), createKeyer(sha256), token, ISSUED), kind)
    assert.equal(isRevoked(viewWith(kind, 'other', ISSUED), createKeyer(sha256), token, ISSUED), undefined)
    assert.equal(isRevoked(viewWith(kind, ids[kind], ISSUED, 'https://other'), createKeyer(sha256), token, ISSUED), undefined)
  }
})

test('a cutoff at the issue time kills, one just before it does not', () => {
  assert.equal(isRevoked(viewWith('subject', 'u', ISSUED), createKeyer(sha256), token, ISSUED), 'subject')
  assert.equal(isRevoked(viewWith('subject', 'u', ISSUED - 1), createKeyer(sha256), token, ISSUED), undefined)
})

test('a signing key that was taken back is dead whatever issue time its tokens claim', () => {
  assert.equal(isRevoked(viewWith('key', 'k', ISSUED - 1_000_000), createKeyer(sha256), token, ISSUED + 9_999), 'key')
})

test('a token dies with any of its ancestors', () => {
  assert.equal(isRevoked(viewWith('token', 'root', ISSUED), createKeyer(sha256), token, ISSUED), 'token')
  assert.equal(isRevoked(viewWith('token', 'middle', ISSUED), createKeyer(sha256), token, ISSUED), 'token')
})

test('more ancestors or scopes than allowed are a mistake of the caller', () => {
  const ancestors = Array.from({ length: 9 }, (_, n) => `${n}`)
  assert.throws(() => createKeyer(sha256).digests(SALT, { issuer: ISSUER, ancestors }), RangeError)
  const scopes = Array.from({ length: 257 }, (_, n) => `${n}`)
  assert.throws(() => createKeyer(sha256).digests(SALT, { issuer: ISSUER, scope: scopes.join(' ') }), RangeError)
  const last = isRevoked(
    viewWith('scope', '255', ISSUED),
    createKeyer(sha256),
    { issuer: ISSUER, scope: scopes.slice(0, 256).join(' ') },
    ISSUED,
  )
  assert.equal(last, 'scope')
})

test('prepared digests equal the plain ones, remembered or not, for any text', () => {
  const plainKeyer = createKeyer(sha256)
  const textKeyer = createKeyer(sha256, (data) => hash('sha256', data, 'latin1'))
  const id = fc.option(fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ minLength: 500, maxLength: 600 })), {
    nil: undefined,
  })
  const anyToken = fc.record({
    issuer: fc.constantFrom(ISSUER, 'https://other.example/', 'é'),
    token: id,
    grant: id,
    session: id,
    device: id,
    subject: id,
    client: id,
    key: id,
    scope: fc.option(
      fc.array(fc.string({ maxLength: 10 }), { maxLength: 80 }).map((names) => names.join(' ')),
      { nil: undefined },
    ),
    ancestors: fc.array(fc.string({ maxLength: 10 }), { maxLength: 8 }),
  })
  fc.assert(
    fc.property(anyToken, fc.boolean(), fc.boolean(), (keys, again, asText) => {
      const keyer = asText ? textKeyer : plainKeyer
      const present = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined)) as unknown as TokenKeys
      if (again) keyer.digests(SALT, present)
      const { words, kinds } = keyer.digests(SALT, present)
      const scopes = (present.scope ?? '').split(' ').filter((name) => name !== '')
      const ids: string[] = kinds.map((kind) =>
        kind === 'issuer' ? present.issuer : kind === 'scope' ? (scopes.shift() as string) : (present[kind] as string),
      )
      present.ancestors?.forEach((ancestor, i) => {
        ids[kinds.length - (present.ancestors?.length ?? 0) + i] = ancestor
      })
      kinds.forEach((kind, i) => {
        const plain = revocationKey(sha256, SALT, kind, present.issuer, ids[i] as string)
        const bytes = Buffer.alloc(16)
        for (let w = 0; w < 4; w++) bytes.writeUInt32BE(words[i * 4 + w] as number, w * 4)
        assert.deepEqual(bytes, Buffer.from(plain))
      })
    }),
  )
})

test('keys are those of the example in docs/protocol/feed.md', () => {
  const salt: Salt = { version: 1, bytes: Uint8Array.from({ length: 16 }, (_, n) => n) }
  const issuer = 'https://auth.example'
  const hex = (kind: KeyKind, id: string) => Buffer.from(revocationKey(sha256, salt, kind, issuer, id)).toString('hex')
  assert.equal(hex('subject', '0193500a-6e10-7c3e-9f00-0123456789ab'), '8d4a8dc9b3eb13ac2116eeec0ef5254c')
  assert.equal(hex('client', 'web-shop'), 'a9b55ada40f4a26697fc7610e37542a3')
  assert.equal(hex('token', '0193500a-7a11-7b22-8c33-d44e55f66a77'), '83f79a1c3a2b5a142cccad51e5f3eb72')
  assert.equal(hex('issuer', issuer), 'ed6f209a924fa4d4242860baa9a16c74')
  assert.equal(hex('scope', 'payments:write'), 'a346ecf805066df02065510316656d8f')
})

test('digests made under an old salt are not mixed with new ones', () => {
  const keyer = createKeyer(sha256)
  const next: Salt = { version: 2, bytes: new Uint8Array(16).fill(4) }
  const before = keyer.digests(SALT, token)
  const after = keyer.digests(next, token)
  assert.notDeepEqual(before.words, after.words)
  assert.equal(after.salt, next)
  assert.deepEqual(keyer.digests(SALT, token).words, before.words)
})

test('an empty view kills nothing, and neither does one without a salt', () => {
  const view = createRevocationView()
  const keyer = createKeyer(sha256)
  assert.equal(isRevoked(view, keyer, token, ISSUED), undefined)
  assert.equal(revokedBy(view, keyer.digests(SALT, token), ISSUED), undefined)
})
