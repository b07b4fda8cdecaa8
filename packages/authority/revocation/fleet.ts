/**
 * Which validators follow the feed, and how far: by their own account, given with each freshness probe to whatever node they ask. Nodes
 * write what they heard into the store, a batch at a time and never while somebody waits, so that each can answer for all.
 */
import type { Clock, Timer, Timers } from '@signet/kernel/surroundings.ts'
import type { FleetNote, FleetPlace, ValidatorRecord } from '../store/ports/fleet.ts'
import type { Store } from '../store/store.ts'

/** What a validator says with a probe. */
export interface FleetReport {
  readonly client: string
  readonly validator: string
  readonly epoch: string
  readonly applied: number
  readonly stalenessMs?: number
  readonly version: string
}

export interface FleetHearing {
  /** Notes it; returns at once. */
  report(report: FleetReport): void
  /** Writes what is left and stops. */
  close(): Promise<void>
}

export interface FleetParts {
  readonly store: Pick<Store, 'fleet'>
  readonly clock: Clock
  readonly timers: Timers
  /** How far the store's clock is ahead of this node's, as far as is known: all nodes write its time. */
  clockOffsetMs(): number | undefined
  /** A validator that nobody heard of for so long is forgotten. */
  readonly memoryMs: number
  readonly observe?: { unwritten?(cause: unknown): void }
}

/** Remembered at most, by all nodes together; those that were not seen for longest go first. */
export const MAX_VALIDATORS = 10_000
/** One client cannot push out all the others. */
const MAX_OF_CLIENT = MAX_VALIDATORS / 2
/** Progress is written so soon after it was heard, so that whoever waits for a receipt waits a fraction of a second … */
const SOON_MS = 100
/** … but the next batch comes only so much later, the more of them the later. */
const GAP_MS = 250
const GAP_MS_OF_EACH = 1.5
const MAX_BATCH = 500
/** That one is still there, with no news, is written so seldom. Seen is precise to so much. */
const RENEW_MS = 10_000
const FORGET_MS = 30_000
const AGAIN_MS = 1000

/** A validator that was not seen for so long is gone, not late: five seconds is the longest pause between probes. */
export const GONE_AFTER_MS = 60_000

interface Heard extends FleetReport {
  readonly steps: { seq: number; atMs: number }[]
  seenMs: number
  /** `seenMs` of what the store has of it. */
  writtenMs: number
}

export function openFleetHearing(parts: FleetParts): FleetHearing {
  const { store, clock, timers } = parts
  // In the order in which they were heard of last; `unwritten` holds the names of those with news.
  const heard = new Map<string, Heard>()
  const ofClient = new Map<string, number>()
  const unwritten = new Set<string>()
  let writing: Promise<void> | undefined
  let nextAt = Number.NEGATIVE_INFINITY
  let timer: Timer | undefined
  let forgetting: Timer | undefined
  let closed = false

  const nowMs = () => clock.now() + (parts.clockOffsetMs() ?? 0)

  function drop(name: string, { client }: FleetReport): void {
    heard.delete(name)
    unwritten.delete(name)
    const left = (ofClient.get(client) ?? 1) - 1
    if (left > 0) ofClient.set(client, left)
    else ofClient.delete(client)
  }

  /** Undefined when its client has too many. */
  function renew(name: string, report: FleetReport): Heard | undefined {
    const known = heard.get(name)
    if (known === undefined && (ofClient.get(report.client) ?? 0) >= MAX_OF_CLIENT) return undefined
    const seenMs = nowMs()
    const isStep = known?.epoch !== report.epoch || known.applied < report.applied
    const before = known?.epoch === report.epoch ? known.steps : []
    const steps = isStep ? [...before, { seq: report.applied, atMs: seenMs }].slice(-MAX_STEPS) : before
    const next = { ...report, steps, seenMs, writtenMs: known?.writtenMs ?? 0 }
    if (known === undefined) ofClient.set(report.client, (ofClient.get(report.client) ?? 0) + 1)
    heard.delete(name)
    heard.set(name, next)
    const oldest = heard.size > MAX_VALIDATORS ? heard.entries().next().value : undefined
    if (oldest !== undefined) drop(...oldest)
    return isStep || known?.applied !== report.applied || seenMs - next.writtenMs >= RENEW_MS ? next : undefined
  }

  function schedule(): void {
    if (timer !== undefined || writing !== undefined || closed || unwritten.size === 0) return
    timer = timers.after(Math.max(SOON_MS, nextAt - clock.monotonic()), () => {
      timer = undefined
      void write()
    })
  }

  function write(): Promise<void> {
    writing ??= writeBatch().finally(() => {
      writing = undefined
      schedule()
    })
    return writing
  }

  async function writeBatch(): Promise<void> {
    const names = [...unwritten].slice(0, MAX_BATCH)
    const batch = names.map((name) => heard.get(name) as Heard)
    for (const name of names) unwritten.delete(name)
    const notes: FleetNote[] = batch.map(({ writtenMs: _, ...note }) => ({ ...note, steps: [...note.steps] }))
    try {
      await store.fleet.note(notes)
      nextAt = clock.monotonic() + GAP_MS + names.length * GAP_MS_OF_EACH
      for (const [n, name] of names.entries()) written(name, batch[n] as Heard)
    } catch (cause) {
      // What was heard since is newer; the rest waits for the store.
      for (const name of names) if (heard.has(name)) unwritten.add(name)
      nextAt = clock.monotonic() + AGAIN_MS
      parts.observe?.unwritten?.(cause)
    }
  }

  function written(name: string, note: Heard): void {
    const now = heard.get(name)
    if (now?.epoch !== note.epoch) return
    now.writtenMs = note.seenMs
    const last = note.steps.at(-1)
    if (last !== undefined)
      now.steps.splice(0, now.steps.findIndex((step) => step.seq === last.seq && step.atMs === last.atMs) + 1)
  }

  function forgetLater(): void {
    if (closed) return
    forgetting = timers.after(FORGET_MS, () => {
      const beforeMs = nowMs() - parts.memoryMs
      for (const [name, one] of heard) {
        if (one.seenMs >= beforeMs) break
        drop(name, one)
      }
      store.fleet.forget(beforeMs, MAX_VALIDATORS).then(forgetLater, forgetLater)
    })
  }
  forgetLater()

  return {
    report(report) {
      const name = JSON.stringify([report.client, report.validator])
      if (closed || renew(name, report) === undefined) return
      unwritten.add(name)
      schedule()
    },
    async close() {
      closed = true
      timer?.cancel()
      forgetting?.cancel()
      await writing
      if (unwritten.size > 0) await writeBatch()
    },
  }
}

/** Steps that wait to be written, of one validator. */
const MAX_STEPS = 16

/** Whether a validator has applied what is at a place in the log. */
export type Following = 'applied' | 'lagging' | 'gone'

export function followingOf(validator: ValidatorRecord, place: FleetPlace, nowMs: number): Following {
  const isSilent = nowMs - validator.seenMs > GONE_AFTER_MS
  const hasCome = validator.epoch === place.epoch ? validator.applied >= place.seq : validator.epoch === place.headEpoch
  if (hasCome && !(isSilent && place.presentOnly)) return 'applied'
  return isSilent ? 'gone' : 'lagging'
}

/** When it was known that a validator had applied a number: a moment at which it certainly had. Undefined when it has not. */
export function knownAppliedMs({ epoch, steps, seenMs }: ValidatorRecord, place: FleetPlace): number | undefined {
  if (epoch !== place.epoch) return epoch === place.headEpoch ? (steps[0]?.atMs ?? seenMs) : undefined
  return steps.find(({ seq }) => seq >= place.seq)?.atMs
}
