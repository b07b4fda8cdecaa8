import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Health } from '@signet/api/schema.ts'
import { record } from './commands/doctor.ts'

test('the doctor says how old the last checkpoint of the audit record is, and minds when it is too old or there is none', () => {
  const now_ms = Date.UTC(2026, 10, 21, 12)
  const found = (upMs: number, audit: Health['audit']) =>
    record({ now_ms, started_at_ms: now_ms - upMs, audit } as Health).map(({ state, found }) => [state, found])
  const day = 86_400_000
  assert.deepEqual(found(day, { last_checkpoint_at_ms: now_ms - 2_400_000 }), [['ok', 'the last checkpoint was made 40 min ago']])
  assert.deepEqual(found(day, { last_checkpoint_at_ms: now_ms - 10_800_000 }), [['warn', 'the last checkpoint was made 3 h ago']])
  assert.deepEqual(found(60_000, {}), [['ok', 'no checkpoint was made yet']])
  assert.deepEqual(found(day, {}), [['warn', 'no checkpoint was made yet']])
  assert.deepEqual(found(day, undefined), [], 'an authority of before does not say')
})
