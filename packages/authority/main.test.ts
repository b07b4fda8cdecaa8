/** What the program says when it cannot start, and that it ends. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { PATIENCE_MS } from '@signet/testkit/until.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))

function main(...args: readonly string[]) {
  const { PATH, HOME } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    env: { PATH, HOME },
    encoding: 'utf8',
    timeout: PATIENCE_MS,
  })
  return { status, stdout, stderr: stderr.trimEnd() }
}

test('a state directory that cannot be made ends the start', {
  skip: process.platform !== 'linux' && 'there is no /proc',
}, () => {
  const { status, stderr } = main('--state', '/proc/none/state', '--listen', '127.0.0.1:0')
  assert.equal(status, 1, stderr)
  assert.match(stderr, /^the directory \/proc\/none\/state cannot be made: ENOENT: [^\n]*$/)
})

test('wrong usage is told in a line, or as an object to whoever asked for JSON', () => {
  for (const [args, sentence] of [
    [['--lisen', 'x'], "Unknown option '--lisen'. --help shows how it is used."],
    [['frobnicate'], 'There is no command "frobnicate". --help shows how it is used.'],
    [['restore'], 'restore takes one BACKUP. --help shows how it is used.'],
  ] as const) {
    assert.deepEqual(main(...args), { status: 2, stdout: '', stderr: sentence })
    const asked = main(...args, '--json')
    assert.deepEqual([asked.status, JSON.parse(asked.stderr).error.why], [2, sentence])
  }
})
