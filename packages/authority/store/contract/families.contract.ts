/** Refresh families and single-use handles: of any number at once, one wins. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import type { ClientId, DeviceId, FamilyId, SessionId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { CodeRecord, InteractionRecord } from '../ports/handles.ts'
import type { Store } from '../store.ts'
import {
  aClient,
  aDevice,
  aFamily,
  aRotation,
  aSession,
  aSubject,
  bytes,
  id,
  NOW_AT,
  NOW_MS,
  someTerms,
} from './samples.contract.ts'

export function familiesContract(given: () => Store): void {
  test('a family comes back as it was stored, with how the things it hangs on stand', async () => {
    const store = given()
    const subject = aSubject()
    const device = aDevice({ subject: subject.id })
    const session = aSession({ subject: subject.id, device: device.id })
    const full = aFamily({
      ...{ subject: subject.id, session: session.id, device: device.id, parent: id<TokenId>(), jkt: toBase64Url(bytes(32)) },
      ...{ status: 'suspended', cutoffMs: 77, generation: 300, ring: 3, previousRing: 2, graceCount: 5, graceForeign: true },
      ...{ graceRun: 40, foreignRun: 3, createdAtMs: NOW_MS - 5000, authAt: NOW_AT - 90_000 },
    })
    const bare = aFamily()
    const client = aClient({ cutoffMs: 8, revokedMs: 9 })
    await store.transact(async (tx) => {
      await tx.clients.create(client)
      await tx.subjects.create(subject)
      await tx.devices.create(device)
      await tx.sessions.create(session)
      await tx.families.create(full)
      await tx.families.create(bare)
      await tx.devices.changeStanding(device.id, { from: ['active'], to: 'revoked', cutoffMs: 5, revokedMs: 6 })
    })
    const active = { status: 'active', cutoffMs: 0, revokedMs: 0 }
    assert.deepEqual(await store.families.find(full.id), {
      family: full,
      subject: active,
      session: active,
      device: { status: 'revoked', cutoffMs: 5, revokedMs: 6 },
    })
    const none = { subject: undefined, session: undefined, device: undefined }
    assert.deepEqual(await store.families.find(bare.id), { family: bare, ...none })
    assert.equal(await store.families.find(id<FamilyId>()), undefined)
    const ties = { subject: subject.id, session: session.id, device: device.id, client: client.id }
    assert.deepEqual(await store.families.standings(ties), {
      subject: active,
      session: active,
      device: { status: 'revoked', cutoffMs: 5, revokedMs: 6 },
      client: { status: 'active', cutoffMs: 8, revokedMs: 9 },
    })
    const nothing = { subject: id<SubjectId>(), session: id<SessionId>(), device: id<DeviceId>(), client: 'nobody' as ClientId }
    assert.deepEqual(await store.families.standings(nothing), { ...none, client: undefined })
    assert.equal(await store.transact((tx) => tx.families.status(full.id)), 'suspended')
    assert.equal(await store.transact((tx) => tx.families.status(id<FamilyId>())), undefined)
  })

  test('families keep their own terms, alike or not, also when those who wrote them first were undone', async () => {
    const store = given()
    const terms = someTerms({ policy: toBase64Url(bytes(9)) })
    const undone = store.transact(async (tx) => {
      await tx.families.create(aFamily({ terms }))
      throw new Error('no')
    })
    await assert.rejects(undone, /no/)
    const families = [terms, someTerms({ ...terms, scope: ['x'] }), terms, someTerms({ ...terms, scope: ['y'], amr: [] })].map(
      (t) => aFamily({ terms: t }),
    )
    await Promise.all(families.map((family) => store.transact((tx) => tx.families.create(family))))
    for (const family of families) assert.deepEqual((await store.families.find(family.id))?.family, family)
  })

  test('a rotation spends its generation, keeps what it must and begins the count of grace anew', async () => {
    const store = given()
    const family = aFamily({ graceCount: 2, graceForeign: true, cutoffMs: 50 })
    await store.transact((tx) => tx.families.create(family))
    const rotation = aRotation(family, { graceRun: 4, foreignRun: 1, cutoffMs: 40 })
    assert.equal(await store.transact((tx) => tx.families.rotate(rotation)), true)
    assert.equal(await store.transact((tx) => tx.families.rotate(rotation)), false, 'it is spent')
    assert.deepEqual((await store.families.find(family.id))?.family, {
      ...family,
      ...{ generation: 1, ring: 2, previousRing: 1, rotatedAtMs: rotation.rotatedAtMs, idleExpiresAt: rotation.idleExpiresAt },
      ...{ seen: rotation.seen, graceRun: 4, foreignRun: 1, graceCount: 0, graceForeign: false, cutoffMs: 50 },
    })
    const next = aRotation({ id: family.id, generation: 1 }, { cutoffMs: NOW_MS })
    assert.equal(await store.transact((tx) => tx.families.rotate({ ...next, spent: 2 })), false, 'not there yet')
    assert.equal(await store.transact((tx) => tx.families.rotate(next)), true)
    assert.equal((await store.families.find(family.id))?.family.cutoffMs, NOW_MS)
    assert.equal(await store.transact((tx) => tx.families.rotate(aRotation({ id: id<FamilyId>(), generation: 0 }))), false)
  })

  test('of a hundred concurrent rotations of one token, one wins', async () => {
    const store = given()
    const family = aFamily()
    await store.transact((tx) => tx.families.create(family))
    for (let generation = 0; generation < 3; generation++) {
      const rotate = () => store.transact((tx) => tx.families.rotate(aRotation({ id: family.id, generation })))
      const won = await Promise.all(Array.from({ length: 100 }, rotate))
      assert.equal(won.filter(Boolean).length, 1)
    }
    assert.equal((await store.families.find(family.id))?.family.generation, 3)
  })

  test('many families rotate at once, each by itself', async () => {
    const store = given()
    const families = Array.from({ length: 300 }, () => aFamily())
    await Promise.all(families.map((family) => store.transact((tx) => tx.families.create(family))))
    const wrong = new Set(families.slice(0, 20).map((family) => family.id))
    const won = await Promise.all(
      families.map((family) =>
        store.transact((tx) => tx.families.rotate(aRotation({ id: family.id, generation: wrong.has(family.id) ? 1 : 0 }))),
      ),
    )
    assert.deepEqual(
      won,
      families.map((family) => !wrong.has(family.id)),
    )
  })

  test('two rotations in one unit of work follow one another', async () => {
    const store = given()
    const family = aFamily()
    await store.transact((tx) => tx.families.create(family))
    const won = await store.transact((tx) =>
      Promise.all([0, 1, 1].map((generation) => tx.families.rotate(aRotation({ id: family.id, generation })))),
    )
    assert.deepEqual(won, [true, true, false])
  })

  test('a family that is not active does not rotate and gives no grace', async () => {
    const store = given()
    const family = aFamily()
    await store.transact((tx) => tx.families.create(family))
    const grace = { id: family.id, generation: 0, limit: 5, foreign: false }
    for (const [from, to] of [
      ['active', 'suspended'],
      ['suspended', 'revoked'],
    ] as const) {
      await store.transact((tx) => tx.families.changeStanding(family.id, { from: [from], to, cutoffMs: NOW_MS }))
      assert.equal(await store.transact((tx) => tx.families.rotate(aRotation(family))), false)
      assert.equal(await store.transact((tx) => tx.families.countGrace(grace)), false)
    }
    assert.equal(await store.transact((tx) => tx.families.changeStanding(family.id, { from: ['revoked'], to: 'active' })), false)
    assert.deepEqual((await store.families.find(family.id))?.family, { ...family, status: 'revoked', cutoffMs: NOW_MS })
  })

  test('grace is counted up to its limit, for the current generation alone', async () => {
    const store = given()
    const family = aFamily({ generation: 4 })
    await store.transact((tx) => tx.families.create(family))
    const grace = (rest: object) =>
      store.transact((tx) => tx.families.countGrace({ id: family.id, generation: 4, limit: 3, foreign: false, ...rest }))
    assert.equal(await grace({ generation: 3 }), false)
    assert.equal(await grace({}), true)
    assert.equal(await grace({ foreign: true }), true)
    assert.deepEqual(await Promise.all([grace({}), grace({}), grace({})]).then((g) => g.filter(Boolean).length), 1)
    const found = (await store.families.find(family.id))?.family
    assert.deepEqual([found?.graceCount, found?.graceForeign, found?.graceRun], [3, true, 0])
  })

  test("a subject's families are listed page by page, and nobody else's", async () => {
    const store = given()
    const subject = id<SubjectId>()
    const mine = Array.from({ length: 5 }, (_, n) =>
      aFamily({ subject, id: id(NOW_MS + n), session: id<SessionId>(), device: id<DeviceId>() }),
    )
    // Its last bytes are what an index may go by: another subject that shares them is not it.
    const twin = `${id<SubjectId>().slice(0, 24)}${subject.slice(24)}` as SubjectId
    await store.transact(async (tx) => {
      for (const family of [...mine, aFamily({ subject: twin }), aFamily()]) await tx.families.create(family)
    })
    const first = await store.families.ofSubject(subject, { limit: 2 })
    const rest = await store.families.ofSubject(subject, { limit: 500, after: first.at(-1)?.id as string })
    assert.deepEqual([...first, ...rest], mine)
  })

  test('a code is won once under a race, known as spent until it expires, and only for its purpose', async () => {
    const store = given()
    const code: CodeRecord = {
      hash: bytes(32),
      purpose: 'authorization_code',
      payload: '{"a":"ü"}',
      family: id<FamilyId>(),
      expiresAt: NOW_AT + 60,
    }
    await store.transact((tx) => tx.codes.create(code))
    const consume = (purpose = code.purpose, at = NOW_AT) => store.transact((tx) => tx.codes.consume(code.hash, purpose, at))
    assert.equal(await consume('setup'), undefined)
    assert.equal(await consume(code.purpose, NOW_AT + 60), undefined, 'expired')
    assert.deepEqual(await store.codes.find(code.hash, code.purpose, NOW_AT), { spent: false, code })
    const answers = await Promise.all(Array.from({ length: 50 }, () => consume()))
    assert.equal(answers.filter((answer) => answer?.outcome === 'won').length, 1)
    assert.equal(answers.filter((answer) => answer?.outcome === 'spent').length, 49)
    for (const answer of answers) assert.deepEqual(answer?.code, code)
    assert.deepEqual(await store.codes.find(code.hash, code.purpose, NOW_AT), { spent: true, code })
    assert.equal(await store.codes.find(code.hash, code.purpose, NOW_AT + 60), undefined)
    assert.equal(await store.transact((tx) => tx.codes.consume(bytes(32), 'setup', NOW_AT)), undefined)
    await assert.rejects(store.transact((tx) => tx.codes.create({ ...code, hash: bytes(32), payload: 'x'.repeat(20_000) })))
  })

  test('an interaction goes on from the version it is at, and ends once', async () => {
    const store = given()
    const interaction: InteractionRecord = {
      hash: bytes(32),
      browserHash: bytes(32),
      payload: '{}',
      version: 1,
      expiresAt: NOW_AT + 60,
    }
    await store.transact((tx) => tx.interactions.create(interaction))
    const updates = await Promise.all(
      [1, 2, 3].map((n) => store.transact((tx) => tx.interactions.update(interaction.hash, 1, `{"n":${n}}`))),
    )
    assert.equal(updates.filter(Boolean).length, 1)
    const found = await store.interactions.find(interaction.hash)
    assert.deepEqual(found, { ...interaction, version: 2, payload: `{"n":${1 + updates.indexOf(true)}}` })
    assert.equal(await store.transact((tx) => tx.interactions.finish(interaction.hash, 1)), false)
    const ends = await Promise.all([1, 2, 3].map(() => store.transact((tx) => tx.interactions.finish(interaction.hash, 2))))
    assert.equal(ends.filter(Boolean).length, 1)
    assert.equal(await store.interactions.find(interaction.hash), undefined)
  })
}
