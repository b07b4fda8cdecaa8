import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { until } from '@signet/testkit/until.ts'

/** A repository in miniature: the bootstrap, a lockfile with one package, and an npm that only pretends. */
async function withRepository(work: (repository: Repository) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'signet-run-'))
  try {
    await mkdir(join(root, 'tools'))
    await copyFile(join(import.meta.dirname, 'run.mjs'), join(root, 'tools/run.mjs'))
    await writeFile(
      join(root, 'package-lock.json'),
      JSON.stringify({ packages: { '': {}, 'node_modules/a': { version: '1.0.0' } } }),
    )
    await writeFile(join(root, 'npm.js'), PRETENDED_NPM)
    await writeFile(join(root, 'probe.mjs'), `console.log('ran', ...process.argv.slice(2)); process.exitCode = 7`)
    await work({ root, start: (args, env) => start(root, args, env) })
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

interface Repository {
  readonly root: string
  start(args: readonly string[], env?: NodeJS.ProcessEnv): Started
}
interface Started {
  readonly child: ChildProcess
  /** What it has said so far. */
  told(): string
  readonly ended: Promise<{ code: number | null; out: string; told: string }>
}

/** Leaves a note of how it was called, then does what `npm ci` would have done. */
const PRETENDED_NPM = `
  const fs = require('node:fs')
  const settings = Object.keys(process.env).filter((name) => /^npm_(config|package)/i.test(name))
  fs.appendFileSync('npm-calls', JSON.stringify({ args: process.argv.slice(2), settings }) + '\\n')
  console.log('npm talks')
  if (process.env.NPM_FAILS) process.exit(3)
  const done = () => {
    if (process.env.NPM_WAITS && !fs.existsSync('npm-may-end')) return setTimeout(done, 20)
    fs.mkdirSync('node_modules/a', { recursive: true })
    fs.writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }))
  }
  done()`

function start(root: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(process.execPath, ['tools/run.mjs', ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, npm_execpath: join(root, 'npm.js'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const texts = { out: '', told: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    texts.out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    texts.told += text
  })
  return { child, told: () => texts.told, ended: once(child, 'close').then(([code]) => ({ code, ...texts })) }
}

const letNpmEnd = (root: string) => writeFile(join(root, 'npm-may-end'), '')
const npmCalls = async (root: string) =>
  (await readFile(join(root, 'npm-calls'), 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { args: string[]; settings: string[] })
const lockFiles = async (root: string) => (await readdir(root)).filter((name) => name.startsWith('.setup-lock'))

test('the first run installs, later ones start at once; arguments, output and exit code are the program’s own', () =>
  withRepository(async ({ root, start }) => {
    const first = await start(['probe.mjs', 'a', 'b c']).ended
    assert.deepEqual([first.code, first.out], [7, 'ran a b c\n'])
    assert.match(first.told, /installing its packages[\s\S]*npm talks[\s\S]*installed in/)
    const second = await start(['probe.mjs']).ended
    assert.deepEqual(second, { code: 7, out: 'ran\n', told: '' })
    assert.equal((await npmCalls(root)).length, 1)
    assert.deepEqual(await lockFiles(root), [])
  }))

test('a changed lockfile is installed anew, but not when everything it lists is here already', () =>
  withRepository(async ({ root, start }) => {
    await start(['probe.mjs']).ended
    const lock = { packages: { '': { changed: true }, 'node_modules/a': { version: '1.0.0' } } }
    await writeFile(join(root, 'package-lock.json'), JSON.stringify(lock))
    assert.equal((await start(['probe.mjs']).ended).told, '')
    assert.equal((await npmCalls(root)).length, 1)
    lock.packages['node_modules/a'].version = '2.0.0'
    await writeFile(join(root, 'package-lock.json'), JSON.stringify(lock))
    await start(['probe.mjs']).ended
    assert.equal((await npmCalls(root)).length, 2)
  }))

test('an optional package for this machine is installed, and tried for once; one for another machine is not', () =>
  withRepository(async ({ root, start }) => {
    await start(['probe.mjs']).ended
    const relock = (os: string) => {
      const lock = {
        'node_modules/a': { version: '1.0.0' },
        'node_modules/b': { version: '1.0.0', optional: true, os: [os], cpu: [process.arch] },
      }
      return writeFile(join(root, 'package-lock.json'), JSON.stringify({ packages: lock }))
    }
    await relock('plan9')
    assert.equal((await start(['probe.mjs']).ended).told, '')
    assert.equal((await npmCalls(root)).length, 1)
    await relock(process.platform)
    assert.match((await start(['probe.mjs']).ended).told, /installing[\s\S]*could not be had[^\n]*: b\n$/)
    assert.equal((await start(['probe.mjs']).ended).told, '')
    assert.equal((await npmCalls(root)).length, 2)
  }))

test('settings of the caller that would leave something out do not reach npm', () =>
  withRepository(async ({ root, start }) => {
    const hostile = {
      npm_config_omit: 'optional',
      npm_config_ignore_scripts: 'true',
      NPM_CONFIG_PRODUCTION: '1',
      npm_package_name: 'x',
    }
    await start(['probe.mjs'], { ...hostile, npm_config_registry: 'https://registry.example' }).ended
    const [call] = await npmCalls(root)
    assert.deepEqual(call?.settings, ['npm_config_registry'])
    assert.deepEqual(call?.args.slice(0, 3), ['ci', '--include=optional', '--include=dev'])
  }))

test('an install that fails ends with one sentence, and the next run tries again', () =>
  withRepository(async ({ root, start }) => {
    const failed = await start(['probe.mjs'], { NPM_FAILS: '1' }).ended
    assert.equal(failed.code, 1)
    assert.match(failed.told, /signet: the packages could not be installed: npm ended with code 3\n$/)
    assert.deepEqual(await lockFiles(root), [])
    assert.equal((await start(['probe.mjs']).ended).code, 7)
  }))

test('of two at once, one installs and the other waits', () =>
  withRepository(async ({ root, start }) => {
    const running = [1, 2].map(() => start(['probe.mjs'], { NPM_WAITS: '1' }))
    await until(() => running.some(({ told }) => told().includes('another process is installing')))
    await letNpmEnd(root)
    const both = await Promise.all(running.map(({ ended }) => ended))
    assert.deepEqual(
      both.map(({ code }) => code),
      [7, 7],
    )
    assert.equal((await npmCalls(root)).length, 1)
    assert.equal(both.filter(({ told }) => told.includes('another process is installing')).length, 1)
  }))

test('the lock of a process that is gone does not hold anyone up; that of one that works does', () =>
  withRepository(async ({ root, start }) => {
    await writeFile(join(root, '.setup-lock'), '999999999')
    assert.equal((await start(['probe.mjs']).ended).code, 7)

    await rm(join(root, 'node_modules'), { recursive: true })
    await writeFile(join(root, '.setup-lock'), String(process.pid))
    const waiting = start(['probe.mjs'])
    await wait(700)
    assert.equal(waiting.child.exitCode, null)
    await rm(join(root, '.setup-lock'))
    assert.equal((await waiting.ended).code, 7)
  }))

test('killed in the middle of an install, its npm is still waited for', { skip: process.platform === 'win32' }, () =>
  withRepository(async ({ root, start }) => {
    const killed = start(['probe.mjs'], { NPM_WAITS: '1' })
    // Its npm runs, and the lock names both.
    await until(async () => (await npmCalls(root)).length === 1)
    await until(async () => /^\d+ \d+$/.test(await readFile(join(root, '.setup-lock'), 'utf8')))
    killed.child.kill('SIGKILL')
    const next = start(['probe.mjs'])
    await until(() => next.told().includes('another process is installing'))
    await letNpmEnd(root)
    assert.equal((await next.ended).code, 7)
    assert.equal((await npmCalls(root)).length, 1)
  }),
)

test('a signal reaches the program', { skip: process.platform === 'win32' }, () =>
  withRepository(async ({ root, start }) => {
    await writeFile(
      join(root, 'server.mjs'),
      `process.on('SIGTERM', () => process.exit(9)); console.log('up'); setInterval(() => {}, 1000)`,
    )
    const server = start(['server.mjs'])
    await once(server.child.stdout as NodeJS.ReadableStream, 'data')
    server.child.kill('SIGTERM')
    assert.equal((await server.ended).code, 9)
  }),
)

test('without a file to run it says how it is used', () =>
  withRepository(async ({ start }) => {
    const { code, told } = await start([]).ended
    assert.equal(code, 1)
    assert.match(told, /usage: node tools\/run\.mjs/)
  }))
