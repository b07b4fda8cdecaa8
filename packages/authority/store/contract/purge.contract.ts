/** Forgetting: what is over goes, in bounded steps, and nothing else does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BatchId, DeviceId, FamilyId, SessionId } from '@signet/kernel/ids.ts'
import type { BatchRecord } from '../ports/batches.ts'
import type { Store } from '../store.ts'
import { aBatch, aFamily, anApiKey, anEntry, anEvent, aSession, bytes, id } from './samples.contract.ts'

const DAY = 86_400

export function purgeContract(given: () => Store): void {
  test('handles and guards go when they expire, at most so many at a time', async () => {
    const store = given()
    const nowMs = await store.now()
    const nowAt = Math.floor(nowMs / 1000)
    const hashes = Array.from({ length: 150 }, () => bytes(32))
    await store.transact(async (tx) => {
      for (const [n, hash] of hashes.entries()) {
        const expiresAt = n < 140 ? nowAt - 10 : nowAt + 1000
        await tx.codes.create({ hash, purpose: 'setup', payload: '{}', expiresAt })
        await tx.interactions.create({ hash, browserHash: bytes(32), payload: '{}', version: 1, expiresAt })
        await tx.replay.remember(hash, n < 140 ? expiresAt - 60 : expiresAt) // Kept for clocks that are behind.
        await tx.idempotency.put(hash, 'x', expiresAt)
      }
      await tx.throttle.take(bytes(8), { intervalMs: 1, burst: 5 })
    })
    const first = await store.purge(nowMs, 100)
    for (const table of ['codes', 'interactions', 'replay', 'idempotency']) assert.equal(first.purged[table], 100, table)
    assert.equal(first.more, true)
    const second = await store.purge(nowMs + 60_000, 100)
    for (const table of ['codes', 'interactions', 'replay', 'idempotency']) assert.equal(second.purged[table], 40, table)
    assert.equal(second.purged.throttle, 1)
    assert.equal(second.more, false)
    const kept = await Promise.all(hashes.map((hash) => store.interactions.find(hash)))
    assert.deepEqual(
      kept.map((found) => found !== undefined),
      hashes.map((_, n) => n >= 140),
    )
    assert.ok(await store.codes.find(hashes[149] as Uint8Array, 'setup', nowAt))
  })

  test('families that ended go, in passes that resume where they were, and the living stay', async () => {
    const store = given()
    const nowMs = await store.now()
    const nowAt = Math.floor(nowMs / 1000)
    const old = { createdAtMs: nowMs - 100 * DAY * 1000, rotatedAtMs: nowMs - 90 * DAY * 1000, authAt: nowAt - 100 * DAY }
    const make = (n: number) => {
      if (n % 4 === 0) return aFamily({ ...old, idleExpiresAt: nowAt - 2 * DAY, expiresAt: nowAt + DAY })
      if (n % 4 === 1) return aFamily({ ...old, idleExpiresAt: nowAt + DAY, expiresAt: nowAt - 2 * DAY })
      if (n % 4 === 2) return aFamily({ ...old, status: 'revoked', idleExpiresAt: nowAt + DAY, expiresAt: nowAt + DAY })
      return aFamily({ idleExpiresAt: nowAt + DAY, expiresAt: nowAt + DAY })
    }
    const families = Array.from({ length: 1200 }, (_, n) => make(n))
    await Promise.all(families.map((family) => store.transact((tx) => tx.families.create(family))))
    let gone = 0
    for (let round = 0; ; round++) {
      assert.ok(round < 20)
      const { purged, more } = await store.purge(nowMs, 500)
      assert.ok((purged.families ?? 0) <= 500)
      gone += purged.families ?? 0
      if (!more) break
    }
    assert.ok(gone >= 900)
    const left = await Promise.all(families.map((family) => store.families.find(family.id)))
    assert.deepEqual(
      left.map((found) => found !== undefined),
      families.map((_, n) => n % 4 === 3),
    )
    const late = aFamily({ ...old, idleExpiresAt: nowAt - 2 * DAY, expiresAt: nowAt - 2 * DAY })
    await store.transact((tx) => tx.families.create(late))
    assert.equal((await store.purge(nowMs + 60_000, 500)).purged.families, 0, 'a pass was just made')
    assert.equal((await store.purge(nowMs + 2 * 3_600_000, 5000)).purged.families, 1)
  })

  test('batches go a year after their end with what they hold, but not while another undoes them', async () => {
    const store = given()
    const nowMs = await store.now()
    const laterMs = nowMs + 366 * DAY * 1000
    const make = async (rest: Partial<BatchRecord> = {}, holds = 0) => {
      const batch = aBatch({ plannedAtMs: nowMs, ...rest })
      await store.transact(async (tx) => {
        await tx.batches.create(batch)
        for (let n = 0; n < holds; n++) await tx.batches.addHold(batch.id, { kind: 'grant', target: id<FamilyId>() })
      })
      return batch.id
    }
    const end = (batch: BatchId, undoneBy?: BatchId) =>
      store.transact((tx) => tx.batches.move(batch, ['running', 'done'], 'done', undoneBy === undefined ? {} : { undoneBy }))
    const exists = (batches: readonly BatchId[]) =>
      Promise.all(batches.map(async (batch) => (await store.batches.find(batch)) !== undefined))
    const held = async (batch: BatchId) => (await store.batches.holds(batch, { limit: 500 })).length
    const purgeAll = async (atMs: number) => {
      const gone = { batches: 0, holds: 0 }
      for (let more = true; more; ) {
        const report = await store.purge(atMs, 100)
        assert.ok((report.purged.batch_holds ?? 0) <= 100)
        gone.batches += report.purged.batches ?? 0
        gone.holds += report.purged.batch_holds ?? 0
        more = report.more
      }
      return gone
    }

    const planned = await make()
    const running = await make({ state: 'running' }, 3)
    const ended = await make({ state: 'running' }, 250)
    const undone = await make({ state: 'running' }, 3)
    const undoing = await make({ state: 'running', action: 'resume', undoes: undone })
    await end(ended)
    await end(undone)
    await end(undone, undoing)
    const all = [planned, running, ended, undone, undoing]
    assert.deepEqual(await purgeAll(nowMs + 364 * DAY * 1000), { batches: 0, holds: 0 })
    assert.deepEqual(await purgeAll(laterMs), { batches: 2, holds: 250 })
    assert.deepEqual(await exists(all), [false, true, false, true, true])
    assert.deepEqual([await held(running), await held(undone), await held(ended)], [3, 3, 0])
    await end(undoing)
    assert.deepEqual(await purgeAll(laterMs), { batches: 2, holds: 3 })
    assert.deepEqual(await exists(all), [false, true, false, false, false])
  })

  test('a session stays as long as a family may hang on it', async () => {
    const store = given()
    const nowMs = await store.now()
    const nowAt = Math.floor(nowMs / 1000)
    const session = aSession({ id: id<SessionId>(), device: id<DeviceId>(), expiresAt: nowAt + 10 })
    const life = 200 * DAY
    await store.transact(async (tx) => {
      await tx.sessions.create(session)
      await tx.families.create(
        aFamily({ session: session.id, createdAtMs: nowMs, rotatedAtMs: nowMs, authAt: nowAt, expiresAt: nowAt + life }),
      )
      await tx.sessions.changeStanding(session.id, { from: ['active'], to: 'revoked', revokedMs: nowMs })
    })
    await store.purge(nowMs + life * 1000, 1000)
    assert.ok(await store.sessions.find(session.id))
    await store.purge(nowMs + (life + 20) * 1000, 1000)
    assert.equal(await store.sessions.find(session.id), undefined)
  })

  test('log entries go when no token needs them, the floor tells, and the numbers go on', async () => {
    const store = given()
    const nowMs = await store.now()
    const nowAt = Math.floor(nowMs / 1000)
    const places = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        store.transact(async (tx) =>
          tx.revocations.append(anEntry({ dropAfter: n === 50 || n >= 180 ? nowAt + 1e7 : nowAt - 5 })),
        ),
      ),
    )
    while ((await store.purge(nowMs, 64)).more);
    const head = await store.revocations.head()
    const last = Math.max(
      ...places
        .slice(0, 180)
        .filter((_, n) => n !== 50)
        .map((place) => place.seq),
    )
    assert.equal(head.floor, last)
    const beyond = await store.revocations.after(head.floor, 500)
    assert.deepEqual(
      beyond.map((entry) => entry.seq),
      Array.from({ length: head.seq - head.floor }, (_, n) => head.floor + n + 1),
    )
    const kept = places[50]?.seq
    assert.ok((await store.revocations.after(0, 1000)).some((entry) => entry.seq === kept))
    const next = await store.transact(async (tx) => tx.revocations.append(anEntry()))
    assert.equal(next.seq, head.seq + 1)
  })

  test('an entry that another region has not taken over is kept for it, expired or not', async () => {
    const store = given()
    const nowMs = await store.now()
    const append = (dropAfter: number) => store.transact(async (tx) => tx.revocations.append(anEntry({ dropAfter })))
    const expired = Math.floor(nowMs / 1000) - 5
    const [old, ...places] = [
      await append(expired - 31 * DAY),
      await append(expired),
      await append(expired),
      await append(expired),
    ]
    const left = async () => {
      while ((await store.purge(nowMs, 64)).more);
      return (await store.revocations.after(0, 100)).map((entry) => entry.seq)
    }
    const place = { epoch: old.epoch, seq: places[1]?.seq as number }
    await store.transact(async (tx) => {
      for (const name of ['east', 'west']) await tx.peers.create(name)
      await tx.peers.tell('east', { ...place, seq: 1_000_000 })
      await tx.peers.tell('west', { epoch: 'another', seq: 1_000_000 })
    })
    assert.deepEqual(
      await left(),
      places.map(({ seq }) => seq),
    )
    await store.transact((tx) => tx.peers.tell('west', place))
    assert.deepEqual(await left(), [places[2]?.seq])
    await store.transact((tx) => tx.peers.delete('west'))
    assert.deepEqual(await left(), [])
  })

  test('API keys stay listed long after they expired, and the audit record stays for good', async () => {
    const store = given()
    const nowMs = await store.now()
    const [old, recent, endless] = [
      anApiKey({ expiresAt: Math.floor(nowMs / 1000) - 100 * DAY }),
      anApiKey({ expiresAt: 5e9 }),
      anApiKey(),
    ]
    await store.transact(async (tx) => {
      for (const key of [old, recent, endless]) await tx.apiKeys.create(key)
      tx.audit(anEvent())
    })
    const links = (await store.audit.chains()).reduce((sum, chain) => sum + chain.index, 0)
    await store.purge(nowMs, 1000)
    const left = await Promise.all([old, recent, endless].map((key) => store.apiKeys.find(key.id)))
    assert.deepEqual(
      left.map((found) => found !== undefined),
      [false, true, true],
    )
    await store.purge(nowMs + 3000 * DAY * 1000, 1000)
    assert.equal(
      (await store.audit.chains()).reduce((sum, chain) => sum + chain.index, 0),
      links,
    )
    assert.ok(await store.apiKeys.find(endless.id))
  })
}
