/**
 * Proves the record: walks every chain from its first link to its head and compares both with the signed checkpoints.
 * What was edited, removed, reordered or cut off is named by chain and index. Reads in pages, so that a record of any
 * length needs little memory, and goes on while the authority writes.
 */

import type { AuditBatch } from '@signet/kernel/audit-entry.ts'
import { batchHash, eventsRoot, GENESIS, joinEvents, splitEvents } from '@signet/kernel/audit-entry.ts'
import { equalBytes } from '@signet/kernel/bytes.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { AuditLookups } from '../store/ports/audit.ts'
import { sha256 } from '../surroundings.ts'
import { type Checkpoint, isFirst, isSame, noteHash, noteKeys, verifyCheckpoint } from './checkpoint.ts'

export type AuditProblem =
  /** There is no batch at this index, though there are later ones or the head says so. */
  | 'missing'
  /** The events are not the JSON that was written. */
  | 'unreadable'
  | 'wrong_count'
  /** It does not follow on the batch before it. */
  | 'broken_link'
  /** Its hash is not that of its content. */
  | 'altered'
  /** The chain's stored head is not its last batch. */
  | 'wrong_head'
  /** A checkpoint says something else of this batch: the chain was rewritten, or ends before it. */
  | 'against_checkpoint'
  /** A checkpoint names a chain that is gone. */
  | 'missing_chain'
  | 'malformed_checkpoint'
  | 'unsigned_checkpoint'
  /** A checkpoint before this one is missing or was replaced. */
  | 'broken_checkpoint_link'
  /** A checkpoint that was kept elsewhere is not in the store, and with it what only the ones before it say. */
  | 'missing_checkpoint'

export interface AuditFinding {
  readonly problem: AuditProblem
  /** Which batch; of a checkpoint, `checkpoint` says which. */
  readonly chain?: string
  readonly index?: number
  readonly checkpoint?: number
}

export interface AuditProgress {
  readonly chain: string
  readonly index: number
  readonly of: number
}

export interface AuditReport {
  readonly sound: boolean
  readonly chains: number
  readonly batches: number
  readonly events: number
  readonly checkpoints: number
  /** Checkpoints whose key was compromised since: they prove nothing any more. */
  readonly distrusted: number
  readonly lastCheckpointAtMs: number | undefined
  /** The first bad record of each chain and of the checkpoints: what comes after it in the same chain cannot be judged. */
  readonly findings: readonly AuditFinding[]
}

export interface VerifyOptions {
  /** Checkpoint notes kept elsewhere. The record must agree with these too, whatever the store holds. */
  readonly copies?: readonly string[]
}

/** Yields how far it is, after every page, and returns the report. */
export async function* verifyAudit(
  audit: Pick<AuditLookups, 'chains' | 'batches' | 'checkpoints'>,
  keys: Pick<KeyRing, 'records' | 'publicKey'>,
  options: VerifyOptions = {},
): AsyncGenerator<AuditProgress, AuditReport> {
  // Checkpoints before chains: what is written meanwhile makes chains longer than a checkpoint says, never shorter.
  const notes = judgeNotes(
    (await audit.checkpoints()).map(({ note }) => note),
    options.copies ?? [],
    keys,
  )
  const chains = await audit.chains()
  const findings: AuditFinding[] = [...notes.findings]
  let batches = 0
  let events = 0
  for (const head of chains) {
    const walk = walkChain(audit, head, notes.expected.get(head.chain) ?? new Map())
    let step = await walk.next()
    for (; !step.done; step = await walk.next()) yield step.value
    batches += step.value.batches
    events += step.value.events
    if (step.value.finding !== undefined) findings.push(step.value.finding)
  }
  const present = new Set(chains.map((head) => head.chain))
  for (const chain of notes.expected.keys()) if (!present.has(chain)) findings.push({ problem: 'missing_chain', chain })
  const { checkpoints, distrusted, lastCheckpointAtMs } = notes
  return {
    sound: findings.length === 0,
    chains: chains.length,
    batches,
    events,
    checkpoints,
    distrusted,
    lastCheckpointAtMs,
    findings,
  }
}

/** The report alone. */
export async function auditReport(...of: Parameters<typeof verifyAudit>): Promise<AuditReport> {
  const walk = verifyAudit(...of)
  for (;;) {
    const step = await walk.next()
    if (step.done) return step.value
  }
}

/** What checkpoints say: chain → index → hash and the checkpoint that says so. */
type Expected = Map<string, Map<number, { readonly hash: Uint8Array; readonly checkpoint: number }>>

function judgeNotes(stored: readonly string[], copies: readonly string[], keys: Pick<KeyRing, 'records' | 'publicKey'>) {
  const known = noteKeys(keys)
  const expected: Expected = new Map()
  const findings: AuditFinding[] = []
  const chain: { checkpoint: Checkpoint; note: string }[] = []
  let distrusted = 0
  for (const [position, note] of [...stored, ...copies].entries()) {
    const verdict = verifyCheckpoint(note, known)
    if (verdict.kind === 'malformed') {
      findings.push({ problem: 'malformed_checkpoint', checkpoint: position + 1 })
      continue
    }
    if (verdict.kind === 'unsigned') {
      findings.push({ problem: 'unsigned_checkpoint', checkpoint: verdict.checkpoint.number })
      continue
    }
    const { checkpoint } = verdict
    if (position < stored.length) chain.push({ checkpoint, note })
    else if (!chain.some((one) => isSame(one.checkpoint, checkpoint)))
      findings.push({ problem: 'missing_checkpoint', checkpoint: checkpoint.number })
    if (verdict.signedBy.state === 'compromised') distrusted++
    expect(expected, checkpoint, findings)
  }
  const broken = brokenLink(chain)
  if (broken !== undefined) findings.push(broken)
  const lastCheckpointAtMs = chain.reduce<number | undefined>(
    (last, { checkpoint }) => Math.max(last ?? 0, checkpoint.atMs),
    undefined,
  )
  return { expected, findings, checkpoints: stored.length, distrusted, lastCheckpointAtMs }
}

function expect(expected: Expected, { heads, number }: Checkpoint, findings: AuditFinding[]): void {
  for (const { chain, index, hash } of heads) {
    const ofChain = expected.get(chain) ?? new Map()
    expected.set(chain, ofChain)
    const before = ofChain.get(index)
    // Two genuine notes that differ about one batch: the record forked, and at most one side of it is here.
    if (before !== undefined && !equalBytes(before.hash, hash))
      findings.push({ problem: 'against_checkpoint', chain, index, checkpoint: number })
    else ofChain.set(index, { hash, checkpoint: number })
  }
}

/** Notes number 1, 2, 3, … and each names the one before. */
function brokenLink(notes: { readonly checkpoint: Checkpoint; readonly note: string }[]): AuditFinding | undefined {
  const inOrder = notes.sort((a, b) => a.checkpoint.number - b.checkpoint.number)
  for (const [position, { checkpoint }] of inOrder.entries()) {
    const before = inOrder[position - 1]
    const linked = before === undefined ? isFirst(checkpoint) : equalBytes(checkpoint.previous, noteHash(before.note))
    if (checkpoint.number !== position + 1 || !linked) return { problem: 'broken_checkpoint_link', checkpoint: checkpoint.number }
  }
  return undefined
}

/** Batches read and hashed at a time. A full one takes a millisecond, and the node answers requests in between. */
const PAGE = 50

interface ChainReport {
  readonly batches: number
  readonly events: number
  readonly finding: AuditFinding | undefined
}

async function* walkChain(
  audit: Pick<AuditLookups, 'batches' | 'chains'>,
  head: { readonly chain: string; readonly index: number; readonly hash: Uint8Array },
  expected: ReadonlyMap<number, { readonly hash: Uint8Array; readonly checkpoint: number }>,
): AsyncGenerator<AuditProgress, ChainReport> {
  const { chain } = head
  let index = 0
  let events = 0
  let previous: Uint8Array = GENESIS
  const bad = (problem: AuditProblem, more: Partial<AuditFinding> = {}): ChainReport => ({
    batches: index,
    events,
    finding: { problem, chain, index: index + 1, ...more },
  })
  while (index < head.index) {
    const page = await audit.batches(chain, index + 1, Math.min(PAGE, head.index - index))
    if (page.length === 0) return bad('missing')
    for (const batch of page) {
      const problem = judgeBatch(chain, batch, index + 1, previous)
      if (problem !== undefined) return bad(problem)
      const noted = expected.get(index + 1)
      if (noted !== undefined && !equalBytes(noted.hash, batch.hash))
        return bad('against_checkpoint', { checkpoint: noted.checkpoint })
      index++
      events += batch.count
      previous = batch.hash
    }
    yield { chain, index, of: head.index }
  }
  if (head.index > 0 && !equalBytes(previous, head.hash))
    return { batches: index, events, finding: { problem: 'wrong_head', chain, index } }
  if ((await audit.batches(chain, index + 1, 1)).length > 0) {
    // A batch beyond the head: written since we read the head, which moved with it, or the head alone was moved back.
    const now = (await audit.chains()).find((one) => one.chain === chain)
    if ((now?.index ?? 0) <= index) return { batches: index, events, finding: { problem: 'wrong_head', chain, index } }
  }
  // The head was moved back along with the batches it covered.
  for (const [noted, { checkpoint }] of [...expected].sort(([one], [other]) => one - other)) {
    if (noted > index)
      return { batches: index, events, finding: { problem: 'against_checkpoint', chain, index: noted, checkpoint } }
  }
  return { batches: index, events, finding: undefined }
}

function judgeBatch(chain: string, batch: AuditBatch, index: number, previous: Uint8Array): AuditProblem | undefined {
  if (batch.chain !== chain || batch.index !== index) return 'missing'
  const events = splitEvents(batch.events)
  // The hash covers the elements; this covers what stands between them.
  if (joinEvents(events) !== batch.events || !events.every(isEvent)) return 'unreadable'
  if (events.length !== batch.count) return 'wrong_count'
  if (!equalBytes(batch.previous, previous)) return 'broken_link'
  const root = eventsRoot(sha256, events)
  return equalBytes(batchHash(sha256, { chain, index, atMs: batch.atMs, previous, root }), batch.hash) ? undefined : 'altered'
}

function isEvent(text: string): boolean {
  try {
    const event: unknown = JSON.parse(text)
    if (typeof event !== 'object' || event === null) return false
    const { id, atMs, type, actor, ids } = event as Record<string, unknown>
    const named = typeof id === 'string' && typeof type === 'string' && typeof actor === 'string'
    return named && typeof atMs === 'number' && typeof ids === 'object' && ids !== null
  } catch {
    return false
  }
}
