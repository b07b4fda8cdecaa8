import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Refusal } from '@signet/kernel/errors.ts'
import { type ClientId, type FamilyId, type KeyId, newId, type SubjectId, type TokenId } from '@signet/kernel/ids.ts'
import { guardMilliseconds } from '../policy/settings.ts'
import type { Target } from './target.ts'
import { auditTypes, ISSUER, openWorld, WHY, type World } from './world.testkit.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const refuses = (reason: string, code?: string) => (error: unknown) => {
  assert.ok(error instanceof Refusal, String(error))
  assert.equal(error.reason, reason)
  if (code !== undefined) assert.equal(error.code, code)
  return true
}

describe('revoke', () => {
  it('reaches what a flow in the same commit began just past a cutoff of its own', async () => {
    const subject = await world.addSubject()
    let begunMs = 0
    const [, receipt] = await Promise.all([
      world.store.transact(async (tx) => {
        await world.revoker.within(tx, { kind: 'subject', id: subject }, WHY)
        begunMs = ((await tx.subjects.find(subject))?.cutoffMs ?? 0) + 1
      }),
      world.revoker.revoke({ kind: 'subject', id: subject }, WHY),
    ])
    assert.ok(receipt.cutoffMs >= begunMs, `${receipt.cutoffMs} ${begunMs}`)
  })

  it('takes back every kind of target: state, one entry, one event, and tokens are dead', async () => {
    const subject = await world.addSubject()
    const client = await world.addClient()
    const login = await world.addLogin(subject, client)
    const token = world.token<TokenId>()
    const key = world.keys.signer('token').id
    const all = { token, ...login, key }
    const scopes = ['api:read', 'api:write']
    const targets: Target[] = [
      { kind: 'token', id: token },
      { kind: 'grant', id: login.grant },
      { kind: 'session', id: login.session },
      { kind: 'device', id: login.device },
      { kind: 'subject', id: subject },
      { kind: 'client', id: client },
      { kind: 'key', id: key },
      { kind: 'scope', id: 'api:write' },
      { kind: 'issuer', id: ISSUER },
    ]
    let seq = 0
    for (const target of targets) {
      const only =
        target.kind === 'issuer'
          ? {}
          : target.kind === 'scope'
            ? { scope: scopes.join(' ') }
            : { [target.kind]: all[target.kind as keyof typeof all] }
      assert.equal(await world.isDead(only), undefined, target.kind)
      const receipt = await world.revoker.revoke(target, WHY)
      assert.equal(receipt.already, false)
      assert.equal(receipt.seq, ++seq)
      assert.equal(receipt.epoch, (await world.store.revocations.head()).epoch)
      assert.ok(receipt.cutoffMs >= world.clock.now() + guardMilliseconds(world.settings))
      assert.equal(await world.isDead(only), target.kind)
    }
    const made = (await auditTypes(world.store)).filter(({ type }) => type === 'revocation.made')
    assert.equal(made.length, targets.length)
    assert.deepEqual(made[1]?.ids, { family: login.grant })
    assert.equal((await world.store.families.find(login.grant))?.family.status, 'revoked')
    assert.equal((await world.store.sessions.find(login.session))?.status, 'revoked')
    assert.equal((await world.store.devices.find(login.device))?.status, 'revoked')
    const { status, revokedMs, cutoffMs } = (await world.store.subjects.find(subject)) ?? {}
    assert.equal(status, 'active')
    assert.ok(revokedMs === cutoffMs && (cutoffMs ?? 0) > world.clock.now())
    assert.equal((await world.store.clients.find(client))?.status, 'active')
    assert.notEqual(world.keys.signer('token').id, key)
    assert.ok(world.registry.issuerStanding().revokedMs > world.clock.now())
  })

  it('gives what ends for good the same receipt again, and no second entry', async () => {
    const login = await world.addLogin(await world.addSubject())
    const token = world.token<TokenId>()
    const key = world.keys.signer('token').id
    for (const [kind, id] of [
      ['token', token],
      ['grant', login.grant],
      ['session', login.session],
      ['device', login.device],
      ['key', key],
    ] as const) {
      const first = await world.revoker.revoke({ kind, id }, WHY)
      world.advance(100)
      const second = await world.revoker.revoke({ kind, id }, { ...WHY, reason: 'again' })
      assert.deepEqual(second, { ...first, already: true }, kind)
    }
    assert.equal((await world.log()).length, 5)
  })

  it('answers a thousand identical requests with one entry, one event and one receipt', async () => {
    const subject = await world.addSubject()
    const why = { ...WHY, idempotencyKey: 'the-same' }
    const target = { kind: 'subject', id: subject } as const
    const receipts = await Promise.all(Array.from({ length: 1000 }, () => world.revoker.revoke(target, why)))
    assert.equal((await world.log()).length, 1)
    assert.equal(receipts.filter(({ already }) => !already).length, 1)
    assert.equal(
      new Set(receipts.map(({ epoch, seq, cutoffMs, committedAtMs }) => `${epoch}/${seq}/${cutoffMs}/${committedAtMs}`)).size,
      1,
    )
    assert.equal((await auditTypes(world.store)).filter(({ type }) => type === 'revocation.made').length, 1)
    world.advance(30_000)
    assert.equal((await world.revoker.revoke(target, why)).seq, 1)
    // A thousand without a key, of something that ends once.
    const { grant } = await world.addLogin(subject)
    await Promise.all(Array.from({ length: 1000 }, () => world.revoker.revoke({ kind: 'grant', id: grant }, WHY)))
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) => world.revoker.revoke({ kind: 'token', id: grant }, { ...WHY, reason: `${i}` })),
    )
    assert.equal((await world.log()).length, 3)
  })

  it('keeps idempotency keys of different actors apart and refuses one for another request', async () => {
    const subject = await world.addSubject()
    const target = { kind: 'subject', id: subject } as const
    await world.revoker.revoke(target, { ...WHY, idempotencyKey: 'k' })
    await world.revoker.revoke(target, { ...WHY, actor: 'operator:other', idempotencyKey: 'k' })
    assert.equal((await world.log()).length, 2)
    const other = { kind: 'client', id: await world.addClient() } as const
    await assert.rejects(
      world.revoker.revoke(other, { ...WHY, idempotencyKey: 'k' }),
      refuses('idempotency_key_reused', 'conflict'),
    )
    await assert.rejects(world.revoker.suspend(target, { ...WHY, idempotencyKey: 'k' }), refuses('idempotency_key_reused'))
  })

  it('begins a claims epoch: access tokens die, sessions and grants live', async () => {
    const subject = await world.addSubject()
    const issuedAtMs = world.clock.now()
    const receipt = await world.revoker.revoke({ kind: 'subject', id: subject }, { ...WHY, keepGrants: true })
    const { cutoffMs, revokedMs } = (await world.store.subjects.find(subject)) ?? {}
    assert.equal(revokedMs, 0)
    assert.equal(cutoffMs, receipt.cutoffMs)
    assert.equal(await world.isDead({ subject }, issuedAtMs), 'subject')
    assert.equal(await world.isDead({ subject }, receipt.cutoffMs + 1), undefined)
    await world.revoker.revoke({ kind: 'issuer', id: ISSUER }, { ...WHY, keepGrants: true })
    await world.registry.lookNow()
    assert.equal(world.registry.issuerStanding().revokedMs, 0)
    assert.ok(world.registry.issuerStanding().cutoffMs > 0)
    await assert.rejects(
      world.revoker.revoke({ kind: 'token', id: world.token() }, { ...WHY, keepGrants: true }),
      refuses('grants_not_applicable'),
    )
  })

  it('of a scope ends what was issued with it and no grant, and cannot be held', async () => {
    const { grant } = await world.addLogin(await world.addSubject())
    const issuedAtMs = world.clock.now()
    const { cutoffMs } = await world.revoker.revoke({ kind: 'scope', id: 'pay' }, WHY)
    assert.equal(await world.isDead({ grant, scope: 'see pay' }, issuedAtMs), 'scope')
    assert.equal(await world.isDead({ grant, scope: 'see payments' }, issuedAtMs), undefined)
    assert.equal(await world.isDead({ grant, scope: 'pay' }, cutoffMs + 1), undefined)
    assert.equal((await world.store.families.find(grant))?.family.status, 'active')
    assert.deepEqual((await auditTypes(world.store)).at(-1)?.ids, { scope: 'pay' })
    await assert.rejects(world.revoker.revoke({ kind: 'scope', id: 'two words' }, WHY), refuses('malformed_target'))
    await assert.rejects(world.revoker.suspend({ kind: 'scope', id: 'pay' }, WHY), refuses('not_suspendable'))
  })

  it('reaches a token that was issued just past the cutoff before, within the same millisecond', async () => {
    const subject = await world.addSubject()
    const { session } = await world.addLogin(subject)
    const first = await world.revoker.revoke({ kind: 'subject', id: subject }, { ...WHY, keepGrants: true })
    const issuedAtMs = first.cutoffMs + 1
    assert.equal(await world.isDead({ subject, session }, issuedAtMs), undefined)
    await world.revoker.revoke({ kind: 'session', id: session }, WHY)
    assert.equal(await world.isDead({ subject, session }, issuedAtMs), 'session')
  })

  it('refuses what does not exist and what cannot', async () => {
    for (const kind of ['subject', 'session', 'device', 'key'] as const) {
      await assert.rejects(world.revoker.revoke({ kind, id: world.token() }, WHY), refuses(`unknown_${kind}`, 'not_found'))
    }
    await assert.rejects(world.revoker.revoke({ kind: 'client', id: 'nobody' }, WHY), refuses('unknown_client', 'not_found'))
    await assert.rejects(world.revoker.revoke({ kind: 'token', id: 'x' }, WHY), refuses('unknown_token', 'not_found'))
    await assert.rejects(world.revoker.revoke({ kind: 'session', id: "' or 1=1" }, WHY), refuses('unknown_session', 'not_found'))
    await assert.rejects(world.revoker.revoke({ kind: 'issuer', id: 'https://other.example' }, WHY), refuses('malformed_target'))
    await assert.rejects(world.revoker.revoke({ kind: 'subject', id: 'a\u0000b' }, WHY), refuses('malformed_target'))
    await assert.rejects(world.revoker.revoke({ kind: 'nonsense' as 'token', id: 'x' }, WHY), refuses('malformed_target'))
    await assert.rejects(
      world.revoker.revoke({ kind: 'subject', id: world.token() }, { ...WHY, reason: 'é' }),
      refuses('malformed_reason'),
    )
    const long = newId<FamilyId>(world.clock.now() - 2 * 3_600_000, world.chance)
    await assert.rejects(world.revoker.revoke({ kind: 'grant', id: long }, WHY), refuses('unknown_grant', 'not_found'))
    assert.deepEqual(await world.log(), [])
  })

  it('cuts off a grant without a row: that of a client that may not refresh', async () => {
    const grant = world.token<FamilyId>()
    assert.equal((await world.revoker.revoke({ kind: 'grant', id: grant }, WHY)).already, false)
    assert.equal((await world.revoker.revoke({ kind: 'grant', id: grant }, WHY)).already, true)
    assert.equal(await world.isDead({ grant }), 'grant')
    assert.equal((await world.log()).length, 1)
  })

  it('ends an API key, and once only', async () => {
    const id = world.token<TokenId>()
    const about = {
      name: 'k',
      client: 'web-app' as ClientId,
      scopes: [],
      resource: 'https://api.example',
      status: 'active',
      createdAt: 0,
    } as const
    await world.store.transact((tx) => tx.apiKeys.create({ id, secretHash: new Uint8Array(32), ...about }))
    world.advance(86_400_000) // Long after an access token of that id would have expired.
    assert.equal((await world.revoker.revoke({ kind: 'token', id }, WHY)).already, false)
    assert.equal((await world.store.apiKeys.find(id))?.status, 'revoked')
    assert.equal(await world.isDead({ token: id }), 'token')
    assert.equal((await world.revoker.revoke({ kind: 'token', id }, WHY)).already, true)
    assert.equal((await world.log()).length, 1)
  })

  it('writes nothing for an access token that has certainly expired', async () => {
    const id = world.token<TokenId>()
    world.advance((world.settings.accessTokenSeconds + world.settings.leewaySeconds + 10) * 1000)
    assert.equal((await world.revoker.revoke({ kind: 'token', id }, WHY)).already, true)
    assert.deepEqual(await world.log(), [])
  })

  it('outlasts the longest life that any policy ever allowed', async () => {
    await world.store.transact((tx) => tx.meta.raise('max_token_seconds', 1800))
    const { cutoffMs } = await world.revoker.revoke({ kind: 'subject', id: await world.addSubject() }, WHY)
    const [entry] = await world.log()
    assert.ok((entry?.dropAfter ?? 0) >= cutoffMs / 1000 + 1800 + world.settings.leewaySeconds)
    // A leaked signing key may have been used for tokens of any life.
    await world.revoker.revoke({ kind: 'key', id: world.keys.signer('token').id }, WHY)
    assert.ok(((await world.log())[1]?.dropAfter ?? 0) > cutoffMs / 1000 + 9 * 365 * 86_400)
  })

  it("puts another issuer's tokens under the same rule", async () => {
    const issuer = 'https://keycloak.example/realms/a'
    const expiresAt = Math.floor(world.clock.now() / 1000) + 600
    await world.revoker.revoke({ kind: 'token', id: 'not a uuid', issuer, expiresAt }, WHY)
    await world.revoker.revoke({ kind: 'subject', id: 'jane@example.com', issuer }, WHY)
    assert.equal(await world.isDead({ issuer, token: 'not a uuid' }), 'token')
    assert.equal(await world.isDead({ issuer, subject: 'jane@example.com' }), 'subject')
    assert.equal(await world.isDead({ subject: 'jane@example.com' }), undefined)
    const [token, subject] = await world.log()
    assert.ok((token?.dropAfter ?? 0) < expiresAt + 60)
    assert.ok((subject?.dropAfter ?? 0) > expiresAt + 29 * 86_400)
    // The address of a person must not be in a record that nobody can delete from.
    assert.ok(!JSON.stringify(await auditTypes(world.store)).includes('jane@'))
    await assert.rejects(world.revoker.suspend({ kind: 'subject', id: 'x', issuer }, WHY), refuses('not_suspendable'))
  })

  it('ends a signing key that has retired: a validator may still have it', async () => {
    const kid = world.keys.records().find((key) => key.purpose === 'token' && key.state === 'next')?.id as KeyId
    assert.equal((await world.revoker.revoke({ kind: 'key', id: kid }, WHY)).already, false)
    assert.equal(await world.isDead({ key: kid }, world.clock.now() + 10 ** 9), 'key') // Whatever issue time was written.
  })

  it("revokes inside a flow's transaction, or not at all", async () => {
    const login = await world.addLogin(await world.addSubject())
    await assert.rejects(
      world.store.transact(async (tx) => {
        await world.revoker.within(tx, { kind: 'session', id: login.session }, WHY)
        throw new Error('the flow failed')
      }),
    )
    assert.deepEqual(await world.log(), [])
    assert.equal((await world.store.sessions.find(login.session))?.status, 'active')
    const pending = await world.store.transact((tx) => world.revoker.within(tx, { kind: 'session', id: login.session }, WHY))
    assert.deepEqual(await world.revoker.settle(pending), { ...(await world.revoker.settle(pending)) })
    assert.equal((await world.revoker.settle(pending)).seq, 1)
  })

  it('wakes the others by itself after a commit that nobody settles', async () => {
    const { session } = await world.addLogin(await world.addSubject())
    let woken = 0
    world.bus.subscribe('revocations', () => void woken++)
    await world.store.transact((tx) => world.revoker.within(tx, { kind: 'session', id: session }, WHY))
    world.advance(5)
    for (let turn = 0; turn < 20 && woken === 0; turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.ok(woken > 0)
  })
})

describe('suspend and resume', () => {
  it('holds and lets go of every kind that can be held, and grants survive', async () => {
    const subject = await world.addSubject()
    const client = await world.addClient()
    const login = await world.addLogin(subject, client)
    for (const kind of ['subject', 'client', 'session', 'device', 'grant'] as const) {
      const target = { kind, id: login[kind] }
      const receipt = await world.revoker.suspend(target, WHY)
      assert.equal(receipt.already, false)
      assert.equal(await world.isDead({ [kind]: login[kind] }), kind)
      assert.deepEqual(await world.revoker.suspend(target, WHY), { ...receipt, already: true })
      await world.revoker.resume(target, WHY)
      assert.equal(await world.isDead({ [kind]: login[kind] }, receipt.cutoffMs), kind, 'tokens from before stay dead')
      assert.equal(await world.isDead({ [kind]: login[kind] }, receipt.cutoffMs + 1), undefined)
      await assert.rejects(world.revoker.resume(target, WHY), refuses('not_suspended', 'conflict'))
    }
    const standing = await world.store.families.find(login.grant)
    assert.equal(standing?.family.status, 'active')
    assert.equal(standing?.subject?.revokedMs, 0)
    assert.equal((await world.log()).length, 5)
    const types = (await auditTypes(world.store)).map(({ type }) => type)
    assert.equal(types.filter((type) => type === 'suspension.made').length, 5)
    assert.equal(types.filter((type) => type === 'suspension.lifted').length, 5)
  })

  it('refuses illegal transitions, each with its reason', async () => {
    const { session } = await world.addLogin(await world.addSubject())
    const target = { kind: 'session', id: session } as const
    await world.revoker.suspend(target, WHY)
    await world.revoker.revoke(target, WHY) // What is held can still be ended.
    await assert.rejects(world.revoker.suspend(target, WHY), refuses('already_revoked', 'conflict'))
    await assert.rejects(world.revoker.resume(target, WHY), refuses('already_revoked', 'conflict'))
    await assert.rejects(world.revoker.revoke(target, { ...WHY, keepGrants: true }), refuses('already_revoked', 'conflict'))
    await assert.rejects(
      world.revoker.suspend({ kind: 'session', id: world.token() }, WHY),
      refuses('unknown_session', 'not_found'),
    )
    await assert.rejects(
      world.revoker.resume({ kind: 'session', id: world.token() }, WHY),
      refuses('unknown_session', 'not_found'),
    )
    await assert.rejects(world.revoker.suspend({ kind: 'token', id: world.token() }, WHY), refuses('not_suspendable'))
    await assert.rejects(
      world.revoker.suspend({ kind: 'key', id: world.keys.signer('token').id }, WHY),
      refuses('not_suspendable'),
    )
  })

  it('repeats a resumption under its idempotency key', async () => {
    const subject = await world.addSubject()
    const target = { kind: 'subject', id: subject } as const
    await world.revoker.suspend(target, WHY)
    await world.revoker.resume(target, { ...WHY, idempotencyKey: 'r' })
    await world.revoker.resume(target, { ...WHY, idempotencyKey: 'r' })
    assert.equal((await auditTypes(world.store)).filter(({ type }) => type === 'suspension.lifted').length, 1)
  })

  it('lets an account that is held be revoked and still be held', async () => {
    const id = await world.addSubject()
    await world.revoker.suspend({ kind: 'subject', id }, WHY)
    await world.revoker.revoke({ kind: 'subject', id }, WHY)
    const { status, revokedMs } = (await world.store.subjects.find(id as SubjectId)) ?? {}
    assert.equal(status, 'suspended')
    assert.ok((revokedMs ?? 0) > 0)
  })
})
