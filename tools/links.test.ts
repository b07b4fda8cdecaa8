import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { brokenLinks } from './links.ts'

async function linksOf(files: Record<string, string>): Promise<readonly string[]> {
  const root = await mkdtemp(join(tmpdir(), 'signet-links-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(root, path, '..'), { recursive: true })
      await writeFile(join(root, path), text)
    }
    return brokenLinks(root)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

test('links that resolve are no problem: files, folders, headings, other sites', async () => {
  const problems = await linksOf({
    'README.md':
      '[a](docs/a.md) [b](docs) [c](docs/a.md#the-guard-ms) [d](#here) [e](https://example.org/x)\n# Here\n`docs/a.md`\n',
    'docs/a.md': '## The guard (ms)\n[up](../README.md "title")\n\n[ref]: ../README.md\n',
  })
  assert.deepEqual(problems, [])
})

test('names a missing file, heading, or path in the text, with its line', async () => {
  const problems = await linksOf({
    'README.md': 'x\n[a](docs/none.md)\n[b](docs/a.md#nowhere)\n`packages/none.ts`\n',
    'docs/a.md': '[out](../../secret.md)\n[ref]: b.md\n',
  })
  assert.deepEqual(problems, [
    'README.md:2: docs/none.md is not there',
    'README.md:3: docs/a.md#nowhere: no such heading',
    'README.md:4: packages/none.ts is not there',
    'docs/a.md:1: ../../secret.md leads out of the repository',
    'docs/a.md:2: b.md is not there',
  ])
})

test('code and placeholders are left alone', async () => {
  const problems = await linksOf({
    'README.md': '```md\n[a](none.md)\n# Not a heading\n```\n`packages/*/x.ts` `packages/<name>/x.ts`\n',
  })
  assert.deepEqual(problems, [])
})
