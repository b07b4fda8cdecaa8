/** Two regions on embedded stores: what is taken back in one is taken back in both, and a cut link never looks fresh. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import type { HeadPayload } from '@signet/kernel/feed.ts'
import { type ClientId, newId, type TokenId } from '@signet/kernel/ids.ts'
import type { TokenKeys } from '@signet/kernel/revocation.ts'
import { createKeyer, isRevoked } from '@signet/kernel/token-keys.ts'
import { basicAuth, startTestAuthority, type TestAuthority } from '@signet/testkit/authority.ts'
import { knowsAll, startTwoRegions } from '@signet/testkit/regions.ts'
import { startTcpProxy, type TcpProxy } from '@signet/testkit/tcp-proxy.ts'
import { until } from '@signet/testkit/until.ts'
import type { LogPlace } from '../store/ports/peers.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { realSurroundings, sha256 } from '../surroundings.ts'
import { isTakenOver, takeOverRegion } from './takeover.ts'

const WHY = { reason: 'test', actor: 'operator:test' } as const
const keyer = createKeyer(sha256)

async function isDead(region: TestAuthority, keys: Omit<TokenKeys, 'issuer'>, issuedAtMs = Date.now()): Promise<boolean> {
  await region.registry.lookNow()
  return isRevoked(region.registry.view, keyer, { issuer: region.issuer, ...keys }, issuedAtMs) !== undefined
}

/** Commits and links may take as long as a busy machine needs: what comes late is covered, which is told elsewhere. */
const PATIENT = { settings: { commitAllowanceMilliseconds: 10_000 } }
const startPatientRegions = () => startTwoRegions({ west: PATIENT, east: PATIENT })

const headOf = async (region: TestAuthority): Promise<HeadPayload> =>
  JSON.parse(Buffer.from((await region.hub.head('0123456789abcdef')).split('.')[1] as string, 'base64url').toString())

describe('two regions', () => {
  test('what is revoked in one ends in both, with its people, and is not sent back', async () => {
    const two = await startPatientRegions()
    const { west, east } = two
    try {
      // A person and an application that both regions know.
      const person = await west.addSubject()
      await east.addSubject(person)
      await west.addClient({ id: 'app' as ClientId })
      await east.addClient({ id: 'app' as ClientId })
      const beforeMs = Date.now()
      const receipt = await west.revoker.revoke({ kind: 'subject', id: person.id }, WHY)
      await east.revoker.suspend({ kind: 'client', id: 'app' }, WHY)
      await two.settled()
      for (const region of [west, east]) {
        assert.equal(await isDead(region, { subject: person.id }, beforeMs), true)
        assert.equal(await isDead(region, { client: 'app' }, beforeMs), true)
        assert.ok(((await region.store.subjects.find(person.id))?.revokedMs ?? 0) >= receipt.cutoffMs)
        assert.equal((await region.store.clients.find('app' as ClientId))?.status, 'suspended')
      }
      await two.settled()
      await two.settled()
      const [wests, easts] = await Promise.all([west, east].map((region) => region.store.revocations.after(0, 100)))
      const origins = (log: typeof wests, target: string) => log?.filter((e) => e.target === target).map((e) => e.origin)
      assert.deepEqual([origins(wests, 'app'), origins(easts, person.id)], [['east'], ['west']])
      assert.deepEqual([wests?.length, easts?.length], [2, 2])
    } finally {
      await two.close()
    }
  })

  test('what one did is lifted and undone there first: another says which, and does it when it is told that this is known', async () => {
    const two = await startPatientRegions()
    const { west, east } = two
    try {
      const person = await west.addSubject()
      await east.addSubject(person)
      const client = { kind: 'client', id: 'app' } as const
      for (const region of [west, east]) await region.addClient({ id: 'app' as ClientId })
      await west.revoker.suspend(client, WHY)
      await west.revoker.revoke({ kind: 'subject', id: person.id }, WHY)
      await two.settled()
      const { epoch } = await east.store.revocations.head()
      const seq = (await east.store.revocations.after(0, 100)).find(({ target }) => target === person.id)?.seq as number
      const inWest = { code: 'conflict', reason: 'made_in_another_region', details: [{ path: 'region', message: 'west' }] }
      await assert.rejects(east.revoker.resume(client, WHY), inWest)
      await assert.rejects(east.revoker.undo({ epoch, seqs: [seq] }, WHY), inWest)
      const status = async ({ store }: TestAuthority) => (await store.clients.find('app' as ClientId))?.status
      const revokedMs = async ({ store }: TestAuthority) => (await store.subjects.find(person.id))?.revokedMs
      assert.equal(await status(east), 'suspended')
      assert.notEqual(await revokedMs(east), 0)

      const there = (await west.store.revocations.after(0, 100)).find(({ target }) => target === person.id)
      await west.revoker.undo({ epoch: there?.epoch as string, seqs: [there?.seq as number] }, WHY)
      await west.revoker.resume(client, WHY)
      await two.settled()
      await east.revoker.undo({ epoch, seqs: [seq] }, { ...WHY, here: true })
      await east.revoker.resume(client, { ...WHY, here: true })
      await two.settled()
      for (const region of [west, east]) assert.deepEqual([await status(region), await revokedMs(region)], ['active', 0])

      // Held here by a copy alone, it may be lifted there at any moment: who suspends it here makes that his own, once.
      await west.revoker.suspend(client, WHY)
      await two.settled()
      await west.revoker.resume(client, WHY)
      const own = await east.revoker.suspend(client, WHY)
      assert.equal(own.already, false)
      assert.equal((await east.revoker.suspend(client, WHY)).already, true)
      await two.settled()
      assert.equal(await status(west), 'suspended')
      await assert.rejects(east.revoker.resume(client, WHY), inWest, 'west had its say, too')
      await east.revoker.resume(client, { ...WHY, here: true })
      await west.revoker.resume(client, { ...WHY, here: true })
      for (const region of [west, east]) assert.equal(await status(region), 'active')

      // What east suspends now is its own to lift.
      await east.revoker.suspend(client, WHY)
      await east.revoker.resume(client, WHY)
      assert.equal(await status(east), 'active')
    } finally {
      await two.close()
    }
  })

  test('a claims epoch taken over leaves grants alive', async () => {
    const two = await startTwoRegions()
    try {
      const person = await two.west.addSubject()
      await two.east.addSubject(person)
      const { cutoffMs } = await two.west.revoker.revoke({ kind: 'subject', id: person.id }, { ...WHY, keepGrants: true })
      await two.settled()
      const there = await two.east.store.subjects.find(person.id)
      assert.deepEqual([there?.status, there?.revokedMs, (there?.cutoffMs ?? 0) >= cutoffMs], ['active', 0, true])
    } finally {
      await two.close()
    }
  })

  test('a cut link shows in the age of every head; healed, nothing was missed, and what came late is covered', async () => {
    const two = await startTwoRegions()
    const { west, east } = two
    try {
      await until(async () => (await headOf(east)).age_ms < 2000)
      const person = await west.addSubject()
      await east.addSubject(person)
      two.cut()
      await west.revoker.revoke({ kind: 'subject', id: person.id }, WHY)
      const ids = Array.from({ length: 210 }, () => newId<TokenId>(Date.now(), west.surroundings.chance))
      await Promise.all(ids.map((id) => west.revoker.revoke({ kind: 'token', id }, WHY)))
      assert.equal(await isDead(east, { subject: person.id }, 1), false)
      await until(async () => (await headOf(east)).age_ms > 2500) // The guard, and more: the entry is late now.
      const issuedThere = Date.now() // By east, which could not know.
      await until(() => east.regions?.status()[0]?.problem === 'unreachable')
      two.heal()
      await two.settled()
      assert.equal(await isDead(east, { subject: person.id }, issuedThere), true)
      for (const id of ids) assert.equal(await isDead(east, { token: id }, 1), true)
      // West hears of the cover, so that a token which east issued meanwhile is dead there as well; it is covered once.
      await two.settled()
      assert.equal(await isDead(west, { subject: person.id }, issuedThere), true)
      const acts = async (region: TestAuthority) =>
        (await region.store.revocations.after(0, 5000)).filter((e) => e.target === person.id).map((e) => [e.act, e.origin])
      // Made again, when its commit was late; covered once.
      const [cover, ...made] = (await acts(west)).toReversed()
      assert.deepEqual([cover, new Set(made.flat())], [['cover', 'east'], new Set(['revoke', undefined])])
      assert.deepEqual(await acts(east), [['cover', undefined]])
      await until(async () => (await headOf(east)).age_ms < 2000)
    } finally {
      await two.close()
    }
  })

  test('both publish the keys of both, also after a restart without the other; a compromised one goes from both', async () => {
    const store = await openSqliteStore({ path: ':memory:', surroundings: realSurroundings() })
    const two = await startTwoRegions({ east: { store } })
    try {
      const kids = (region: TestAuthority, purpose: 'token' | 'feed') =>
        region.keys
          .jwks(purpose)
          .keys.map(({ kid }) => kid)
          .sort()
      await until(() => kids(two.east, 'token').length === 4 && kids(two.west, 'token').length === 4)
      for (const purpose of ['token', 'feed'] as const) assert.deepEqual(kids(two.east, purpose), kids(two.west, purpose))
      two.cut()
      await two.restartEast()
      assert.deepEqual(kids(two.east, 'token'), kids(two.west, 'token'))
      assert.ok(Number.isFinite(two.east.regions?.ageMs()), 'how old its knowledge is outlives a restart')
      two.heal()
      const active = two.west.keys.signer('token').id
      await two.west.revoker.revoke({ kind: 'key', id: active }, WHY)
      await knowsAll(two.east)
      assert.equal(await isDead(two.east, { key: active }, 9e12), true)
      await until(() => !kids(two.east, 'token').includes(active))
      assert.equal(two.east.keys.publicKey(active)?.state, 'compromised')
      assert.equal(kids(two.east, 'token').includes(two.west.keys.signer('token').id), true)
    } finally {
      await two.close()
      await store.close()
    }
  })

  test('a region with another master key, or another clock, is not followed', async () => {
    const { clock, ...others } = realSurroundings()
    const ahead = { ...others, clock: { now: () => clock.now() + 3000, monotonic: clock.monotonic } }
    const cases = [
      [{ masterKey: new Uint8Array(32).fill(8) }, 'wrong_master_key'],
      [{ surroundings: ahead }, 'clocks_apart'],
    ] as const
    for (const [east, problem] of cases) {
      const two = await startTwoRegions({ linked: false, east })
      try {
        await until(() => [two.west, two.east].every((region) => region.regions?.status()[0]?.problem === problem))
        await two.west.revoker.revoke({ kind: 'issuer', id: two.west.issuer }, WHY)
        assert.equal((await two.east.store.revocations.head()).seq, 0)
        assert.equal(two.east.regions?.ageMs(), Number.POSITIVE_INFINITY)
        assert.equal((await headOf(two.east)).age_ms, Number.MAX_SAFE_INTEGER)
        assert.equal(two.east.keys.jwks('token').keys.length, 2)
      } finally {
        await two.close()
      }
    }
  })

  test('a takeover through a node that alone was cut off does not outlive the word of those that were not', async () => {
    const two = await startTwoRegions()
    try {
      const { store, settings, issuer, surroundings } = two.east
      // Another node of east, which does not reach west, says so to an operator.
      const parts = { store, settings, issuer, sha256, chance: surroundings.chance, bus: { publish() {} } }
      await takeOverRegion('west', WHY, parts)
      assert.equal(await isTakenOver(store.meta, 'west'), true)
      // While it stands, what lives in west and cannot be asked about is refused for good.
      await until(async () => !(await isTakenOver(store.meta, 'west')))
    } finally {
      await two.close()
    }
  })

  test('that a region is taken over counts for as long ago as it was read: another node may have found that it has returned', async () => {
    const two = await startTwoRegions()
    try {
      const { east } = two
      two.cut()
      await until(() => east.regions?.status()[0]?.problem !== undefined)
      await east.regions?.takeOver('west', WHY)
      await until(() => (east.regions?.status()[0]?.ageMs ?? 0) > 1000)
      assert.ok((east.regions?.ageMs() ?? 1e9) < (east.regions?.status()[0]?.ageMs ?? 0))
      // One that is not cut off.
      await east.store.transact((tx) => tx.meta.put('region_taken_over:west', ''))
      const returned = performance.now()
      await until(() => performance.now() - returned > 20)
      const sinceMs = performance.now() - returned
      assert.ok((east.regions?.ageMs() ?? 0) >= sinceMs - 1, 'nothing is known of what it has revoked since')
    } finally {
      await two.close()
    }
  })

  test('one that returns hears that it was declared lost before it begins, also from one that says "come back" at first', async () => {
    const store = await openSqliteStore({ path: ':memory:', surroundings: realSurroundings() })
    const two = await startTwoRegions({ east: { store } })
    const { west, toWest } = two
    const way = Promise.withResolvers<TcpProxy>()
    let asked = 0
    const busy = createServer((_request, answer) => {
      answer.writeHead(503, { 'retry-after': '1', connection: 'close' }).end()
      if (++asked === 3) busy.close(() => way.resolve(startTcpProxy(Number(new URL(west.url).port), toWest.port)))
    })
    try {
      await two.restartEast(async () => {
        await until(() => west.regions?.status()[0]?.problem !== undefined)
        await west.regions?.takeOver('east', WHY)
        await toWest.close()
        await once(busy.listen(toWest.port, '127.0.0.1'), 'listening')
      })
      assert.ok(((await two.east.regions?.familiesEndedMs()) ?? 0) > 0)
    } finally {
      await two.close()
      busy.close()
      if (asked >= 3) await (await way.promise).close()
      await store.close()
    }
  })

  test('a place beyond the head is a gap, and nothing is let go for it', async () => {
    const two = await startTwoRegions()
    try {
      const token = newId<TokenId>(Date.now(), two.west.surroundings.chance)
      await two.west.revoker.revoke({ kind: 'token', id: token }, WHY)
      const { epoch, seq } = await two.west.store.revocations.head()
      const beyond = { epoch, seq: seq + 1000 }
      const page = await two.west.regions?.export.page({ region: 'east', after: beyond, have: beyond, waitMs: 0 })
      assert.equal(page?.gap, true, 'what is made next would never be told')
      const [east] = await two.west.store.peers.all()
      assert.ok((east?.toldSeq ?? 0) <= seq)
    } finally {
      await two.close()
    }
  })

  test('what a store that went back in time had taken over is taken over anew, though nothing new has come', async () => {
    const two = await startTwoRegions()
    const { west, east } = two
    try {
      await two.settled()
      const { surroundings, store } = east
      const [before] = await store.peers.all()
      const token = newId<TokenId>(Date.now(), surroundings.chance)
      await west.revoker.revoke({ kind: 'token', id: token }, WHY)
      await two.settled()
      assert.equal(await isDead(east, { token }, 1), true)
      // As a standby that lagged, with the epoch that its promotion begins.
      await store.transact(async (tx) => {
        const { salt } = await tx.revocations.head()
        const [now] = await tx.peers.all()
        assert.ok(await tx.peers.advance('west', now as LogPlace, before as LogPlace))
        assert.ok(await tx.revocations.newEpoch(newId<string>(Date.now(), surroundings.chance), salt, []))
      })
      await east.registry.lookNow()
      await two.settled()
      assert.equal(await isDead(east, { token }, 1), true)
    } finally {
      await two.close()
    }
  })

  test('one whose entries were lost is followed again when an operator says so, and only then', async () => {
    const two = await startPatientRegions()
    const { west, east } = two
    try {
      const revokeInWest = async () => {
        const id = newId<TokenId>(Date.now(), west.surroundings.chance)
        await west.revoker.revoke({ kind: 'token', id }, WHY)
        return id
      }
      const first = await revokeInWest()
      await two.settled()
      assert.equal(await east.regions?.relink('west', WHY), false, 'nothing was lost')
      // As after a long cut: east is told to go on from where west has nothing to go on from.
      const place = (await east.store.peers.all())[0] as LogPlace
      const beyond = { epoch: place.epoch, seq: place.seq + 1000 }
      assert.ok(await east.store.transact((tx) => tx.peers.advance('west', place, beyond)))
      const lost = await revokeInWest()
      await until(() => east.regions?.status()[0]?.problem === 'entries_were_lost')
      assert.equal(await isDead(east, { token: lost }, 1), false)
      assert.equal(await east.regions?.relink('west', WHY), true)
      await until(() => east.regions?.status()[0]?.problem === undefined)
      await two.settled()
      for (const id of [first, lost]) assert.equal(await isDead(east, { token: id }, 1), true)
      assert.equal((await east.store.revocations.after(0, 100)).filter(({ target }) => target === first).length, 1)
    } finally {
      await two.close()
    }
  })

  test('only a region, in its own name, is told the log in plain words', async () => {
    const two = await startTwoRegions()
    try {
      const plain = await fetch(`${two.west.url}/region/log?region=east&epoch=&after=0&have_epoch=&have=0&wait_ms=0`)
      assert.equal(plain.status, 401)
      // A client with the scope that is no peer's, though it names one.
      await two.west.addClient({
        id: 'region-north' as ClientId,
        platform: 'service',
        grantTypes: ['client_credentials'],
        scopes: ['signet:region'],
        resources: [two.west.issuer],
      })
      const form = { grant_type: 'client_credentials', scope: 'signet:region', resource: two.west.issuer }
      const { access_token } = (await two.west.post('/token', form, basicAuth('region-north'))).body
      const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' }
      const about = { path: '/revoke', form: 'token=x', token: 'x', headers: {}, address: '127.0.0.1' }
      for (const [path, body] of [
        ['/region/log?region=east&epoch=&after=0&have_epoch=&have=0&wait_ms=0', undefined],
        ['/region/keys?region=east', undefined],
        ['/region/forward', JSON.stringify({ region: 'east', ...about })],
      ] as const) {
        const answer = await fetch(two.west.url + path, { headers, ...(body !== undefined && { method: 'POST', body }) })
        assert.deepEqual([answer.status, ((await answer.json()) as { reason: string }).reason], [403, 'not_this_region'], path)
      }
      const one = await startTestAuthority()
      assert.equal((await fetch(`${one.url}/region/log`)).status, 404)
      await one.close()
    } finally {
      await two.close()
    }
  })
})
