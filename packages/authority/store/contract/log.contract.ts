/** The revocation log and the audit record. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchHash, eventsRoot, GENESIS, splitEvents } from '@signet/kernel/audit-entry.ts'
import { equalBytes } from '@signet/kernel/bytes.ts'
import type { FamilyId } from '@signet/kernel/ids.ts'
import { sha256 } from '../../surroundings.ts'
import type { LogEntry } from '../ports/revocations.ts'
import type { Store } from '../store.ts'
import { anEntry, anEvent, bytes, id, NOW_AT, NOW_MS } from './samples.contract.ts'

export function logContract(given: () => Store): void {
  test('revocations are numbered densely in the order of their commits, and each caller learns its own number', async () => {
    const store = given()
    const before = await store.revocations.head()
    const append = (n: number) =>
      store.transact(async (tx) => {
        const { epoch } = await tx.revocations.head()
        const places = Array.from({ length: 1 + (n % 3) }, () => tx.revocations.append(anEntry({ reason: `r${n}` })))
        return { n, epoch, places }
      })
    const answers = await Promise.all(Array.from({ length: 90 }, (_, n) => append(n)))
    const places = answers.flatMap(({ n, places }) => places.map((place) => ({ ...place, n })))
    const { seq, epoch } = await store.revocations.head()
    assert.equal(seq, before.seq + 180)
    assert.deepEqual(
      places.map((place) => place.seq).sort((a, b) => a - b),
      Array.from({ length: 180 }, (_, n) => before.seq + n + 1),
    )
    const entries = await readAll(store, before.seq)
    for (const place of places) {
      const entry = entries[place.seq - before.seq - 1]
      assert.deepEqual([entry?.seq, entry?.epoch, entry?.reason], [place.seq, epoch, `r${place.n}`])
    }
  })

  test('what came since is told along with where the log stands', async () => {
    const store = given()
    const append = () => store.transact(async (tx) => tx.revocations.append(anEntry()))
    const { seq } = await append()
    const { epoch, floor } = await store.revocations.head()
    const since = async (limit: number) => {
      const { head, entries } = await store.revocations.since(seq, limit)
      return [head.epoch, head.floor, head.seq, ...entries.map((entry) => entry.seq)]
    }
    assert.deepEqual(await since(10), [epoch, floor, seq])
    await append()
    await append()
    assert.deepEqual(await since(10), [epoch, floor, seq + 2, seq + 1, seq + 2])
    assert.deepEqual(await since(1), [epoch, floor, seq + 2, seq + 1])
    assert.deepEqual((await store.revocations.since(seq, 10)).entries, await store.revocations.after(seq, 10))
  })

  test('an entry comes back as it was appended', async () => {
    const store = given()
    const [before] = await store.revocations.after(
      (await store.transact(async (tx) => tx.revocations.append(anEntry()))).seq - 1,
      1,
    )
    assert.deepEqual([before?.act, before?.origin], [undefined, undefined])
    const about = { act: 'suspend', origin: 'west' } as const
    const entry = anEntry({ kind: 'key', reason: 'key_compromised', actor: 'operator:ö', ...about })
    const place = await store.transact(async (tx) => tx.revocations.append(entry))
    const [found] = await store.revocations.after(place.seq - 1, 5)
    assert.deepEqual({ ...found, atMs: 0 }, { ...entry, seq: place.seq, epoch: place.epoch, atMs: 0 })
    assert.ok(Math.abs((found as LogEntry).atMs - (await store.now())) < 60_000)
    await store.transact(async (tx) => tx.revocations.append({ ...entry, cutoffMs: NOW_MS + 9000 }))
    assert.deepEqual(
      (await store.revocations.ofKey(entry.key)).map((e) => e.cutoffMs),
      [NOW_MS + 9000, NOW_MS + 2000],
    )
    assert.equal((await store.transact((tx) => tx.revocations.ofKey(entry.key))).length, 2)
    assert.deepEqual(await store.revocations.ofKey(bytes(16)), [])
  })

  test('whoever follows the commits of this store hears each once, as it stands in the log, before its caller does', async () => {
    const store = given()
    const { seq: before } = await store.revocations.head()
    const heard: LogEntry[][] = []
    const following = store.revocations.followCommits((entries) => heard.push([...entries]))
    const callers = Array.from({ length: 40 }, async (_, n) => {
      const work = store.transact(async (tx) => {
        const places = Array.from({ length: 1 + (n % 3) }, () => tx.revocations.append(anEntry({ reason: `r${n}` })))
        await tx.meta.put('touched', String(n))
        if (n % 5 === 0) throw new Error('no')
        return places
      })
      const places = (await work.catch(() => undefined)) ?? []
      return places.every(({ seq }) => heard.flat().some((entry) => entry.seq === seq))
    })
    assert.deepEqual(new Set(await Promise.all(callers)), new Set([true]))
    await store.transact((tx) => tx.meta.put('touched', 'last'))
    const log = await readAll(store, before)
    assert.deepEqual(
      heard.flat().sort((a, b) => a.seq - b.seq),
      log,
    )
    for (const commit of heard) {
      const first = commit[0]?.seq ?? 0
      assert.deepEqual(
        commit.map(({ seq }) => seq),
        commit.map((_, n) => first + n),
      )
    }
    following.stop()
    await store.transact(async (tx) => tx.revocations.append(anEntry()))
    assert.equal(heard.flat().length, log.length)
  })

  test('a work that throws leaves nothing in the log, and no hole', async () => {
    const store = given()
    const { seq } = await store.revocations.head()
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) =>
        store.transact(async (tx) => {
          tx.revocations.append(anEntry())
          await tx.meta.put('touched', String(n))
          if (n % 4 === 0) throw new Error('no')
        }),
      ),
    )
    assert.equal(answers.filter((answer) => answer.status === 'rejected').length, 5)
    assert.equal((await store.revocations.head()).seq, seq + 15)
    assert.equal((await readAll(store, seq)).length, 15)
  })

  test('what lies before an entry is found by how large its cutoff is, the latest first, and only so far back', async () => {
    const store = given()
    const cutoffs = [5, 1, 7, 3, 9, 5]
    const places = await store.transact(async (tx) =>
      cutoffs.map((ahead) => tx.revocations.append(anEntry({ cutoffMs: NOW_MS + ahead }))),
    )
    const last = places.at(-1)?.seq as number
    const found = async (within: number) =>
      (await store.revocations.before(last, within, NOW_MS + 5, NOW_MS + 9)).map(({ seq }) => last - seq)
    assert.deepEqual(await found(5), [3, 5])
    assert.deepEqual(await found(4), [3])
    assert.deepEqual(await found(2), [])
  })

  test('a snapshot holds all that is needed up to its head, while others append', async () => {
    const store = given()
    const start = await store.revocations.head()
    let going = true
    const appending = (async () => {
      while (going) await Promise.all([1, 2, 3].map(() => store.transact(async (tx) => tx.revocations.append(anEntry()))))
    })()
    for (let n = 0; n < 10; n++) {
      const { head, entries } = await store.revocations.snapshot(NOW_AT)
      const log = (await readAll(store, 0)).filter((entry) => entry.seq <= head.seq && entry.dropAfter > NOW_AT)
      assert.ok(head.seq >= start.seq)
      assert.deepEqual(
        entries.map(({ key, cutoffMs }) => [Buffer.from(key).toString('hex'), cutoffMs]),
        log.map(({ key, cutoffMs }) => [Buffer.from(key).toString('hex'), cutoffMs]),
      )
    }
    going = false
    await appending
    assert.deepEqual((await store.revocations.snapshot(NOW_AT + 10_000_000)).entries, [])
  })

  test('a deferred cutoff is taken out once, when it is due, earliest first', async () => {
    const store = given()
    const families = Array.from({ length: 6 }, () => id<FamilyId>())
    await store.transact(async (tx) => {
      for (const [n, family] of families.entries()) await tx.revocations.defer({ dueMs: 1000 - n, family, cutoffMs: n })
      await tx.revocations.defer({ dueMs: 995, family: families[5] as FamilyId, cutoffMs: 50 })
      await tx.revocations.defer({ dueMs: 995, family: families[5] as FamilyId, cutoffMs: 40 })
    })
    assert.equal(await store.revocations.nextDue(), 995)
    assert.deepEqual(await store.transact((tx) => tx.revocations.takeDue(994, 10)), [])
    const taken = (await Promise.all([3, 3, 3].map((n) => store.transact((tx) => tx.revocations.takeDue(999, n))))).flat()
    assert.deepEqual(new Set(taken.map((cutoff) => cutoff.family)), new Set(families.slice(1)))
    assert.equal(taken.length, 5)
    assert.equal(taken.find((cutoff) => cutoff.dueMs === 995)?.cutoffMs, 50)
    assert.deepEqual(await store.transact((tx) => tx.revocations.takeDue(1000, 10)), [
      { dueMs: 1000, family: families[0], cutoffMs: 0 },
    ])
    assert.equal(await store.revocations.nextDue(), undefined)
  })

  test('a new epoch replaces the log, and a work that had read the old head begins again', async () => {
    const store = given()
    const old = await store.transact(async (tx) => tx.revocations.append(anEntry()))
    const salt = { version: 7, bytes: bytes(16) }
    const carried = [anEntry({ reason: 'carried' }), anEntry()]
    const seen: string[] = []
    const late = (n: number) =>
      store.transact(async (tx) => {
        const head = await tx.revocations.head()
        seen.push(head.epoch)
        return { under: head.epoch, place: tx.revocations.append(anEntry({ reason: `late ${n}` })) }
      })
    const renew = store.transact(async (tx) => {
      await tx.revocations.head()
      await tx.revocations.newEpoch('epoch-two', salt, carried)
    })
    const heard: (readonly LogEntry[])[] = []
    const following = store.revocations.followCommits((entries) => heard.push(entries))
    const answers = await Promise.all([late(0), late(1), renew.then(() => late(2)), late(3)])
    following.stop()
    assert.ok(
      heard.some((entries) => entries.length === 0),
      'who follows the commits hears that an epoch began',
    )
    const head = await store.revocations.head()
    assert.deepEqual([head.epoch, head.salt], ['epoch-two', salt])
    assert.ok(head.floor > old.seq, 'the new numbers lie above the old')
    const log = await readAll(store, 0)
    assert.deepEqual(
      log.slice(0, 2).map((entry) => entry.reason),
      ['carried', carried[1]?.reason],
    )
    assert.deepEqual(
      log.map((entry) => entry.seq),
      Array.from({ length: head.seq - head.floor }, (_, n) => head.floor + n + 1),
    )
    // Whoever made a key under a salt has its entry in the log of that salt.
    for (const { under, place } of answers) assert.equal(place.epoch, under)
    for (const { place } of answers.filter((answer) => answer.under === 'epoch-two'))
      assert.ok(log.some((entry) => entry.seq === place.seq))
    assert.equal((await store.revocations.ofKey(carried[0]?.key as Uint8Array)).length, 1)
    assert.notEqual(old.epoch, 'epoch-two')
  })

  test("what is staged for an epoch is nobody's business before it begins, and the log of before goes afterwards", async () => {
    const store = given()
    const old = await store.transact(async (tx) => tx.revocations.append(anEntry({ dropAfter: 5e9 })))
    const before = await store.revocations.head()
    const rows = (n: number) => Array.from({ length: n }, (_, at) => anEntry({ reason: `staged ${at}`, dropAfter: 1 }))
    const first = await store.transact((tx) => tx.revocations.stage(rows(700)))
    const staged = await store.transact((tx) => tx.revocations.stage(rows(500), first))
    const other = await store.transact((tx) => tx.revocations.stage(rows(3)))
    assert.ok(other.base > staged.base + staged.count)
    assert.deepEqual(await store.revocations.head(), before)
    assert.deepEqual(await readAll(store, before.seq), [])
    assert.ok((await store.revocations.snapshot(0)).entries.length <= before.seq)
    const nowMs = await store.now()
    while ((await store.purge(nowMs, 500)).more);
    assert.ok((await store.revocations.head()).floor <= before.seq, 'nor the business of a purge')
    const begin = (epoch: string, from: typeof staged) =>
      store.transact(async (tx) => {
        await tx.revocations.head()
        return tx.revocations.newEpoch(epoch, before.salt, [anEntry({ reason: 'added' })], from)
      })
    assert.equal(await begin('epoch-staged', staged), true)
    const head = await store.revocations.head()
    assert.deepEqual([head.epoch, head.floor, head.seq], ['epoch-staged', staged.base, staged.base + 1201])
    const log = await readAll(store, 0)
    assert.deepEqual([log.length, log.at(0)?.reason, log.at(-1)?.reason], [1201, 'staged 0', 'added'])
    assert.deepEqual((await store.revocations.ofKey((log[5] as LogEntry).key)).length, 1)
    // Abandoned is what no epoch has taken for an hour; whoever comes late must begin anew.
    const purged: Record<string, number> = {}
    for (let more = true; more; ) {
      const report = await store.purge(nowMs + 2 * 3_600_000, 500)
      for (const [table, gone] of Object.entries(report.purged)) purged[table] = (purged[table] ?? 0) + gone
      more = report.more
    }
    assert.ok((purged.old_epochs as number) >= 3 + 1)
    assert.equal(await begin('epoch-late', other), false)
    assert.ok(old.seq < head.floor)
  })

  test('every commit with events is one link, and each chain proves by the kernel that nothing is missing', async () => {
    const store = given()
    const marks = Array.from({ length: 120 }, (_, n) => `mark-${n}-${Buffer.from(bytes(3)).toString('hex')}`)
    await Promise.allSettled(
      marks.map((mark, n) =>
        store.transact(async (tx) => {
          tx.audit(anEvent({ detail: { mark, text: 'line\nbreak, "quote", ü' } }))
          if (n % 10 === 0) throw new Error('no')
          if (n % 7 === 0) tx.audit(anEvent({ detail: { second: mark } }))
          await tx.meta.put('audited', mark)
        }),
      ),
    )
    const found = new Map<string, number>()
    for (const chain of await store.audit.chains()) {
      let previous: Uint8Array = GENESIS
      let index = 0
      for (let from = 1; ; from = index + 1) {
        const batches = await store.audit.batches(chain.chain, from, 3)
        if (batches.length === 0) break
        for (const batch of batches) {
          const events = splitEvents(batch.events)
          assert.deepEqual([batch.index, batch.count], [++index, events.length])
          assert.ok(equalBytes(batch.previous, previous))
          const hash = batchHash(sha256, { ...batch, root: eventsRoot(sha256, events) })
          assert.ok(equalBytes(hash, batch.hash))
          previous = hash
          for (const event of events) {
            const { detail } = JSON.parse(event)
            if (detail?.mark) found.set(detail.mark, (found.get(detail.mark) ?? 0) + 1)
          }
        }
      }
      assert.equal(index, chain.index)
      assert.ok(equalBytes(previous, chain.hash))
    }
    const chains = await store.audit.chains()
    const heads = chains.map(({ chain, index, hash }) => ({ chain, index, hash })).sort((a, b) => (a.chain < b.chain ? -1 : 1))
    assert.deepEqual(await store.audit.headsSince(0), heads)
    const [last] = await store.audit.batches(chains.at(-1)?.chain ?? '', chains.at(-1)?.index ?? 0, 1)
    assert.ok(last && (await store.audit.headsSince(last.atMs)).some(({ chain }) => chain === last.chain), 'of that very time')
    assert.deepEqual(await store.audit.headsSince(8e15), [])
    for (const [n, mark] of marks.entries()) assert.equal(found.get(mark) ?? 0, n % 10 === 0 ? 0 : 1, mark)
  })

  test('a search finds by text and time, page by page', async () => {
    const store = given()
    const mark = `findable-${Buffer.from(bytes(5)).toString('hex')}`
    for (let n = 0; n < 5; n++) await store.transact(async (tx) => tx.audit(anEvent({ ids: { mark, n: String(n) } })))
    await store.transact(async (tx) => tx.audit(anEvent()))
    const toMs = (await store.now()) + 60_000
    const all = await store.audit.search({ text: mark, fromMs: 0, toMs, limit: 100 })
    assert.deepEqual(
      all.map((batch) => JSON.parse(batch.events)[0].ids.n),
      ['0', '1', '2', '3', '4'],
    )
    const paged: string[] = []
    for (let after: { atMs: number; chain: string; index: number } | undefined; ; ) {
      const page = await store.audit.search({ text: mark, fromMs: 0, toMs, limit: 2, ...(after ? { after } : {}) })
      if (page.length === 0) break
      paged.push(...page.map((batch) => JSON.parse(batch.events)[0].ids.n))
      after = page.at(-1)
    }
    assert.deepEqual(paged, ['0', '1', '2', '3', '4'])
    assert.deepEqual(await store.audit.search({ text: mark, fromMs: toMs, toMs: toMs + 1, limit: 5 }), [])
    assert.deepEqual(await store.audit.search({ text: "%' or 1=1", fromMs: 0, toMs, limit: 5 }), [])
    assert.ok((await store.audit.search({ fromMs: 0, toMs, limit: 500 })).length >= 6)
  })

  test('checkpoints are kept in order', async () => {
    const store = given()
    await store.transact((tx) => tx.meta.addCheckpoint(5, 'first'))
    await store.transact((tx) => tx.meta.addCheckpoint(6, 'second'))
    assert.deepEqual(await store.audit.checkpoints(), [
      { atMs: 5, note: 'first' },
      { atMs: 6, note: 'second' },
    ])
    const last = async (count: number) =>
      (await store.audit.checkpointsBefore(undefined, count)).map(({ place: _, ...stored }) => stored)
    assert.deepEqual(await last(1), [{ atMs: 6, note: 'second' }])
    assert.deepEqual((await last(5)).reverse(), await store.audit.checkpoints())
    const [newest] = await store.audit.checkpointsBefore(undefined, 1)
    const rest = await store.audit.checkpointsBefore(newest?.place, 5)
    assert.deepEqual(
      rest.map(({ note }) => note),
      ['first'],
    )
    assert.deepEqual(await store.audit.checkpointsBefore(rest[0]?.place, 5), [])
  })
}

export async function readAll(store: Store, after: number): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  for (let seq = after; ; ) {
    const page = await store.revocations.after(seq, 50)
    if (page.length === 0) return entries
    entries.push(...page)
    seq = page.at(-1)?.seq as number
  }
}
