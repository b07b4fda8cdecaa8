import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorFromAnswer } from '@signet/api/errors.ts'
import { troubleOf } from './trouble.ts'

test('whoever asks for a copy of a PostgreSQL is told how to make one, and how to go back to it', () => {
  const problem = {
    error: 'conflict',
    reason: 'backup_not_here',
    error_description: 'This database has its own tools for backups.',
  }
  const { advice, exit } = troubleOf(errorFromAnswer('back up the whole store', 409, problem))
  assert.equal(exit, 1)
  assert.match(advice, /pg_dump.*`signet restore -`/)
  const taken = troubleOf(errorFromAnswer('back up the whole store', 409, { ...problem, reason: 'backup_exists' }))
  assert.doesNotMatch(taken.advice, /pg_dump/)
})
