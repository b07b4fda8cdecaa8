/** A child process that says `{"ready":true,…}` in one line on standard output once it answers. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface StartedProcess {
  readonly pid: number
  /** What it said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>
  /** Rejects when it ends by itself. */
  readonly ended: Promise<never>
  stop(): Promise<void>
  /** SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>
}

const READY_WITHIN_MS = 60_000
/** Longer than an authority gives its last requests. */
const STOP_WITHIN_MS = 15_000
/** The end of what a program wrote says why it ended. */
const MAX_COMPLAINTS = 4096
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/**
 * Starts `script` (from the repository's root, unless it is absolute) with the Node that runs this. Rejects with what it wrote when it does
 * not get ready; from then on what it writes on standard error goes to ours, unless `quiet`. `env` comes beside ours; what is undefined in it is
 * left out.
 */
export async function startProcess(
  name: string,
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
  quiet = false,
): Promise<StartedProcess> {
  // Its own process group: Ctrl-C reaches this process, which then stops the children in order.
  const child = spawn(process.execPath, [resolve(ROOT, script), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, ...env },
  })
  let complaints = ''
  const keep = (chunk: Buffer) => {
    complaints = (complaints + chunk).slice(-MAX_COMPLAINTS)
  }
  child.stderr.on('data', keep)
  const said = () => (complaints === '' ? '' : ` It said:\n${complaints.trimEnd()}`)
  const exited = once(child, 'exit')
  const ended = once(child, 'close').then(([code, signal]) => {
    throw new Error(`The ${name} ended by itself (${signal ?? `exit code ${code}`}).${said()}`)
  })
  ended.catch(() => {}) // Whoever awaits it hears; nobody has to.
  const reap = () => child.kill('SIGKILL')
  process.once('exit', reap)
  child.once('exit', () => process.off('exit', reap))
  const ready = await Promise.race([firstLine(child.stdout), ended, tooLate(name, said)]).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })
  const pass = (text: string | Buffer) => void (quiet || process.stderr.write(text))
  pass(complaints)
  complaints = ''
  child.stderr.off('data', keep).on('data', pass)
  return {
    pid: child.pid as number,
    ready: JSON.parse(ready) as Record<string, unknown>,
    ended,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS)
      await exited
      clearTimeout(kill)
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const listen = (chunk: Buffer) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end < 0) return
      stream.off('data', listen)
      stream.resume()
      resolve(text.slice(0, end))
    }
    stream.on('data', listen)
  })
}

function tooLate(name: string, said: () => string): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(
      () => reject(new Error(`The ${name} was not ready within ${READY_WITHIN_MS / 1000} s.${said()}`)),
      READY_WITHIN_MS,
    ).unref()
  })
}
