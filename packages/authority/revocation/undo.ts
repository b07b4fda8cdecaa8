/**
 * Undoing a wrong revocation. Merging by the larger cutoff has no undo, so a new epoch takes the place of the whole log, without
 * the entries that are undone. Validators take the signed snapshot of the new epoch (docs/protocol/feed.md §6).
 *
 * Undone can be what only stands behind a cutoff: access tokens, scopes, subjects, clients, the issuer, and anything of another
 * issuer. A grant, session, device or signing key that was revoked has ended for good, and a suspension is lifted by `resume`.
 */
import type { ClientId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import { type AuditActor, audited } from '../audit/events.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Tx } from '../store/store.ts'
import { carryLogOver } from './carry-log.ts'
import { claimFor } from './idempotency.ts'
import { findPrior } from './prior.ts'
import { AUDIT_ROLES } from './record.ts'
import { refuse, refuseElsewhere } from './refuse.ts'
import type { RevokerParts } from './settle.ts'
import { WIDE, withdrawRevokedMs } from './standing.ts'
import type { Why } from './target.ts'

/** Revocations by their numbers, which mean something in their epoch only. */
export interface UndoRequest {
  readonly epoch: string
  readonly seqs: readonly number[]
}

export interface Undone {
  /** The new numbering, and its last number; the first lies far above those before. */
  readonly epoch: string
  readonly seq: number
  /** Entries carried over. */
  readonly entries: number
  /** Entries left out: those named, and later ones of the same target by the same actor for the same reason. */
  readonly removed: number
  /** Subjects, clients or the issuer whose grants and sessions go on again. */
  readonly restored: number
}

/** Undone at once, at most. */
const MAX_SEQS = 1000

/** Refusals: `not_found` (`unknown_revocation`), `conflict` (`epoch_changed`, `not_undoable`, `suspended`, `made_in_another_region`, `busy`). */
export async function undoRevocations(request: UndoRequest, why: Why, parts: RevokerParts): Promise<Undone> {
  const { epoch, seqs } = request
  if (seqs.length === 0 || seqs.length > MAX_SEQS) throw refuse('invalid_request', 'malformed_target')
  const { store, sha256 } = parts
  const claim = claimFor<Undone>(['signet/revocation/undo', epoch, ...seqs.map(String)], why, sha256)
  const before = claim && (await store.transact((tx) => claim.find(tx)))
  if (before !== undefined) return before.made
  if ((await store.revocations.head()).epoch !== epoch) throw refuse('conflict', 'epoch_changed')
  const named = await findUndoable(seqs, parts)
  const copied = named.find(({ origin }) => origin !== undefined)
  if (copied?.origin !== undefined && why.here !== true) throw refuseElsewhere(copied.origin)
  const isUndone = sameMistakes(named)
  const targets = new Set(named.map(targetOf))
  /** Of the targets named: what is undone, and what stays. */
  const gone: LogEntry[] = []
  const left: LogEntry[] = []

  return carryLogOver(parts, {
    keeps(entry) {
      if (!targets.has(targetOf(entry))) return true
      const stays = !isUndone(entry)
      ;(stays ? left : gone).push(entry)
      return stays
    },
    async conclude(tx, next) {
      if (gone.filter(({ seq }) => seqs.includes(seq)).length < named.length) throw refuse('not_found', 'unknown_revocation')
      await refuseSuspended(tx, named, parts.issuer)
      const restored = await restoreGrants(tx, gone, left, parts)
      for (const entry of named) auditUndo(tx, entry, why, parts, { new_epoch: next.epoch, restored })
      const answer = { epoch: next.epoch, seq: next.seq, entries: next.entries, removed: gone.length, restored }
      if (claim !== undefined) await claim.keep(tx, answer)
      return { adds: [], answer }
    },
  })
}

/** The entries named. Before the transaction, since it asks what no transition says; what it finds does not change any more. */
async function findUndoable(seqs: readonly number[], { store, issuer }: RevokerParts): Promise<readonly LogEntry[]> {
  const named: LogEntry[] = []
  for (const seq of new Set(seqs)) {
    const [entry] = await store.revocations.after(seq - 1, 1)
    if (entry?.seq !== seq) throw refuse('not_found', 'unknown_revocation')
    named.push(entry)
    if (entry.issuer !== issuer || WIDE.includes(entry.kind) || entry.kind === 'scope') continue
    const isApiKey = entry.kind === 'token' && (await store.apiKeys.find(entry.target as TokenId)) !== undefined
    if (entry.kind !== 'token' || isApiKey) throw refuse('conflict', 'not_undoable')
  }
  return named
}

const targetOf = ({ kind, issuer, target }: LogEntry): string => JSON.stringify([kind, issuer, target])

/** One whose target is held would give life to tokens while nothing else may live. */
async function refuseSuspended(tx: Tx, named: readonly LogEntry[], issuer: string): Promise<void> {
  for (const { kind, issuer: of, target } of named) {
    if (of === issuer && (await isSuspended(tx, kind, target))) throw refuse('conflict', 'suspended')
  }
}

async function isSuspended(tx: Tx, kind: KeyKind, id: string): Promise<boolean> {
  if (kind === 'subject') return (await tx.subjects.find(id as SubjectId))?.status === 'suspended'
  return kind === 'client' && (await tx.clients.find(id as ClientId))?.status === 'suspended'
}

/** A revocation that was raised, or made again by the same actor for the same reason, is one mistake; in another region it is another. */
function sameMistakes(named: readonly LogEntry[]): (entry: LogEntry) => boolean {
  const words = (e: LogEntry): string => JSON.stringify([e.kind, e.issuer, e.target, e.act, e.reason, e.actor, e.origin])
  const since = new Map<string, number>()
  for (const entry of named) since.set(words(entry), Math.min(entry.seq, since.get(words(entry)) ?? Number.POSITIVE_INFINITY))
  return (entry) => entry.seq >= (since.get(words(entry)) ?? Number.POSITIVE_INFINITY)
}

/** Puts `revokedMs` back to what the revocations that are left make it. One that came since, or was forgotten, stands. */
async function restoreGrants(
  tx: Tx,
  gone: readonly LogEntry[],
  left: readonly LogEntry[],
  { issuer, sha256 }: RevokerParts,
): Promise<number> {
  let restored = 0
  // Latest first, so that several of one target are taken back one by one.
  const own = gone.filter((entry) => entry.issuer === issuer && WIDE.includes(entry.kind))
  for (const entry of own.toSorted((a, b) => b.cutoffMs - a.cutoffMs)) {
    const target = { kind: entry.kind, issuer, id: entry.target }
    let beforeMs = await findPrior(tx, target, entry.cutoffMs, sha256)
    if (beforeMs === undefined) continue // It ended no grants.
    for (const other of left) {
      if (other.kind !== entry.kind || other.target !== entry.target || other.issuer !== issuer || other.cutoffMs <= beforeMs)
        continue
      if ((await findPrior(tx, target, other.cutoffMs, sha256)) !== undefined) beforeMs = other.cutoffMs
    }
    if (beforeMs < entry.cutoffMs && (await withdrawRevokedMs(tx, target, entry.cutoffMs, beforeMs))) restored++
  }
  return restored
}

function auditUndo(
  tx: Tx,
  entry: LogEntry,
  why: Why,
  { clock, chance, issuer }: RevokerParts,
  about: { readonly new_epoch: string; readonly restored: number },
): void {
  const isOwn = entry.issuer === issuer
  const ids = isOwn ? { [AUDIT_ROLES[entry.kind]]: entry.target } : { issuer: entry.issuer }
  const detail = { kind: entry.kind, reason: why.reason, seq: entry.seq, epoch: entry.epoch, ...about }
  tx.audit(audited(clock, chance, 'admin.revocation_undone', why.actor as AuditActor, ids, detail))
}
