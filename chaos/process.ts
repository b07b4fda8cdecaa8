/**
 * A process under test: started, killed, frozen and told to stop, with its own environment. Its end is a fact, and whether it was wanted. The
 * first line on its standard output is JSON and says that it is ready; what it says later goes to `onLine`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Janitor } from './janitor.ts'
import type { Recorder } from './recorder.ts'

export interface Spec {
  readonly name: string
  /** Begins the command line: what the process is run by. */
  readonly command?: readonly string[]
  /** From the repository's root. */
  readonly script: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  onLine?(line: string): void
}

export interface Surroundings {
  readonly recorder: Recorder
  readonly janitor: Janitor
  /** Where its complaints go. */
  readonly directory: string
}

export interface Proc {
  readonly name: string
  readonly running: boolean
  /** Resolves when it says that it is ready; milliseconds that took. */
  start(env?: Readonly<Record<string, string>>): Promise<number>
  write(line: string): void
  kill(): Promise<void>
  /** SIGTERM, and what it does then. Milliseconds until it was gone. */
  stop(): Promise<number>
  pause(): void
  resume(): void
}

const ROOT = join(import.meta.dirname, '..')
const READY_WITHIN_MS = 60_000
const STOP_WITHIN_MS = 10_000
const LAST_WORDS = 2000

export function createProcess(spec: Spec, { recorder, janitor, directory }: Surroundings): Proc {
  let child: ChildProcess | undefined
  let exited: Promise<unknown> = Promise.resolve()
  let wanted = false

  const send = (signal: NodeJS.Signals) => {
    if (child?.exitCode === null && child.signalCode === null) child.kill(signal)
  }
  return {
    name: spec.name,
    get running() {
      return child !== undefined
    },
    async start(env = {}) {
      if (child !== undefined) throw new Error(`${spec.name} is running`)
      const began = performance.now()
      wanted = false
      const [program, ...args] = [...(spec.command ?? []), process.execPath, join(ROOT, spec.script), ...spec.args]
      const started = spawn(program as string, args, {
        cwd: directory,
        env: { ...process.env, ...spec.env, ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      })
      child = started
      const forget = janitor.add('process', String(started.pid))
      const complaints = createWriteStream(join(directory, `${spec.name}.log`), { flags: 'a' }).on('error', () => {})
      started.stderr.pipe(complaints)
      let lastWords = ''
      started.stderr.on('data', (text: Buffer) => {
        lastWords = (lastWords + text.toString()).slice(-LAST_WORDS)
      })
      started.stdin.on('error', () => {}) // It was killed while we wrote.
      exited = once(started, 'exit').then(([code, signal]) => {
        forget()
        child = undefined
        const said = wanted ? '' : lastWords.trim().replace(/^.*\n/s, '')
        recorder.note({
          is: 'exited',
          process: spec.name,
          wanted,
          how: `${signal ?? `code ${code}`}${said === '' ? '' : `, ${said}`}`,
        })
      })
      const ready = Promise.withResolvers<void>()
      let isReady = false
      createInterface({ input: started.stdout }).on('line', (line) => {
        if (isReady) return spec.onLine?.(line)
        isReady = true
        ready.resolve()
      })
      const late = setTimeout(() => ready.reject(new Error(`${spec.name} was not ready in time`)), READY_WITHIN_MS)
      void exited.then(() => ready.reject(new Error(`${spec.name} ended before it was ready; see ${spec.name}.log`)))
      try {
        await ready.promise
      } finally {
        clearTimeout(late)
      }
      return performance.now() - began
    },
    write(line) {
      if (child?.stdin?.writable) child.stdin.write(`${line}\n`)
    },
    async kill() {
      wanted = true
      send('SIGKILL')
      await exited
    },
    async stop() {
      const began = performance.now()
      wanted = true
      send('SIGTERM')
      send('SIGCONT')
      const late = setTimeout(() => send('SIGKILL'), STOP_WITHIN_MS)
      await exited
      clearTimeout(late)
      return performance.now() - began
    },
    pause: () => send('SIGSTOP'),
    resume: () => send('SIGCONT'),
  }
}
