/**
 * The independent checker: reads a recorded history and nothing else, and names every promise that it breaks. It asks none of the code under
 * test. Where a history leaves open what came first, it finds for the accused: what it names is certain.
 */
import type { Fact, FactOf, Ids } from './facts.ts'

export const PROMISES = {
  kept: 'no acknowledged revocation is lost',
  bound: 'no token is accepted after its revocation was acknowledged, beyond the staleness that the validator states',
  staleness: 'staleness is never under-reported',
  successor: 'one successor per refresh token',
  spent: 'a spent or revoked refresh token is worth nothing',
  honest: 'no honest family is killed, and no honest request is refused with anything but "try again"',
  verdict: 'no living token is refused for another reason than staleness',
  record: 'the log is dense, the record verifies, every token has its lineage',
  exits: 'no process ends by itself',
  recovery: 'everybody recovers within the stated time',
} as const
export type Promised = keyof typeof PROMISES

export interface Breach {
  readonly promise: Promised
  readonly at: number
  readonly detail: string
}

/** At most so many of one promise: a broken one breaks all the time. */
const MAX_PER_PROMISE = 20

export function check(history: readonly Fact[]): readonly Breach[] {
  const facts = [...history].sort((a, b) => a.at - b.at)
  const breaches: Breach[] = []
  const counts = new Map<Promised, number>()
  const breach = (promise: Promised, at: number, detail: string) => {
    const count = (counts.get(promise) ?? 0) + 1
    counts.set(promise, count)
    if (count <= MAX_PER_PROMISE) breaches.push({ promise, at, detail })
  }
  const known = gather(facts)
  checkVerdicts(known, breach)
  checkStaleness(known, breach)
  checkRequests(known, breach)
  checkSuccessors(known, breach)
  checkLog(known, breach)
  for (const fact of facts) {
    if (fact.is === 'exited' && !fact.wanted) breach('exits', fact.at, `${fact.process} ended by itself: ${fact.how}`)
    if (fact.is === 'audit' && !fact.sound) breach('record', fact.at, `the audit record does not verify: ${fact.detail}`)
    if (fact.is === 'lineage' && !fact.found && !mayBeForgotten(fact.token, known))
      breach('record', fact.at, `the record knows nothing of token ${fact.token}`)
    if (fact.is === 'well' && fact.missing !== '') {
      breach('recovery', fact.at, `round ${fact.round}: not well ${fact.withinMs} ms after the fault had ended: ${fact.missing}`)
    }
  }
  for (const { round, at } of known.healed.values()) {
    if (!known.told.has(round)) breach('recovery', at, `round ${round}: nobody saw everybody well again`)
  }
  return breaches
}

/** A record that went back to an older state knows nothing of what was issued after that and before the loss. */
function mayBeForgotten(name: string, { tokens, gaps }: Known): boolean {
  const token = tokens.get(name)
  return token !== undefined && gaps.some(({ since, dead }) => token.answeredAt > since && token.askedAt < dead)
}

type Breaching = (promise: Promised, at: number, detail: string) => void

// ── What a history says, by subject ──

interface Revocation extends FactOf<'revoking'> {
  readonly done: FactOf<'revoked'> | undefined
  /** When somebody began to lift it (suspensions). */
  readonly liftedAt: number
}

interface Call {
  readonly asked: FactOf<'asked'>
  readonly answer: FactOf<'answered'> | undefined
}

/** A token that somebody got. */
interface Token {
  readonly ids: Ids
  readonly askedAt: number
  readonly answeredAt: number
  /** When the sign-in behind it was begun, the request itself where there is none; and when its first tokens had come. */
  readonly madeAt: number
  readonly heldAt: number
}

type Known = ReturnType<typeof gather>

function gather(facts: readonly Fact[]) {
  const of = <Is extends Fact['is']>(is: Is) => facts.filter((fact): fact is FactOf<Is> => fact.is === is)
  const begun = of('begun')[0]
  const done = new Map(of('revoked').map((fact) => [fact.id, fact]))
  const resumes = of('resuming')
  const revocations = of('revoking').map((fact): Revocation => {
    const lifted = resumes.find(({ at, kind, target }) => at >= fact.at && kind === fact.kind && target === fact.target)
    return { ...fact, done: done.get(fact.id), liftedAt: fact.act === 'suspend' ? (lifted?.at ?? INFINITY) : INFINITY }
  })
  const byTarget = new Map<string, Revocation[]>()
  for (const revocation of revocations) push(byTarget, `${revocation.kind} ${revocation.target}`, revocation)
  const answers = new Map(of('answered').map((fact) => [fact.call, fact]))
  const calls = of('asked').map((asked): Call => ({ asked, answer: answers.get(asked.call) }))
  const tokens = new Map<string, Token>()
  for (const { asked, answer } of calls) {
    if (answer?.ids?.token === undefined) continue
    const { ids } = answer
    tokens.set(ids.token as string, {
      ids,
      askedAt: asked.at,
      answeredAt: answer.at,
      madeAt: asked.madeAt ?? asked.at,
      heldAt: asked.heldAt ?? INFINITY,
    })
  }
  return {
    roundingMs: begun?.roundingMs ?? 0,
    mintStalenessMs: begun?.mintStalenessMs ?? 0,
    revocations,
    /** Revocations of anything that this hangs on. */
    against: (ids: Ids): readonly Revocation[] =>
      Object.entries(ids).flatMap(([kind, target]) => byTarget.get(`${kind} ${target}`) ?? []),
    calls,
    tokens,
    gaps: of('gap'),
    verdicts: of('verdict'),
    knows: of('knows'),
    log: of('log').at(-1),
    healed: of('fault').filter(({ phase }) => phase === 'healed'),
    /** Of which it is known how they ended, or why nobody can know. */
    told: new Set([...of('well'), ...of('fault').filter(({ phase }) => phase === 'abandoned')].map(({ round }) => round)),
  }
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

const INFINITY = Number.POSITIVE_INFINITY
/** Whatever hangs on them never lives again. */
const TERMINAL: readonly string[] = ['token', 'grant', 'session', 'device', 'key']
/** What nodes know from a moment ago, and not from the transaction. */
const CACHED: readonly string[] = ['client', 'issuer']

/** Whether a token is certainly dead once this revocation has been acknowledged. */
function isCertain(revocation: Revocation, token: Pick<Token, 'askedAt' | 'answeredAt' | 'heldAt'>, judgedAt: number): boolean {
  if (revocation.done === undefined) return false
  if (revocation.act === 'suspend') return token.answeredAt < revocation.at && judgedAt < revocation.liftedAt
  if (TERMINAL.includes(revocation.kind) && revocation.act === 'revoke') return true
  if (token.answeredAt < revocation.at) return true
  // Renewed from a sign-in that ended with it.
  return revocation.act === 'revoke' && token.heldAt < revocation.at && token.askedAt > revocation.done.at
}

/** Whether it may have been this revocation that ended it, acknowledged or not. */
function isPossible(revocation: Revocation, known: Known, token: { readonly askedAt: number; readonly madeAt: number }): boolean {
  if (revocation.act !== 'renew' && (TERMINAL.includes(revocation.kind) || token.madeAt < ended(revocation, known))) return true
  return token.askedAt < ended(revocation, known)
}

/** From here on what is asked for is not touched by it. */
function ended({ kind, done, act, liftedAt }: Revocation, { mintStalenessMs }: Known): number {
  if (act === 'suspend' && liftedAt === INFINITY) return INFINITY
  return (done?.at ?? INFINITY) + (CACHED.includes(kind) ? mintStalenessMs : 0)
}

// ── The promises ──

function checkVerdicts(known: Known, breach: Breaching): void {
  for (const verdict of known.verdicts) {
    const token = known.tokens.get(verdict.token)
    if (token === undefined) continue
    const who = `${verdict.validator}, ${verdict.stalenessMs.toFixed(1)} ms stale, at ${verdict.seq}`
    const against = known.against(token.ids)
    if (verdict.allowed) {
      const knownAt = verdict.at - verdict.stalenessMs - known.roundingMs
      for (const revocation of against) {
        if (!isCertain(revocation, token, verdict.at)) continue
        const { done } = revocation as { done: FactOf<'revoked'> }
        const late = `${(verdict.at - done.at).toFixed(1)} ms after the revocation of ${revocation.kind} ${revocation.target}`
        if (verdict.last) breach('kept', verdict.at, `${who}, accepted ${verdict.token} at the end, ${late}`)
        else if (done.at <= knownAt) breach('bound', verdict.at, `${who}, accepted ${verdict.token} ${late}`)
        break
      }
      for (const gap of known.gaps) {
        if (token.answeredAt < gap.dead && gap.at <= knownAt)
          breach('bound', verdict.at, `${who}, accepted ${verdict.token} of before the restore`)
      }
    } else if (verdict.reason === 'revoked') {
      const maybe = against.some((revocation) => isPossible(revocation, known, token))
      const isOver = known.gaps.some((gap) => token.askedAt < gap.at + known.mintStalenessMs)
      if (!maybe && !isOver) breach('verdict', verdict.at, `${who}, refused ${verdict.token}, which nobody had revoked`)
    } else if (!PASSING.includes(verdict.reason ?? '') || verdict.last) {
      if (against.length === 0 && known.gaps.length === 0 && verdict.reason !== 'expired')
        breach('verdict', verdict.at, `${who}, refused ${verdict.token} as ${verdict.reason}`)
    }
  }
}

/** Reasons that pass by themselves, and say so: knowledge that is too old, a key that is not known yet. */
const PASSING: readonly string[] = ['stale', 'expired', 'unknown_key', 'overloaded']

/** Who says "I know everything up to then" knows at least what had been acknowledged by then. */
function checkStaleness(known: Known, breach: Breaching): void {
  const acknowledged = known.revocations
    .flatMap(({ done }) => (done?.seq === undefined ? [] : [{ at: done.at, epoch: done.epoch as string, seq: done.seq }]))
    .concat(known.gaps.map(({ at, epoch }) => ({ at, epoch, seq: 0 })))
    .sort((a, b) => a.at - b.at)
  const epochs = new Map<string, number>()
  let head = { at: -INFINITY, epoch: -1, seq: 0 }
  const heads: (typeof head)[] = []
  for (const { at, epoch, seq } of acknowledged) {
    if (!epochs.has(epoch)) epochs.set(epoch, epochs.size)
    const number = epochs.get(epoch) as number
    if (number < head.epoch || (number === head.epoch && seq <= head.seq)) continue
    head = { at, epoch: number, seq }
    heads.push(head)
  }
  for (const one of [...known.knows, ...known.verdicts]) {
    if (!Number.isFinite(one.stalenessMs)) continue
    const then = lastBefore(heads, one.at - one.stalenessMs - known.roundingMs)
    if (then === undefined) continue
    const epoch = one.epoch === undefined ? -1 : (epochs.get(one.epoch) ?? INFINITY) // One that nothing was acknowledged in yet.
    if (epoch < then.epoch || (epoch === then.epoch && one.seq < then.seq)) {
      breach(
        'staleness',
        one.at,
        `${one.validator} says ${one.stalenessMs.toFixed(1)} ms at ${one.seq}, but ${then.seq} had been acknowledged ${(one.at - then.at).toFixed(1)} ms ago`,
      )
    }
  }
}

function lastBefore<T extends { readonly at: number }>(sorted: readonly T[], at: number): T | undefined {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as T).at <= at) low = middle + 1
    else high = middle
  }
  return sorted[low - 1]
}

function checkRequests(known: Known, breach: Breaching): void {
  for (const { asked, answer } of known.calls) {
    if (answer?.status === undefined) continue
    const { status, error, reason } = answer
    const said = `${asked.what} was answered ${status}${error === undefined ? '' : ` ${error}`}${reason === undefined ? '' : ` (${reason})`}`
    if (asked.who !== 'honest') {
      if (status === 200) breach('spent', answer.at, `a ${asked.who} refresh token was honoured: ${JSON.stringify(asked.ids)}`)
      continue
    }
    const madeAt = asked.madeAt ?? asked.at
    const against = known.against(asked.ids)
    if (status < 300) {
      const dead = against.find(
        ({ act, kind, at, done }) =>
          act === 'revoke' &&
          done !== undefined &&
          done.at < asked.at &&
          (TERMINAL.includes(kind) || (asked.heldAt ?? INFINITY) < at),
      )
      if (dead !== undefined && asked.presented !== undefined && dead.kind !== 'token' && dead.kind !== 'key')
        breach('spent', answer.at, `${said}, though ${dead.kind} ${dead.target} had been revoked`)
    } else if (status === 503 || status === 429) {
      if (answer.retryAfter !== true) breach('honest', answer.at, `${said} without Retry-After`)
    } else {
      const isOver = known.gaps.some((gap) => madeAt < gap.at + known.mintStalenessMs && gap.since < answer.at)
      const maybe = against.some(
        (revocation) =>
          revocation.at < answer.at && revocation.act !== 'renew' && isPossible(revocation, known, { askedAt: asked.at, madeAt }),
      )
      if (status >= 500 || (!isOver && !maybe)) breach('honest', answer.at, `${said}: ${JSON.stringify(asked.ids)}`)
    }
  }
}

function checkSuccessors({ calls }: Known, breach: Breaching): void {
  const successors = new Map<string, string>()
  for (const { asked, answer } of calls) {
    if (asked.presented === undefined || answer?.successor === undefined) continue
    const before = successors.get(asked.presented)
    if (before === undefined) successors.set(asked.presented, answer.successor)
    else if (before !== answer.successor)
      breach('successor', answer.at, `two answers to refresh token ${asked.presented} carry different successors`)
  }
}

function checkLog({ log, revocations }: Known, breach: Breaching): void {
  if (log === undefined) return
  const bySeq = new Map(log.entries.map((entry) => [entry.seq, entry]))
  const seqs = [...bySeq.keys()].sort((a, b) => a - b)
  if (seqs.length !== log.entries.length) breach('record', log.at, 'a number of the log was given twice')
  for (const [index, seq] of seqs.entries()) {
    const expected = index === 0 ? seq : (seqs[index - 1] as number) + 1
    if (seq !== expected) breach('record', log.at, `the log goes from ${expected - 1} to ${seq}`)
  }
  for (const { kind, target, done } of revocations) {
    if (done?.seq === undefined || done.epoch !== log.epoch || done.seq <= log.floor) continue
    const entry = bySeq.get(done.seq)
    if (entry === undefined || entry.kind !== kind || entry.target !== target) {
      const found = entry === undefined ? 'nothing' : `${entry.kind} ${entry.target}`
      breach('kept', log.at, `${kind} ${target} was acknowledged as ${done.seq}, where the log has ${found}`)
    }
  }
}
