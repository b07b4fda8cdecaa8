/**
 * The independent observer. It keeps what was promised (revocations and the moment each was acknowledged, tokens and the moment each was
 * signed, every number of the log and the moment it was committed) in plain ids and true time, and judges what validators and
 * nodes say by that alone: none of the code under test is asked.
 */
import { createHash } from 'node:crypto'
import type { LogEntry } from '@signet/authority/store/ports/revocations.ts'
import type { KeyKind } from '@signet/kernel/revocation.ts'
import { EPOCH_MS } from './machine.ts'
import type { VirtualTime } from './time.ts'

export type Ids = Readonly<Partial<Record<KeyKind, string>>>

export interface TokenFact {
  readonly name: string
  readonly text: string
  readonly ids: Ids
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  /** True times: when its flow began, and when it was signed at the latest. */
  readonly beganMs: number
  readonly signedMs: number
  /** When the sign-in behind it had been made; the token's own beginning where there is none. */
  readonly grantMadeMs: number
  /** When the client had been agreed to there: a client's end reaches what was agreed before it, and no session. */
  readonly agreedMs: number
  /** Its issue time lies ahead of the node's clock: it was lifted past a cutoff. */
  readonly lifted: boolean
  /** Bound to a key, so that no validator takes it without a proof. */
  readonly bound: boolean
  /** Made by a thief who holds a signing key. */
  readonly forged?: boolean
}

export type Act = 'revoke' | 'renew' | 'suspend'
export interface RevocationFact {
  readonly name: string
  readonly kind: KeyKind
  readonly id: string
  readonly act: Act
  readonly askedMs: number
  /** When a node had it settled, and when whoever asked heard of it. */
  ackMs?: number
  heardMs?: number
  cutoffMs?: number
  /** When the entry that the receipt speaks of was committed. */
  committedMs?: number | undefined
  /** When it was asked to be lifted (a suspension), or a restore forgot it. */
  endedMs?: number
  /** Taken back by a new epoch: it kills nothing any more, but may still have. */
  isUndone?: boolean
}

interface HeadFact {
  readonly atMs: number
  readonly epoch: string
  readonly epochIndex: number
  readonly seq: number
}

export interface EntryFact {
  readonly atMs: number
  readonly kind: KeyKind
  readonly id: string
  readonly cutoffMs: number
}

export interface Observation {
  readonly validator: string
  readonly allowed: boolean
  readonly reason: string | undefined
  readonly stalenessMs: number
  readonly position: { readonly epoch: string; readonly seq: number } | undefined
}

export interface Violation {
  readonly atMs: number
  readonly invariant: string
  readonly detail: string
}

/** What floors of wall clocks hide. */
export const ROUNDING_MS = 1.5
/** Two nodes' clocks may be so far apart. */
const CLOCKS_MS = 2000
/** Ends for good: nothing under it ever lives again. */
export const TERMINAL: readonly KeyKind[] = ['token', 'grant', 'session', 'device', 'key']
/** What nodes know from a moment ago, and not from the transaction. */
const CACHED: readonly KeyKind[] = ['client', 'issuer', 'scope']

export class History {
  readonly violations: Violation[] = []
  readonly tokens: TokenFact[] = []
  readonly revocations: RevocationFact[] = []
  readonly entries = new Map<string, EntryFact[]>()
  readonly heads: HeadFact[] = []
  /** What was answered to each presented refresh token. */
  readonly #successors = new Map<string, string>()
  readonly #rotations = new Map<string, { generation: number; atMs: number }[]>()
  readonly #verdicts = new Map<string, { validator: string; allowed: boolean }>()
  readonly #lifting = new Set<string>()
  readonly #story: string[] = []
  readonly #time: VirtualTime
  readonly #digest = createHash('sha256')
  judged = 0
  strikes = 0
  /** How old a node's knowledge of clients and of the issuer may be: so long a token asked for afterwards may be dead at birth. */
  mintStalenessMs = 0

  constructor(time: VirtualTime) {
    this.#time = time
  }

  // ── The story ──

  tell(sentence: string): void {
    const line = `${(this.#time.nowMs / 1000).toFixed(4).padStart(10)}  ${sentence}`
    this.#digest.update(line)
    this.#story.push(line)
    if (this.#story.length > MAX_STORY) this.#story.splice(0, this.#story.length - MAX_STORY / 2)
  }

  story(last: number): readonly string[] {
    return this.#story.slice(-last)
  }

  /** Of all that was told and of the log's growth, to compare two runs of one seed. */
  digest(): string {
    const heads = this.heads.map(({ atMs, seq }) => `${atMs}:${seq}`).join()
    return this.#digest.copy().update(`${heads} ${this.judged} ${this.tokens.length}`).digest('hex').slice(0, 16)
  }

  /** Something was thrown where nothing may be. */
  failed(cause: unknown): void {
    this.violate('nothing throws by itself', String((cause as Error | undefined)?.stack ?? cause))
  }

  violate(invariant: string, detail: string): void {
    if (this.violations.length >= MAX_VIOLATIONS) return
    this.violations.push({ atMs: this.#time.nowMs, invariant, detail })
    this.tell(`✖ ${invariant}: ${detail}`)
  }

  // ── What happened ──

  asked(kind: KeyKind, id: string, act: Act, name: string): RevocationFact {
    const fact: RevocationFact = { name, kind, id, act, askedMs: this.#time.nowMs }
    // Somebody lifts what was before, and nobody knows which of the two comes first.
    if (act === 'suspend' && this.#lifting.has(`${kind} ${id}`)) fact.endedMs = this.#time.nowMs
    this.revocations.push(fact)
    return fact
  }

  acknowledged(fact: RevocationFact, cutoffMs: number): void {
    fact.ackMs ??= this.#time.nowMs
    fact.cutoffMs ??= cutoffMs
    fact.committedMs ??= this.entries.get(fact.id)?.find((entry) => entry.kind === fact.kind && entry.cutoffMs === cutoffMs)?.atMs
  }

  /** The log grew, in this order, in one commit. */
  committed(entries: readonly Pick<LogEntry, 'seq' | 'epoch' | 'kind' | 'target' | 'cutoffMs'>[]): void {
    for (const { seq, epoch, kind, target, cutoffMs } of entries) {
      const last = this.heads.at(-1)
      if (last !== undefined && last.epoch === epoch && seq !== last.seq + 1) {
        this.violate('the sequence is dense', `${seq} was committed after ${last.seq}`)
      }
      this.head(epoch, seq)
      this.tell(`the log has ${seq}: ${kind} ${target.slice(-6)}, until ${((cutoffMs - EPOCH_MS) / 1000).toFixed(3)}`)
      this.noteEntry({ kind, target, cutoffMs })
    }
  }

  /** Something that may kill tokens is in the log. */
  noteEntry({ kind, target, cutoffMs }: Pick<LogEntry, 'kind' | 'target' | 'cutoffMs'>): void {
    const facts = this.entries.get(target) ?? []
    this.entries.set(target, facts)
    facts.push({ atMs: this.#time.nowMs, kind, id: target, cutoffMs })
  }

  head(epoch: string, seq: number): void {
    const last = this.heads.at(-1)
    const epochIndex = last === undefined ? 0 : last.epochIndex + (last.epoch === epoch ? 0 : 1)
    this.heads.push({ atMs: this.#time.nowMs, epoch, epochIndex, seq })
  }

  /** A copy from then took the log's place, which begins an epoch with these entries. */
  begunAnew(takenMs: number, { epoch, seq }: Pick<LogEntry, 'epoch' | 'seq'>, entries: readonly LogEntry[]): void {
    this.restored(takenMs)
    this.head(epoch, seq)
    for (const entry of entries) this.noteEntry(entry)
  }

  /** A family has come into being. */
  began(_family: string): void {}

  rotated(family: string, generation: number): void {
    const rotations = this.#rotations.get(family) ?? []
    this.#rotations.set(family, rotations)
    rotations.push({ generation, atMs: this.#time.nowMs })
  }

  /** Tokens were given for a refresh token whose flow began then: it must not have been spent too long ago. */
  answered(family: string, generation: number, beganMs: number, graceMs: number): void {
    const then = this.#rotations.get(family)?.findLast(({ atMs }) => atMs <= beganMs)
    if (then === undefined || generation >= then.generation) return
    const ago = beganMs - then.atMs
    if (generation === then.generation - 1 && ago <= graceMs + CLOCKS_MS) return
    const what = `generation ${generation} of ${family.slice(-6)} was answered`
    this.violate('a spent token is worth nothing', `${what} although ${then.generation} was there for ${ago.toFixed(0)} ms`)
  }

  /** A restore: what was rotated since is forgotten, and suspensions since are over, as restore.ts says. */
  restored(takenMs: number, isOfIt: (fact: RevocationFact) => boolean = () => true): void {
    for (const fact of this.revocations) {
      if (fact.act === 'suspend' && isOfIt(fact) && (fact.ackMs ?? Number.POSITIVE_INFINITY) > takenMs)
        fact.endedMs ??= this.#time.nowMs
    }
    this.#rotations.clear()
    this.#successors.clear()
  }

  /** Whoever lifts a suspension lifts everybody's of the same target. */
  lifted({ kind, id }: Pick<RevocationFact, 'kind' | 'id'>, isDone: boolean): void {
    if (isDone) this.#lifting.delete(`${kind} ${id}`)
    else this.#lifting.add(`${kind} ${id}`)
    for (const fact of this.revocations) {
      if (fact.act === 'suspend' && fact.kind === kind && fact.id === id) fact.endedMs ??= this.#time.nowMs
    }
  }

  /** Whether it was asked for here: with several regions there are others. */
  isOurs(_fact: RevocationFact): boolean {
    return true
  }

  /** A mistake is taken back: what it had killed may live again from now on. */
  undone(fact: RevocationFact): void {
    fact.endedMs = this.#time.nowMs
    fact.isUndone = true
  }

  /** One successor per refresh token. */
  refreshed(presented: string, successor: string, name: string): void {
    const known = this.#successors.get(presented)
    if (known === undefined) this.#successors.set(presented, successor)
    else if (known !== successor)
      this.violate('one successor per refresh token', `${name}: two answers carry different successors`)
  }

  signed(token: TokenFact): void {
    this.tokens.push(token)
  }

  // ── Judging ──

  /** The acknowledged revocation that this token must not outlive, if any. */
  mustBeDead(token: TokenFact): RevocationFact | undefined {
    return this.revocations.find((fact) => fact.ackMs !== undefined && token.ids[fact.kind] === fact.id && covers(fact, token))
  }

  /** What one validator said about one token just now. */
  observe(token: TokenFact, seen: Observation): void {
    const nowMs = this.#time.nowMs
    this.judged++
    this.observeStaleness(seen)
    if (seen.allowed) {
      const knownMs = nowMs - seen.stalenessMs - ROUNDING_MS
      for (const fact of this.revocations) {
        if (token.ids[fact.kind] !== fact.id || fact.ackMs === undefined || fact.ackMs > knownMs || !covers(fact, token)) continue
        const ago = (nowMs - fact.ackMs).toFixed(1)
        this.violate(
          'no token outlives its revocation',
          `${seen.validator}, ${seen.stalenessMs.toFixed(1)} ms stale, accepted ${token.name} ${ago} ms after ${fact.name} was acknowledged; ${this.timesOf(token, fact)}`,
        )
        break
      }
    } else if (seen.reason === 'revoked') this.#observeRevoked(token, seen)
    if (seen.position !== undefined && (seen.allowed || seen.reason === 'revoked')) this.observeAgreement(token, seen)
  }

  /** In seconds of the world: what tells why. */
  protected timesOf(token: TokenFact, fact: RevocationFact): string {
    const at = (ms: number | undefined) => (ms === undefined ? '–' : (ms / 1000).toFixed(3))
    const wall = (ms: number | undefined) => at(ms === undefined ? undefined : ms - EPOCH_MS)
    const lift = token.lifted ? ' (lifted)' : ''
    return `grant made ${at(token.grantMadeMs)}, begun ${at(token.beganMs)}, signed ${at(token.signedMs)} for ${wall(token.issuedAtMs)}${lift}; asked ${at(fact.askedMs)}, cutoff ${wall(fact.cutoffMs)}, acknowledged ${at(fact.ackMs)}${fact.endedMs === undefined ? '' : `, ended ${at(fact.endedMs)}`}`
  }

  observeStaleness({ validator, stalenessMs, position }: Pick<Observation, 'validator' | 'stalenessMs' | 'position'>): void {
    if (!Number.isFinite(stalenessMs)) return
    const knownMs = this.#time.nowMs - stalenessMs - ROUNDING_MS
    const then = this.headAt(knownMs)
    if (then === undefined) return
    const now = position && this.#indexOf(position.epoch)
    if (
      position === undefined ||
      now === undefined ||
      now < then.epochIndex ||
      (now === then.epochIndex && position.seq < then.seq)
    ) {
      this.violate(
        'staleness is never under-reported',
        `${validator} says ${stalenessMs.toFixed(1)} ms at ${position?.seq ?? 'nothing'} of epoch ${now ?? '?'}; the log was at ${then.seq} of epoch ${then.epochIndex} then`,
      )
    }
  }

  headAt(atMs: number): HeadFact | undefined {
    let low = 0
    let high = this.heads.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.heads[middle] as HeadFact).atMs <= atMs) low = middle + 1
      else high = middle
    }
    return this.heads[low - 1]
  }

  #indexOf(epoch: string): number | undefined {
    return this.heads.findLast((head) => head.epoch === epoch)?.epochIndex
  }

  #observeRevoked(token: TokenFact, seen: Observation): void {
    const reasons = Object.entries(token.ids).flatMap(([kind, id]) =>
      (this.entries.get(id) ?? []).filter(
        (entry) => entry.kind === kind && (kind === 'key' || entry.cutoffMs >= token.issuedAtMs),
      ),
    )
    if (reasons.length === 0) {
      this.violate(
        'nothing dies without a revocation',
        `${seen.validator} refused ${token.name}, which nothing in the log covers`,
      )
      return
    }
    // Asked for after everything that covers it had been acknowledged: then it must live.
    const fact = this.revocations.findLast((one) => token.ids[one.kind] === one.id && !TERMINAL.includes(one.kind))
    const isLate = reasons.every((entry) => {
      // One that was committed later is another revocation, whether or not anybody still waits for it.
      const knownMs = CACHED.includes(entry.kind) ? this.mintStalenessMs : 0
      if (TERMINAL.includes(entry.kind) || entry.atMs + knownMs >= token.beganMs) return false
      const facts = this.revocations.filter((one) => one.kind === entry.kind && one.id === entry.id)
      return (
        facts.length > 0 &&
        facts.every(
          (one) =>
            one.ackMs !== undefined &&
            one.ackMs + knownMs < token.beganMs &&
            (one.act !== 'suspend' || (one.endedMs ?? Number.POSITIVE_INFINITY) < token.beganMs),
        )
      )
    })
    if (isLate && token.forged !== true && token.grantMadeMs > (fact?.ackMs ?? 0)) {
      this.violate(
        'what comes after a revocation lives',
        `${seen.validator} refused ${token.name}, begun after ${fact?.name} was acknowledged`,
      )
    }
  }

  protected observeAgreement(token: TokenFact, seen: Observation): void {
    const key = `${token.name} ${seen.position?.epoch} ${seen.position?.seq}`
    const other = this.#verdicts.get(key)
    if (other === undefined) this.#verdicts.set(key, { validator: seen.validator, allowed: seen.allowed })
    else if (other.allowed !== seen.allowed) {
      this.violate(
        'one position, one verdict',
        `${other.validator} and ${seen.validator} disagree on ${token.name} at ${seen.position?.seq}`,
      )
    }
  }
}

/** Whether a revocation, once acknowledged, is the end of this token. */
export function covers(fact: RevocationFact, token: TokenFact): boolean {
  if (fact.isUndone === true) return false
  if (token.forged === true) return fact.kind === 'key' && token.signedMs > 0
  if (fact.act === 'revoke' && TERMINAL.includes(fact.kind)) return true
  if (fact.act === 'revoke' && (fact.kind === 'client' ? token.agreedMs : token.grantMadeMs) < fact.askedMs) return true
  if (token.signedMs < fact.askedMs) return true
  const ackMs = fact.ackMs ?? Number.POSITIVE_INFINITY
  if (fact.act === 'suspend' && token.signedMs < (fact.endedMs ?? Number.POSITIVE_INFINITY) && token.beganMs > ackMs) return true
  // While it was being made: dead unless its flow knew of it and went past it.
  const knew = token.lifted || token.beganMs > (fact.committedMs ?? Number.POSITIVE_INFINITY)
  return token.signedMs < ackMs && !(knew && token.issuedAtMs > (fact.cutoffMs ?? Number.POSITIVE_INFINITY))
}

const MAX_STORY = 4000
const MAX_VIOLATIONS = 20
