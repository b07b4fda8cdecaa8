/** Clients, resources, people, sessions, devices, consents, API keys, keys: what is stored comes back, and moves as it may. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClientId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { TokenClaim } from '../ports/api-keys.ts'
import type { Page } from '../ports/page.ts'
import type { ResourceRecord } from '../ports/resources.ts'
import type { Store } from '../store.ts'
import { aClient, aDevice, aKey, anApiKey, aPasskey, aSession, aSubject, bytes, id, NOW_AT, NOW_MS } from './samples.contract.ts'

export function recordsContract(given: () => Store): void {
  test('a client comes back as it was stored, its update keeps standing and creation, its id is taken once', async () => {
    const store = given()
    const client = aClient()
    assert.equal(await store.transact((tx) => tx.clients.create(client)), true)
    assert.equal(await store.transact((tx) => tx.clients.create({ ...client, name: 'Another' })), false)
    assert.deepEqual(await store.clients.find(client.id), client)
    assert.deepEqual(await store.transact((tx) => tx.clients.find(client.id)), client)
    await store.transact((tx) => tx.clients.changeStanding(client.id, { from: ['active'], to: 'suspended', cutoffMs: NOW_MS }))
    const { accessTokenSeconds: _, ...bare } = client
    const changed = { ...bare, name: 'New name', refreshMaxSeconds: 9, secrets: [], dpopBound: false }
    assert.equal(await store.transact((tx) => tx.clients.update({ ...changed, status: 'active', createdAt: 5 })), true)
    assert.deepEqual(await store.clients.find(client.id), { ...changed, status: 'suspended', cutoffMs: NOW_MS })
    assert.equal(await store.transact((tx) => tx.clients.delete(client.id)), true)
    assert.equal(await store.transact((tx) => tx.clients.delete(client.id)), false)
    assert.equal(await store.clients.find(client.id), undefined)
    assert.equal(await store.transact((tx) => tx.clients.update(client)), false)
  })

  test('another region is taken over place by place, by one of many at once, and proven only as far as it was', async () => {
    const store = given()
    const name = `peer-${Buffer.from(bytes(4)).toString('hex')}`
    const find = async () => (await store.peers.all()).find((peer) => peer.name === name)
    assert.equal(await store.transact((tx) => tx.peers.create(name)), true)
    assert.equal(await store.transact((tx) => tx.peers.create(name)), false)
    const start = { epoch: '', seq: 0 }
    const won = await Promise.all(
      [3, 5, 7, 9].map((seq) => store.transact((tx) => tx.peers.advance(name, start, { epoch: 'one', seq }))),
    )
    assert.equal(won.filter(Boolean).length, 1)
    const seq = [3, 5, 7, 9][won.indexOf(true)] as number
    const prove = (at: number, ms: number) => store.transact((tx) => tx.peers.prove(name, { epoch: 'one', seq: at }, ms))
    assert.deepEqual([await prove(seq, 500), await prove(seq, 400), await prove(seq + 1, 900)], [true, true, false])
    const tell = (epoch: string, at: number) => store.transact((tx) => tx.peers.tell(name, { epoch, seq: at }))
    assert.deepEqual([await tell('ours', 4), await tell('ours', 3), await tell('ours', 4)], [true, false, false])
    assert.equal(await store.transact((tx) => tx.peers.putKeys(name, '[1]')), true)
    const found = { name, epoch: 'one', seq, freshAtMs: 500, keys: '[1]', toldEpoch: 'ours', toldSeq: 4 }
    assert.deepEqual(await find(), found)
    assert.deepEqual(
      (await store.transact((tx) => tx.peers.all())).find((peer) => peer.name === name),
      found,
    )
    assert.equal(await store.transact((tx) => tx.peers.delete(name)), true)
    assert.equal(await find(), undefined)
  })

  test('of many changes made from one reading, one wins', async () => {
    const store = given()
    const client = aClient({ id: `read-${Buffer.from(bytes(4)).toString('hex')}` as ClientId })
    const subject = aSubject()
    await store.transact(async (tx) => {
      await tx.clients.create(client)
      await tx.subjects.create(subject)
    })
    const names = Array.from({ length: 12 }, (_, n) => `Name ${n}`)
    const clients = await Promise.all(names.map((name) => store.transact((tx) => tx.clients.update({ ...client, name }, client))))
    const claims = names.map((name) => ({ ...subject, claims: { name } }))
    const subjects = await Promise.all(claims.map((changed) => store.transact((tx) => tx.subjects.update(changed, subject))))
    assert.deepEqual([clients.filter(Boolean).length, subjects.filter(Boolean).length], [1, 1])
    const stored = await store.clients.find(client.id)
    assert.equal(stored?.name, names[clients.indexOf(true)])
    assert.equal(await store.transact((tx) => tx.clients.update({ ...client, name: 'Next' }, stored)), true)
  })

  test('a listing pages through everything once, in order', async () => {
    const store = given()
    const made = ['list-c', 'list-a', 'list-B', 'list-é', 'list-b'].map((name) => aClient({ id: name as ClientId }))
    await store.transact(async (tx) => {
      for (const client of made) await tx.clients.create(client)
    })
    const seen: string[] = []
    for (let after = 'list-'; ; ) {
      const page = await store.clients.list({ after, limit: 2 })
      if (page.length === 0) break
      seen.push(...page.map((client) => client.id))
      after = page.at(-1)?.id as string
    }
    assert.deepEqual(
      seen.filter((name) => name.startsWith('list-')),
      ['list-B', 'list-a', 'list-b', 'list-c', 'list-é'],
    )
  })

  test('a resource is created or replaced by its URI', async () => {
    const store = given()
    const uri = 'https://api.example/notes'
    const resource: ResourceRecord = {
      uri,
      name: 'Notes',
      scopes: [{ name: 'r', description: 'Read' }],
      dpopRequired: true,
      createdAt: 7,
    }
    await store.transact((tx) => tx.resources.put(resource))
    assert.deepEqual(await store.resources.find(uri), resource)
    const changed: ResourceRecord = { ...resource, accessTokenSeconds: 60, dpopRequired: false, tokenFormat: 'opaque' }
    await store.transact((tx) => tx.resources.put(changed))
    assert.deepEqual(await store.resources.find(uri), changed)
    await store.transact((tx) => tx.resources.put(resource))
    assert.deepEqual(await store.resources.find(uri), resource)
    assert.equal((await store.resources.list({ limit: 10 })).length, 1)
    assert.equal(await store.transact((tx) => tx.resources.delete(uri)), true)
    assert.equal(await store.transact((tx) => tx.resources.delete(uri)), false)
  })

  test('a subject is found by id and by username, which only one can have', async () => {
    const store = given()
    const [ana, ben] = [aSubject(), aSubject()]
    const before = await store.subjects.count()
    await store.transact(async (tx) => {
      assert.equal(await tx.subjects.create(ana), true)
      assert.equal(await tx.subjects.create(ben), true)
      assert.equal(await tx.subjects.create(aSubject({ username: ana.username })), false)
    })
    assert.equal(await store.subjects.count(), before + 2)
    assert.deepEqual(await store.subjects.find(ana.id), ana)
    assert.deepEqual(await store.subjects.findByUsername(ben.username), ben)
    assert.equal(await store.transact((tx) => tx.subjects.update({ ...ben, username: ana.username })), false)
    assert.equal(await store.transact((tx) => tx.subjects.update({ ...ben, claims: { name: 'Ben' }, roles: [] })), true)
    assert.equal(await store.transact((tx) => tx.subjects.setPassword(ana.id, undefined)), true)
    const { passwordHash: _, ...without } = ana
    assert.deepEqual(await store.subjects.find(ana.id), without)
    assert.equal(await store.transact((tx) => tx.subjects.delete(ana.id)), true)
    assert.equal(await store.subjects.find(ana.id), undefined)
    assert.equal(await store.transact((tx) => tx.subjects.setPassword(ana.id, 'x')), false)
  })

  test('a username that many want at once goes to one', async () => {
    const store = given()
    const username = `wanted-${Buffer.from(bytes(4)).toString('hex')}`
    const got = await Promise.all(
      Array.from({ length: 20 }, () => store.transact((tx) => tx.subjects.create(aSubject({ username })))),
    )
    assert.equal(got.filter(Boolean).length, 1)
  })

  test('a passkey is refused when its counter did not rise, unless it never counts', async () => {
    const store = given()
    const subject = aSubject()
    const passkey = aPasskey(subject.id, `cred-${Buffer.from(bytes(6)).toString('hex')}`)
    await store.transact((tx) => tx.subjects.create(subject))
    assert.equal(await store.transact((tx) => tx.subjects.addPasskey(passkey)), 'added')
    assert.equal(await store.transact((tx) => tx.subjects.addPasskey(passkey)), 'taken')
    const orphan = { ...passkey, id: `${passkey.id}x`, subject: id<SubjectId>() }
    assert.equal(await store.transact((tx) => tx.subjects.addPasskey(orphan)), 'no_subject')
    assert.deepEqual(await store.subjects.passkeys(subject.id), [passkey])
    const use = (counter: number) => store.transact((tx) => tx.subjects.usePasskey(passkey.id, counter, NOW_AT + 1))
    assert.deepEqual([await use(5), await use(0), await use(6), await use(6)], [false, false, true, false])
    assert.deepEqual(await store.subjects.passkey(passkey.id), { ...passkey, counter: 6, lastUsedAt: NOW_AT + 1 })
    const zero = { ...passkey, id: `${passkey.id}0`, counter: 0 }
    await store.transact((tx) => tx.subjects.addPasskey(zero))
    assert.equal(await store.transact((tx) => tx.subjects.usePasskey(zero.id, 0, NOW_AT)), true)
    assert.equal(await store.transact((tx) => tx.subjects.deletePasskey(id<SubjectId>(), zero.id)), false)
    assert.equal(await store.transact((tx) => tx.subjects.deletePasskey(subject.id, zero.id)), true)
    await store.transact((tx) => tx.subjects.delete(subject.id))
    assert.equal(await store.subjects.passkey(passkey.id), undefined)
  })

  test('a session is touched and renewed while it is active, and its secret changes with the proof', async () => {
    const store = given()
    const session = aSession()
    await store.transact((tx) => tx.sessions.create(session))
    assert.deepEqual(await store.sessions.find(session.id), session)
    const proof = { authAt: NOW_AT + 9, acr: 'urn:stronger', amr: ['pwd', 'hwk'], secretHash: bytes(32) }
    assert.equal(await store.transact((tx) => tx.sessions.reauthenticate(session.id, proof)), true)
    assert.equal(await store.transact((tx) => tx.sessions.touch(session.id, NOW_AT + 77)), true)
    assert.deepEqual(await store.sessions.find(session.id), { ...session, ...proof, idleExpiresAt: NOW_AT + 77 })
    await store.transact((tx) => tx.sessions.changeStanding(session.id, { from: ['active'], to: 'revoked', revokedMs: NOW_MS }))
    assert.equal(await store.transact((tx) => tx.sessions.touch(session.id, NOW_AT + 99)), false)
    assert.equal(await store.transact((tx) => tx.sessions.reauthenticate(session.id, proof)), false)
    assert.deepEqual(
      (await store.sessions.ofSubject(session.subject, { limit: 5 })).map((s) => s.id),
      [session.id],
    )
  })

  test('a device is found by its subject, page by page', async () => {
    const store = given()
    const subject = id<SubjectId>()
    const devices = Array.from({ length: 5 }, (_, n) => aDevice({ subject, id: id(NOW_MS + n), name: `device ${n}` }))
    await store.transact(async (tx) => {
      for (const device of devices.toReversed()) await tx.devices.create(device)
      await tx.devices.touch((devices[0] as (typeof devices)[0]).id, NOW_AT + 1)
    })
    const first = await store.devices.ofSubject(subject, { limit: 3 })
    const rest = await store.devices.ofSubject(subject, { limit: 3, after: first.at(-1)?.id as string })
    assert.deepEqual(
      [...first, ...rest].map((device) => device.name),
      devices.map((device) => device.name),
    )
    assert.equal(first[0]?.lastSeenAt, NOW_AT + 1)
  })

  test('a standing moves only from where it may, its cutoffs only rise, and revoked is the end', async () => {
    const store = given()
    const session = aSession()
    const move = (
      ...[from, to, cutoffMs, revokedMs]: [
        ('active' | 'suspended' | 'revoked')[],
        'active' | 'suspended' | 'revoked',
        number,
        number,
      ]
    ) => store.transact((tx) => tx.sessions.changeStanding(session.id, { from, to, cutoffMs, revokedMs }))
    const standing = async () => {
      const found = await store.sessions.find(session.id)
      return [found?.status, found?.cutoffMs, found?.revokedMs]
    }
    assert.equal(await move(['active'], 'revoked', 1, 1), false, 'there is none yet')
    await store.transact((tx) => tx.sessions.create(session))
    assert.equal(await move(['suspended'], 'active', 9, 9), false)
    assert.equal(await move(['active'], 'suspended', 50, 0), true)
    assert.equal(await move(['active'], 'suspended', 60, 0), false)
    assert.equal(await move(['suspended'], 'active', 20, 30), true)
    assert.deepEqual(await standing(), ['active', 50, 30])
    assert.equal(await move(['active'], 'active', 70, 10), true)
    assert.equal(await move(['active', 'suspended'], 'revoked', 80, 80), true)
    assert.equal(await move(['active', 'suspended', 'revoked'], 'active', 90, 90), false)
    assert.equal(await move(['revoked'], 'suspended', 90, 90), false)
    assert.deepEqual(await standing(), ['revoked', 80, 80])
    assert.equal(await move(['revoked'], 'revoked', 85, 0), true)
    assert.deepEqual(await standing(), ['revoked', 85, 80])
  })

  test('a revocation of a subject or a client is withdrawn only while it is the last', async () => {
    const store = given()
    const [subject, client] = [aSubject(), aClient()]
    await store.transact(async (tx) => {
      await tx.subjects.create(subject)
      await tx.clients.create(client)
      await tx.subjects.changeStanding(subject.id, { from: ['active'], to: 'active', cutoffMs: 8, revokedMs: 8 })
      await tx.clients.changeStanding(client.id, { from: ['active'], to: 'active', cutoffMs: 8, revokedMs: 8 })
    })
    const withdraw = (made: number, before: number) =>
      store.transact(async (tx) => [
        await tx.subjects.withdraw(subject.id, made, before),
        await tx.clients.withdraw(client.id, made, before),
      ])
    assert.deepEqual(await withdraw(7, 0), [false, false])
    assert.deepEqual(await withdraw(8, 3), [true, true])
    assert.equal((await store.subjects.find(subject.id))?.revokedMs, 3)
    assert.equal((await store.clients.find(client.id))?.cutoffMs, 8)
  })

  test('a consent is replaced by the next for the same client, and goes with either side', async () => {
    const store = given()
    const [subject, client] = [aSubject(), aClient()]
    const consent = { subject: subject.id, client: client.id, scopes: ['a'], resources: ['https://r'], grantedAt: 5 }
    await store.transact(async (tx) => {
      await tx.subjects.create(subject)
      await tx.clients.create(client)
      await tx.consents.put(consent)
      await tx.consents.put({ ...consent, scopes: ['a', 'b'], grantedAt: 6 })
      await tx.consents.put({ ...consent, client: 'other' as ClientId })
    })
    assert.deepEqual(await store.consents.find(subject.id, client.id), { ...consent, scopes: ['a', 'b'], grantedAt: 6 })
    assert.equal((await store.consents.ofSubject(subject.id)).length, 2)
    assert.equal(await store.transact((tx) => tx.consents.hold(subject.id, 'other' as ClientId)), true)
    assert.equal(await store.transact((tx) => tx.consents.delete(subject.id, 'other' as ClientId)), true)
    assert.equal(await store.transact((tx) => tx.consents.hold(subject.id, 'other' as ClientId)), false)
    assert.equal(await store.transact((tx) => tx.consents.delete(subject.id, 'other' as ClientId)), false)
    await store.transact((tx) => tx.clients.delete(client.id))
    assert.deepEqual(await store.consents.ofSubject(subject.id), [])
  })

  test('an API key is replaced once, its end only comes nearer, and it does not come back from revoked', async () => {
    const store = given()
    const [key, endless] = [anApiKey({ expiresAt: NOW_AT + 100, subject: id<SubjectId>() }), anApiKey()]
    await store.transact(async (tx) => {
      await tx.apiKeys.create(key)
      await tx.apiKeys.create(endless)
    })
    assert.deepEqual(await store.apiKeys.find(endless.id), endless)
    const heir = id<TokenId>()
    assert.equal(await store.transact((tx) => tx.apiKeys.replace(key.id, heir, NOW_AT + 500)), true)
    assert.equal(await store.transact((tx) => tx.apiKeys.replace(key.id, id<TokenId>(), NOW_AT + 50)), false)
    assert.equal(await store.transact((tx) => tx.apiKeys.replace(endless.id, heir, NOW_AT + 500)), true)
    await store.transact((tx) => tx.apiKeys.touch(key.id, NOW_AT + 3))
    await store.transact((tx) => tx.apiKeys.touch(key.id, NOW_AT + 2))
    assert.deepEqual(await store.apiKeys.find(key.id), { ...key, replacedBy: heir, lastUsedAt: NOW_AT + 3 })
    assert.equal((await store.apiKeys.find(endless.id))?.expiresAt, NOW_AT + 500)
    assert.equal(await store.transact((tx) => tx.apiKeys.changeStatus(key.id, ['active'], 'revoked')), true)
    assert.equal(await store.transact((tx) => tx.apiKeys.changeStatus(key.id, ['revoked'], 'active')), false)
    const ours = await store.apiKeys.ofClient(key.client, { limit: 500 })
    assert.deepEqual(new Set(ours.map((k) => k.id)).size, ours.length)
    const subject = key.subject as SubjectId
    const another = anApiKey({ subject })
    await store.transact((tx) => tx.apiKeys.create(another))
    const ids = async (page: Page) => (await store.apiKeys.ofSubject(subject, page)).map((one) => one.id)
    const both = [key.id, another.id].sort() as [TokenId, TokenId]
    assert.deepEqual(await ids({ limit: 500 }), both)
    assert.deepEqual(await ids({ limit: 1, after: both[0] }), [both[1]])
  })

  test('a token ends once, and so does an API key, whose claim is kept for longer', async () => {
    const store = given()
    const key = anApiKey()
    await store.transact((tx) => tx.apiKeys.create(key))
    const nowAt = Math.floor((await store.now()) / 1000)
    const keys = [bytes(32), bytes(32), bytes(32)] as const
    const claimOf = (n: 0 | 1 | 2) => ({ key: keys[n], forApiKey: nowAt + 100, otherwise: nowAt - 1 })
    const end = (token: TokenId, claim: TokenClaim) => store.transact((tx) => tx.apiKeys.endToken(token, claim))
    const remember = (n: 0 | 1 | 2) => store.transact((tx) => tx.replay.remember(keys[n], nowAt + 100))
    assert.deepEqual(await end(key.id, claimOf(0)), { isApiKey: true, isFirst: true })
    assert.equal((await store.apiKeys.find(key.id))?.status, 'revoked')
    assert.equal(await remember(0), false)
    assert.deepEqual(await end(key.id, claimOf(0)), { isApiKey: false, isFirst: false })
    const token = id<TokenId>()
    assert.deepEqual(await end(token, claimOf(1)), { isApiKey: false, isFirst: true })
    assert.equal(await remember(1), true, 'its claim has expired')
    assert.deepEqual(await end(token, { ...claimOf(2), otherwise: undefined }), { isApiKey: false, isFirst: false })
    assert.equal(await remember(2), true, 'none was made')
  })

  test('a signing key is created once per version and moves by compare and set', async () => {
    const store = given()
    const key = aKey({ purpose: 'feed', version: 41 })
    assert.equal(await store.transact((tx) => tx.keys.create(key)), true)
    assert.equal(await store.transact((tx) => tx.keys.create(aKey({ purpose: 'feed', version: 41 }))), false)
    assert.equal(await store.transact((tx) => tx.keys.create({ ...key, version: 42 })), false)
    assert.equal(await store.transact((tx) => tx.keys.move(key.id, 'active', 'retiring', {})), false)
    const moves = await Promise.all(
      [1, 2, 3].map((n) => store.transact((tx) => tx.keys.move(key.id, 'next', 'active', { activeAt: NOW_AT + n }))),
    )
    assert.equal(moves.filter(Boolean).length, 1)
    const found = (await store.keys.all()).find((k) => k.id === key.id)
    assert.deepEqual(found, { ...key, state: 'active', activeAt: NOW_AT + 1 + moves.indexOf(true) })
    const { publicJwk: _, ...ring } = aKey({ purpose: 'ring', alg: 'HS256', version: 1 })
    await store.transact((tx) => tx.keys.create(ring))
    assert.deepEqual(
      (await store.transact((tx) => tx.keys.all())).find((k) => k.id === ring.id),
      ring,
    )
    assert.equal(await store.transact((tx) => tx.keys.delete(ring.id)), true)
  })

  test('an id that is none finds nothing and harms nothing', async () => {
    const store = given()
    for (const text of [
      '',
      'x',
      "';--",
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '\u0000'.repeat(3).replaceAll('\u0000', '%00'),
    ]) {
      const wrong = text as SubjectId & TokenId & ClientId
      assert.equal(await store.subjects.find(wrong), undefined)
      assert.equal(await store.clients.find(wrong), undefined)
      assert.deepEqual(await store.sessions.ofSubject(wrong, { limit: 3 }), [])
      assert.equal(await store.apiKeys.find(wrong), undefined)
      assert.equal(await store.transact((tx) => tx.subjects.changeStanding(wrong, { from: ['active'], to: 'revoked' })), false)
    }
  })
}
