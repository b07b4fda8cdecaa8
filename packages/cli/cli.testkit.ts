/** The command line as people have it: a process of its own, against an authority in another. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort } from '@signet/testkit/free-port.ts'

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  /** Default: the authority's directory. */
  readonly cwd?: string
  /** Another program of this package. */
  readonly main?: string
}

/** Runs one command to its end. Nothing of the caller's own settings reaches it. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = start(args, options)
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  child.stdin.on('error', () => {}) // It may end without having read what it is given.
  child.stdin.end(options.input ?? '')
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err }
}

export function start(args: readonly string[], { env = {}, cwd, main = 'main.ts' }: RunOptions = {}) {
  const { PATH, HOME, TMPDIR } = process.env
  const program = fileURLToPath(new URL(main, import.meta.url))
  return spawn(process.execPath, [program, ...args], { cwd, env: { PATH, HOME, TMPDIR, ...env }, stdio: 'pipe' })
}

export interface CliWorld {
  readonly issuer: string
  readonly directory: string
  readonly state: string
  /** In the authority's directory. */
  signet(...args: readonly string[]): Promise<Ran>
  signetWith(options: RunOptions, ...args: readonly string[]): Promise<Ran>
  /** The parsed result of a command that must succeed. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what is there.
  json(...args: readonly string[]): Promise<any>
  stop(): Promise<void>
  /** Starts it again on the same state. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** `signet serve` on a fresh state directory. */
export async function startCliWorld(): Promise<CliWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'signet-cli-'))
  const port = await freePort()
  const serveArgs = ['serve', '--listen', `127.0.0.1:${port}`, '--log-level', 'error']
  let authority = await serve(serveArgs, directory)
  const world: CliWorld = {
    issuer: `http://localhost:${port}`,
    directory,
    state: join(directory, '.signet'),
    signet: (...args) => run(args, { cwd: directory }),
    signetWith: (options, ...args) => run(args, { cwd: directory, ...options }),
    async json(...args) {
      const { code, out, err } = await run([...args, '--json'], { cwd: directory })
      if (code !== 0) throw new Error(`signet ${args.join(' ')}: exit ${code}\n${err}${out}`)
      return JSON.parse(out)
    },
    stop: () => authority.stop(),
    async restart() {
      authority = await serve(serveArgs, directory)
    },
    async close() {
      await authority.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
  return world
}

async function serve(args: readonly string[], cwd: string): Promise<{ stop(): Promise<void> }> {
  const child = start(args, { cwd })
  let err = ''
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', () => resolve())
    child.once('close', (code) => reject(new Error(`the authority ended with ${code}: ${err}`)))
  })
  return {
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}
