import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { PATIENCE_MS, until } from '@signet/testkit/until.ts'
import { runTestFile } from './test-file.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signet-test-file-'))
})
after(() => rm(folder, { recursive: true, force: true }))

let written = 0
async function run(source: string, milliseconds = PATIENCE_MS) {
  const file = join(folder, `case-${written++}.test.ts`)
  await writeFile(file, `import assert from 'node:assert/strict'\nimport { describe, test } from 'node:test'\n${source}`)
  // Without NODE_TEST_CONTEXT the inner run does not take itself for a part of this one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return runTestFile({ file, env, milliseconds, events: `${file}.ndjson` })
}
const outcomes = (result: Awaited<ReturnType<typeof run>>) => result.tests.map(({ name, outcome }) => `${name}: ${outcome}`)

test('counts tests, not suites, and names them by their titles', async () => {
  const result = await run(`
    describe('a suite', () => { test('one', () => {}); test('two', () => {}) })
    test('a parent', async (t) => { await t.test('its child', () => {}) })`)
  assert.deepEqual(outcomes(result), [
    'a suite › one: passed',
    'a suite › two: passed',
    'a parent › its child: passed',
    'a parent: passed',
  ])
})

test('counts a failure once and tells what failed', async () => {
  const result = await run(`
    describe('a suite', () => { test('wrong', () => assert.equal(1, 2)); test('right', () => {}) })`)
  assert.deepEqual(outcomes(result), ['a suite › wrong: failed', 'a suite › right: passed'])
  assert.match(result.tests[0]?.detail ?? '', /1 !== 2/)
})

test('gives the reason of a skipped test', async () => {
  const result = await run(`
    test('without a browser', { skip: 'no browser here' }, () => {})
    test('in the middle', (t) => t.skip('no database'))`)
  assert.deepEqual(
    result.tests.map(({ outcome, detail }) => [outcome, detail]),
    [
      ['skipped', 'no browser here'],
      ['skipped', 'no database'],
    ],
  )
})

test('a file that hangs fails, with what it had shown so far', async () => {
  const result = await run(
    `test('quick', () => {})\ntest('waits', () => new Promise((resolve) => setTimeout(resolve, 60_000)))`,
    1500,
  )
  assert.equal(result.tests.at(-1)?.outcome, 'failed')
  assert.match(result.tests.at(-1)?.detail ?? '', /did not end within 1.5 s/)
})

test('a file whose process breaks down fails', async () => {
  const result = await run(`test('quick', () => {})\nprocess.on('exit', () => process.kill(process.pid, 'SIGKILL'))`)
  assert.equal(result.tests.at(-1)?.outcome, 'failed')
  assert.match(result.tests.at(-1)?.detail ?? '', /SIGKILL/)
})

test('a file that does not parse fails', async () => {
  const result = await run(`test('never`)
  assert.equal(result.tests.at(-1)?.outcome, 'failed')
  assert.match(result.output, /Unterminated|SyntaxError|Invalid/)
})

test('a file without a test fails', async () => {
  const result = await run('')
  assert.deepEqual(outcomes(result), ['the file: failed'])
})

test('what a file leaves running is ended and told', async () => {
  const result = await run(`
    import { spawn } from 'node:child_process'
    test('starts a server and forgets it', () => {
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
      child.unref()
      console.log('pid', child.pid)
    })`)
  assert.equal(result.leftovers, true)
  const pid = Number(/pid (\d+)/.exec(result.output)?.[1])
  assert.ok(pid > 0)
  await until(() => !isRunning(pid)) // It was told to end; that takes a turn of the machine.
})

test('what a file started in a group of its own does not hold us', async () => {
  const run = `
    import { runTestFile } from ${JSON.stringify(join(import.meta.dirname, 'test-file.ts'))}
    const [file] = process.argv.slice(2)
    await runTestFile({ file, env: process.env, milliseconds: 60_000, events: file + '.ndjson' })`
  const file = join(folder, 'holds.test.ts')
  const pidFile = `${file}.pid`
  await writeFile(
    file,
    `import { spawn } from 'node:child_process'
    import { writeFileSync } from 'node:fs'
    import { test } from 'node:test'
    test('starts what outlives it', () => {
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit', detached: true })
      child.unref()
      writeFileSync(${JSON.stringify(pidFile)}, String(child.pid))
    })`,
  )
  const runner = join(folder, 'runner.ts')
  await writeFile(runner, run)
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  try {
    const ended = spawnSync(process.execPath, [runner, file], { env, timeout: PATIENCE_MS })
    assert.deepEqual([ended.status, ended.signal], [0, null])
  } finally {
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL')
  }
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // Where nobody collects orphans, an ended process stays as a zombie.
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
