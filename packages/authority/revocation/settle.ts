/**
 * From a committed revocation to its receipt. Acknowledged is only what no node can have outrun: when the commit has
 * returned, the cutoff must still lie the clock offset and the mint staleness ahead of the store's clock, or the
 * entry is raised and committed again (ADR 5).
 */
import type { Bus } from '@signet/bus/bus.ts'
import { toBase64Url } from '@signet/kernel/bytes.ts'
import { fault, type Refusal } from '@signet/kernel/errors.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import type { Chance, Clock, Sha256, Timers } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Status } from '../store/ports/standing.ts'
import type { Store } from '../store/store.ts'
import { notePrior } from './prior.ts'
import { auditAct, keyOf, logEntry } from './record.ts'
import { refuse } from './refuse.ts'
import type { Registry } from './registry.ts'
import { guardMsOf, MAX_AHEAD_MS, type RevocationSettings, slackMsOf } from './rules.ts'
import { findStatus, type KeyEnder, moveStanding } from './standing.ts'
import { mayBeRowless } from './take.ts'
import type { Act, KnownTarget, Span, Why } from './target.ts'

export interface RevocationReceipt {
  readonly epoch: string
  /** A validator that has applied this number refuses the target. */
  readonly seq: number
  /** Tokens issued at or before it are dead, epoch milliseconds. */
  readonly cutoffMs: number
  /** The store's clock at the start of the commit. */
  readonly committedAtMs: number
  /** It had been made before; nothing new was written. */
  readonly already: boolean
  /** Nothing that it could match is alive, and the log knows nothing of it: `seq` is its head. */
  readonly moot?: true
}

/** What a transaction decided; it becomes a receipt when it has committed. */
export interface PendingReceipt {
  readonly target: KnownTarget
  readonly act: Act
  readonly why: Why
  /** What the log knows the target by, in the epoch the transaction saw. */
  readonly key: Uint8Array
  readonly outcome: Made | Repeated | { readonly kind: 'unmoved' }
}

interface Repeated {
  readonly kind: 'repeated'
  readonly cutoffMs: number
  readonly atMs: number
}

interface Made {
  readonly kind: 'made'
  readonly span: Span
  readonly atMs: number
  /** Filled by the store when the commit is acknowledged. */
  readonly place: { readonly seq: number; readonly epoch: string; readonly beforeMs: number }
}

export interface RevokerParts {
  readonly store: Store
  readonly settings: RevocationSettings
  readonly issuer: string
  readonly keys: KeyEnder
  readonly clock: Clock
  readonly chance: Chance
  readonly timers: Timers
  readonly sha256: Sha256
  readonly bus: Bus
  readonly registry: Pick<Registry, 'sawInTime' | 'foundLate' | 'follow' | 'lookNow'>
  readonly observe?: RevocationObserver
}

/** What happened, for metrics; all optional. */
export interface RevocationObserver {
  /** A revocation or suspension was acknowledged, `milliseconds` after it was asked for. */
  revoked?(kind: KeyKind, milliseconds: number): void
  /** A commit took longer than its allowance, so its cutoff was raised. */
  raised?(kind: KeyKind): void
}

export type SettleParts = RevokerParts & {
  nextCutoffMs(nowMs: number, largestMs: number): number
  /** Entries being raised by this node, by epoch and number: a thousand who ask about one late entry raise it once. */
  readonly raising: Map<string, Promise<RevocationReceipt>>
}

/** A commit that is late so often in a row is a store in trouble. */
const MAX_RAISES = 3

/** `look_again`: the state was neither moved by us nor is it such that we could not; somebody else is moving it. */
export async function settleReceipt(pending: PendingReceipt, parts: SettleParts): Promise<RevocationReceipt | 'look_again'> {
  switch (pending.outcome.kind) {
    case 'made':
      if (pending.target.kind === 'key' && pending.target.isOwn) await announceKeys(parts)
      return confirm(pending, pending.outcome, parts)
    case 'repeated':
      return recall(pending, pending.outcome, parts)
    case 'unmoved':
      return explain(pending, parts)
  }
}

async function announceKeys({ bus, keys }: SettleParts): Promise<void> {
  bus.publish('keys')
  await keys.refresh().catch(() => {}) // It is done; the ring looks again by itself.
}

async function confirm(pending: PendingReceipt, first: Made, parts: SettleParts): Promise<RevocationReceipt> {
  let made = first
  for (let raises = 0; await isOutrun(pending, made, parts); raises++) {
    if (raises === MAX_RAISES) throw fault('store_unavailable', { because: 'each commit took longer than its allowance' })
    parts.observe?.raised?.(pending.target.kind)
    parts.registry.foundLate(made.place.epoch, made.place.seq) // Who asks again is told of the one that follows.
    made = await raise(pending, made.span, parts)
  }
  const { seq, epoch } = made.place
  return { epoch, seq, cutoffMs: made.span.cutoffMs, committedAtMs: made.atMs, already: false }
}

/** Late, or overtaken: a token may have been issued before this acknowledgment and past its cutoff. */
async function isOutrun({ target }: PendingReceipt, made: Made, parts: SettleParts): Promise<boolean> {
  const [nowMs, isCrossed] = await Promise.all([parts.store.now(), isOvertaken(target, made, parts)])
  return isCrossed || !isInTime(nowMs, made.span.cutoffMs, parts)
}

/** Entries before our own that are looked at when commits crossed. */
const MAX_CROSSED = 1000

/**
 * A commit of another node began later than ours, so that its cutoff is as large or larger, and was acknowledged before: what was issued in
 * between lies just past that one. Only of another kind, or for the same target, can both have a hold on one token; or if they are scopes, for
 * a token may have several.
 */
async function isOvertaken(target: KnownTarget, { span, atMs, place }: Made, { store, settings }: SettleParts): Promise<boolean> {
  // A larger one that is out of reach is of a time before the store's clock was set back.
  const reachMs = atMs + guardMsOf(settings) + MAX_AHEAD_MS
  if (place.beforeMs < span.cutoffMs || place.beforeMs >= reachMs) return false
  const crossed = await store.revocations.before(place.seq, MAX_CROSSED, span.cutoffMs, reachMs)
  const isSame = (entry: LogEntry) => entry.target === target.id && entry.issuer === target.issuer
  return crossed.some((entry) => entry.kind !== target.kind || target.kind === 'scope' || isSame(entry))
}

const isInTime = (nowMs: number, cutoffMs: number, { settings }: SettleParts): boolean => nowMs <= cutoffMs - slackMsOf(settings)

/** The same revocation once more, with a later cutoff. */
async function raise(pending: PendingReceipt, before: Span, parts: SettleParts): Promise<Made> {
  const { target, act, why } = pending
  return parts.store.transact(async (tx): Promise<Made> => {
    const { salt, cutoffMs: largestMs } = await tx.revocations.head()
    const key = keyOf(parts.sha256, salt, target)
    const cutoffMs = Math.max(before.cutoffMs + 1, parts.nextCutoffMs(tx.nowMs, largestMs))
    const span = { cutoffMs, dropAfter: before.dropAfter + Math.ceil((cutoffMs - before.cutoffMs) / 1000) }
    const prior = await notePrior(tx, target, act, parts.sha256)
    // It may have been deleted meanwhile; the entry is what still counts then.
    if (target.isOwn) await moveStanding(tx, { target, act, cutoffMs, again: true })
    await prior?.keep(span)
    const place = tx.revocations.append(logEntry(target, key, span, why, act))
    const detail = { key: toBase64Url(key), cutoff_ms: cutoffMs, raised: true }
    auditAct(tx, act === 'suspend' ? 'suspension.made' : 'revocation.made', target, why, parts, detail)
    return { kind: 'made', span, atMs: tx.nowMs, place }
  })
}

/** The receipt of what was made under the same idempotency key before. */
async function recall(
  pending: PendingReceipt,
  made: { readonly cutoffMs: number; readonly atMs: number },
  parts: SettleParts,
): Promise<RevocationReceipt> {
  const { target, why } = pending
  const entries = await entriesOf(target, parts)
  // Oldest first: a later one of the same words is this one raised, or another that came after.
  const same = entries.filter((e) => e.cutoffMs >= made.cutoffMs && e.reason === why.reason && e.actor === why.actor).reverse()
  const nowMs = await parts.store.now()
  const checked = same.find((entry) => wasInTime(entry, nowMs, parts))
  if (checked !== undefined) return receiptOf(checked)
  const latest = same.at(-1)
  return latest === undefined ? bygone(made.cutoffMs, made.atMs, parts) : again(pending, latest, parts)
}

/** Why nothing moved: it had ended already, it never was, or it is in a state that forbids the act. */
async function explain(pending: PendingReceipt, parts: SettleParts): Promise<RevocationReceipt | 'look_again'> {
  const { target, act } = pending
  const nowMs = await parts.store.now()
  const ruling = judgeUnmoved(target, act, target.isOwn ? await findStatus(parts.store, target) : undefined, nowMs)
  if (ruling === 'look_again') return ruling
  if (ruling !== 'already') throw ruling
  const [latest] = await entriesOf(target, parts)
  if (latest === undefined) return bygone(nowMs, nowMs, parts)
  return wasInTime(latest, nowMs, parts) ? receiptOf(latest) : again(pending, latest, parts)
}

/** Purely: what a target that did not move means for the act. `status` is undefined when there is no such row. */
function judgeUnmoved(
  target: KnownTarget,
  act: Act,
  status: Status | undefined,
  nowMs: number,
): 'already' | 'look_again' | Refusal {
  const { kind } = target
  // Tokens have no row; an entry, or their certain expiry, is what kept this one from being made.
  if (!target.isOwn || kind === 'token') return 'already'
  if (status === undefined) return mayBeRowless(target, act, nowMs) ? 'already' : refuse('not_found', `unknown_${kind}`)
  if (status === 'revoked') return act === 'revoke' ? 'already' : refuse('conflict', 'already_revoked')
  if (status === 'suspended' && act === 'suspend') return 'already'
  return 'look_again'
}

/** Newest first. */
async function entriesOf(target: KnownTarget, { store, sha256 }: SettleParts): Promise<readonly LogEntry[]> {
  const { salt } = await store.revocations.head()
  return store.revocations.ofKey(keyOf(sha256, salt, target))
}

/**
 * Whether an entry's commit was in time: we have seen it come in time ourselves, or it still is. However old it is, that its maker lived to look
 * is not known: he may have died, or have been cut off with his commit still under way, which then went through a minute later while others
 * issued what its cutoff does not reach. So what we have not seen is raised once more, also what was acknowledged before we started: better that
 * somebody signs in once again than that a thief's session outlives an acknowledgment.
 */
const wasInTime = (entry: LogEntry, nowMs: number, parts: SettleParts): boolean =>
  isInTime(nowMs, entry.cutoffMs, parts) || parts.registry.sawInTime(entry.epoch, entry.seq)

async function again(pending: PendingReceipt, entry: LogEntry, parts: SettleParts): Promise<RevocationReceipt> {
  const { raising } = parts
  const name = `${entry.epoch}:${entry.seq}`
  let raised = raising.get(name)
  if (raised === undefined) {
    raised = raise(pending, entry, parts)
      .then((made) => confirm(pending, made, parts))
      .finally(() => raising.delete(name))
    raising.set(name, raised)
  }
  return { ...(await raised), already: true }
}

const receiptOf = ({ epoch, seq, cutoffMs, atMs }: LogEntry): RevocationReceipt => ({
  epoch,
  seq,
  cutoffMs,
  committedAtMs: atMs,
  already: true,
})

/** Its entry has been forgotten, since nothing alive could match it: whoever is at the head refuses it. */
async function bygone(cutoffMs: number, atMs: number, { store }: SettleParts): Promise<RevocationReceipt> {
  const { epoch, seq } = await store.revocations.head()
  return { epoch, seq, cutoffMs, committedAtMs: atMs, already: true, moot: true }
}
