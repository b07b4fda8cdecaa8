/**
 * The judgement against a reference model: an owner with lost answers, retries, parallel tabs and changing networks, a
 * thief with a copy, forgers, and time. The authority here is the real encoding, tag and judgement around one row that
 * changes as the store changes it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeOpaque, encodeOpaque } from '@signet/kernel/opaque-token.ts'
import fc from 'fast-check'
import type { FamilyRecord } from '../store/ports/families.ts'
import { aClient, aFamily, aStanding } from './family.testkit.ts'
import { type FamilyRules, judgeRefresh, type Ruling } from './family.ts'
import { encodeRefreshToken, parseRefreshToken, verifiesTag } from './refresh-token.ts'
import { testRing } from './ring.testkit.ts'

const START_MS = 1_800_000_000_000
/** Small, so that short runs reach them. */
const rules: FamilyRules = {
  graceSeconds: 30,
  graceSecondsWithProof: 600,
  graceLimit: 6,
  graceRunLimit: 5,
  graceForeignRunLimit: 3,
}
const client = aClient()

type Answer =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'killed' }

/** One family at one authority. */
class Authority {
  nowMs = START_MS
  family: FamilyRecord = aFamily({ createdAtMs: START_MS })
  keys = testRing(1, 1)
  newestRing = 1

  token(): string {
    return encodeRefreshToken(this.keys, this.family)
  }

  refresh(token: string, network: number): Answer {
    return this.race([{ token, network }])[0] as Answer
  }

  /** All are judged on the same reading of the row, then act one after another; who loses is judged again. */
  race(requests: readonly { readonly token: string; readonly network: number }[]): Answer[] {
    const judged = requests.map((request) => ({ request, ruling: this.#judge(request) }))
    return judged.map(({ request, ruling }) => this.#act(ruling, request) ?? this.refresh(request.token, request.network))
  }

  rotateRingKey(): void {
    this.newestRing++
    this.keys = testRing(1, this.newestRing)
  }

  #judge({ token, network }: { readonly token: string; readonly network: number }): Ruling | undefined {
    const presented = parseRefreshToken(token)
    if (presented === undefined) return undefined
    const tag = verifiesTag(this.keys, presented, this.family) ? 'genuine' : 'forged'
    const standing = { family: this.family, subject: aStanding(), session: aStanding(), device: aStanding() }
    return judgeRefresh(standing, presented, tag, { client, seen: seenFrom(network), nowMs: this.nowMs }, rules)
  }

  /** Undefined when the row has moved on since it was judged. */
  #act(ruling: Ruling | undefined, { network }: { readonly network: number }): Answer | undefined {
    if (ruling === undefined) return { kind: 'refused', reason: 'torn' }
    if (ruling.kind === 'refuse') return { kind: 'refused', reason: ruling.reason }
    const now = this.family
    if (now.status !== 'active') return undefined
    if (ruling.kind === 'reuse') {
      this.family = { ...now, status: 'revoked' }
      return { kind: 'killed' }
    }
    if (now.generation !== ruling.family.generation) return undefined
    if (ruling.kind === 'repeat') {
      if (now.graceCount >= rules.graceLimit) return undefined
      this.family = { ...now, graceCount: now.graceCount + 1, graceForeign: now.graceForeign || ruling.foreign }
      return { kind: 'token', token: this.token() }
    }
    const { graceRun, foreignRun } = ruling
    const moved = { generation: now.generation + 1, previousRing: now.ring, ring: this.newestRing, rotatedAtMs: this.nowMs }
    this.family = { ...now, ...moved, graceCount: 0, graceForeign: false, graceRun, foreignRun, seen: seenFrom(network) }
    return { kind: 'token', token: this.token() }
  }
}

const seenFrom = (network: number): Uint8Array => new Uint8Array(8).fill(network)
const generationOf = (token: string): number => parseRefreshToken(token)?.generation ?? -1

/** What the rules say in words, over the whole history rather than counters. */
class Reference {
  alive = true
  rotatedAtMs = START_MS
  /** By generation: who rotated to it from where, and how its grace answers went. */
  history: { network: number; answers: number; foreign: boolean }[] = [{ network: 1, answers: 0, foreign: false }]

  get generation(): number {
    return this.history.length - 1
  }

  expect(generation: number, network: number, nowMs: number): 'next' | 'same' | 'killed' | 'refused' {
    if (!this.alive) return 'refused'
    if (generation === this.generation) {
      this.history.push({ network, answers: 0, foreign: false })
      this.rotatedAtMs = nowMs
      return 'next'
    }
    const now = this.history[this.generation]
    assert.ok(now)
    const inGrace = generation === this.generation - 1 && nowMs - this.rotatedAtMs <= rules.graceSeconds * 1000
    const foreign = now.foreign || network !== now.network
    if (
      !inGrace ||
      this.#run((one) => one.foreign) + Number(foreign) > rules.graceForeignRunLimit ||
      this.#run((one) => one.answers > 0) + 1 > rules.graceRunLimit
    ) {
      this.alive = false
      return 'killed'
    }
    if (now.answers >= rules.graceLimit) return 'refused'
    now.answers++
    now.foreign = foreign
    return 'same'
  }

  /** How many generations right before the current one were so. */
  #run(so: (one: { answers: number; foreign: boolean }) => boolean): number {
    let run = 0
    while (run < this.generation && so(this.history[this.generation - 1 - run] as { answers: number; foreign: boolean })) run++
    return run
  }
}

// ── Commands ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Who = 'owner' | 'thief'

interface Model {
  readonly reference: Reference
  /** Every token that was ever given, by generation: one each. */
  readonly given: Map<number, string>
  readonly holds: Map<Who, string>
}
type Command = fc.Command<Model, Authority>

/** Presents tokens, several at once from one asker, and checks every answer against the reference. */
function present(model: Model, authority: Authority, tokens: readonly string[], network: number): readonly Answer[] {
  const answers = authority.race(tokens.map((token) => ({ token, network })))
  for (const [n, token] of tokens.entries()) {
    const expected = model.reference.expect(generationOf(token), network, authority.nowMs)
    const answer = answers[n] as Answer
    const kinds = { next: 'token', same: 'token', killed: 'killed', refused: 'refused' } as const
    assert.equal(answer.kind, kinds[expected], `generation ${generationOf(token)} of ${authority.family.generation}`)
    if (answer.kind !== 'token') continue
    const generation = generationOf(answer.token)
    assert.equal(generation, model.reference.generation)
    assert.equal(answer.token, model.given.get(generation) ?? answer.token, 'one successor per generation')
    model.given.set(generation, answer.token)
  }
  assert.equal(authority.family.status === 'active', model.reference.alive)
  return answers
}

/** A refresh, with several copies at once; the answer may get lost. */
const refresh = (who: Who, copies: number, network: number, lost: boolean): Command => ({
  check: (model) => model.holds.has(who),
  run(model, authority) {
    const token = model.holds.get(who) as string
    const answers = present(model, authority, new Array<string>(copies).fill(token), network)
    const answer = answers.at(-1)
    if (!lost && answer?.kind === 'token') model.holds.set(who, answer.token)
  },
  toString: () => `${who} refreshes ${copies}× from network ${network}${lost ? ', answer lost' : ''}`,
})

const steal: Command = {
  check: (model) => model.holds.has('owner'),
  run: (model) => void model.holds.set('thief', model.holds.get('owner') as string),
  toString: () => 'thief copies the token of the owner',
}

const replay = (back: number, network: number): Command => ({
  check: (model) => model.given.has(model.reference.generation - back),
  run(model, authority) {
    const { alive } = model.reference
    const answer = present(model, authority, [model.given.get(model.reference.generation - back) as string], network)[0]
    if (alive && back >= 2) assert.equal(answer?.kind, 'killed', 'a token spent long ago always ends the family')
  },
  toString: () => `a token of ${back} generations ago is replayed`,
})

/** A real token with one bit changed and the checksum mended. */
const forge = (bit: number): Command => ({
  check: () => true,
  run(model, authority) {
    const tokens = [...model.given.values()]
    const payload = Uint8Array.from(decodeOpaque('refresh_token', tokens[bit % tokens.length] as string) as Uint8Array)
    const at = bit % (payload.length * 8)
    payload[at >> 3] = (payload[at >> 3] as number) ^ (1 << (at & 7))
    const before = structuredClone(authority.family)
    const answer = authority.refresh(encodeOpaque('refresh_token', payload), 1)
    assert.equal(answer.kind, 'refused')
    assert.deepEqual(authority.family, before, 'forged tags change nothing')
  },
  toString: () => `a token with bit ${bit} changed is presented`,
})

const pass = (seconds: number): Command => ({
  check: () => true,
  run(_, authority) {
    authority.nowMs += seconds * 1000
  },
  toString: () => `${seconds} s pass`,
})

const newRingKey: Command = {
  check: () => true,
  run: (_, authority) => authority.rotateRingKey(),
  toString: () => 'a new ring key',
}

function begin(): { model: Model; real: Authority } {
  const real = new Authority()
  const token = real.token()
  return { model: { reference: new Reference(), given: new Map([[0, token]]), holds: new Map([['owner', token]]) }, real }
}

test('with losses, races, theft, replays, forgeries and time, every answer is what the rules say', () => {
  const networks = fc.integer({ min: 1, max: 2 })
  const commands = fc.commands(
    [
      fc
        .tuple(fc.constantFrom<Who>('owner', 'thief'), fc.integer({ min: 1, max: 4 }), networks, fc.boolean())
        .map((of) => refresh(...of)),
      fc.constant(steal),
      fc.tuple(fc.integer({ min: 1, max: 4 }), networks).map((of) => replay(...of)),
      fc.nat(10_000).map(forge),
      fc.constantFrom(1, 29, 31).map(pass),
      fc.constant(newRingKey),
    ],
    { maxCommands: 60 },
  )
  fc.assert(
    fc.property(commands, (all) => fc.modelRun(begin, all)),
    { numRuns: 400 },
  )
})

test('an owner alone never loses the family: lost answers, retries within the grace, tabs, a changing network', () => {
  // One turn of an honest owner: the answer is lost some times and asked for again, by up to three tabs at once, at most
  // once from another network than the first time; then it arrives and some time passes.
  const turns = fc.array(
    fc.record({
      retries: fc.integer({ min: 0, max: 1 }),
      tabs: fc.integer({ min: 1, max: 3 }),
      roams: fc.boolean(),
      waitSeconds: fc.integer({ min: 0, max: 10 }),
      restSeconds: fc.integer({ min: 0, max: 100_000 }),
    }),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(turns, (all) => {
      const authority = new Authority()
      let token = authority.token()
      let network = 1
      let disturbed = 0
      for (const turn of all) {
        // Twice in a row is what the limits are made for; a run as long as the limit of somebody else's pattern is not.
        const calm = disturbed >= Math.min(rules.graceForeignRunLimit, rules.graceRunLimit)
        const attempts = calm ? [1] : [...new Array<number>(turn.retries).fill(turn.tabs), turn.tabs]
        disturbed = calm || (turn.retries === 0 && turn.tabs === 1) ? 0 : disturbed + 1
        for (const [n, tabs] of attempts.entries()) {
          if (n > 0 && turn.roams) network = 3 - network
          const answers = authority.race(new Array(tabs).fill({ token, network }))
          for (const answer of answers) assert.equal(answer.kind, 'token')
          const last = answers.at(-1)
          if (n === attempts.length - 1 && last?.kind === 'token') token = last.token
          else authority.nowMs += turn.waitSeconds * 1000
        }
        authority.nowMs += Math.min(turn.restSeconds, 13 * 86_400) * 1000
        if (authority.nowMs > START_MS + 80 * 86_400_000) break
      }
      assert.equal(authority.family.status, 'active')
    }),
    { numRuns: 300 },
  )
})

/** Both come in every round, in either order, a few seconds apart; says in which round one of them ended it. */
function roundOfDiscovery(
  thiefNetwork: number,
  rounds: readonly { readonly thiefFirst: boolean; readonly apartSeconds: number }[],
  quietBefore: number,
): number {
  const authority = new Authority()
  let owner = authority.token()
  for (let n = 0; n < quietBefore; n++) {
    const answer = authority.refresh(owner, 1)
    owner = answer.kind === 'token' ? answer.token : owner
  }
  let thief = owner
  for (const [n, { thiefFirst, apartSeconds }] of rounds.entries()) {
    const order: readonly Who[] = thiefFirst ? ['thief', 'owner'] : ['owner', 'thief']
    for (const who of order) {
      const answer = authority.refresh(who === 'owner' ? owner : thief, who === 'owner' ? 1 : thiefNetwork)
      if (answer.kind === 'killed') return n + 1
      assert.equal(answer.kind, 'token')
      if (answer.kind === 'token' && who === 'owner') owner = answer.token
      else if (answer.kind === 'token') thief = answer.token
      authority.nowMs += apartSeconds * 1000
    }
    authority.nowMs += 240_000
  }
  return Number.POSITIVE_INFINITY
}

const rounds = fc.array(fc.record({ thiefFirst: fc.boolean(), apartSeconds: fc.integer({ min: 0, max: 30 }) }), {
  minLength: 10,
  maxLength: 10,
})

test('a thief in step from elsewhere is found at the round after the limit of foreign runs', () => {
  fc.assert(
    fc.property(rounds, fc.nat(8), (all, quiet) => {
      assert.equal(roundOfDiscovery(2, all, quiet), rules.graceForeignRunLimit + 1)
    }),
  )
})

test('a thief in step from the same network with the same agent is found at the round after the limit of runs', () => {
  fc.assert(
    fc.property(rounds, fc.nat(8), (all, quiet) => {
      assert.equal(roundOfDiscovery(1, all, quiet), rules.graceRunLimit + 1)
    }),
  )
})

test('a thief who falls out of step is found at once, by his own request or by that of the owner', () => {
  const late = [
    { thiefFirst: true, apartSeconds: 0 },
    { thiefFirst: false, apartSeconds: 31 },
  ]
  assert.equal(roundOfDiscovery(1, late, 3), 2)
  assert.equal(roundOfDiscovery(1, [{ thiefFirst: true, apartSeconds: 31 }], 0), 1)
})
