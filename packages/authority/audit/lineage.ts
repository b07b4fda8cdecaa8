/**
 * Lineage: how a token came to be and how it ended, read from the audit record alone. For any id it finds the tree
 * it belongs to: the sign-in, the grant, each token and rotation, what was derived from it, and every act that ended or
 * suspended any of them. Reading is in lineage-reader.ts; here the events become a tree.
 */
import type { AuditEvent } from '@signet/kernel/audit-entry.ts'
import { idTimeMs, isUuidV7 } from '@signet/kernel/ids.ts'
import type { AuditLookups } from '../store/ports/audit.ts'
import { gatherLineage, isAct, LINEAGE_LIMITS, type LineageKind, type LineageLimits } from './lineage-reader.ts'

export type { LineageKind, LineageLimits } from './lineage-reader.ts'

export interface LineageNode {
  readonly kind: LineageKind
  readonly id: string
  /** What happened to it, oldest first. */
  readonly events: readonly AuditEvent[]
  /** The first act that ended it: on itself, on what it hangs on, or on its device, client or signing key. */
  readonly ended?: AuditEvent
  /** In the order they began. */
  readonly children: readonly LineageNode[]
}

export interface Lineage {
  readonly id: string
  readonly kind: LineageKind
  readonly root: LineageNode
  /** False when the record held more than was read: the tree is right as far as it goes. */
  readonly complete: boolean
}

/**
 * The tree that the id of a token, API key, grant, session or subject belongs to; undefined when the record does not know it.
 * With `issuer`, our own, revocations of the whole issuer count as well.
 */
export async function lineage(
  store: { readonly audit: Pick<AuditLookups, 'search'> },
  id: string,
  options: { readonly issuer?: string; readonly limits?: LineageLimits } = {},
): Promise<Lineage | undefined> {
  const gathered = await gatherLineage(store.audit, id, options.limits ?? LINEAGE_LIMITS)
  if (gathered === undefined) return undefined
  const { kind, events, acts, complete } = gathered
  const nodes = connect(events)
  for (const act of acts) nodes.get(targetOf(act) ?? '')?.events.add(act)
  const start = nodes.get(nodeKey(kind, id))
  if (start === undefined) return undefined
  const ends = endings(acts, options.issuer)
  return { id, kind, root: draw(ancestors(start).at(-1) ?? start, shownBelow(start), ends), complete }
}

interface Draft {
  readonly kind: LineageKind
  readonly id: string
  readonly events: Set<AuditEvent>
  readonly children: Set<Draft>
  /** Ids of device, client, key that it goes with: acts on them concern it. */
  readonly goesWith: Set<string>
  /** What it was issued with. Of a refreshed token its grant's counts, though it may have asked for less: events of refreshes are kept short. */
  scope: readonly string[] | undefined
  parent: Draft | undefined
}

const nodeKey = (kind: string, id: string): string => `${kind}/${id}`

/** A sign-in has a device; what a client was granted goes with the client, too; a key signs single tokens. */
const GOES_WITH = { subject: [], session: ['device'], family: ['device', 'client'], token: ['device', 'client', 'key'] } as const

/** Hangs what each event names below one another: token below grant below session below subject. */
function connect(events: readonly AuditEvent[]): Map<string, Draft> {
  const drafts = new Map<string, Draft>()
  for (const event of events) {
    const { ids } = event
    const subject = draftOf('subject', ids.subject)
    const session = hang(draftOf('session', ids.session), subject)
    const family = hang(draftOf('family', ids.family), session ?? subject)
    const parent = draftOf('token', ids.parent)
    const token = hang(draftOf('token', ids.token), parent ?? family ?? session ?? subject)
    hang(draftOf('token', ids.heir), token)
    const about = token ?? family ?? session ?? subject
    if (!isAct(event)) about?.events.add(event)
    for (const draft of [token, family, session]) {
      for (const role of draft === undefined ? [] : GOES_WITH[draft.kind]) {
        const other = ids[role]
        if (other !== undefined) draft?.goesWith.add(nodeKey(role, other))
      }
    }
    const granted = token ?? family
    if (granted !== undefined && Array.isArray(event.detail?.scope)) granted.scope = event.detail.scope
  }
  return drafts

  function draftOf(kind: LineageKind, id: string | undefined): Draft | undefined {
    if (id === undefined) return undefined
    const key = nodeKey(kind, id)
    const known = drafts.get(key)
    if (known !== undefined) return known
    const fresh: Draft = {
      kind,
      id,
      events: new Set(),
      children: new Set(),
      goesWith: new Set(),
      scope: undefined,
      parent: undefined,
    }
    drafts.set(key, fresh)
    return fresh
  }

  /** The first event that says where something hangs is that of its beginning. Never in a circle, whatever events say. */
  function hang(draft: Draft | undefined, below: Draft | undefined): Draft | undefined {
    if (
      draft !== undefined &&
      draft.parent === undefined &&
      below !== undefined &&
      below !== draft &&
      !ancestors(below).includes(draft)
    ) {
      draft.parent = below
      below.children.add(draft)
    }
    return draft
  }
}

/** From the parent up. */
function ancestors(draft: Draft): readonly Draft[] {
  const above: Draft[] = []
  for (let one = draft.parent; one !== undefined; one = one.parent) above.push(one)
  return above
}

/**
 * Which children of a node are shown: of a token its whole grant or delegation tree, of anything else what hangs on it;
 * above that only the line that leads there.
 */
function shownBelow(start: Draft): (draft: Draft) => readonly Draft[] {
  const line = [start, ...ancestors(start)]
  const whole = start.kind === 'token' ? line.filter((one) => one.kind === 'token' || one.kind === 'family').at(-1) : start
  const above = new Set(ancestors(whole ?? start))
  return (draft) => {
    const children = above.has(draft) ? [...draft.children].filter((child) => line.includes(child)) : [...draft.children]
    return children.sort((a, b) => beganMs(a) - beganMs(b))
  }
}

function draw(draft: Draft, below: (draft: Draft) => readonly Draft[], ends: readonly Ending[]): LineageNode {
  const ended = ends.find((end) => covers(end, draft))?.act
  const events = [...draft.events].sort((a, b) => a.atMs - b.atMs)
  const children = below(draft).map((child) => draw(child, below, ends))
  return { kind: draft.kind, id: draft.id, events, ...(ended !== undefined && { ended }), children }
}

/** An act that ended what had begun by `cutoffMs`. */
interface Ending {
  readonly act: AuditEvent
  /** The node key of its target, or `everything`. */
  readonly target: string
  readonly cutoffMs: number
  /** A claims epoch, a drain or a suspension: grants stay alive, tokens issued before it die. */
  readonly tokensOnly: boolean
}

const EVERYTHING = 'everything'

function endings(acts: readonly AuditEvent[], issuer: string | undefined): readonly Ending[] {
  const found: Ending[] = []
  for (const act of acts) {
    const whole =
      act.type === 'store.restored' || (act.detail?.kind === 'issuer' && issuer !== undefined && act.ids.issuer === issuer)
    const target = whole ? EVERYTHING : targetOf(act)
    if (target === undefined || act.type === 'suspension.lifted') continue
    if (act.type === 'admin.revocation_undone') {
      const undone = found.findLastIndex((end) => end.target === target)
      if (undone >= 0) found.splice(undone, 1)
      continue
    }
    const cutoffMs = typeof act.detail?.cutoff_ms === 'number' ? act.detail.cutoff_ms : act.atMs
    found.push({ act, target, cutoffMs, tokensOnly: act.type === 'suspension.made' || act.detail?.keeps_grants === true })
  }
  return found
}

/** Whether it ended this: its target is this, above this, or goes with it, and this had begun by its cutoff. */
function covers(end: Ending, draft: Draft): boolean {
  if (beganMs(draft) > end.cutoffMs || (end.tokensOnly && draft.kind !== 'token')) return false
  // A restore ends sign-ins and what hangs on them, not people.
  if (end.target === EVERYTHING) return draft.kind !== 'subject'
  const line = [draft, ...ancestors(draft)]
  const scope = line.find((one) => one.scope !== undefined)?.scope
  if (scope?.some((name) => end.target === nodeKey('scope', name))) return true
  return line.some((one) => nodeKey(one.kind, one.id) === end.target || one.goesWith.has(end.target))
}

/** The node key of what an act was done to: the narrowest of the ids it names. */
function targetOf({ ids }: AuditEvent): string | undefined {
  for (const role of ['token', 'family', 'session', 'device', 'subject', 'client', 'key', 'scope'] as const) {
    const id = ids[role]
    if (id !== undefined) return nodeKey(role, id)
  }
  return undefined
}

function beganMs(draft: Draft): number {
  if (isUuidV7(draft.id)) return idTimeMs(draft.id)
  return Math.min(...[...draft.events].map((event) => event.atMs))
}
