import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KeyId } from '@signet/kernel/ids.ts'
import fc from 'fast-check'
import { defaultSettings, type PolicySettings } from '../policy/settings.ts'
import type { KeyPurpose, KeyRecord } from '../store/ports/keys.ts'
import { KEY_PURPOSES } from './key-record.ts'
import { dueMoves, FORGET_SECONDS, type KeyMove, overlapSeconds, plannedSchedule, WITHDRAW_SECONDS } from './schedule.ts'

const START_AT = 1_800_000_000
const lives = { tokenSeconds: 600, refreshSeconds: 90 * 86_400 }

/** Makes moves on records as the store would. */
function make(records: readonly KeyRecord[], move: KeyMove, nowAt: number): KeyRecord[] {
  const change = (key: KeyRecord, to: Partial<KeyRecord>) => (one: KeyRecord) => (one.id === key.id ? { ...one, ...to } : one)
  switch (move.kind) {
    case 'create': {
      const { purpose, version, alg, state, activeAt } = move
      const id = `${purpose}-${version}` as KeyId
      assert.ok(!records.some((one) => one.id === id), 'a version is made once')
      return [...records, { id, purpose, version, alg, state, activeAt, createdAt: nowAt, wrapped: new Uint8Array() }]
    }
    case 'activate': {
      const begun = records.map(change(move.next, { state: 'active', activeAt: nowAt }))
      return move.active === undefined
        ? begun
        : begun.map(change(move.active, { state: 'retiring', retiringAt: nowAt, retiredAt: move.retiredAt }))
    }
    case 'advance':
      return records.map(change(move.next, { activeAt: move.activeAt }))
    case 'withdraw':
    case 'retire':
      return records.map(change(move.key, { state: 'retired', retiredAt: nowAt }))
    case 'forget':
      return records.filter((one) => one.id !== move.key.id)
  }
}

function settle(records: readonly KeyRecord[], settings: PolicySettings, nowAt: number): readonly KeyRecord[] {
  let now = records
  for (let round = 0; round < 8; round++) {
    const due = dueMoves(now, settings, nowAt, lives)
    if (due.length === 0) return now
    for (const move of due) now = make(now, move, nowAt)
  }
  throw new Error('the schedule does not come to rest')
}

const of = (records: readonly KeyRecord[], purpose: KeyPurpose, state: KeyRecord['state']) =>
  records.filter((one) => one.purpose === purpose && one.state === state)

test('the first keys of all purposes sign at once, and the next ones stand ready', () => {
  const records = settle([], defaultSettings, START_AT)
  for (const purpose of KEY_PURPOSES) {
    assert.equal(of(records, purpose, 'active')[0]?.activeAt, START_AT)
    assert.equal(of(records, purpose, 'next')[0]?.activeAt, START_AT + defaultSettings.keyActiveSeconds)
  }
  assert.deepEqual(
    records
      .filter((one) => one.state === 'active')
      .map((one) => one.alg)
      .sort(),
    ['ES256', 'ES256', 'EdDSA', 'HS256'],
  )
})

test('a key retires when the last token it signed has expired, and is forgotten later', () => {
  const switchAt = START_AT + defaultSettings.keyActiveSeconds
  const before = settle([], defaultSettings, START_AT)
  assert.deepEqual(settle(before, defaultSettings, switchAt - 1), before)
  const after = settle(before, defaultSettings, switchAt)
  const first = of(after, 'token', 'retiring')[0]
  const overlap = overlapSeconds('token', defaultSettings, lives)
  assert.ok(overlap > lives.tokenSeconds + defaultSettings.leewaySeconds)
  assert.equal(first?.retiredAt, switchAt + overlap)
  assert.equal(of(settle(after, defaultSettings, switchAt + overlap - 1), 'token', 'retired').length, 0)
  const retired = settle(after, defaultSettings, switchAt + overlap)
  assert.equal(of(retired, 'token', 'retired').length, 1)
  const gone = settle(retired, { ...defaultSettings, keyActiveSeconds: 1e9 }, switchAt + overlap + FORGET_SECONDS)
  assert.equal(of(gone, 'token', 'retired').length, 0)
  assert.equal(of(gone, 'audit', 'retired').length, 1, 'audit keys stay: old checkpoints need them')
  assert.ok(of(gone, 'ring', 'retiring').length > 0, 'a ring key stays as long as a family tagged with it may live')
})

test('a token life that was raised during the overlap makes it longer', () => {
  const switchAt = START_AT + defaultSettings.keyActiveSeconds
  const after = settle(settle([], defaultSettings, START_AT), defaultSettings, switchAt)
  const endAt = switchAt + overlapSeconds('token', defaultSettings, lives)
  const longer = { ...lives, tokenSeconds: 3600 }
  assert.ok(!dueMoves(after, defaultSettings, endAt, longer).some((move) => move.kind === 'retire'))
})

test('another algorithm comes by the same way: published first, then active, with overlap', () => {
  const es256 = settle([], defaultSettings, START_AT)
  const wanted: PolicySettings = { ...defaultSettings, signingAlgorithm: 'EdDSA' }
  const changeAt = START_AT + WITHDRAW_SECONDS
  const published = settle(es256, wanted, changeAt)
  assert.deepEqual(
    of(published, 'token', 'active').map((one) => one.alg),
    ['ES256'],
  )
  assert.deepEqual(
    of(published, 'token', 'next').map((one) => [one.alg, one.activeAt]),
    [['EdDSA', changeAt + wanted.keyPublishSeconds]],
  )
  assert.deepEqual(settle(published, wanted, changeAt + wanted.keyPublishSeconds - 1), published)
  const switched = settle(published, wanted, changeAt + wanted.keyPublishSeconds)
  assert.deepEqual(
    of(switched, 'token', 'active').map((one) => one.alg),
    ['EdDSA'],
  )
  assert.deepEqual(
    of(switched, 'token', 'retiring').map((one) => one.alg),
    ['ES256'],
  )
  assert.deepEqual(
    of(switched, 'feed', 'active').map((one) => one.alg),
    ['ES256'],
    'only token keys follow the setting',
  )
})

test('a shorter key life takes effect at once, a longer one with the next key', () => {
  const records = settle([], defaultSettings, START_AT)
  const shorter = { ...defaultSettings, keyActiveSeconds: 86_400 }
  assert.equal(of(settle(records, shorter, START_AT + 60), 'token', 'next')[0]?.activeAt, START_AT + 86_400)
  const longer = { ...defaultSettings, keyActiveSeconds: 365 * 86_400 }
  assert.deepEqual(settle(records, longer, START_AT + 60), records)
})

test('the published schedule says when each key begins and ends', () => {
  const switchAt = START_AT + defaultSettings.keyActiveSeconds
  const records = settle(settle([], defaultSettings, START_AT), defaultSettings, switchAt)
  const overlap = overlapSeconds('token', defaultSettings, lives)
  const planned = plannedSchedule(records, 'token', defaultSettings, lives).map(({ state, activeAt, retiringAt, retiredAt }) => [
    state,
    activeAt,
    retiringAt,
    retiredAt,
  ])
  const secondEnd = switchAt + defaultSettings.keyActiveSeconds
  const thirdEnd = secondEnd + defaultSettings.keyActiveSeconds
  assert.deepEqual(planned, [
    ['retiring', START_AT, switchAt, switchAt + overlap],
    ['active', switchAt, secondEnd, secondEnd + overlap],
    ['next', secondEnd, thirdEnd, thirdEnd + overlap],
  ])
})

test('however time passes and settings change: one active key, none before it was published, none gone before its last token', () => {
  const changes = fc.record({
    seconds: fc.oneof(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 40 * 86_400 })),
    signingAlgorithm: fc.constantFrom('ES256', 'EdDSA', 'PS256'),
    feedSigningAlgorithm: fc.constantFrom('ES256', 'RS256'),
    keyActiveSeconds: fc.constantFrom(60, 86_400, 30 * 86_400),
  })
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 50 }), (all) => {
      let nowAt = START_AT
      let records = settle([], defaultSettings, nowAt)
      /** The last second at which each key may have signed. */
      const lastUse = new Map<KeyId, number>()
      for (const { seconds, ...change } of all) {
        nowAt += seconds
        const settings: PolicySettings = { ...defaultSettings, ...change }
        for (const key of records) if (key.state === 'active') lastUse.set(key.id, nowAt)
        const after = settle(records, settings, nowAt)
        for (const purpose of KEY_PURPOSES) assert.equal(of(after, purpose, 'active').length, 1)
        for (const key of after) {
          const was = records.find((one) => one.id === key.id)
          if (key.state === 'active' && was?.state === 'next')
            assert.ok(nowAt >= was.createdAt + settings.keyPublishSeconds, 'signed unpublished')
          if (key.state === 'active' && was === undefined) assert.fail('signed unpublished')
          if (key.state !== 'retired' || was?.state === 'retired') continue
          const life = key.purpose === 'ring' ? lives.refreshSeconds : lives.tokenSeconds + settings.leewaySeconds
          const used = lastUse.get(key.id)
          assert.ok(used === undefined || nowAt >= used + life, 'retired too early')
        }
        records = after
      }
    }),
    { numRuns: 200 },
  )
})
