/** Whatever comes in between – pages twice, out of order, torn, two nodes at once, a restart – both logs say the same in the end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '@signet/kernel/ids.ts'
import fc from 'fast-check'
import { guardMsOf, longestDropAfter, slackMsOf } from '../revocation/rules.ts'
import { issuerStanding } from '../revocation/standing.ts'
import { openWorld, WHY, type World } from '../revocation/world.testkit.ts'
import type { LogPlace } from '../store/ports/peers.ts'
import * as imports from './import-log.ts'
import { type LogPage, logPage, writeEntry } from './link-messages.ts'
import { markOf, regionReturned, takeOverRegion } from './takeover.ts'

const START: LogPlace = { epoch: '', seq: 0 }

const importPage = (peer: string, from: LogPlace, page: LogPage, world: World, self = 'here') =>
  imports.importPage(peer, from, page, { ...world, self })

/** At most `size` entries of a world's log after a place, as its region would tell them. */
async function pageOf(world: World, after: LogPlace, size: number): Promise<LogPage> {
  const head = await world.store.revocations.head()
  const from = head.epoch === after.epoch ? after.seq : 0
  const read = await world.store.revocations.after(from, size)
  return {
    region: 'other',
    issuer: world.issuer,
    to: { epoch: head.epoch, seq: read.at(-1)?.seq ?? Math.max(from, head.seq) },
    complete: read.length < size,
    gap: false,
    now_ms: world.clock.now(),
    held_ms: 0,
    keys: '',
    entries: read.filter((entry) => entry.origin === undefined).map(writeEntry),
  }
}

async function storedPlace(world: World): Promise<LogPlace> {
  const [peer] = await world.store.peers.all()
  return { epoch: peer?.epoch ?? '', seq: peer?.seq ?? 0 }
}

/** Two regions of one issuer that know the same people and applications. */
async function twoWorlds() {
  const west = await openWorld()
  const east = await openWorld()
  for (const world of [west, east]) await world.store.transact((tx) => tx.peers.create('other'))
  const subject = await west.addSubject()
  const record = await west.store.subjects.find(subject)
  await east.store.transact((tx) => tx.subjects.create(record as NonNullable<typeof record>))
  return {
    west,
    east,
    subject,
    async close() {
      await west.close()
      await east.close()
    },
  }
}

/** The larger cutoff by target: what a log says, whatever its order, epoch and salt. */
async function meaning(world: World): Promise<Record<string, number>> {
  const said: Record<string, number> = {}
  for (const { kind, target, cutoffMs } of await world.log()) {
    said[`${kind} ${target}`] = Math.max(said[`${kind} ${target}`] ?? 0, cutoffMs)
  }
  return said
}

const side = fc.constantFrom('west' as const, 'east' as const)
const act = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('revoke' as const), at: side, target: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('take over' as const), at: side, size: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('again' as const), at: side, size: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('at once' as const), at: side, size: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renumber' as const), at: side }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(4000) }) },
)

test('two logs merge to the same, whatever happens on the way, and nothing is sent back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (story) => {
      const two = await twoWorlds()
      const worlds = { west: two.west, east: two.east }
      const otherOf = { west: two.east, east: two.west }
      const tokens = Array.from({ length: 5 }, () => newId<string>(two.west.clock.now(), two.west.chance))
      try {
        for (const step of story) {
          if (step.do === 'wait') {
            for (const world of [two.west, two.east]) world.advance(step.ms)
            continue
          }
          const world = worlds[step.at]
          const other = otherOf[step.at]
          const from = await storedPlace(world)
          if (step.do === 'revoke') {
            const target =
              step.target === 0
                ? ({ kind: 'subject', id: two.subject } as const)
                : ({ kind: 'token', id: tokens[step.target - 1] as string } as const)
            await world.revoker.revoke(target, WHY)
          } else if (step.do === 'take over') {
            await importPage('other', from, await pageOf(other, from, step.size), world)
          } else if (step.do === 'again') {
            // From the very beginning, by somebody who does not know that this was done long ago.
            const outcome = await importPage('other', START, await pageOf(other, START, step.size), world)
            if (from.epoch !== '') assert.equal(outcome.kind, 'overtaken')
          } else if (step.do === 'at once') {
            const page = await pageOf(other, from, step.size)
            if (page.to.epoch === from.epoch && page.to.seq === from.seq) continue
            const outcomes = await Promise.all([1, 2, 3].map(() => importPage('other', from, page, world)))
            assert.equal(outcomes.filter(({ kind }) => kind === 'imported').length, 1)
          } else {
            const head = await world.store.revocations.head()
            const log = await world.log()
            const salt = { version: head.salt.version + 1, bytes: head.salt.bytes }
            const entries = log.map(({ seq: _seq, epoch: _epoch, atMs: _atMs, ...entry }) => entry)
            await world.store.transact((tx) => tx.revocations.newEpoch(newId<string>(Date.now(), world.chance), salt, entries))
          }
        }
        // Until nothing is left to tell: there and back, and there once more for what was covered on the way.
        for (let round = 0; round < 3; round++) {
          for (const at of ['west', 'east'] as const) {
            for (let done = false; !done; ) {
              const from = await storedPlace(worlds[at])
              const page = await pageOf(otherOf[at], from, 2)
              await importPage('other', from, page, worlds[at])
              done = page.complete
            }
          }
        }
        assert.deepEqual(await meaning(two.west), await meaning(two.east))
        const revoked = await Promise.all([two.west, two.east].map((world) => world.store.subjects.find(two.subject)))
        assert.equal((revoked[0]?.revokedMs ?? 0) > 0, (revoked[1]?.revokedMs ?? 0) > 0)
        // All of it told once more changes nothing.
        for (const at of ['west', 'east'] as const) {
          const outcome = await importPage(
            'other',
            await storedPlace(worlds[at]),
            await pageOf(otherOf[at], START, 1000),
            worlds[at],
          )
          assert.equal(outcome.kind === 'imported' ? outcome.appended - outcome.covered : 0, 0)
        }
      } finally {
        await two.close()
      }
    }),
    { numRuns: 60 },
  )
})

test('what comes in time is copied; what comes late is covered, past everything issued here, and only once', async () => {
  const two = await twoWorlds()
  const { west, east, subject } = two
  const { cutoffMs } = await west.revoker.revoke({ kind: 'subject', id: subject }, WHY)
  assert.equal(cutoffMs, west.clock.now() + guardMsOf(west.settings))
  const page = await pageOf(west, START, 10)
  const late = await openWorld()
  await late.store.transact((tx) => tx.peers.create('other'))
  await importPage('other', START, page, east)
  assert.deepEqual(
    (await east.log()).map((e) => [e.act, e.origin, e.cutoffMs]),
    [['revoke', 'other', cutoffMs]],
  )

  late.advance(cutoffMs - slackMsOf(late.settings) - late.clock.now())
  await importPage('other', START, page, late)
  const [cover] = await late.log()
  assert.deepEqual([cover?.act, cover?.origin], ['cover', undefined])
  assert.equal(cover?.cutoffMs, late.clock.now() + guardMsOf(late.settings))

  // East is told of the cover long after, and only copies it.
  east.advance(60_000)
  await importPage('other', page.to, await pageOf(late, START, 10), east)
  assert.deepEqual(
    (await east.log()).map((e) => [e.act, e.origin]),
    [
      ['revoke', 'other'],
      ['cover', 'other'],
    ],
  )
  const person = await east.store.subjects.find(subject)
  assert.deepEqual([person?.cutoffMs, person?.revokedMs], [cover?.cutoffMs, cutoffMs])
  await late.close()
  await two.close()
})

test('a scope, and a grant of here that was reported there, are covered as well: tokens were issued for them until we heard', async () => {
  const { west, east, subject, close } = await twoWorlds()
  const { grant } = await east.addLogin(subject)
  await west.revoker.revoke({ kind: 'scope', id: 'api:read' }, WHY)
  await west.revoker.revoke({ kind: 'grant', id: grant }, WHY)
  const elsewhere = west.token<string>()
  await west.revoker.revoke({ kind: 'grant', id: elsewhere }, WHY)
  east.advance(10_000)
  const issuedAtMs = east.clock.now()
  await importPage('other', START, await pageOf(west, START, 10), east)
  assert.equal(await east.isDead({ scope: 'api:read' }, issuedAtMs), 'scope')
  assert.equal(await east.isDead({ grant }, issuedAtMs), 'grant')
  assert.deepEqual(
    (await east.log()).map(({ kind, act, origin }) => [kind, act, origin]),
    [
      ['scope', 'cover', undefined],
      ['grant', 'cover', undefined],
      ['grant', 'revoke', 'other'], // Nobody here issues for it.
    ],
  )
  assert.equal((await east.store.families.find(grant))?.family.status, 'revoked')
  await close()
})

test('what both did stays when one takes its own back', async () => {
  const { west, east, subject, close } = await twoWorlds()
  const issuedAtMs = west.clock.now()
  for (const world of [west, east]) {
    await world.revoker.revoke({ kind: 'scope', id: 'api:read' }, WHY)
    await world.revoker.revoke({ kind: 'subject', id: subject }, WHY)
  }
  const { revokedMs } = (await west.store.subjects.find(subject)) as { revokedMs: number }
  await importPage('other', START, await pageOf(west, START, 10), east)
  const { epoch } = await east.store.revocations.head()
  const seqs = (await east.log()).flatMap(({ seq, origin }) => (origin === undefined ? [seq] : []))
  await east.revoker.undo({ epoch, seqs }, WHY)
  assert.equal(await east.isDead({ scope: 'api:read' }, issuedAtMs), 'scope')
  assert.equal(await east.isDead({ subject }, issuedAtMs), 'subject')
  assert.equal((await east.store.subjects.find(subject))?.revokedMs, revokedMs)
  // Told anew with all the log, it is not taken over twice.
  const before = (await east.log()).length
  const place = await storedPlace(east)
  await importPage('other', place, await pageOf(west, START, 10), east)
  assert.equal((await east.log()).length, before)
  await close()
})

test('grants and sessions end although the entry that says so has long expired', async () => {
  const two = await twoWorlds()
  const { west, east, subject } = two
  const { cutoffMs } = await west.revoker.revoke({ kind: 'subject', id: subject }, WHY)
  const page = await pageOf(west, START, 10)
  east.advance(7 * 86_400_000)
  await importPage('other', START, page, east)
  assert.ok(((await east.store.subjects.find(subject))?.revokedMs ?? 0) > cutoffMs)
  await two.close()
})

test('an entry is kept no longer than one can be, whatever is said of it', async () => {
  const { west, east, close } = await twoWorlds()
  await west.revoker.revoke({ kind: 'token', id: west.token() }, WHY)
  const page = await pageOf(west, START, 10)
  const entries = page.entries.map((entry) => ({ ...entry, drop_after: Number.MAX_SAFE_INTEGER }))
  await importPage('other', START, { ...page, entries }, east)
  const [taken] = await east.log()
  assert.equal(taken?.dropAfter, longestDropAfter(taken?.cutoffMs ?? 0, east.settings))
  await close()
})

test('an entry with text that no database takes is malformed, not a fault of ours', async () => {
  const { west, close } = await twoWorlds()
  await west.revoker.revoke({ kind: 'token', id: west.token() }, WHY)
  const page = await pageOf(west, START, 10)
  assert.equal(logPage.safeParse(page).success, true)
  for (const member of ['issuer', 'target', 'reason', 'actor']) {
    const entries = page.entries.map((entry) => ({ ...entry, [member]: 'a\u0000b' }))
    assert.equal(logPage.safeParse({ ...page, entries }).success, false, member)
  }
  await close()
})

test('a cutoff that lies too far ahead is not taken over, nor is anything beside it', async () => {
  const two = await twoWorlds()
  const { west, east } = two
  await west.revoker.revoke({ kind: 'token', id: west.token() }, WHY)
  await west.revoker.revoke({ kind: 'issuer', id: west.issuer }, WHY)
  const page = await pageOf(west, START, 10)
  const poisoned = page.entries.map((entry) => ({ ...entry, cutoff_ms: entry.cutoff_ms + 700 }))
  await assert.rejects(importPage('other', START, { ...page, entries: poisoned }, east), /cutoff_in_the_future/)
  assert.deepEqual([await east.log(), await storedPlace(east)], [[], START])
  await two.close()
})

test('a takeover is heard once: told anew with all the log it ends nothing that began since, and the next one does', async () => {
  const { west, east, close } = await twoWorlds()
  const why = { reason: 'lost', actor: 'operator:test' } as const
  const hear = async () => {
    // Its whole log, by whatever number: as after a renumbering, or to one that was restored.
    const place = await storedPlace(west)
    await west.store.transact((tx) => tx.peers.advance('other', place, START))
    await importPage('other', START, await pageOf(east, START, 50), west, 'other')
    const { familiesEndedMs, revokedMs } = await issuerStanding(west.store)
    assert.equal(revokedMs, 0, 'sessions go on')
    return familiesEndedMs
  }
  const wrong = await east.revoker.revoke({ kind: 'token', id: east.token() }, WHY)
  assert.equal(await hear(), 0)
  await takeOverRegion('other', why, east)
  await takeOverRegion('other', why, east)
  assert.equal((await east.log()).filter(({ target }) => target === markOf('other')).length, 1)
  const heardMs = await hear()
  // Nodes' clocks may be ahead, and what began past a cutoff, which the last one may be, bears a later time.
  const past = () => west.clock.now() + guardMsOf(west.settings) + 1
  assert.equal(heardMs, past())

  for (const world of [west, east]) world.advance(86_400_000)
  assert.equal(await hear(), heardMs)
  await east.revoker.undo({ epoch: wrong.epoch, seqs: [wrong.seq] }, WHY)
  assert.equal(await hear(), heardMs)

  const returned = () => east.store.transact((tx) => regionReturned(tx, 'other', east))
  assert.equal(await returned(), false, 'it has not said that it has heard')
  const { epoch, seq } = await east.store.revocations.head()
  await east.store.transact((tx) => tx.peers.tell('other', { epoch, seq }))
  assert.equal(await returned(), true)
  await takeOverRegion('other', why, east)
  assert.equal(await returned(), false)
  assert.equal(await hear(), past() - 1)
  await close()
})
