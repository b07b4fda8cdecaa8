/** What a node needs to do its job, looked at when somebody asks. Each says what is wrong and what to do. */
import type { Bus } from '@signet/bus/bus.ts'
import { type Clock, epochSeconds } from '@signet/kernel/surroundings.ts'
import type { Check } from './http/health.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { PolicySettings } from './policy/settings.ts'
import type { PeerStatus } from './regions/follow-peer.ts'
import type { Regions } from './regions/regions.ts'
import type { FeedHub } from './revocation/feed.ts'
import type { Registry } from './revocation/registry.ts'
import type { Store } from './store/store.ts'

export interface HealthCheckParts {
  readonly store: Store
  readonly keys: Pick<KeyRing, 'records'>
  readonly registry: Pick<Registry, 'ageMs' | 'clockOffsetMs' | 'isClockWrong'>
  readonly hub: Pick<FeedHub, 'readers'>
  readonly bus: Pick<Bus, 'linked'>
  readonly settings: PolicySettings
  readonly clock: Clock
  readonly regions?: Pick<Regions, 'status'> | undefined
  /** Milliseconds since each task of the node ended well. */
  taskAges(): ReadonlyMap<string, number>
  stopping(): boolean
}

export function createHealthChecks(parts: HealthCheckParts): () => Promise<readonly Check[]> {
  return async () => [
    ...(parts.stopping() ? [{ name: 'stopping', state: 'failed', detail: 'the node was told to stop and drains' } as const] : []),
    await checkStore(parts.store),
    checkKeys(parts),
    checkRegistry(parts),
    checkClock(parts),
    checkBus(parts.bus),
    { name: 'feed', state: 'ok', value: parts.hub.readers },
    checkUpkeep(parts.taskAges()),
    ...(parts.regions?.status() ?? []).map(checkRegion),
  ]
}

/** More waiting than this and answers come late. */
const LONG_QUEUE = 1000

async function checkStore(store: Store): Promise<Check> {
  try {
    const { writable, queued } = await store.health()
    if (!writable)
      return {
        name: 'store',
        state: 'failed',
        detail: 'the store takes no writes: see its disk space, or whether it is a standby',
        value: queued,
      }
    if (queued > LONG_QUEUE)
      return {
        name: 'store',
        state: 'warn',
        detail: 'many transactions are waiting for a commit: the disk is slow or the load too high',
        value: queued,
      }
    return { name: 'store', state: 'ok', value: queued }
  } catch {
    return { name: 'store', state: 'failed', detail: 'the store does not answer' }
  }
}

function checkKeys({ keys, settings, clock }: HealthCheckParts): Check {
  const active = keys.records().find(({ purpose, state }) => purpose === 'token' && state === 'active')
  if (active === undefined) return { name: 'keys', state: 'failed', detail: 'no active signing key: nothing can be signed' }
  const ageSeconds = epochSeconds(clock.now()) - active.activeAt
  if (ageSeconds > settings.keyActiveSeconds + settings.keyPublishSeconds) {
    return {
      name: 'keys',
      state: 'warn',
      detail: 'the signing key is older than the schedule allows: rotation is not working',
      value: ageSeconds,
    }
  }
  return { name: 'keys', state: 'ok', value: ageSeconds }
}

function checkRegistry({ registry, settings }: HealthCheckParts): Check {
  const ageMs = Math.round(registry.ageMs())
  if (!(ageMs <= settings.mintStalenessMilliseconds)) {
    return {
      name: 'registry',
      state: 'failed',
      detail: 'this node does not know what was revoked lately, so it does not mint: the store is slow or away',
      value: Number.isFinite(ageMs) ? ageMs : 'never',
    }
  }
  return { name: 'registry', state: 'ok', value: ageMs }
}

/** Its loss costs time and nothing else, so the node stays ready. */
function checkBus(bus: Pick<Bus, 'linked'>): Check {
  if (bus.linked()) return { name: 'bus', state: 'ok' }
  return { name: 'bus', state: 'warn', detail: 'wake-ups of other nodes do not arrive, so the log is polled: look at the bus' }
}

function checkClock({ registry }: HealthCheckParts): Check {
  const offsetMs = registry.clockOffsetMs()
  const value = offsetMs === undefined ? {} : { value: Math.round(offsetMs) }
  if (registry.isClockWrong()) {
    return {
      name: 'clock',
      state: 'failed',
      detail: "this node's clock is too far from the store's, so it does not mint: see its time synchronisation",
      ...value,
    }
  }
  return { name: 'clock', state: 'ok', ...value }
}

/** The rarest task is due every minute. */
const LATE_TASK_MS = 300_000

/** Its lack does no harm for hours, so the node stays ready. */
export function checkUpkeep(ages: ReadonlyMap<string, number>): Check {
  const late = [...ages].filter(([, ageMs]) => ageMs > LATE_TASK_MS).map(([name]) => name)
  if (late.length === 0) return { name: 'upkeep', state: 'ok' }
  const value = Math.round(Math.max(...ages.values()) / 1000)
  return { name: 'upkeep', state: 'warn', detail: `not done for minutes: ${late.join(', ')}; this node's log says why`, value }
}

/** Validators of ours say so in their staleness by then, and give up what can't bear it. */
const OLD_REGION_MS = 5000

/** A region that is away is no reason to send this one's users to it. */
function checkRegion({ name, ageMs, problem }: PeerStatus): Check {
  const check = `region ${name}`
  const value = Number.isFinite(ageMs) ? Math.round(ageMs) : 'never'
  if (problem === undefined && ageMs <= OLD_REGION_MS) return { name: check, state: 'ok', value }
  const detail = `what is revoked there is not known here (${problem ?? 'no whole answer lately'}): see docs/regions.md`
  return { name: check, state: 'warn', detail, value }
}
