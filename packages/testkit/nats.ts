/**
 * A real nats-server with JetStream for tests, on a loopback port and in a directory of its own, which can be killed, frozen, emptied and
 * started again in its place. The suite finds or installs the program (tools/debian.ts) and names it in SIGNET_NATS_SERVER.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './free-port.ts'

export interface TestNats {
  readonly port: number
  readonly url: string
  /** kill -9; resolves when it has gone. */
  kill(): Promise<void>
  /** Starts it again on the same port and store, killing it first if it runs; resolves when it answers. */
  restart(): Promise<void>
  /** It stands still with its connections open (SIGSTOP), until `thaw`. */
  freeze(): void
  thaw(): void
  /** Kills it and starts it with an empty store. */
  wipe(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

export interface TestNatsSettings {
  /** More of its configuration, in its own language: accounts, users, TLS. */
  readonly configuration?: string
}

/** It is ready within a tenth of a second; a loaded machine gets more. */
const READY_MS = 30_000

/** Or why there is none, for a test to say when it skips. */
export async function startNats(settings: TestNatsSettings = {}): Promise<TestNats | { readonly skip: string }> {
  const program = process.env.SIGNET_NATS_SERVER
  if (program === undefined || program === '') return { skip: 'no NATS: SIGNET_NATS_SERVER names no nats-server' }
  const home = mkdtempSync(join(tmpdir(), 'signet-nats-'))
  const port = await freePort()
  const file = join(home, 'nats.conf')
  const store = join(home, 'store')
  writeFileSync(file, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${store}" }\n${settings.configuration ?? ''}\n`)
  let running = await start()

  async function start(): Promise<{ readonly server: ChildProcess; kill(): Promise<void> }> {
    const log = join(home, 'log')
    const server = spawn(program as string, ['-c', file, '-l', log], { stdio: 'ignore' })
    server.unref()
    const gone = new Promise<void>((resolve) => {
      server.once('exit', () => resolve())
      server.once('error', () => resolve())
    })
    const watcher = watchOver(server.pid as number, home)
    const until = performance.now() + READY_MS
    while (!(await answers(port))) {
      if (server.exitCode === null && server.pid !== undefined && performance.now() < until) await wait(10)
      else throw new Error(`the NATS server did not start: ${readFileSync(log, 'utf8').slice(-2000)}`)
    }
    return {
      server,
      async kill() {
        watcher.dismiss()
        server.ref()
        server.kill('SIGKILL')
        await gone
      },
    }
  }

  const restart = async (between: () => void = () => {}): Promise<void> => {
    await running.kill()
    between()
    running = await start()
  }
  return {
    port,
    url: `nats://127.0.0.1:${port}`,
    kill: () => running.kill(),
    restart: () => restart(),
    freeze: () => void running.server.kill('SIGSTOP'),
    thaw: () => void running.server.kill('SIGCONT'),
    wipe: () => restart(() => rmSync(store, { recursive: true, force: true })),
    async stop() {
      await running.kill()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

/** A shell that waits for us to end, in whatever way, and then ends the server and removes its files. */
function watchOver(pid: number, home: string): { dismiss(): void } {
  const task = 'cat >/dev/null; kill -9 "$1" 2>/dev/null; rm -rf "$2"'
  const shell = spawn('sh', ['-c', task, 'sh', String(pid), home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  shell.unref()
  ;(shell.stdin as unknown as { unref?(): void } | null)?.unref?.()
  return { dismiss: () => void shell.kill('SIGKILL') }
}

/** Whether a server greets whoever connects. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.setTimeout(1000, () => socket.destroy())
    socket.once('data', () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}
