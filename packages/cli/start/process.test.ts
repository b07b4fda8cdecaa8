import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { run } from '../cli.testkit.ts'
import { freePort } from './free-port.ts'
import { startProcess } from './process.ts'

const state = mkdtempSync(join(tmpdir(), 'signet-start-'))
after(() => rmSync(state, { recursive: true }))

test('npm start on a state directory that is in use says why it does not start, once', async () => {
  const authority = await startProcess('authority', 'packages/authority/main.ts', [
    ...['--state', state, '--listen', '127.0.0.1:0', '--log-level', 'error'],
  ])
  try {
    const { code, err } = await run(['--state', state, '--port', String(await freePort())], { main: 'start/main.ts' })
    assert.equal(code, 1)
    assert.match(err, /The authority ended by itself \(exit code 1\)\. It said:\nanother authority has .* open: process \d+/)
    assert.equal(err.split('another authority has').length, 2, err)
  } finally {
    await authority.stop()
  }
})
