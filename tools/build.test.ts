import assert from 'node:assert/strict'
import { globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { startProcess } from '@signet/cli/start/process.ts'
import { build } from './build.ts'

const root = join(import.meta.dirname, '..')
mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
const out = mkdtempSync(join(root, 'node_modules/.cache/build-'))
after(() => rmSync(out, { recursive: true, force: true }))

test('the built authority starts and answers, and holds neither types nor tests', async () => {
  assert.ok(build(out) > 200)
  assert.equal(build(out), build(out)) // Over an older build, too.
  assert.deepEqual(globSync('**/*.{ts,test.js,contract.js}', { cwd: out }), [])
  const authority = await startProcess('authority', join(relative(root, out), 'packages/authority/main.js'), [
    ...['--listen', '127.0.0.1:0', '--issuer', 'http://localhost:1', '--state', join(out, 'state'), '--log-level', 'error'],
  ])
  try {
    const port = authority.ready.port
    assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200)
    // Read from the file system, and found beside its module.
    const page = await (await fetch(`http://127.0.0.1:${port}/setup/x`)).text()
    assert.match(page, /\.css/)
  } finally {
    await authority.stop()
  }
})
