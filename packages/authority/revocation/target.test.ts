import assert from 'node:assert/strict'
import { it } from 'node:test'
import { idTimeMs, newId } from '@signet/kernel/ids.ts'
import { seededChance } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { defaultSettings as settings } from '../policy/settings.ts'
import { guardMsOf, KEY_MEMORY_SECONDS, LONGEST_FOREIGN_TOKEN_SECONDS } from './rules.ts'
import { checkWhy, judgeSpan, type KnownTarget, knowTarget } from './target.ts'

const ISSUER = 'https://auth.example'
const NOW = 1_800_000_000_000
const own = (kind: KnownTarget['kind'], id = newId<string>(NOW, seededChance(1))): KnownTarget => ({
  kind,
  id,
  issuer: ISSUER,
  isOwn: true,
})

it('an entry outlasts every token that it kills, with the leeway of validators', () => {
  const kinds = fc.constantFrom('grant', 'session', 'device', 'subject', 'client', 'issuer', 'token', 'key') as fc.Arbitrary<
    KnownTarget['kind']
  >
  const ahead = fc.integer({ min: -3_600_000, max: 3_600_000 })
  fc.assert(
    fc.property(
      kinds,
      ahead,
      fc.integer({ min: 1, max: 3600 }),
      fc.nat(3_600_000),
      (kind, aheadMs, longestSeconds, issuedAgoMs) => {
        const nowMs = NOW + aheadMs
        const cutoffMs = nowMs + guardMsOf(settings)
        const issuedAtMs = cutoffMs - issuedAgoMs
        const target = own(kind, newId<string>(issuedAtMs, seededChance(2)))
        const expiresAt = Math.floor(issuedAtMs / 1000) + longestSeconds
        const span = judgeSpan(target, { cutoffMs, nowMs, longestSeconds }, settings)
        if (span === undefined) assert.ok(expiresAt + settings.leewaySeconds < nowMs / 1000)
        else assert.ok(span.cutoffMs >= issuedAtMs && span.dropAfter >= expiresAt + settings.leewaySeconds)
      },
    ),
  )
})

it('an id from the future does not keep an entry for ever', () => {
  const cutoffMs = NOW + guardMsOf(settings)
  const target = own('token', newId<string>(2 ** 47, seededChance(1)))
  assert.ok(idTimeMs(target.id) > cutoffMs)
  assert.ok((judgeSpan(target, { cutoffMs, nowMs: NOW, longestSeconds: 300 }, settings)?.dropAfter ?? 0) < NOW / 1000 + 400)
})

it('keys and other issuers are remembered for as long as their tokens may live', () => {
  const facts = { cutoffMs: NOW, nowMs: NOW, longestSeconds: 300 }
  assert.ok((judgeSpan(own('key'), facts, settings)?.dropAfter ?? 0) >= NOW / 1000 + KEY_MEMORY_SECONDS)
  const foreign = knowTarget({ kind: 'subject', id: 'jane', issuer: 'https://idp.example' }, 'revoke', ISSUER)
  assert.ok((judgeSpan(foreign, facts, settings)?.dropAfter ?? 0) >= NOW / 1000 + LONGEST_FOREIGN_TOKEN_SECONDS)
  const ageless = knowTarget({ kind: 'token', id: 't', issuer: 'https://idp.example', expiresAt: 2 ** 40 - 1 }, 'revoke', ISSUER)
  assert.equal(judgeSpan(ageless, facts, settings)?.dropAfter, judgeSpan(own('key'), facts, settings)?.dropAfter)
  const gone = knowTarget({ kind: 'token', id: 't', issuer: 'https://idp.example', expiresAt: 1000 }, 'revoke', ISSUER)
  assert.equal(judgeSpan(gone, facts, settings), undefined)
})

it('an expiry that a caller gives for our own token is not believed', () => {
  const { id } = own('token')
  assert.equal(knowTarget({ kind: 'token', id, expiresAt: 1 }, 'revoke', ISSUER).expiresAt, undefined)
})

it('an actor or a reason that could break a record is refused', () => {
  for (const actor of ['', 'root', 'subject:', 'subject:a b', 'subject:a\nb', 'operator:x\u0000']) {
    assert.throws(() => checkWhy({ reason: 'r', actor }))
  }
  for (const reason of ['', 'x'.repeat(129), 'a\nb']) assert.throws(() => checkWhy({ reason, actor: 'system' }))
  checkWhy({ reason: 'signed out by the person', actor: 'client:web shop'.replace(' ', '-') })
})
