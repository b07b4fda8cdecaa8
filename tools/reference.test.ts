import assert from 'node:assert/strict'
import { test } from 'node:test'
import { laggingDocuments } from './reference.ts'

test('docs/cli.md and docs/admin-api.md say what the code says; `node tools/run.mjs tools/reference.ts` writes them anew', () => {
  assert.deepEqual(laggingDocuments(), [])
})
