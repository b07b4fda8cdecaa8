/** Histories that break each promise, made by hand: the checker must find every one, and nothing in a history that breaks none. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { check, PROMISES, type Promised } from './checker.ts'
import type { Fact, Ids, Unstamped } from './facts.ts'

const IDS = { grant: 'g', session: 's', device: 'd', subject: 'p', client: 'c', key: 'k', issuer: 'i' }
const begun = at(0, { is: 'begun', roundingMs: 1, mintStalenessMs: 1000 })

function at(time: number, fact: Unstamped): Fact {
  return { at: time, ...fact } as Fact
}
/** A token request and its answer. */
function call(n: number, from: number, to: number, given: { asked?: object; answer?: object } = {}): Fact[] {
  return [
    at(from, {
      is: 'asked',
      call: n,
      who: 'honest',
      what: 'a refresh',
      ids: IDS,
      madeAt: 0,
      heldAt: 1,
      presented: `r${n}`,
      ...given.asked,
    }),
    at(to, {
      is: 'answered',
      call: n,
      status: 200,
      successor: `r${n + 1}`,
      ids: { ...IDS, token: `t${n}` } as Ids,
      ...given.answer,
    }),
  ]
}
const revoke = (from: number, to: number, given: object = {}): Fact[] => [
  at(from, { is: 'revoking', id: 1, kind: 'grant', target: 'g', act: 'revoke', ...given }),
  at(to, { is: 'revoked', id: 1, epoch: 'e', seq: 7 }),
]
const verdict = (time: number, given: object = {}): Fact =>
  at(time, { is: 'verdict', validator: 'v', token: 't1', allowed: true, stalenessMs: 100, epoch: 'e', seq: 9, ...given })
const log = (...seqs: number[]): Fact =>
  at(900, {
    is: 'log',
    epoch: 'e',
    floor: 0,
    entries: seqs.map((seq) => ({ seq, kind: 'grant', target: seq === 7 ? 'g' : 'x' })),
  })
const refused = (status: number, error: string, given: object = {}) => ({
  answer: { status, error, ids: undefined, successor: undefined, ...given },
})

const GOOD: Record<string, readonly Fact[]> = {
  'a token dies within the staleness that is stated': [
    ...call(1, 10, 20),
    ...revoke(100, 200),
    verdict(290, { seq: 6 }),
    verdict(310, { allowed: false, reason: 'revoked' }),
  ],
  'a validator that is cut off says so': [...call(1, 10, 20), ...revoke(100, 200), verdict(5000, { stalenessMs: 4900, seq: 6 })],
  'a claims epoch leaves what was asked for after it': [
    ...revoke(100, 200, { kind: 'subject', target: 'p', act: 'renew' }),
    ...call(1, 300, 310),
    verdict(2000),
  ],
  'a suspension ends': [
    ...call(1, 10, 20),
    ...revoke(100, 200, { act: 'suspend' }),
    at(300, { is: 'resuming', kind: 'grant', target: 'g' }),
    verdict(900),
  ],
  'a fault is answered by "try again", or by nothing': [
    ...call(1, 10, 20, refused(503, 'temporarily_unavailable', { retryAfter: true })),
    ...call(2, 10, 20, refused(429, 'slow_down', { retryAfter: true })),
    ...call(3, 10, 20, { answer: { status: undefined, ids: undefined, successor: undefined } }),
  ],
  'a family that was revoked is refused': [...revoke(5, 8), ...call(1, 10, 20, refused(400, 'invalid_grant'))],
  'everybody signs in again after a restore': [
    ...call(1, 10, 20),
    at(100, { is: 'gap', since: 5, dead: 90, epoch: 'f' }),
    ...call(2, 150, 160, refused(400, 'invalid_grant')),
    verdict(300, { allowed: false, reason: 'revoked', epoch: 'f', seq: 1 }),
  ],
  'a token of between a backup and the loss is not in the record': [
    ...call(1, 10, 20),
    at(100, { is: 'gap', since: 15, dead: 90, epoch: 'f' }),
    at(900, { is: 'lineage', token: 't1', found: false }),
  ],
  'a sign-in that went on while its subject was revoked': [
    ...revoke(100, 200, { kind: 'subject', target: 'p' }),
    ...call(1, 300, 310, { asked: { presented: undefined, madeAt: 50, heldAt: undefined } }),
    verdict(9000),
  ],
  'a log as long as it should be': [...revoke(100, 200), log(6, 7, 8)],
  'a fault that everybody recovers from': [
    at(10, { is: 'fault', round: 0, name: 'node-kill', phase: 'injected' }),
    at(20, { is: 'fault', round: 0, name: 'node-kill', phase: 'healed' }),
    at(30, { is: 'well', round: 0, tookMs: 10, withinMs: 100, missing: '', last: '' }),
    at(40, { is: 'exited', process: 'node', wanted: true, how: 'SIGKILL' }),
  ],
  'a round that the harness gave up': [
    at(20, { is: 'fault', round: 0, name: 'node-kill', phase: 'healed' }),
    at(30, { is: 'fault', round: 0, name: 'node-kill', phase: 'abandoned' }),
  ],
}

const BAD: readonly (readonly [Promised, string, readonly Fact[]])[] = [
  ['bound', 'a token that is accepted after its grant was revoked', [...call(1, 10, 20), ...revoke(100, 200), verdict(310)]],
  [
    'bound',
    'a token whose whole subject was revoked',
    [...call(1, 10, 20), ...revoke(100, 200, { kind: 'subject', target: 'p' }), verdict(310)],
  ],
  [
    'bound',
    'a token that was renewed from a sign-in that had ended',
    [
      ...revoke(100, 200, { kind: 'subject', target: 'p' }),
      ...call(1, 300, 310, { asked: { presented: undefined } }),
      verdict(9000),
    ],
  ],
  [
    'bound',
    'a token of before a claims epoch',
    [...call(1, 10, 20), ...revoke(100, 200, { kind: 'subject', target: 'p', act: 'renew' }), verdict(310)],
  ],
  ['bound', 'a suspended token', [...call(1, 10, 20), ...revoke(100, 200, { act: 'suspend' }), verdict(310)]],
  [
    'bound',
    'a token of before a restore',
    [...call(1, 10, 20), at(100, { is: 'gap', since: 5, dead: 90, epoch: 'f' }), verdict(300, { epoch: 'f', seq: 1 })],
  ],
  [
    'kept',
    'a token that lives at the end although it was revoked',
    [...call(1, 10, 20), ...revoke(100, 200), verdict(250, { last: true, stalenessMs: 900 })],
  ],
  ['kept', 'an acknowledged number that the log has not', [...revoke(100, 200), log(5, 6)]],
  ['kept', 'an acknowledged number that is something else', [...revoke(100, 200, { target: 'other' }), log(6, 7)]],
  [
    'staleness',
    'a validator that says it is fresh and is not',
    [...revoke(100, 200), at(310, { is: 'knows', validator: 'v', stalenessMs: 100, epoch: 'e', seq: 6 })],
  ],
  [
    'staleness',
    'a validator that is fresh in an epoch that is over',
    [
      at(100, { is: 'gap', since: 5, dead: 90, epoch: 'f' }),
      ...revoke(10, 20),
      at(310, { is: 'knows', validator: 'v', stalenessMs: 100, epoch: 'e', seq: 99 }),
    ],
  ],
  [
    'staleness',
    'a verdict that claims to be fresh',
    [...call(1, 10, 20), ...revoke(100, 200, { target: 'other' }), verdict(310, { seq: 6 })],
  ],
  [
    'successor',
    'one refresh token with two successors',
    [...call(1, 10, 20), ...call(2, 30, 40, { asked: { presented: 'r1' }, answer: { successor: 'r9' } })],
  ],
  ['spent', 'a stolen, long spent refresh token that yields tokens', [...call(1, 10, 20, { asked: { who: 'spent' } })]],
  ['spent', 'a family that goes on although it was revoked', [...revoke(100, 200), ...call(1, 300, 310)]],
  ['honest', 'an honest refresh that is refused', [...call(1, 10, 20, refused(400, 'invalid_grant'))]],
  [
    'honest',
    'a fault that is answered by invalid_grant while something else was revoked',
    [...revoke(1, 2, { target: 'x' }), ...call(1, 10, 20, refused(400, 'invalid_grant'))],
  ],
  ['honest', 'a bug', [...call(1, 10, 20, refused(500, 'server_error'))]],
  [
    'honest',
    'a bug in the hour of a restore',
    [at(15, { is: 'gap', since: 5, dead: 90, epoch: 'f' }), ...call(1, 10, 20, refused(500, 'server_error'))],
  ],
  ['honest', '503 without Retry-After', [...call(1, 10, 20, refused(503, 'temporarily_unavailable'))]],
  [
    'verdict',
    'a living token that is refused as revoked',
    [...call(1, 10, 20), verdict(300, { allowed: false, reason: 'revoked' })],
  ],
  [
    'verdict',
    'a token that was asked for after a claims epoch and is dead',
    [
      ...revoke(100, 200, { kind: 'subject', target: 'p', act: 'renew' }),
      ...call(1, 300, 310),
      verdict(400, { allowed: false, reason: 'revoked' }),
    ],
  ],
  [
    'verdict',
    'a living token with a bad signature',
    [...call(1, 10, 20), verdict(300, { allowed: false, reason: 'bad_signature' })],
  ],
  [
    'verdict',
    'a key that is still unknown at the end',
    [...call(1, 10, 20), verdict(300, { allowed: false, reason: 'unknown_key', last: true })],
  ],
  ['record', 'a log with a hole', [log(5, 7)]],
  ['record', 'a number that was given twice', [log(5, 5)]],
  ['record', 'a record that does not verify', [at(10, { is: 'audit', sound: false, detail: 'link 4' })]],
  ...(
    [
      ['before a backup', { since: 30, dead: 90 }],
      ['after a restore', { since: 2, dead: 8 }],
    ] as const
  ).map(
    ([when, gap]) =>
      [
        'record',
        `a token without a lineage that was issued ${when}`,
        [...call(1, 10, 20), at(100, { is: 'gap', epoch: 'f', ...gap }), at(900, { is: 'lineage', token: 't1', found: false })],
      ] as const,
  ),
  ['record', 'a token without a lineage', [at(10, { is: 'lineage', token: 't', found: false })]],
  ['exits', 'a process that ended by itself', [at(10, { is: 'exited', process: 'node', wanted: false, how: 'code 1' })]],
  [
    'recovery',
    'somebody who does not get well',
    [at(30, { is: 'well', round: 0, tookMs: 100, withinMs: 100, missing: 'node', last: 'node' })],
  ],
  ['recovery', 'a fault whose end nobody saw', [at(20, { is: 'fault', round: 0, name: 'node-kill', phase: 'healed' })]],
]

describe('the checker', () => {
  for (const [name, history] of Object.entries(GOOD)) {
    it(`finds nothing in: ${name}`, () => assert.deepEqual(check([begun, ...history]), []))
  }
  for (const [promise, name, history] of BAD) {
    it(`finds ${name}`, () => {
      const found = check([begun, ...history])
      assert.deepEqual([...new Set(found.map((breach) => breach.promise))], [promise], JSON.stringify(found))
    })
  }
  it('has a history against each promise', () => {
    assert.deepEqual([...new Set(BAD.map(([promise]) => promise))].sort(), Object.keys(PROMISES).sort())
  })
})
