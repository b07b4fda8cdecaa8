/**
 * The key ring of one node: every key of the authority, opened, with the schedule that moves them on. The store holds
 * the truth; the ring is a picture of it that signs without waiting. Any number of nodes keep one ring each.
 */
import { hash, type KeyObject } from 'node:crypto'
import { equalBytes } from '@signet/kernel/bytes.ts'
import { fault } from '@signet/kernel/errors.ts'
import type { KeyId } from '@signet/kernel/ids.ts'
import { type Chance, type Clock, epochSeconds } from '@signet/kernel/surroundings.ts'
import type { AuditActor } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import type { KeyPurpose, KeyRecord, KeyState } from '../store/ports/keys.ts'
import type { Store, Tx } from '../store/store.ts'
import { compromise, MoveLost, makeMove, materialFor } from './key-moves.ts'
import {
  complaint,
  isSpent,
  type OpenedKey,
  openKey,
  openPublicPart,
  publicRecord,
  type RingKey,
  type SigningKey,
} from './key-record.ts'
import { type MasterKey, MasterKeyError } from './master-key.ts'
import {
  dueMoves,
  type KeyMove,
  type Lives,
  overlapSeconds,
  PICTURE_SECONDS,
  plannedSchedule,
  publishedAt,
  type ScheduledKey,
} from './schedule.ts'

export type { RingKey, SigningKey } from './key-record.ts'
export type { ScheduledKey } from './schedule.ts'

export type SigningPurpose = Exclude<KeyPurpose, 'ring'>

export interface PublicKey {
  readonly key: KeyObject
  readonly alg: string
  readonly purpose: KeyPurpose
  readonly state: KeyState
}

export interface KeyRing {
  /** The active key. Throws `fault('keys_unavailable')` when there is none or this node no longer knows which it is. */
  signer(purpose: SigningPurpose): SigningKey
  /** The active ring key, or that version as long as it is not retired or compromised. */
  ring(version?: number): RingKey | undefined
  /** Whether that version lies ahead of what this node has read: another node made it a moment ago. */
  isAhead(ringVersion: number): boolean
  /** RFC 7517 §5: next, active and retiring keys, of other regions too. The same object until the keys change. */
  jwks(purpose: SigningPurpose): { readonly keys: readonly Readonly<Record<string, unknown>>[] }
  /** Any signing key in the store, also retired and compromised ones: look at the state before trusting it. */
  publicKey(kid: string): PublicKey | undefined
  /** When each token key begins and ends, as published in the issuer's metadata. */
  schedule(): readonly ScheduledKey[]
  records(): readonly KeyRecord[]
  /** The public keys of this region for others; the digest changes when they do. */
  publicRecords(): { readonly digest: string; readonly records: readonly KeyRecord[] }
  /** Reads the store again. Throws what the store throws; the picture stays as it was. */
  refresh(): Promise<void>
  /**
   * The store may have gone back in time, and every key with it: nothing is signed or tagged until it has been read again. Until then
   * `signer` and `ring` throw `fault('keys_unavailable')`.
   */
  doubt(): void
  /** Since a `doubt`, until the store has been read. */
  readonly isDoubted: boolean
  /** Makes the moves that are due, whichever node gets there first, and reads the store again. */
  tick(): Promise<void>
  /**
   * Hands over to the next key by hand: now, when it has been published long enough or `force` is given, else as soon as
   * it has. The id of the key that takes over. Forced, validators that have not seen it yet ask for the JWKS again.
   */
  rotate(purpose: KeyPurpose, actor: AuditActor, options?: { readonly force?: boolean }): Promise<KeyId>
  /**
   * Ends a key within a revocation's transaction and puts another in its place at once. False when it is unknown or has
   * ended already. Call `refresh` after the commit, here and on every node that reads the revocation. A compromised ring
   * key takes with it every refresh token it has tagged, so that their owners sign in again, and every opaque access token.
   */
  markCompromised(tx: Tx, kid: KeyId, actor?: AuditActor): Promise<boolean>
}

export interface KeyRingParts {
  readonly store: Pick<Store, 'now' | 'transact' | 'keys' | 'meta'>
  readonly master: MasterKey
  readonly clock: Clock
  readonly chance: Chance
  readonly settings: PolicySettings
  /** What other regions sign with, their public parts alone. */
  readonly peerKeys?: (() => Promise<readonly KeyRecord[]>) | undefined
}

/** Opens the ring and makes the first keys. Throws `MasterKeyError` when the master key is not the store's: nothing may start then. */
export async function openKeyRing(parts: KeyRingParts): Promise<KeyRing> {
  const { store, master, clock, chance, settings, peerKeys = async () => [] } = parts
  let picture = emptyPicture(clock)
  let reading: Promise<void> | undefined
  let queued: Promise<void> | undefined
  let ticking: Promise<void> | undefined
  let readFailed = false
  let doubts = 0

  const ring: KeyRing = {
    signer(purpose) {
      lookAgainIfOld()
      const key = picture.active.get(purpose)
      if (key === undefined) throw fault('keys_unavailable', { because: `no ${purpose} key is active` })
      return key
    },
    ring(version) {
      lookAgainIfOld()
      return version === undefined ? picture.activeRing : picture.rings.get(version)
    },
    isAhead: (version) => version > picture.newestRing,
    jwks: (purpose) => picture.jwks.get(purpose) ?? { keys: [] },
    publicKey: (kid) => picture.publicKeys.get(kid),
    schedule: () => picture.schedule,
    records: () => picture.records,
    publicRecords: () => (picture.shared ??= shareKeys(picture, master)),
    refresh,
    get isDoubted() {
      return doubts > 0
    },
    doubt() {
      doubts++
      dispel()
    },
    tick: () => {
      ticking ??= tick().finally(() => {
        ticking = undefined
      })
      return ticking
    },
    rotate,
    markCompromised: (tx, kid, actor = 'system') => compromise(tx, kid, settings, { master, chance }, actor),
  }

  await raiseLives(store, settings)
  await refresh()
  await tick()
  return ring

  /** Resolves once a reading that began after this call is done: whoever committed something sees it. Calls share a reading. */
  function refresh(): Promise<void> {
    if (reading === undefined) return startReading()
    queued ??= reading
      .catch(() => {})
      .then(() => {
        queued = undefined
        return reading ?? startReading()
      })
    return queued
  }

  /** Only a reading that began after the last doubt ends it. */
  function dispel(): void {
    const asked = doubts
    void refresh().then(
      () => {
        if (asked === doubts) doubts = 0
      },
      () => {}, // Recorded in `readFailed`; whoever needs a key asks again.
    )
  }

  function startReading(): Promise<void> {
    reading = read().finally(() => {
      reading = undefined
    })
    return reading
  }

  async function read(): Promise<void> {
    const startedAt = { wall: clock.now(), monotonic: clock.monotonic() }
    try {
      const reading = [store.keys.all(), readLives(store, settings), peerKeys()] as const
      const [records, lives, peerRecords] = await Promise.all(reading)
      picture = drawPicture(records, master, picture, { settings, lives, startedAt, peerRecords })
      readFailed = false
    } catch (error) {
      readFailed = true
      throw error
    }
  }

  // A signer never waits. A picture that has become old is drawn again beside the request, and only when that is
  // known to fail does the node stop signing: its key may be retired by now, and tokens under it would be refused.
  function lookAgainIfOld(): void {
    if (doubts > 0) {
      if (reading === undefined) dispel()
      throw fault('keys_unavailable', { because: 'the store may have gone back in time, and the keys are not read again yet' })
    }
    const age = Math.max(clock.now() - picture.startedAt.wall, clock.monotonic() - picture.startedAt.monotonic)
    if (age < LOOK_AGAIN_MS) return
    if (reading === undefined) startReading().catch(() => {}) // Recorded in `readFailed`.
    if (readFailed && age >= PICTURE_SECONDS * 1000)
      throw fault('keys_unavailable', { because: 'the keys could not be read for too long' })
  }

  async function tick(): Promise<void> {
    await refresh()
    for (let round = 0; round < MAX_ROUNDS; round++) {
      // The store's clock, so that a node whose own runs ahead does not rotate for everybody.
      const nowAt = epochSeconds(await store.now())
      const due = dueMoves(picture.records, settings, nowAt, picture.lives)
      if (due.length === 0) return
      for (const move of due) await make(move, 'system')
      await refresh()
    }
  }

  async function rotate(purpose: KeyPurpose, actor: AuditActor, options: { readonly force?: boolean } = {}): Promise<KeyId> {
    for (let attempt = 0; attempt < MAX_ROUNDS; attempt++) {
      await ring.tick()
      const next = picture.records.find((record) => record.purpose === purpose && record.state === 'next')
      const active = picture.records.find((record) => record.purpose === purpose && record.state === 'active')
      if (next === undefined) continue // Taken over by another node this moment; the tick makes a new one.
      const nowAt = epochSeconds(await store.now())
      const readyAt = publishedAt(next, settings)
      if (options.force !== true && nowAt < readyAt) {
        if (readyAt >= next.activeAt || (await make({ kind: 'advance', next, activeAt: readyAt }, actor))) return settle(next.id)
        continue
      }
      const retiredAt = nowAt + overlapSeconds(purpose, settings, picture.lives)
      if (await make({ kind: 'activate', next, active, retiredAt }, actor)) return settle(next.id)
    }
    throw fault('keys_unavailable', { because: 'other nodes moved the keys each time' })
  }

  /** Brings the picture up to date after a move by hand, with a new next key in place. */
  async function settle(kid: KeyId): Promise<KeyId> {
    await refresh()
    await ring.tick()
    return kid
  }

  async function make(move: KeyMove, actor: AuditActor): Promise<boolean> {
    const material = await materialFor(move, chance)
    try {
      await store.transact((tx) => makeMove(tx, move, material, { master, chance }, actor))
      return true
    } catch (error) {
      if (error instanceof MoveLost) return false
      throw error
    }
  }
}

/** When a signer finds the picture older than this it has it drawn again. Ticks come more often; this is for when they stop. */
const LOOK_AGAIN_MS = 60_000
/** A purpose needs at most create, activate, create; more rounds than this mean nodes that disagree, and the next tick goes on. */
const MAX_ROUNDS = 8

/** The opened keys as read at one moment. */
interface Picture {
  readonly startedAt: { readonly wall: number; readonly monotonic: number }
  readonly records: readonly KeyRecord[]
  readonly lives: Lives
  readonly opened: ReadonlyMap<KeyId, OpenedKey>
  readonly active: ReadonlyMap<KeyPurpose, SigningKey>
  readonly activeRing: RingKey | undefined
  readonly rings: ReadonlyMap<number, RingKey>
  readonly newestRing: number
  readonly jwks: ReadonlyMap<KeyPurpose, { readonly keys: readonly Readonly<Record<string, unknown>>[] }>
  readonly publicKeys: ReadonlyMap<string, PublicKey>
  readonly schedule: readonly ScheduledKey[]
  /** Made when somebody asks. */
  shared?: ReturnType<KeyRing['publicRecords']>
}

function emptyPicture(clock: Clock): Picture {
  return {
    startedAt: { wall: clock.now(), monotonic: clock.monotonic() },
    records: [],
    lives: { tokenSeconds: 0, refreshSeconds: 0 },
    opened: new Map(),
    active: new Map(),
    activeRing: undefined,
    rings: new Map(),
    newestRing: 0,
    jwks: new Map(),
    publicKeys: new Map(),
    schedule: [],
  }
}

function drawPicture(
  records: readonly KeyRecord[],
  master: MasterKey,
  before: Picture,
  now: {
    readonly settings: PolicySettings
    readonly lives: Lives
    readonly startedAt: Picture['startedAt']
    readonly peerRecords: readonly KeyRecord[]
  },
): Picture {
  const opened = openAll(records, master, before)
  const active = new Map<KeyPurpose, SigningKey>()
  const jwks = new Map<KeyPurpose, { keys: Record<string, unknown>[] }>()
  const publicKeys = new Map<string, PublicKey>()
  const rings = new Map<number, RingKey>()
  let activeRing: RingKey | undefined
  // What was altered in another region's list is left out; our own keys must all open.
  const ofPeers = now.peerRecords.flatMap((record) => openPublicPart(master, record) ?? [])
  // Oldest first, so that of two active ones, which no move makes, the newer counts.
  for (const { record, publicKey, publicJwk, signing, ring } of [...ofPeers, ...opened.values()]) {
    const { id, alg, purpose, state, version } = record
    if (ring !== undefined) {
      rings.set(version, ring)
      if (state === 'active') activeRing = ring
    }
    if (publicKey === undefined || publicJwk === undefined) continue
    publicKeys.set(id, { key: publicKey, alg, purpose, state })
    if (isSpent(state)) continue
    if (state === 'active' && signing !== undefined) active.set(purpose, signing)
    const set = jwks.get(purpose) ?? { keys: [] }
    jwks.set(purpose, set)
    set.keys.push({ ...publicJwk, kid: id, alg, use: 'sig' })
  }
  const newestRing = Math.max(0, ...records.filter((record) => record.purpose === 'ring').map((record) => record.version))
  const schedule = plannedSchedule(records, 'token', now.settings, now.lives)
  return { ...now, records, opened, active, activeRing, rings, newestRing, jwks, publicKeys, schedule }
}

/** Opens what has not been opened in this state before. */
function openAll(records: readonly KeyRecord[], master: MasterKey, before: Picture): ReadonlyMap<KeyId, OpenedKey> {
  const opened = new Map<KeyId, OpenedKey>()
  const shut: KeyRecord[] = []
  for (const record of [...records].sort((a, b) => a.version - b.version)) {
    const known = before.opened.get(record.id)
    const key = known !== undefined && isSameKey(known.record, record) ? { ...known, record } : openKey(master, record)
    if (key === undefined) shut.push(record)
    else opened.set(record.id, key)
  }
  if (shut.length > 0) throw new MasterKeyError(complaint(shut, opened.size))
  return opened
}

/** Whether a record differs in its times and state alone, so that what was opened stays good. */
function isSameKey(one: KeyRecord, other: KeyRecord): boolean {
  return (
    one.purpose === other.purpose &&
    one.alg === other.alg &&
    one.version === other.version &&
    isSpent(one.state) === isSpent(other.state) &&
    equalBytes(one.wrapped, other.wrapped)
  )
}

const REFRESH_MARK = 'max_refresh_seconds'

/** Notes the longest lives this policy allows before anything is issued under it. Marks only rise. */
async function raiseLives(store: KeyRingParts['store'], settings: PolicySettings): Promise<void> {
  await store.transact(async (tx) => {
    await tx.meta.raiseTokenSeconds(Math.max(settings.accessTokenSeconds, settings.idTokenSeconds))
    await tx.meta.raise(REFRESH_MARK, Math.max(settings.refreshMaxSeconds, settings.refreshIdleSeconds))
  })
}

async function readLives(store: KeyRingParts['store'], settings: PolicySettings): Promise<Lives> {
  const [token, refresh] = await Promise.all([store.meta.tokenSeconds(), store.meta.get(REFRESH_MARK)])
  return {
    tokenSeconds: Math.max(token, settings.accessTokenSeconds, settings.idTokenSeconds),
    refreshSeconds: Math.max(Number(refresh ?? 0), settings.refreshMaxSeconds, settings.refreshIdleSeconds),
  }
}

/** Sealing is new each time, so the digest goes by what matters. */
function shareKeys({ opened }: Picture, master: MasterKey): ReturnType<KeyRing['publicRecords']> {
  const own = [...opened.values()].filter(({ publicJwk, record }) => publicJwk !== undefined && record.purpose !== 'audit')
  const times = own.map(({ record: { id, state, activeAt, retiringAt, retiredAt } }) => [
    id,
    state,
    activeAt,
    retiringAt,
    retiredAt,
  ])
  const digest = hash('sha256', JSON.stringify(times), 'base64url').slice(0, 22)
  return { digest, records: own.map((key) => publicRecord(master, key)) }
}
