/**
 * Carrying the log over into a new epoch: every entry still needed gets its key anew under a new salt, and the new log takes the
 * old one's place in one transaction, which is tried again when something came in while the keys were made.
 */
import { newId } from '@signet/kernel/ids.ts'
import type { Salt } from '@signet/kernel/revocation.ts'
import { type Chance, type Clock, epochSeconds, type Sha256, type Timers } from '@signet/kernel/surroundings.ts'
import { heldAfter, type LogEntry, type Store, type Tx } from '../store/store.ts'
import { keyOf } from './record.ts'
import { refuse } from './refuse.ts'

export type NewEntry = Omit<LogEntry, 'seq' | 'epoch' | 'atMs'>

export interface CarryParts {
  readonly store: Store
  readonly clock: Clock
  readonly chance: Chance
  readonly timers: Timers
  readonly sha256: Sha256
}

/** The log as read, with everything it takes to put another in its place. */
export interface CarriedLog {
  readonly epoch: string
  readonly entries: readonly LogEntry[]
  /** Whether a token may live that it matches, or another region has yet to hear of it. */
  needs(entry: LogEntry): boolean
}

export interface NextLog {
  readonly epoch: string
  readonly salt: Salt
}

/** Entries read at once, and keys made before others get their turn. */
const PAGE = 5000
/** Each attempt only has to read what came in during the last, so a busy log is caught up with soon. */
const MAX_ATTEMPTS = 50

/**
 * Runs `decide` with the whole log and puts what it keeps, and what it adds, in the log's place. `decide` runs inside the
 * transaction, maybe more than once, and must decide by the log and `tx` alone.
 */
export async function carryLogOver<T>(
  parts: CarryParts,
  decide: (
    tx: Tx,
    log: CarriedLog,
    next: NextLog,
  ) => Promise<{ keeps(entry: LogEntry): boolean; adds: readonly NewEntry[]; answer: T }>,
): Promise<T> {
  const { store, clock, chance } = parts
  const head = await store.revocations.head()
  const log = { epoch: head.epoch, seq: 0, entries: [] as LogEntry[], keys: [] as Uint8Array[] }
  const next = { epoch: newId<string>(clock.now(), chance), salt: { version: head.salt.version + 1, bytes: chance.bytes(16) } }
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    await readOn(log, next.salt, parts)
    const done = await store.transact(async (tx) => {
      // `newEpoch` holds to this head, so nothing slips in after the look.
      const now = await tx.revocations.head()
      if (now.epoch !== log.epoch) throw refuse('conflict', 'epoch_changed')
      if (now.seq !== log.seq) return undefined
      const nowAt = epochSeconds(tx.nowMs)
      const held = heldAfter(await tx.peers.all(), log.epoch)
      const needs = (entry: LogEntry): boolean => entry.dropAfter >= nowAt || entry.seq > held
      const { keeps, adds, answer } = await decide(tx, { ...log, needs }, next)
      const carried: NewEntry[] = []
      log.entries.forEach((entry, index) => {
        if (needs(entry) && keeps(entry)) carried.push(rekeyed(entry, log.keys[index] as Uint8Array))
      })
      await tx.revocations.newEpoch(next.epoch, next.salt, [...carried, ...adds])
      return { answer }
    })
    if (done !== undefined) return done.answer
  }
  throw refuse('conflict', 'busy', 1)
}

/** Reads to the end of the log. Numbers up to its floor have gone one by one; the entries that are left count. */
async function readOn(
  log: { readonly epoch: string; seq: number; readonly entries: LogEntry[]; readonly keys: Uint8Array[] },
  salt: Salt,
  { store, timers, sha256 }: CarryParts,
): Promise<void> {
  const head = await store.revocations.head()
  for (;;) {
    const entries = await store.revocations.after(log.seq, PAGE)
    if (head.epoch !== log.epoch || entries.some((entry) => entry.epoch !== log.epoch)) throw refuse('conflict', 'epoch_changed')
    for (const entry of entries) {
      log.entries.push(entry)
      log.keys.push(keyOf(sha256, salt, { kind: entry.kind, issuer: entry.issuer, id: entry.target }))
    }
    log.seq = entries.at(-1)?.seq ?? log.seq
    if (entries.length < PAGE) break
    await new Promise<void>((resolve) => timers.soon(resolve))
  }
  // The newest entries may be among those that have gone.
  log.seq = Math.max(log.seq, head.seq)
}

const rekeyed = ({ seq: _seq, epoch: _epoch, atMs: _atMs, ...entry }: LogEntry, key: Uint8Array): NewEntry => ({ ...entry, key })
