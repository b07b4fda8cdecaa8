import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whatNext } from './batch.ts'

test('a batch that stands still says how it goes on', () => {
  const id = '0199'
  assert.equal(whatNext({ id, state: 'running' }), undefined)
  assert.equal(whatNext({ id, state: 'paused' }), 'signet batch resume 0199, or cancel')
  assert.match(whatNext({ id, state: 'failed', trouble: 'bug' }) ?? '', /log of the authority.*signet batch resume 0199/)
  assert.match(whatNext({ id, state: 'failed', trouble: 'more_than_planned' }) ?? '', /^more is meant.*signet batch plan/)
  assert.equal(whatNext({ id, state: 'failed', trouble: 'bug', undone_by: '019a' }), undefined, 'undone, it does not go on')
})
