/**
 * What this region tells the others: the entries of its log that were made here, in order, and its public keys. Copies of other regions'
 * entries are left out, for everybody has them from where they were made.
 */
import { fault } from '@signet/kernel/errors.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { Registry } from '../revocation/registry.ts'
import type { LogPlace } from '../store/ports/peers.ts'
import type { Store } from '../store/store.ts'
import { type keyList, LONGEST_WAIT_MS, type LogPage, PAGE_ENTRIES, type WireKey, writeEntry, writeKey } from './link-messages.ts'

export interface PageRequest {
  readonly region: string
  /** Entries after it are wanted. */
  readonly after: LogPlace
  /** What the region has taken over for good; what comes after is kept for it. */
  readonly have: LogPlace
  readonly waitMs: number
}

export interface LogExport {
  page(request: PageRequest): Promise<LogPage>
  keys(): { readonly digest: string; readonly keys: WireKey[] } & ReturnType<(typeof keyList)['parse']>
  close(): void
}

export interface ExportParts {
  readonly name: string
  readonly peers: readonly string[]
  readonly issuer: string
  readonly store: Store
  readonly registry: Pick<Registry, 'position' | 'follow'>
  readonly keys: Pick<KeyRing, 'publicRecords'>
  readonly clock: Clock
  readonly timers: Timers
}

/** Questions that wait for something new, at most: one for each node of each region, and some left behind. */
const MAX_WAITING = 256
/** What a region has is written down at most so often. */
const TELL_MS = 1000

export function exportLog(parts: ExportParts): LogExport {
  const { store, registry, clock } = parts
  const waiting = new Set<() => void>()
  const told = new Map<string, { readonly atMs: number; readonly place: LogPlace }>()
  const wakeAll = () => {
    for (const wake of waiting) wake()
  }
  const following = registry.follow({ applied: wakeAll, reset: wakeAll })

  return {
    async page({ region, after, have, waitMs }) {
      const askedMs = clock.monotonic()
      await note(region, have)
      await somethingNew(after, Math.min(waitMs, LONGEST_WAIT_MS))
      const heldMs = clock.monotonic() - askedMs
      const read = await readPage(after)
      const { digest } = parts.keys.publicRecords()
      const nowMs = await store.now()
      return { region: parts.name, issuer: parts.issuer, ...read, now_ms: nowMs, held_ms: heldMs, keys: digest }
    },
    keys() {
      const { digest, records } = parts.keys.publicRecords()
      return { digest, keys: records.map(writeKey) }
    },
    close() {
      following.stop()
      wakeAll()
    },
  }

  /** Resolves when the log goes beyond `after`, or the time is up. */
  async function somethingNew(after: LogPlace, waitMs: number): Promise<void> {
    const { position } = registry
    if (waitMs <= 0 || position?.epoch !== after.epoch || position.seq > after.seq) return
    if (waiting.size >= MAX_WAITING) throw fault('overloaded', { because: 'too many wait for news of the log' })
    await new Promise<void>((resolve) => {
      const timer = parts.timers.after(waitMs, () => done())
      const done = () => {
        waiting.delete(done)
        timer.cancel()
        resolve()
      }
      waiting.add(done)
    })
  }

  /** The head is read first: entries up to it are all there when the page is not full. */
  async function readPage(after: LogPlace): Promise<Pick<LogPage, 'to' | 'complete' | 'gap' | 'entries'>> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const head = await store.revocations.head()
      const isSame = head.epoch === after.epoch
      const from = isSame ? after.seq : 0
      const read = await store.revocations.after(from, PAGE_ENTRIES)
      if (read.some((entry) => entry.epoch !== head.epoch)) continue // Another began between the two questions.
      const complete = read.length < PAGE_ENTRIES
      const last = read.at(-1)?.seq ?? from
      return {
        to: { epoch: head.epoch, seq: complete ? Math.max(head.seq, last) : last },
        complete,
        // A place that lies ahead is none we gave: what comes next would be taken for known there.
        gap: isSame && (after.seq > head.seq || (after.seq > 0 && after.seq < head.floor)),
        entries: read.filter((entry) => entry.origin === undefined).map(writeEntry),
      }
    }
    throw fault('overloaded', { because: 'the log was begun anew each time it was read' })
  }

  async function note(region: string, have: LogPlace): Promise<void> {
    if (have.epoch === '') return
    const before = told.get(region)
    if (before !== undefined) {
      const isKnown = before.place.epoch === have.epoch && before.place.seq >= have.seq
      if (isKnown || clock.monotonic() - before.atMs < TELL_MS) return
    }
    told.set(region, { atMs: clock.monotonic(), place: have })
    await store.transact(async (tx) => {
      const head = await tx.revocations.head()
      // What has not been made yet, nobody has taken over; it must not be let go for that.
      if (have.epoch !== head.epoch || have.seq <= head.seq) await tx.peers.tell(region, have)
    })
  }
}

const MAX_ATTEMPTS = 3
