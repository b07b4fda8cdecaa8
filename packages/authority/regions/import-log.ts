/**
 * Taking over another region's entries: into our own log under our own digests, ending what stands behind them here, in one transaction
 * with the place up to which that was done. So of any number of nodes one takes each page over, and a crash leaves it done or not begun.
 *
 * A cutoff lies past everything issued before its acknowledgment *there*. What is issued here until we hear of it may lie past it,
 * when the way was long or the clocks differ. So an entry on a subject, a client or the issuer, for which both regions issue, is *covered*
 * when it comes late: by one of our own, past everything issued here, which goes back to the others and is never covered again. So is one
 * on a scope, and one on a grant that lives here, which may be reported anywhere. Of all other kinds there is one home, where they end.
 */
import type { Bus } from '@signet/bus/bus.ts'
import { fault } from '@signet/kernel/errors.ts'
import type { FamilyId, KeyId, TokenId } from '@signet/kernel/ids.ts'
import { type Chance, epochSeconds, type Sha256 } from '@signet/kernel/surroundings.ts'
import { audited } from '../audit/events.ts'
import type { PolicySettings } from '../policy/settings.ts'
import { noteHolder } from '../revocation/held-in.ts'
import { notePrior } from '../revocation/prior.ts'
import { keyOf, logEntry } from '../revocation/record.ts'
import { guardMsOf, longestDropAfter, longestTokenSeconds, MAX_AHEAD_MS, slackMsOf } from '../revocation/rules.ts'
import { type KeyEnder, moveStanding, WIDE } from '../revocation/standing.ts'
import { judgeSpan, type KnownTarget } from '../revocation/target.ts'
import type { LogPlace } from '../store/ports/peers.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Store, Tx } from '../store/store.ts'
import { LinkTrouble } from './link.ts'
import type { LogPage, WireEntry } from './link-messages.ts'
import { endLostFamilies, markOf } from './takeover.ts'

export interface ImportParts {
  /** The name of this region. */
  readonly self: string
  readonly store: Store
  readonly issuer: string
  readonly settings: PolicySettings
  readonly sha256: Sha256
  readonly chance: Chance
  readonly bus: Pick<Bus, 'publish'>
  readonly keys: KeyEnder
}

export type ImportOutcome =
  | { readonly kind: 'imported'; readonly appended: number; readonly covered: number }
  /** Another node moved the place meanwhile. */
  | { readonly kind: 'overtaken' }

/** What a commit of ours may take before its entries count as late; what takes longer is found by the look afterwards. */
const COMMIT_MS = 100
/** A commit that is late so often in a row is a store in trouble. */
const MAX_COVERS = 3

/**
 * Takes over one page, which follows `from`. Throws `LinkTrouble` for a cutoff so far ahead that merging it could not be undone: nothing of
 * the page is taken over then, and what is known of that region grows old.
 */
export async function importPage(peer: string, from: LogPlace, page: LogPage, parts: ImportParts): Promise<ImportOutcome> {
  const { store, bus } = parts
  const limitMs = (await store.now()) + guardMsOf(parts.settings) + parts.settings.clockOffsetMilliseconds + MAX_AHEAD_MS
  if (page.entries.some((entry) => entry.cutoff_ms > limitMs)) throw new LinkTrouble('cutoff_in_the_future')
  const taken = await store.transact(async (tx) => {
    if (!(await tx.peers.advance(peer, from, page.to))) return undefined
    const takings: Taking[] = []
    for (const entry of page.entries) takings.push(await takeOver(tx, peer, entry, parts))
    const appended = takings.filter((taking) => taking.appended).length
    if (appended > 0) {
      const { epoch, seq } = page.to
      const detail = { region: peer, epoch, seq, entries: appended }
      tx.audit(audited({ now: () => tx.nowMs }, parts.chance, 'region.revocations_taken_over', 'system', {}, detail))
    }
    return takings
  })
  if (taken === undefined) return { kind: 'overtaken' }
  if (taken.some(({ target }) => target.kind === 'key')) {
    bus.publish('keys')
    await parts.keys.refresh().catch(() => {}) // It is done; the ring looks again by itself.
  }
  const covered = taken.filter(({ isCover }) => isCover).length + (await coverLate(peer, taken, parts))
  return { kind: 'imported', appended: taken.filter(({ appended }) => appended).length, covered }
}

interface Taking {
  readonly target: KnownTarget
  readonly entry: WireEntry
  readonly cutoffMs: number
  readonly appended: boolean
  readonly isCover: boolean
  /** Tokens may have been issued for it here until it came. */
  readonly isIssuedHere: boolean
}

async function takeOver(tx: Tx, peer: string, entry: WireEntry, parts: ImportParts): Promise<Taking> {
  const target: KnownTarget = { ...entry, id: entry.target, isOwn: entry.issuer === parts.issuer }
  const { salt } = await tx.revocations.head()
  const key = keyOf(parts.sha256, salt, target)
  const known = await tx.revocations.ofKey(key)
  // Bounded like our own: a snapshot has no room for more, and one such entry would be the end of all of them.
  const dropAfter = Math.min(entry.drop_after, longestDropAfter(entry.cutoff_ms, parts.settings))
  const span = { cutoffMs: entry.cutoff_ms, dropAfter }
  const isIssuedHere = await mayBeIssuedHere(tx, target, entry)
  const taking = { target, entry, cutoffMs: span.cutoffMs, isCover: false, appended: false, isIssuedHere }
  // The other region renumbered its log and tells it anew: whatever began here since must not end by it.
  if (known.some((one) => standsFor(one, peer, entry))) return taking
  // What was done here too, and no earlier, is kept for the case that ours is undone; it ends nothing more.
  const isDone = known.some((one) => didTheSame(one, entry))
  if (!isDone && isIssuedHere && entry.cutoff_ms - slackMsOf(parts.settings) < tx.nowMs + COMMIT_MS) {
    return cover(tx, peer, target, entry, parts)
  }
  const prior = await notePrior(tx, target, actOf(entry), parts.sha256)
  const isMark = target.kind === 'key' && target.id === markOf(parts.self)
  if (isMark && !isDone) await endLostFamilies(tx, peer, entry.reason, parts)
  else if (target.isOwn && !isDone) await endHere(tx, peer, target, entry, span.cutoffMs, parts)
  await prior?.keep(span)
  const isOver = span.dropAfter < epochSeconds(tx.nowMs)
  if (isOver) return taking // No token needs it, and what it ends here has ended.
  tx.revocations.append({ ...logEntry(target, key, span, entry, entry.act), origin: peer })
  return { ...taking, appended: true, isIssuedHere: isIssuedHere && !isDone }
}

/** One of our own, past everything issued here until now; what was made before it here ends, or is held, as the entry says. */
async function cover(tx: Tx, peer: string, target: KnownTarget, entry: WireEntry, parts: ImportParts): Promise<Taking> {
  const cutoffMs = Math.max(entry.cutoff_ms, tx.nowMs + guardMsOf(parts.settings))
  const longestSeconds = await longestTokenSeconds(tx.meta, parts.settings)
  const span = judgeSpan(target, { cutoffMs, nowMs: tx.nowMs, longestSeconds }, parts.settings)
  if (span === undefined) throw new Error('an entry made now cannot be over')
  const prior = await notePrior(tx, target, actOf(entry), parts.sha256)
  await endHere(tx, peer, target, entry, cutoffMs, parts)
  await prior?.keep(span)
  const { salt } = await tx.revocations.head()
  tx.revocations.append(logEntry(target, keyOf(parts.sha256, salt, target), span, entry, 'cover'))
  return { target, entry, cutoffMs, appended: true, isCover: true, isIssuedHere: true }
}

/** The commit itself may have taken so long that it is late only now. */
async function coverLate(peer: string, takings: readonly Taking[], parts: ImportParts): Promise<number> {
  const { store, settings } = parts
  let left = takings.filter(({ appended, isIssuedHere }) => appended && isIssuedHere)
  let covered = 0
  for (let round = 0; left.length > 0; round++) {
    const nowMs = await store.now()
    const late = left.filter(({ cutoffMs }) => nowMs > cutoffMs - slackMsOf(settings))
    if (late.length === 0) return covered
    if (round === MAX_COVERS) throw fault('store_unavailable')
    left = await store.transact(async (tx) => {
      const covers: Taking[] = []
      for (const { target, entry } of late) covers.push(await cover(tx, peer, target, entry, parts))
      return covers
    })
    covered += left.length
  }
  return covered
}

/** Kinds for which every region issues. */
const EVERYWHERE: readonly string[] = [...WIDE, 'scope']

async function mayBeIssuedHere(tx: Tx, { isOwn, kind, id }: KnownTarget, { act }: WireEntry): Promise<boolean> {
  if (!isOwn || act === 'cover') return false
  return EVERYWHERE.includes(kind) || (kind === 'grant' && (await tx.families.status(id as FamilyId)) !== undefined)
}

/** Of a cover's target nothing ends here that had not ended; new tokens are issued past it. */
const actOf = ({ act }: WireEntry) => (act === 'cover' ? 'renew' : act)

/** What there is here of the target, if anything: an application or a person that both regions know, mostly. */
async function endHere(
  tx: Tx,
  peer: string,
  target: KnownTarget,
  entry: WireEntry,
  cutoffMs: number,
  { keys }: ImportParts,
): Promise<void> {
  switch (target.kind) {
    case 'token':
      await tx.apiKeys.changeStatus(target.id as TokenId, ['active', 'suspended'], 'revoked')
      return
    case 'key':
      // Ours, cut off by a region that took over from us: another signs at once.
      await keys.markCompromised(tx, target.id as KeyId, 'system')
      return
    default:
      if (await moveStanding(tx, { target, act: actOf(entry), cutoffMs, again: false })) {
        if (entry.act === 'suspend') await noteHolder(tx, target, peer)
      }
  }
}

/** Whether it is this very entry, copied or covered. */
function standsFor(one: LogEntry, peer: string, { reason, actor, cutoff_ms }: WireEntry): boolean {
  const isIt = one.origin === peer || (one.act === 'cover' && one.origin === undefined)
  return isIt && one.cutoffMs >= cutoff_ms && one.reason === reason && one.actor === actor
}

/** Whether it was made here, and reaches as far. */
const didTheSame = (one: LogEntry, { cutoff_ms, act }: WireEntry): boolean =>
  one.origin === undefined && one.act === act && act !== 'cover' && one.cutoffMs >= cutoff_ms
