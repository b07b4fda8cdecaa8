/**
 * `node tools/run.mjs tools/reference.ts`: writes docs/cli.md from the command definitions and docs/admin-api.md from the endpoint table.
 * reference.test.ts fails when either lags behind.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { adminReference } from '@signet/api/reference.ts'
import { cliReference } from '@signet/cli/reference.ts'

const DOCUMENTS = [
  ['docs/cli.md', cliReference],
  ['docs/admin-api.md', adminReference],
] as const

const root = join(import.meta.dirname, '..')

/** Those that differ from what would be written now. */
export function laggingDocuments(): readonly string[] {
  return DOCUMENTS.filter(([path, write]) => readFileSync(join(root, path), 'utf8') !== write()).map(([path]) => path)
}

if (import.meta.main) for (const [path, write] of DOCUMENTS) writeFileSync(join(root, path), write())
