import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { newId } from '@signet/kernel/ids.ts'
import { type KeyKind, revocationKey, type Salt } from '@signet/kernel/revocation.ts'
import { createRevocationView, type RevocationView } from '@signet/kernel/revocation-view.ts'
import { manualSurroundings } from '@signet/testkit/surroundings.ts'
import { createValidator, type TokenEnd, type Validator, type ValidatorEvents } from './index.ts'
import { chance, signJws, testKey } from './issuer.testkit.ts'
import { sha256 } from './surroundings.ts'

const NOW = Date.UTC(2027, 0, 15, 12)
const ISSUER = 'https://id.example'
const salt: Salt = { version: 1, bytes: new Uint8Array(16).fill(1) }
const key = testKey('k')
let view: RevocationView
let surroundings: ReturnType<typeof manualSurroundings>
let validator: Validator
let stalenessMs: number
let ends: string[]

beforeEach(() => {
  view = createRevocationView()
  view.begin({ epoch: 'e', seq: 0 }, salt)
  surroundings = manualSurroundings(1, NOW)
  stalenessMs = 0
  ends = []
  validator = createValidator({
    issuer: ISSUER,
    audience: 'api',
    permissions: { read: { maxStalenessSeconds: 60 }, write: { maxStalenessSeconds: 2 } },
    maxWatches: 1000,
    surroundings,
    source: {
      view,
      keys: { find: (kid) => (kid === 'k' ? { key: key.publicKey, alg: 'ES256' } : undefined) },
      stalenessMs: () => stalenessMs,
    },
  })
})
afterEach(() => validator.close())

const note = (name: string) => (end: TokenEnd) =>
  ends.push(`${name}: ${end.reason}${end.reason === 'revoked' ? ` ${end.kind}` : ''}`)
function verdictFor(sub: string, more: object = {}) {
  const claims = { iss: ISSUER, aud: 'api', client_id: 'c', scope: 'read write', iat: NOW / 1000, exp: NOW / 1000 + 300 }
  const token = signJws(key, { typ: 'at+jwt' }, { ...claims, sub, jti: newId(NOW, chance), ...more })
  const verdict = validator.validateSync(token)
  assert.ok(verdict.allowed)
  return verdict
}
function revoke(kind: KeyKind, id: string, under = salt): void {
  const seq = (view.position?.seq ?? 0) + 1
  const entry = { key: revocationKey(sha256, under, kind, ISSUER, id), cutoffMs: NOW + 1000, dropAfter: 2 ** 32 - 1 }
  const batch = { epoch: view.position?.epoch ?? '', from: seq, to: seq, saltVersion: under.version, entries: [entry] }
  assert.equal(view.applyBatch(batch, { nowMs: NOW, guardMs: 2000 }), 'applied')
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a watch', () => {
  test('fires once when any key of its token is taken back, in the same turn, and nobody else’s does', () => {
    for (const [kind, claim] of [
      ['subject', 'sub'],
      ['session', 'sid'],
      ['device', 'did'],
      ['grant', 'gid'],
    ] as const) {
      validator.watch(verdictFor('x', { [claim]: `my ${kind}` }), note(kind))
      validator.watch(verdictFor('y'), note('other'))
      revoke(kind, `my ${kind}`)
      revoke(kind, `my ${kind}`)
    }
    assert.deepEqual(ends, [
      'subject: revoked subject',
      'session: revoked session',
      'device: revoked device',
      'grant: revoked grant',
    ])
    revoke('key', 'k')
    assert.equal(ends.filter((end) => end === 'other: revoked key').length, 4)
    assert.equal(validator.stats().watched, 0)
  })

  test('fires when the token expires, counted with the skew that validate grants', () => {
    validator.watch(verdictFor('a'), note('a'))
    surroundings.clock.advance(329_000)
    assert.deepEqual(ends, [])
    surroundings.clock.advance(3000)
    assert.deepEqual(ends, ['a: expired'])
  })

  test('fires when the clock leaps over its second', () => {
    validator.watch(verdictFor('a'), note('a'))
    surroundings.clock.step(86_400_000)
    surroundings.clock.advance(1000)
    assert.deepEqual(ends, ['a: expired'])
  })

  test('fires when knowledge grows older than what it needs', () => {
    validator.watch(verdictFor('a'), note('write'), { needs: 'write' })
    validator.watch(verdictFor('b'), note('any'))
    stalenessMs = 2001
    surroundings.clock.advance(1000)
    assert.deepEqual(ends, ['write: stale'])
    stalenessMs = 60_001
    surroundings.clock.advance(1000)
    assert.deepEqual(ends, ['write: stale', 'any: stale'])
  })

  test('of a token that died since its verdict fires all the same', async () => {
    const verdict = verdictFor('a')
    revoke('subject', 'a')
    validator.watch(verdict, note('a'))
    await turn()
    assert.deepEqual(ends, ['a: revoked subject'])
  })

  test('that was stopped does not fire', async () => {
    validator.watch(verdictFor('a'), note('a'))()
    revoke('subject', 'a')
    surroundings.clock.advance(400_000)
    await turn()
    assert.deepEqual(ends, [])
  })

  test('finds its token under the salt of a new epoch', () => {
    validator.watch(verdictFor('a'), note('a'))
    const next: Salt = { version: 2, bytes: new Uint8Array(16).fill(2) }
    view.replace({ epoch: 'f', seq: 0, salt: next, records: new Uint8Array(0) }, { nowMs: NOW, guardMs: 0 })
    revoke('subject', 'a', next)
    assert.deepEqual(ends, ['a: revoked subject'])
  })

  test('that throws hurts no other, and is told as trouble', () => {
    const troubles: ValidatorEvents['trouble'][] = []
    validator.events.on('trouble', (trouble) => troubles.push(trouble))
    validator.watch(verdictFor('a'), () => {
      throw new Error('of the application')
    })
    validator.watch(verdictFor('a'), note('a'))
    revoke('subject', 'a')
    assert.deepEqual(ends, ['a: revoked subject'])
    assert.deepEqual(
      troubles.map(({ what }) => what),
      ['listener'],
    )
  })

  test('more than may be is refused', () => {
    const verdict = verdictFor('a')
    for (let i = 0; i < 1000; i++) validator.watch(verdict, note('a'))
    assert.throws(() => validator.watch(verdict, note('a')), RangeError)
  })

  test('takes an allowing verdict of this validator and nothing else', () => {
    const verdict = verdictFor('a')
    assert.throws(() => validator.watch({ ...verdict }, note('a')), TypeError)
    assert.throws(() => validator.watch(validator.validateSync(undefined), note('a')), TypeError)
  })

  test('among very many costs a batch no more than its own length', () => {
    const source = { view, keys: { find: () => ({ key: key.publicKey, alg: 'ES256' as const }) }, stalenessMs: () => 0 }
    const big = createValidator({ issuer: ISSUER, audience: 'api', surroundings, source })
    const base = { iss: ISSUER, aud: 'api', client_id: 'c', iat: NOW / 1000, exp: NOW / 1000 + 300 }
    const verdicts = Array.from({ length: 500 }, (_, i) => {
      return big.validateSync(signJws(key, { typ: 'at+jwt' }, { ...base, sub: `s${i}`, jti: newId(NOW, chance) }))
    })
    let fired = 0
    const watchAll = (times: number) => {
      for (let i = 0; i < times * 500; i++) big.watch(verdicts[i % 500] as (typeof verdicts)[number], () => void fired++)
    }
    /** Of batches that concern nobody. The least of some rounds: whatever else the machine does only ever adds. */
    let strangers = 0
    const leastMs = () => {
      const rounds = Array.from({ length: 20 }, () => {
        const began = performance.now()
        for (let i = 0; i < 10; i++) revoke('subject', `nobody ${strangers++}`)
        return performance.now() - began
      })
      return Math.min(...rounds)
    }
    watchAll(1)
    const few = leastMs()
    watchAll(99)
    const many = leastMs()
    assert.ok(many < few * 10, `${few} ms with five hundred, ${many} ms with fifty thousand`)
    revoke('subject', 's7')
    assert.equal(fired, 100)
    void big.close()
  })
})
