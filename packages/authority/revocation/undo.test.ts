import assert from 'node:assert/strict'
import { afterEach, beforeEach, it } from 'node:test'
import { Refusal } from '@signet/kernel/errors.ts'
import type { ClientId, TokenId } from '@signet/kernel/ids.ts'
import { keyOf } from './record.ts'
import { restartLog } from './restart.ts'
import { auditTypes, ISSUER, openWorld, WHY, type World } from './world.testkit.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const refuses = (reason: string) => (error: unknown) => error instanceof Refusal && error.reason === reason
const undo = (epoch: string, ...seqs: number[]) => world.revoker.undo({ epoch, seqs }, { ...WHY, reason: 'wrong_one' })

it('brings back a client that was revoked by mistake: tokens and grants, and nothing else', async () => {
  const subject = await world.addSubject()
  const client = await world.addClient()
  const { session } = await world.addLogin(subject, client)
  const issuedAtMs = world.clock.now()
  await world.revoker.revoke({ kind: 'session', id: session }, WHY)
  const wrong = await world.revoker.revoke({ kind: 'client', id: client }, WHY)
  await world.revoker.revoke({ kind: 'subject', id: 'jane', issuer: 'https://idp.example' }, WHY)
  const done = await undo(wrong.epoch, wrong.seq)
  const { floor } = await world.store.revocations.head()
  assert.ok(floor > wrong.seq, 'numbers of the new epoch lie above those before')
  assert.deepEqual({ ...done, epoch: '' }, { epoch: '', seq: floor + 2, entries: 2, removed: 1, restored: 1 })
  assert.notEqual(done.epoch, wrong.epoch)
  assert.equal(await world.isDead({ client }, issuedAtMs), undefined)
  assert.equal(await world.isDead({ session }, issuedAtMs), 'session')
  assert.equal(await world.isDead({ subject: 'jane', issuer: 'https://idp.example' }, issuedAtMs), 'subject')
  assert.equal((await world.store.clients.find(client))?.revokedMs, 0)
  const head = await world.store.revocations.head()
  assert.equal(head.salt.version, 2)
  assert.equal(world.registry.position?.epoch, done.epoch)
  const event = (await auditTypes(world.store)).at(-1)
  assert.equal(event?.type, 'admin.revocation_undone')
  assert.deepEqual(event?.ids, { client })
  // And it goes on: new revocations are found under the new salt.
  await world.revoker.revoke({ kind: 'client', id: client }, WHY)
  assert.equal(await world.isDead({ client }, issuedAtMs), 'client')
})

it('leaves earlier and later revocations of the same target standing', async () => {
  const id = await world.addSubject()
  const target = { kind: 'subject', id } as const
  const first = await world.revoker.revoke(target, WHY)
  world.advance(10)
  const epochOfClaims = await world.revoker.revoke(target, { ...WHY, reason: 'claims', keepGrants: true })
  world.advance(10)
  const wrong = await world.revoker.revoke(target, { ...WHY, reason: 'wrong' })
  assert.equal((await world.store.subjects.find(id))?.revokedMs, wrong.cutoffMs)
  const { epoch } = await undo(wrong.epoch, wrong.seq)
  assert.equal((await world.store.subjects.find(id))?.revokedMs, first.cutoffMs)
  assert.equal(await world.isDead({ subject: id }, epochOfClaims.cutoffMs), 'subject')
  assert.equal(await world.isDead({ subject: id }, wrong.cutoffMs), undefined)
  // Now the first, while a later one stands.
  world.advance(10)
  const later = await world.revoker.revoke(target, { ...WHY, reason: 'later' })
  const log = await world.log()
  assert.equal((await undo(epoch, log[0]?.seq as number)).restored, 0)
  assert.equal((await world.store.subjects.find(id))?.revokedMs, later.cutoffMs)
})

it('takes repetitions of a mistake for the same mistake', async () => {
  const id = await world.addSubject()
  const target = { kind: 'subject', id } as const
  const receipts = []
  for (let i = 0; i < 3; i++) {
    receipts.push(await world.revoker.revoke(target, WHY))
    world.advance(10)
  }
  const done = await undo(receipts[0]?.epoch as string, 1)
  assert.equal(done.removed, 3)
  assert.equal((await world.store.subjects.find(id))?.revokedMs, 0)
})

it('takes a revocation for no repetition of a claims epoch, whatever the words', async () => {
  const id = await world.addSubject()
  const target = { kind: 'subject', id } as const
  const wrong = await world.revoker.revoke(target, { ...WHY, keepGrants: true })
  world.advance(10)
  const meant = await world.revoker.revoke(target, WHY)
  assert.equal((await undo(wrong.epoch, wrong.seq)).removed, 1)
  assert.equal(await world.isDead({ subject: id }, meant.cutoffMs), 'subject')
  assert.equal((await world.store.subjects.find(id))?.revokedMs, meant.cutoffMs)
})

it('undoes a cutoff on everything', async () => {
  await world.revoker.revoke({ kind: 'issuer', id: ISSUER }, WHY)
  const { epoch, seq } = await world.revoker.revoke({ kind: 'issuer', id: ISSUER }, WHY)
  await undo(epoch, 1, seq)
  await world.registry.lookNow()
  assert.equal(world.registry.issuerStanding().revokedMs, 0)
  assert.equal(await world.isDead({}), undefined)
})

it('undoes a cutoff on a scope', async () => {
  const { epoch, seq } = await world.revoker.revoke({ kind: 'scope', id: 'api:read' }, WHY)
  assert.equal(await world.isDead({ scope: 'api:read' }), 'scope')
  await undo(epoch, seq)
  assert.equal(await world.isDead({ scope: 'api:read' }), undefined)
})

it('makes an access token good again, which can then be revoked again', async () => {
  const token = world.token<TokenId>()
  const { epoch, seq } = await world.revoker.revoke({ kind: 'token', id: token }, WHY)
  await undo(epoch, seq)
  assert.equal(await world.isDead({ token }), undefined)
  assert.equal((await world.revoker.revoke({ kind: 'token', id: token }, WHY)).already, false)
  assert.equal(await world.isDead({ token }), 'token')
})

it('refuses what has ended for good, what is unknown, and numbers of another epoch', async () => {
  const login = await world.addLogin(await world.addSubject())
  const { epoch, seq } = await world.revoker.revoke({ kind: 'session', id: login.session }, WHY)
  await assert.rejects(undo(epoch, seq), refuses('not_undoable'))
  await assert.rejects(undo(epoch, 99), refuses('unknown_revocation'))
  await assert.rejects(undo('another', seq), refuses('epoch_changed'))
  await assert.rejects(undo(epoch), refuses('malformed_target'))
  const held = await world.revoker.suspend({ kind: 'subject', id: login.subject }, WHY)
  await assert.rejects(undo(epoch, held.seq), refuses('suspended'))
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
  const key = await world.revoker.revoke({ kind: 'token', id }, WHY)
  await assert.rejects(undo(epoch, key.seq), refuses('not_undoable'))
  assert.equal((await world.store.revocations.head()).epoch, epoch)
})

it('gives a repeated request its first answer, and never undoes twice', async () => {
  const client = await world.addClient()
  const { epoch, seq } = await world.revoker.revoke({ kind: 'client', id: client }, WHY)
  const why = { ...WHY, idempotencyKey: 'u' }
  const first = await world.revoker.undo({ epoch, seqs: [seq] }, why)
  assert.deepEqual(await world.revoker.undo({ epoch, seqs: [seq] }, why), first)
  await assert.rejects(world.revoker.undo({ epoch, seqs: [seq + 1] }, why), refuses('idempotency_key_reused'))
  await assert.rejects(undo(epoch, seq), refuses('epoch_changed'))
})

it('loses nothing that comes in while the log is carried over', async () => {
  const wrong = await world.revoker.revoke({ kind: 'client', id: await world.addClient() }, WHY)
  const subjects = await Promise.all(Array.from({ length: 40 }, () => world.addSubject()))
  const [done] = await Promise.all([
    undo(wrong.epoch, wrong.seq),
    ...subjects.map((id) => world.revoker.revoke({ kind: 'subject', id }, WHY)),
  ])
  assert.equal((await world.store.revocations.head()).epoch, done.epoch)
  for (const subject of subjects) assert.equal(await world.isDead({ subject }), 'subject')
})

it('keeps nobody waiting for a log of any length, and shows nothing of the new one before it is whole', async () => {
  const { salt } = await world.store.revocations.head()
  await world.store.transact(async (tx) => {
    for (let n = 0; n < 3000; n++) {
      const of = { kind: 'token', issuer: 'https://idp.example', id: `t${n}` } as const
      const about = { kind: of.kind, issuer: of.issuer, target: of.id, reason: 'r', actor: 'system' }
      tx.revocations.append({ ...about, key: keyOf(world.sha256, salt, of), cutoffMs: 1, dropAfter: 5e9 })
    }
  })
  const before = await world.store.revocations.head()
  let undoing = true
  const done = undo(before.epoch, 7).finally(() => {
    undoing = false
  })
  let between = 0
  while (undoing) {
    const { seq, epoch } = await world.store.transact((tx) => tx.revocations.head())
    const snapshot = await world.store.revocations.snapshot(0)
    if (!undoing || snapshot.head.epoch !== before.epoch) break
    assert.deepEqual([seq, epoch, snapshot.entries.length], [3000, before.epoch, 3000])
    assert.deepEqual(await world.store.revocations.after(3000, 10), [])
    between++
  }
  assert.ok(between > 3, 'others had their turn in between')
  assert.equal((await done).entries, 2999)
  assert.equal((await world.store.revocations.snapshot(0)).entries.length, 2999)
})

it('carries the log over a gap after a restore, and ends what may have been revoked in it', async () => {
  const { session } = await world.addLogin(await world.addSubject())
  const before = await world.revoker.revoke({ kind: 'session', id: session }, WHY)
  const key = world.keys.signer('token').id
  await world.revoker.revoke({ kind: 'key', id: key }, WHY)
  const { epoch, cutoffMs } = await restartLog({ reason: 'restored', actor: 'operator:local' }, world)
  assert.notEqual(epoch, before.epoch)
  assert.equal(await world.isDead({}, cutoffMs), 'issuer')
  assert.equal(await world.isDead({}, cutoffMs + 1), undefined)
  assert.equal(await world.isDead({ session, key }, cutoffMs + 1), 'key')
  assert.equal(world.registry.issuerStanding().revokedMs, cutoffMs)
})
