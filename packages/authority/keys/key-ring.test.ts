import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { test } from 'node:test'
import { Fault } from '@signet/kernel/errors.ts'
import type { KeyId } from '@signet/kernel/ids.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { until } from '@signet/testkit/until.ts'
import { defaultSettings, type PolicySettings } from '../policy/settings.ts'
import type { KeyPurpose, KeyState } from '../store/ports/keys.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { verifySignature } from './algorithms.ts'
import { dropPrivatePart } from './key-record.ts'
import { type KeyRing, openKeyRing } from './key-ring.ts'
import { MasterKey, MasterKeyError } from './master-key.ts'
import { overlapSeconds, PICTURE_SECONDS } from './schedule.ts'

const START_MS = 1_800_000_000_000

async function world(settings: PolicySettings = defaultSettings) {
  const surroundings = manualSurroundings('keys', START_MS)
  const { clock, chance } = surroundings
  const store = await openSqliteStore({ path: ':memory:', surroundings })
  const master = new MasterKey(new Uint8Array(32).fill(1), chance)
  const open = (
    over: { settings?: PolicySettings; master?: MasterKey; store?: Pick<Store, 'now' | 'transact' | 'keys' | 'meta'> } = {},
  ) => openKeyRing({ store, master, clock, chance, settings, ...over })
  const pass = (seconds: number) => clock.advance(seconds * 1000)
  return { store, master, clock, chance, open, pass, settings }
}

const states = (ring: KeyRing, purpose: KeyPurpose) =>
  ring
    .records()
    .filter((key) => key.purpose === purpose)
    .map((key) => key.state)
const kids = (ring: KeyRing) => ring.jwks('token').keys.map((key) => key.kid)
const idIn = (ring: KeyRing, state: KeyState): KeyId => {
  const key = ring.records().find((one) => one.purpose === 'token' && one.state === state)
  assert.ok(key)
  return key.id
}

test('an empty store gets its first keys, and signing works at once', async () => {
  const { open } = await world()
  const ring = await open()
  for (const purpose of ['token', 'feed', 'audit'] as const) {
    const signer = ring.signer(purpose)
    const known = ring.publicKey(signer.id)
    assert.ok(known)
    assert.equal(known.state, 'active')
    const data = Buffer.from(purpose)
    assert.ok(verifySignature(signer.alg as 'ES256', known.key, data, signer.sign(data)))
    assert.deepEqual(
      ring.jwks(purpose).keys.map((key) => Object.keys(key).sort().join()),
      signer.alg === 'EdDSA' ? Array(2).fill('alg,crv,kid,kty,use,x') : Array(2).fill('alg,crv,kid,kty,use,x,y'),
    )
  }
  assert.equal(ring.signer('audit').alg, 'EdDSA')
  assert.equal(ring.ring()?.version, 1)
  assert.equal(ring.ring(1)?.hmac(new Uint8Array(1)).length, 32)
  assert.deepEqual([ring.ring(2)?.version, ring.ring(3)], [2, undefined])
  assert.deepEqual([ring.isAhead(2), ring.isAhead(3)], [false, true])
  assert.equal(
    ring.publicKey(ring.records().find((key) => key.purpose === 'ring')?.id ?? ''),
    undefined,
    'ring keys have nothing public',
  )
  assert.equal(ring.publicKey('no such'), undefined)
})

test('the keys are the same after a restart and on another node', async () => {
  const { open } = await world()
  const [one, other] = [await open(), await open()]
  assert.equal(one.signer('token').id, other.signer('token').id)
  assert.deepEqual(one.jwks('token'), other.jwks('token'))
  assert.deepEqual(one.ring()?.hmac(Buffer.from('x')), other.ring()?.hmac(Buffer.from('x')))
})

test('of nodes that begin at once on an empty store, all end up with the same keys', async () => {
  const { open, store } = await world()
  const rings = await Promise.all(Array.from({ length: 4 }, () => open()))
  assert.equal((await store.keys.all()).length, 8)
  assert.equal(new Set(rings.map((ring) => ring.signer('token').id)).size, 1)
})

test('with another master key nothing starts and nothing changes', async () => {
  const { open, store, chance } = await world()
  await open()
  const before = await store.keys.all()
  await assert.rejects(open({ master: new MasterKey(new Uint8Array(32).fill(2), chance) }), (error) => {
    assert.ok(error instanceof MasterKeyError)
    return error.message.includes('not the one this store was made with')
  })
  assert.deepEqual(await store.keys.all(), before)
})

test('a row that was altered, swapped or added in the store is not accepted', async () => {
  const { open, store, master, chance } = await world()
  const ring = await open()
  const [one, other] = ring.records().filter((key) => key.purpose === 'token')
  const feed = ring.records().find((key) => key.purpose === 'feed')
  const published = ring.jwks('token')
  assert.ok(one && other && feed)
  const replaced = async (wrong: typeof one) => {
    await store.transact(async (tx) => void ((await tx.keys.delete(one.id)) && (await tx.keys.create(wrong))))
    await assert.rejects(open(), (error) => error instanceof MasterKeyError && error.message.includes(one.id))
    await assert.rejects(
      ring.refresh().then(() => open()),
      MasterKeyError,
    )
    await store.transact(async (tx) => void ((await tx.keys.delete(one.id)) && (await tx.keys.create(one))))
  }
  await replaced({ ...one, wrapped: other.wrapped })
  await replaced({ ...one, wrapped: feed.wrapped })
  await replaced({ ...one, alg: 'RS256' })
  await replaced({ ...one, version: 99 })
  await replaced({ ...one, state: 'retired' })
  const foreign = dropPrivatePart(new MasterKey(new Uint8Array(32).fill(9), chance), { ...one, state: 'retired' })
  await replaced(foreign)
  await store.transact((tx) => tx.keys.delete(one.id))
  await store.transact((tx) => tx.keys.create({ ...one, publicJwk: other.publicJwk ?? '' }))
  const reopened = await open({ master })
  assert.deepEqual(reopened.jwks('token'), published, 'the public key comes from the sealed private one')
})

test('a scheduled rotation: published first, then active, the old one verifies until its last token has expired, then is gone', async () => {
  const { open, pass, settings } = await world()
  const ring = await open()
  const [first, second] = [idIn(ring, 'active'), idIn(ring, 'next')]
  assert.deepEqual(kids(ring), [first, second], 'the next key is published from the first day')
  const data = Buffer.from('signed just before')
  pass(settings.keyActiveSeconds - 1)
  await ring.tick()
  assert.equal(ring.signer('token').id, first)
  const signature = ring.signer('token').sign(data)
  pass(1)
  await ring.tick()
  assert.equal(ring.signer('token').id, second)
  assert.deepEqual(states(ring, 'token'), ['retiring', 'active', 'next'])
  assert.ok(verifySignature('ES256', ring.publicKey(first)?.key as never, data, signature))
  assert.equal(ring.schedule().length, 3)
  pass(settings.accessTokenSeconds + settings.leewaySeconds)
  await ring.tick()
  assert.ok(kids(ring).includes(first))
  pass(PICTURE_SECONDS)
  await ring.tick()
  assert.ok(!kids(ring).includes(first))
  assert.equal(ring.publicKey(first)?.state, 'retired')
})

test('the longest token life that was ever in force decides how long a key is kept', async () => {
  const { open, pass, settings, store } = await world()
  const ring = await open()
  await store.transact((tx) => tx.meta.raise('max_token_seconds', 3600))
  const first = idIn(ring, 'active')
  pass(settings.keyActiveSeconds)
  await ring.tick()
  pass(3600)
  await ring.tick()
  assert.equal(ring.publicKey(first)?.state, 'retiring')
  pass(settings.leewaySeconds + PICTURE_SECONDS)
  await ring.tick()
  assert.equal(ring.publicKey(first)?.state, 'retired')
})

test('the private part is dropped when a key ends', async () => {
  const { open, pass, settings, store, master } = await world()
  const ring = await open()
  const first = idIn(ring, 'active')
  const sealed = (await store.keys.all()).find((key) => key.id === first)
  pass(settings.keyActiveSeconds)
  await ring.tick()
  pass(overlapSeconds('token', settings, { tokenSeconds: 300, refreshSeconds: 0 }))
  await ring.tick()
  const ended = (await store.keys.all()).find((key) => key.id === first)
  assert.equal(ended?.state, 'retired')
  assert.notDeepEqual(ended?.wrapped, sealed?.wrapped)
  const inside = Buffer.from(
    master.open(ended?.wrapped as Uint8Array, `signet/key/1\n${first}\ntoken\nES256\n1\npublic`) ?? [],
  ).toString()
  assert.deepEqual(Object.keys(JSON.parse(inside)).sort(), ['crv', 'kty', 'x', 'y'])
  assert.equal((await open()).publicKey(first)?.state, 'retired', 'and it still opens')
})

test('rotations every minute for hours: every token verifies for as long as it lives, on nodes that look at different times', async () => {
  const settings = {
    ...defaultSettings,
    keyActiveSeconds: 60,
    keyPublishSeconds: 30,
    accessTokenSeconds: 120,
    idTokenSeconds: 120,
  }
  const { open, pass } = await world(settings)
  const nodes = [await open(), await open(), await open()]
  const alive: { readonly kid: string; readonly untilS: number }[] = []
  const keys = new Set<string>()
  for (let second = 0; second < 3600; second += 15) {
    await nodes[(second / 15) % 3]?.tick()
    for (const node of nodes) {
      const { id } = node.signer('token')
      keys.add(id)
      alive.push({ kid: id, untilS: second + 120 + settings.leewaySeconds })
    }
    // A validator that keeps the JWKS for 15 s takes it from any node.
    for (const node of nodes) {
      await node.refresh()
      const published = new Set(kids(node))
      for (const { kid, untilS } of alive)
        if (untilS >= second) assert.ok(published.has(kid), `a live token's key is gone at ${second} s`)
    }
    pass(15)
  }
  assert.ok(keys.size > 40)
})

test('by hand: the next key takes over when it has been published long enough, on time otherwise, at once when forced', async () => {
  const { open, pass, settings } = await world()
  const ring = await open()
  const [first, second] = [idIn(ring, 'active'), idIn(ring, 'next')]
  assert.equal(await ring.rotate('token', 'operator:ada'), second)
  assert.equal(ring.signer('token').id, first, 'not yet: validators may not have seen it')
  assert.equal(await ring.rotate('token', 'operator:ada'), second, 'asking again changes nothing')
  pass(settings.keyPublishSeconds)
  await ring.tick()
  assert.equal(ring.signer('token').id, second)
  const third = idIn(ring, 'next')
  assert.equal(await ring.rotate('token', 'operator:ada', { force: true }), third)
  assert.equal(ring.signer('token').id, third)
  assert.deepEqual(states(ring, 'token'), ['retiring', 'retiring', 'active', 'next'])
  pass(settings.keyPublishSeconds)
  const fourth = idIn(ring, 'next')
  assert.equal(await ring.rotate('token', 'operator:ada'), fourth)
  assert.equal(ring.signer('token').id, fourth)
})

test('another algorithm by settings: overlap, no gap, and tokens of both verify', async () => {
  const { open, pass, settings } = await world()
  const before = await open()
  const first = idIn(before, 'active')
  pass(120)
  for (const signingAlgorithm of ['EdDSA', 'PS256'] as const) {
    const ring = await open({ settings: { ...settings, signingAlgorithm } })
    const old = ring.signer('token').alg
    pass(settings.keyPublishSeconds - 1)
    await ring.tick()
    assert.equal(ring.signer('token').alg, old)
    assert.ok(ring.jwks('token').keys.some((key) => key.alg === signingAlgorithm))
    pass(1)
    await ring.tick()
    assert.equal(ring.signer('token').alg, signingAlgorithm)
    assert.ok(ring.jwks('token').keys.some((key) => key.alg === old))
    pass(120)
  }
  await before.refresh()
  assert.equal(before.publicKey(first)?.state, 'retired')
})

test('a compromised key is out at once, its successor in, in the transaction that revokes it', async () => {
  const { open, store } = await world()
  const [ring, other] = [await open(), await open()]
  const [first, second] = [idIn(ring, 'active'), idIn(ring, 'next')]
  assert.equal(await store.transact((tx) => ring.markCompromised(tx, first)), true)
  assert.equal(ring.signer('token').id, first, 'the picture changes with refresh')
  await Promise.all([ring.refresh(), other.refresh()])
  for (const node of [ring, other]) {
    assert.equal(node.signer('token').id, second)
    assert.ok(!kids(node).includes(first))
    assert.equal(node.publicKey(first)?.state, 'compromised')
  }
  assert.equal(await store.transact((tx) => ring.markCompromised(tx, first)), false)
  assert.equal(await store.transact((tx) => ring.markCompromised(tx, 'no such' as KeyId)), false)
  await ring.tick()
  assert.deepEqual(states(ring, 'token'), ['compromised', 'active', 'next'])
})

test('a leak of the whole ring: every key is replaced in one transaction', async () => {
  const { open, store } = await world()
  const ring = await open()
  const before = ring.records().map((key) => key.id)
  await store.transact(async (tx) => {
    for (const id of before) assert.equal(await ring.markCompromised(tx, id, 'operator:ada'), true)
  })
  await ring.refresh()
  for (const purpose of ['token', 'feed', 'audit'] as const) assert.ok(!before.includes(ring.signer(purpose).id))
  assert.equal(ring.ring()?.version, 3)
  assert.deepEqual([ring.ring(1), ring.ring(2)], [undefined, undefined])
  await ring.tick()
  assert.deepEqual(states(ring, 'ring'), ['compromised', 'compromised', 'active', 'next'])
})

test('a revocation that is undone leaves the key as it was', async () => {
  const { open, store } = await world()
  const ring = await open()
  const first = idIn(ring, 'active')
  const undone = store.transact(async (tx) => {
    await ring.markCompromised(tx, first)
    throw new Error('undone')
  })
  await assert.rejects(undone, /undone/)
  await ring.refresh()
  assert.equal(ring.signer('token').id, first)
})

test('several nodes tick at once: each move is made, and audited, once', async () => {
  const { open, pass, settings, store } = await world()
  const nodes = await Promise.all([open(), open(), open()])
  pass(settings.keyActiveSeconds)
  await Promise.all(nodes.map((node) => node.tick()))
  for (const node of nodes) await node.refresh()
  assert.equal(new Set(nodes.map((node) => node.signer('token').id)).size, 1)
  assert.equal((await store.keys.all()).length, 12)
  const events = (await store.audit.search({ fromMs: 0, toMs: Number.MAX_SAFE_INTEGER, limit: 500 })).flatMap(
    (batch) => JSON.parse(batch.events) as { type: string; ids: { key: string }; actor: string }[],
  )
  const activated = events.filter((event) => event.type === 'key.activated')
  assert.equal(activated.length, 4)
  assert.equal(new Set(activated.map((event) => event.ids.key)).size, 4)
  assert.equal(events.filter((event) => event.type === 'key.created').length, 12)
  assert.ok(events.every((event) => event.actor === 'system'))
})

test('a node that cannot read the store goes on signing for a while, then stops rather than sign with a key that may be gone', async () => {
  const { open, store, pass } = await world()
  let down = false
  const keys = { all: () => (down ? Promise.reject(new Error('down')) : store.keys.all()) }
  const ring = await open({ store: { now: () => store.now(), transact: (work) => store.transact(work), keys, meta: store.meta } })
  down = true
  await assert.rejects(ring.tick(), /down/)
  pass(PICTURE_SECONDS - 1)
  assert.ok(ring.signer('token'))
  pass(1)
  assert.throws(() => ring.signer('token'), Fault)
  assert.throws(() => ring.ring(), Fault)
  down = false
  await ring.refresh()
  assert.ok(ring.signer('token'))
})

test('a node that has reason to doubt its keys signs nothing until it has read them again, and asks by itself', async () => {
  const { open, store } = await world()
  let down = false
  const keys = { all: () => (down ? Promise.reject(new Error('down')) : store.keys.all()) }
  const ring = await open({ store: { now: () => store.now(), transact: (work) => store.transact(work), keys, meta: store.meta } })
  const gone = ring.signer('token').id
  const other = await open()
  await store.transact((tx) => other.markCompromised(tx, gone))
  down = true
  ring.doubt()
  assert.throws(() => ring.signer('token'), Fault)
  assert.throws(() => ring.ring(), Fault)
  await new Promise((resolve) => setImmediate(resolve))
  assert.throws(() => ring.signer('token'), Fault, 'a reading that failed dispels nothing')
  down = false
  await until(() => {
    try {
      assert.notEqual(ring.signer('token').id, gone)
      return true
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      return false
    }
  }, 'it signs again')
})

test('a node whose ticks have stopped looks again by itself', async () => {
  const { open, store, pass } = await world()
  const [ring, other] = [await open(), await open()]
  await store.transact((tx) => other.markCompromised(tx, idIn(other, 'active')))
  pass(61)
  const before = ring.signer('token').id
  await new Promise((resolve) => setImmediate(resolve))
  await ring.refresh()
  assert.notEqual(ring.signer('token').id, before)
})

test('refresh resolves with what was committed before it was called, though another reading is under way', async () => {
  const { open, store } = await world()
  const ring = await open()
  const early = ring.refresh()
  await store.transact((tx) => ring.markCompromised(tx, idIn(ring, 'active')))
  const late = ring.refresh()
  await Promise.all([early, late])
  assert.equal(states(ring, 'token')[0], 'compromised')
})

test('nothing private is in the records as they are printed', async () => {
  const { open, store } = await world()
  const ring = await open()
  const shown = JSON.stringify({
    records: ring.records(),
    jwks: ring.jwks('token'),
    schedule: ring.schedule(),
    signer: ring.signer('token'),
  })
  assert.ok(!shown.includes('"d":'))
  const rows = Buffer.from(JSON.stringify(await store.keys.all()))
  assert.ok(!rows.includes('PRIVATE KEY'))
  assert.throws(
    () => sign(null, Buffer.alloc(1), ring.publicKey(ring.signer('audit').id)?.key as never),
    'only the public half is handed out',
  )
})
