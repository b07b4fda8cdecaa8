/**
 * Carrying the log over into a new epoch: every entry still needed gets its key anew under a new salt and is laid beside the log, a
 * piece at a time, so that a log of any length keeps nobody waiting. Then one short transaction puts the new log in the old one's
 * place; it is tried again when something came in meanwhile.
 */
import { newId } from '@signet/kernel/ids.ts'
import type { Salt } from '@signet/kernel/revocation.ts'
import { type Chance, type Clock, epochSeconds, type Sha256, type Timers } from '@signet/kernel/surroundings.ts'
import { heldAfter } from '../store/ports/peers.ts'
import type { LogEntry, Staged } from '../store/ports/revocations.ts'
import { PIECE, type Store, type Tx } from '../store/store.ts'
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

export interface NextLog {
  readonly epoch: string
  readonly salt: Salt
  /** The number of the last entry that was carried, behind which those that are added begin. */
  readonly seq: number
  /** How many were carried. */
  readonly entries: number
}

export interface Carriage<T> {
  /** Whether an entry goes over if it is still needed. Each is shown once, in order, before `conclude`. */
  keeps(entry: LogEntry): boolean
  /** Runs inside the transaction, maybe more than once: decides by what it was shown and `tx` alone, and adds entries. */
  conclude(tx: Tx, next: NextLog): Promise<{ readonly adds: readonly NewEntry[]; readonly answer: T }>
}

/** Each attempt only has to carry what came in during the last, so a busy log is caught up with soon. */
const MAX_ATTEMPTS = 50
/** Who takes longer gives up, well before what was staged is taken for abandoned. */
const MAX_MS = 600_000

export async function carryLogOver<T>(parts: CarryParts, carriage: Carriage<T>): Promise<T> {
  const { store, clock, chance } = parts
  const head = await store.revocations.head()
  const held = heldAfter(await store.peers.all(), head.epoch)
  const salt = { version: head.salt.version + 1, bytes: chance.bytes(16) }
  const next = { epoch: newId<string>(clock.now(), chance), salt }
  const log: Carried = { epoch: head.epoch, seq: 0, held, until: clock.monotonic() + MAX_MS }
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    await carryOn(log, salt, carriage, parts)
    const done = await store.transact(async (tx) => {
      // `newEpoch` holds to this head, so nothing slips in after the look.
      const now = await tx.revocations.head()
      if (now.epoch !== log.epoch) throw refuse('conflict', 'epoch_changed')
      if (now.seq !== log.seq) return undefined
      // A region that was added since has yet to hear of entries that were left out.
      if (heldAfter(await tx.peers.all(), log.epoch) < held) throw refuse('conflict', 'busy', 1)
      const staged = log.staged ?? (await tx.revocations.stage([]))
      const carried = { seq: staged.base + staged.count, entries: staged.count }
      const { adds, answer } = await carriage.conclude(tx, { ...next, ...carried })
      if (!(await tx.revocations.newEpoch(next.epoch, salt, adds, staged))) throw refuse('conflict', 'busy', 1)
      return { answer }
    })
    if (done !== undefined) return done.answer
  }
  throw refuse('conflict', 'busy', 1)
}

/** How far the log was carried. */
interface Carried {
  readonly epoch: string
  seq: number
  staged?: Staged
  readonly held: number
  readonly until: number
}

/** Carries to the end of the log. Numbers up to its floor have gone one by one; the entries that are left count. */
async function carryOn(log: Carried, salt: Salt, carriage: Carriage<unknown>, parts: CarryParts): Promise<void> {
  const { store, clock } = parts
  const head = await store.revocations.head()
  for (let more = true; more; ) {
    more = await store.gently('soon', (transact) => carryPiece(log, head.epoch, salt, carriage, { ...parts, transact }))
    if (more && clock.monotonic() > log.until) throw refuse('conflict', 'busy', 1)
  }
  // The newest entries may be among those that have gone.
  log.seq = Math.max(log.seq, head.seq)
}

/** Reads the next entries and lays those down that go over; false at the end of the log. */
async function carryPiece(
  log: Carried,
  epoch: string,
  salt: Salt,
  carriage: Carriage<unknown>,
  { store, clock, sha256, transact }: CarryParts & Pick<Store, 'transact'>,
): Promise<boolean> {
  const most = PIECE[store.engine].entries
  const entries = await store.revocations.after(log.seq, most)
  if (epoch !== log.epoch || entries.some((entry) => entry.epoch !== log.epoch)) throw refuse('conflict', 'epoch_changed')
  const nowAt = epochSeconds(clock.now()) - CLOCK_SECONDS
  // Needed is what a living token may match, and what another region has yet to hear of.
  const needed = entries.filter((entry) => carriage.keeps(entry) && (entry.dropAfter >= nowAt || entry.seq > log.held))
  if (needed.length > 0) {
    const anew = needed.map((entry) =>
      rekeyed(entry, keyOf(sha256, salt, { kind: entry.kind, issuer: entry.issuer, id: entry.target })),
    )
    log.staged = await transact((tx) => tx.revocations.stage(anew, log.staged))
  }
  log.seq = entries.at(-1)?.seq ?? log.seq
  return entries.length === most
}

/** This node's clock may be so much ahead of the store's. */
const CLOCK_SECONDS = 60

const rekeyed = ({ seq: _seq, epoch: _epoch, atMs: _atMs, ...entry }: LogEntry, key: Uint8Array): NewEntry => ({ ...entry, key })
