import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Bus, Wake, WokenBy } from '@signet/bus/bus.ts'
import { Fault } from '@signet/kernel/errors.ts'
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { manualClock } from '@signet/testkit/surroundings.ts'
import type { LogEntry, LogHead } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'
import { openRegistry, type Registry, type RegistryParts } from './registry.ts'
import { createTidings } from './tidings.ts'
import { openWorld, WHY, type World } from './world.testkit.ts'

const SILENT: Bus = { publish() {}, subscribe: () => ({ stop() {} }), linked: () => false, close: async () => {} }
const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets time pass in steps of a poll, with turns in between for what is asked of the store. */
async function pass(world: World, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 250) {
    world.advance(250)
    await turns()
  }
}

/** A store that can be lost, can hang, and whose clock can be off. */
function fragile(store: Store) {
  const state = { mode: 'well' as 'well' | 'lost' | 'hangs', offsetMs: 0, head: undefined as LogHead | undefined }
  const pass = <T>(answer: () => Promise<T>): Promise<T> => {
    if (state.mode === 'lost') return Promise.reject(new Error('the store is away'))
    return state.mode === 'hangs' ? new Promise(() => {}) : answer()
  }
  const { revocations, meta } = store
  const wrapped: RegistryParts['store'] = {
    engine: 'postgres',
    now: () => pass(async () => (await store.now()) + state.offsetMs),
    meta: { get: (name) => pass(() => meta.get(name)), tokenSeconds: () => pass(() => meta.tokenSeconds()) },
    revocations: {
      ...revocations,
      followCommits: () => ({ stop() {} }), // What the world commits is another node's.
      head: () => pass(async () => state.head ?? (await revocations.head())),
      since: (seq, limit) =>
        pass(async () => {
          const { head, entries } = await revocations.since(seq, limit)
          return { head: state.head ?? head, entries }
        }),
      after: (seq, limit) => pass(() => revocations.after(seq, limit)),
      snapshot: (nowAt) => pass(() => revocations.snapshot(nowAt)),
    },
  }
  return { state, wrapped }
}

async function openFragile(over: Partial<RegistryParts> = {}) {
  const world = await openWorld()
  const { state, wrapped } = fragile(world.store)
  const told: string[] = []
  const registry = await openRegistry({
    ...world,
    store: wrapped,
    observe: { lost: () => told.push('lost'), found: () => told.push('found') },
    ...over,
  })
  const close = async () => {
    registry.close()
    await world.close()
  }
  return { world, registry, state, told, close }
}

async function revokeOne(world: World): Promise<string> {
  const id = await world.addSubject()
  await world.revoker.revoke({ kind: 'subject', id }, WHY)
  return id
}

it('follows the log when the bus wakes it', async () => {
  const { world, registry, close } = await openFragile()
  const id = await revokeOne(world)
  await turns()
  assert.ok(registry.cutoffMs('subject', id) > world.clock.now())
  assert.equal(registry.position?.seq, 1)
  await close()
})

/** A registry on the world's store that counts what it reads there, and hears of commits while `state.hears`. */
async function openListening({ engine: named, ...over }: Partial<RegistryParts> & { engine?: Store['engine'] } = {}) {
  const world = await openWorld()
  const state = { hears: true, reads: 0, held: undefined as Promise<void> | undefined }
  const { engine, meta, revocations } = world.store
  const read = async <T>(answer: Promise<T>): Promise<T> => {
    state.reads++
    const found = await answer
    await state.held
    return found
  }
  const store: RegistryParts['store'] = {
    engine: named ?? engine,
    now: () => world.store.now(),
    meta,
    revocations: {
      ...revocations,
      head: () => read(revocations.head()),
      since: (seq, limit) => read(revocations.since(seq, limit)),
      after: (seq, limit) => read(revocations.after(seq, limit)),
      followCommits: (told) => revocations.followCommits((entries) => state.hears && told(entries)),
    },
  }
  const registry = await openRegistry({ ...world, store, ...over })
  const heard: string[] = []
  registry.follow({
    applied: (_, entries) => heard.push(entries.map(({ seq }) => seq).join()),
    reset: ({ seq }) => heard.push(`reset ${seq}`),
  })
  state.reads = 0
  const close = async () => {
    registry.close()
    await world.close()
  }
  return { world, registry, state, heard, close }
}

it('knows what its own node commits when the caller does, and need not read it', async () => {
  const { world, registry, state, heard, close } = await openListening()
  const subjects = await Promise.all(Array.from({ length: 3 }, () => world.addSubject()))
  const bySubject = (id: string) => world.revoker.revoke({ kind: 'subject', id }, WHY)
  const places = await Promise.all(
    subjects.map(async (id) => {
      const { seq } = await bySubject(id)
      return [seq, (registry.position?.seq ?? 0) >= seq, registry.cutoffMs('subject', id) > 0]
    }),
  )
  assert.deepEqual(
    places.sort(([a], [b]) => Number(a) - Number(b)),
    [1, 2, 3].map((seq) => [seq, true, true]),
  )
  await turns()
  assert.deepEqual([heard.join(), state.reads], ['1,2,3', 0])
  await close()
})

it('knows at once how the issuer stands, which takes a look', async () => {
  const { world, registry, close } = await openListening()
  await world.revoker.revoke({ kind: 'issuer', id: world.issuer }, WHY)
  await registry.lookNow({ epoch: registry.position?.epoch ?? '', seq: 1 })
  assert.ok(registry.issuerStanding().revokedMs > 0)
  await close()
})

it('leaves it to the log when others have committed in between', async () => {
  const { world, registry, state, heard, close } = await openListening({ bus: SILENT })
  state.hears = false
  await revokeOne(world)
  state.hears = true
  await revokeOne(world)
  await turns()
  assert.deepEqual([registry.position?.seq, heard], [0, []])
  await pass(world, 250)
  await revokeOne(world)
  await turns()
  assert.deepEqual([registry.position?.seq, heard], [3, ['1,2', '3']])
  await close()
})

/** A registry on a shared store that others wake: `bring` wakes it with these entries of the log along, each in a message of its own. */
async function openTold() {
  let wake: Wake = () => {}
  const bus: Bus = {
    ...SILENT,
    subscribe(_, woken) {
      wake = woken
      return { stop() {} }
    },
  }
  const keyed = await openWorld()
  const tidings = createTidings(keyed.keys, keyed.chance)
  const opened = await openListening({ engine: 'postgres', bus, tidings })
  const { world, state } = opened
  state.hears = false
  for (let n = 0; n < 4; n++) await revokeOne(world)
  const log = await world.store.revocations.after(0, 100)
  const seal = (...seqs: number[]) => tidings.seal(seqs.map((seq) => log[seq - 1] as LogEntry)) as Uint8Array
  const close = async () => {
    await opened.close()
    await keyed.close()
  }
  return { ...opened, seal, wake: (by: WokenBy, along: readonly Uint8Array[] = []) => wake(by, along), close }
}

it('takes what others tell with their wake-up, in whatever order, and reads nothing', async () => {
  const { registry, state, heard, seal, wake, close } = await openTold()
  wake('telling', [seal(1)])
  assert.equal(registry.position?.seq, 1, 'at once')
  wake('telling', [seal(3, 4)])
  assert.equal(registry.position?.seq, 1)
  wake('telling', [seal(1), seal(2)])
  wake('telling', [seal(3)])
  await turns()
  assert.deepEqual([registry.position?.seq, heard, state.reads], [4, ['1', '2,3,4'], 0])
  await close()
})

it('looks for what is missing before what it was told, but not at once', async () => {
  const { world, registry, state, heard, seal, wake, close } = await openTold()
  wake('telling', [seal(3)])
  await turns()
  assert.deepEqual([registry.position?.seq, state.reads], [0, 0])
  world.advance(10)
  await turns()
  assert.deepEqual([registry.position?.seq, heard.join(), state.reads], [4, '1,2,3,4', 1])
  world.advance(10)
  await turns()
  assert.equal(state.reads, 1)
  await close()
})

it('looks when somebody brought nothing, or what none of our nodes has sealed, and is not woken by itself', async () => {
  const { registry, state, seal, wake, close } = await openTold()
  wake('own')
  await turns()
  assert.equal(state.reads, 0)
  const forged = seal(1)
  forged[40] = (forged[40] as number) ^ 1
  wake('telling', [forged])
  await turns()
  assert.deepEqual([registry.position?.seq, state.reads], [4, 1])
  wake('others')
  await turns()
  assert.equal(state.reads, 2)
  await close()
})

it('takes nothing twice and nothing back when its own commit comes during a look', async () => {
  const { world, registry, state, heard, close } = await openListening()
  const { promise, resolve } = Promise.withResolvers<void>()
  state.hears = false
  await revokeOne(world)
  state.held = promise
  const looking = registry.lookNow() // Has read the head at 1, but the answer is long on its way.
  await turns()
  const before = { ...registry.position }
  state.hears = true
  world.bus.publish('revocations')
  await revokeOne(world)
  assert.deepEqual(registry.position, before)
  resolve()
  await looking
  await registry.lookNow()
  await revokeOne(world)
  await turns()
  assert.deepEqual([heard.join(), registry.position?.seq], ['1,2,3', 3])
  const again = Promise.withResolvers<void>()
  state.held = again.promise
  const late = registry.lookNow()
  await revokeOne(world)
  assert.equal(registry.position?.seq, 4)
  again.resolve()
  await late
  await turns()
  assert.deepEqual([heard.join(), registry.position?.seq], ['1,2,3,4', 4])
  await close()
})

it('follows the log by its poll alone, well within the age that minting bears', async () => {
  const { world, registry, close } = await openFragile({ bus: SILENT })
  const id = await revokeOne(world)
  for (let i = 0; i < 4; i++) {
    await pass(world, 250)
    assert.ok(registry.ageMs() <= 250)
  }
  assert.ok(registry.cutoffMs('subject', id) > 0)
  registry.assertMayMint()
  await close()
})

it('outlives the loss of the store: its age grows, minting stops, and on return nothing is missing', async () => {
  const { world, registry, state, told, close } = await openFragile()
  const before = await revokeOne(world)
  await registry.lookNow()
  state.mode = 'lost'
  const missed = []
  for (let i = 0; i < 8; i++) {
    missed.push(await revokeOne(world))
    await pass(world, 250)
  }
  assert.ok(registry.ageMs() >= 2000)
  assert.throws(
    () => registry.assertMayMint(),
    (error) => error instanceof Fault && error.code === 'store_unavailable',
  )
  assert.ok(registry.cutoffMs('subject', before) > 0)
  state.mode = 'well'
  world.advance(250)
  await turns()
  world.advance(5)
  await turns()
  for (const id of missed) assert.ok(registry.cutoffMs('subject', id) > 0)
  registry.assertMayMint()
  assert.deepEqual(told, ['lost', 'found'])
  await close()
})

it('gives up on a store that hangs and looks again', async () => {
  const { world, registry, state, told, close } = await openFragile()
  state.mode = 'hangs'
  const id = await revokeOne(world)
  world.advance(250)
  await turns()
  state.mode = 'well' // The look under way never ends by itself.
  world.advance(5000)
  await turns()
  world.advance(250)
  await turns()
  assert.ok(registry.cutoffMs('subject', id) > 0)
  assert.deepEqual(told, ['lost', 'found'])
  await close()
})

it('measures its age by whichever clock says more', async () => {
  const { world, registry, close } = await openFragile({ bus: SILENT })
  const clock = world.clock as ReturnType<typeof manualClock>
  assert.equal(registry.ageMs(), 0)
  clock.step(7000) // The machine slept: the monotonic clock stood still.
  assert.equal(registry.ageMs(), 7000)
  clock.step(-20_000)
  assert.equal(registry.ageMs(), 0)
  await close()
})

it('stops minting when its clock is further from the store’s than the guard covers', async () => {
  const { world, registry, state, close } = await openFragile()
  state.offsetMs = 501
  await pass(world, 5500)
  assert.equal(registry.clockOffsetMs(), 501)
  assert.throws(
    () => registry.assertMayMint(),
    (error) => error instanceof Fault && error.code === 'clock_unsure',
  )
  assert.ok(registry.isClockWrong())
  state.offsetMs = -400
  await pass(world, 5500)
  registry.assertMayMint()
  assert.ok(!registry.isClockWrong())
  await close()
})

it('notices at once that its clock was set, and does not wait for the next comparison with the store’s', async () => {
  const { world, registry, state, close } = await openFragile()
  const clock = world.clock as ReturnType<typeof manualClock>
  await pass(world, 5500)
  registry.assertMayMint()
  clock.step(30_000)
  state.offsetMs = -30_000 // The store's was not set with it.
  await registry.lookNow()
  assert.equal(registry.clockOffsetMs(), -30_000)
  assert.throws(
    () => registry.assertMayMint(),
    (error) => error instanceof Fault && error.code === 'clock_unsure',
  )
  clock.step(-30_000)
  state.offsetMs = 0
  registry.assertMayMint()
  await close()
})

it('takes no cutoff beyond the guard, and is not fresh until it lies within', async () => {
  const { world, registry, close } = await openFragile()
  const { salt } = await world.store.revocations.head()
  const entry = {
    key: new Uint8Array(16).fill(9),
    kind: 'subject',
    issuer: 'x',
    target: 'y',
    reason: 'r',
    actor: 'system',
  } as const
  const cutoffMs = world.clock.now() + 60_000
  await world.store.transact(async (tx) => {
    await tx.revocations.head()
    tx.revocations.append({ ...entry, cutoffMs, dropAfter: 2 ** 31 })
  })
  assert.equal(salt.version, 1)
  await registry.lookNow()
  world.advance(10)
  await turns()
  assert.equal(registry.view.size, 0)
  await pass(world, 60_000)
  assert.equal(registry.view.size, 1)
  assert.ok(registry.ageMs() <= 250)
  await close()
})

it('reads everything anew in another epoch or when entries have gone, and says so to whoever follows', async () => {
  const { world, registry, close } = await openFragile({ bus: SILENT })
  const heard: (string | Position)[] = []
  registry.follow({
    applied: (_, entries) => heard.push(entries.map(({ seq }) => seq).join()),
    reset: (position) => heard.push(position),
  })
  const { epoch } = await world.store.revocations.head()
  await revokeOne(world)
  await registry.lookNow()
  await world.revoker.undo({ epoch, seqs: [1] }, WHY)
  await revokeOne(world)
  await registry.lookNow()
  const { epoch: next, floor } = await world.store.revocations.head()
  assert.deepEqual(heard, ['1', { epoch: next, seq: floor + 1 }])
  // Entries that nobody needs any more are purged while this node is not looking.
  registry.close()
  const late = await openRegistry({ ...world, bus: SILENT })
  for (let i = 0; i < 3; i++) await revokeOne(world)
  const clock = world.clock.now()
  await world.store.purge(clock + 3_600_000, 1000)
  assert.equal((await world.store.revocations.head()).floor, floor + 4)
  await late.lookNow()
  assert.deepEqual(late.position, { epoch: next, seq: floor + 4 })
  late.close()
  await close()
})

it('does not believe a log that went back', async () => {
  const { world, registry, state, told, close } = await openFragile()
  await revokeOne(world)
  await revokeOne(world)
  await registry.lookNow()
  state.head = { ...(await world.store.revocations.head()), seq: 1 } // A failover that lost an entry.
  world.advance(2000)
  await turns()
  assert.ok(registry.ageMs() >= 2000)
  assert.deepEqual(told, ['lost'])
  await close()
})

it('forgets what no living token needs', async () => {
  const { world, registry, close } = await openFragile()
  for (let i = 0; i < 50; i++) await revokeOne(world)
  await registry.lookNow()
  assert.equal(registry.view.size, 50)
  for (let i = 0; i < 420; i++) world.advance(1000)
  await turns()
  assert.equal(registry.view.size, 0)
  await close()
})

it('does not open while the store is away', async () => {
  const world = await openWorld()
  const { state, wrapped } = fragile(world.store)
  state.mode = 'lost'
  await assert.rejects(openRegistry({ ...world, store: wrapped }) as Promise<Registry>)
  await world.close()
})
