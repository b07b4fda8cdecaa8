import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manualClock } from '@signet/testkit/surroundings.ts'
import fc from 'fast-check'
import { FreshnessProof } from './freshness.ts'

test('knowledge that was never proven is infinitely old', () => {
  const proof = new FreshnessProof(manualClock())
  assert.equal(proof.stalenessMs(), Number.POSITIVE_INFINITY)
  assert.equal(proof.freshAtMs(), undefined)
})

test('staleness counts from the sending of the question, and adds the age of who answered', () => {
  const clock = manualClock()
  const proof = new FreshnessProof(clock)
  const sent = proof.moment()
  clock.advance(700)
  proof.answered({ sent, epoch: 'e', seq: 5, ageMs: 40 }, { epoch: 'e', seq: 5 })
  assert.equal(proof.stalenessMs(), 740)
  clock.advance(100)
  assert.equal(proof.stalenessMs(), 840)
})

test('an answer counts once everything up to its seq has been applied', () => {
  const clock = manualClock()
  const proof = new FreshnessProof(clock)
  proof.answered({ sent: proof.moment(), epoch: 'e', seq: 5, ageMs: 0 }, { epoch: 'e', seq: 4 })
  assert.equal(proof.stalenessMs(), Number.POSITIVE_INFINITY)
  clock.advance(50)
  assert.equal(proof.lagMs('e'), 50)
  proof.applied({ epoch: 'e', seq: 5 })
  assert.equal(proof.stalenessMs(), 50)
  assert.equal(proof.lagMs('e'), 0)
})

test('what was known of one epoch proves nothing about another', () => {
  const proof = new FreshnessProof(manualClock())
  proof.answered({ sent: proof.moment(), epoch: 'e1', seq: 5, ageMs: 0 }, { epoch: 'e1', seq: 5 })
  proof.answered({ sent: proof.moment(), epoch: 'e2', seq: 1, ageMs: 0 }, { epoch: 'e1', seq: 5 })
  assert.equal(proof.stalenessMs(), 0)
  proof.applied({ epoch: 'e3', seq: 9 })
  assert.equal(proof.stalenessMs(), Number.POSITIVE_INFINITY)
  proof.applied({ epoch: 'e2', seq: 9 })
  assert.equal(proof.stalenessMs(), 0)
})

test('of the two clocks the one that says older is believed, whichever stops or steps', () => {
  const clock = manualClock()
  const proof = new FreshnessProof(clock)
  proof.answered({ sent: proof.moment(), epoch: 'e', seq: 0, ageMs: 0 }, { epoch: 'e', seq: 0 })
  clock.step(60_000) // The machine slept: the monotonic clock stood still.
  assert.equal(proof.stalenessMs(), 60_000)
  clock.step(-120_000) // Set back, beyond where it was.
  assert.equal(proof.stalenessMs(), 0)
  clock.advance(500)
  assert.equal(proof.stalenessMs(), 500)
})

test('an older answer that comes late does not make knowledge older, nor younger', () => {
  const clock = manualClock()
  const proof = new FreshnessProof(clock)
  const first = proof.moment()
  clock.advance(100)
  const second = proof.moment()
  clock.advance(100)
  proof.answered({ sent: second, epoch: 'e', seq: 0, ageMs: 0 }, { epoch: 'e', seq: 0 })
  proof.answered({ sent: first, epoch: 'e', seq: 0, ageMs: 0 }, { epoch: 'e', seq: 0 })
  assert.equal(proof.stalenessMs(), 100)
})

test('what was kept on disk is as old as the wall clock says, and worthless when that is in the future', () => {
  const clock = manualClock(1_000_000)
  const proof = new FreshnessProof(clock)
  proof.restore('e', 1_000_001)
  assert.equal(proof.stalenessMs(), Number.POSITIVE_INFINITY)
  proof.restore('e', Number.NaN)
  assert.equal(proof.stalenessMs(), Number.POSITIVE_INFINITY)
  proof.restore('e', 940_000)
  proof.applied({ epoch: 'e', seq: 3 })
  assert.equal(proof.stalenessMs(), 60_000)
  clock.advance(1000)
  assert.equal(proof.stalenessMs(), 61_000)
  assert.equal(proof.freshAtMs(), 940_000)
})

test('staleness is never less than the time since the last question whose answer has been applied was sent', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(5000) }),
    fc.record({ kind: fc.constant('step' as const), ms: fc.integer({ min: -5000, max: 5000 }) }),
    fc.record({ kind: fc.constant('send' as const) }),
    fc.record({ kind: fc.constant('answer' as const), seq: fc.nat(10), which: fc.nat() }),
    fc.record({ kind: fc.constant('apply' as const), seq: fc.nat(10) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = manualClock()
      const proof = new FreshnessProof(clock)
      let applied = 0
      let trueNow = 0
      const sent: { moment: ReturnType<FreshnessProof['moment']>; at: number; head: number; isAnswered: boolean }[] = []
      let head = 0
      const complete: number[] = []
      const waiting: { at: number; seq: number }[] = []
      const settle = () => {
        for (const each of waiting.filter((one) => one.seq <= applied)) complete.push(each.at)
      }
      for (const each of steps) {
        if (each.kind === 'advance') {
          clock.advance(each.ms)
          trueNow += each.ms
        } else if (each.kind === 'step') clock.step(each.ms)
        else if (each.kind === 'send') sent.push({ moment: proof.moment(), at: trueNow, head, isAnswered: false })
        else if (each.kind === 'answer' && sent.length > 0) {
          const question = sent[each.which % sent.length]
          if (question === undefined || question.isAnswered) continue
          question.isAnswered = true
          head = Math.max(head, each.seq)
          waiting.push({ at: question.at, seq: head })
          proof.answered({ sent: question.moment, epoch: 'e', seq: head, ageMs: 0 }, { epoch: 'e', seq: applied })
          settle()
        } else if (each.kind === 'apply') {
          applied = Math.max(applied, each.seq)
          proof.applied({ epoch: 'e', seq: applied })
          settle()
        }
        const least = complete.length === 0 ? Number.POSITIVE_INFINITY : trueNow - Math.max(...complete)
        assert.ok(proof.stalenessMs() >= least, `${proof.stalenessMs()} < ${least}`)
      }
    }),
  )
})
