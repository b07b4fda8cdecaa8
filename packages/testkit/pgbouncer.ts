/**
 * A real PgBouncer for tests, pooling by transaction, on a loopback port, in front of a server on 127.0.0.1. The suite finds or
 * installs the program (tools/debian.ts) and names it in SIGNET_PGBOUNCER.
 */
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { ask } from './postgres-server.ts'

export interface TestPgbouncer {
  /** The address of a database of the server, through the pool. */
  through(url: string): string
  stop(): Promise<void>
}

const NOBODY = 65_534
const READY_MS = 30_000

/** Or why there is none, for a test to say when it skips. `port` is the server's. */
export async function startPgbouncer(port: number): Promise<TestPgbouncer | { readonly skip: string }> {
  const program = process.env.SIGNET_PGBOUNCER
  if (program === undefined || program === '') return { skip: 'no PgBouncer: SIGNET_PGBOUNCER names none' }
  const home = mkdtempSync(join(tmpdir(), 'signet-pgbouncer-'))
  const listen = await freePort()
  const file = join(home, 'pgbouncer.ini')
  const settings = {
    ...{ listen_addr: '127.0.0.1', listen_port: listen, unix_socket_dir: '', logfile: join(home, 'log') },
    ...{
      auth_type: 'trust',
      auth_file: join(home, 'users'),
      pool_mode: 'transaction',
      default_pool_size: 6,
      max_client_conn: 200,
    },
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(file, `[databases]\n* = host=127.0.0.1 port=${port}\n[pgbouncer]\n${lines.join('\n')}\n`)
  writeFileSync(join(home, 'users'), '"postgres" ""\n')
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  chmodSync(home, 0o755)
  if (user.uid !== undefined) chownSync(home, NOBODY, NOBODY)
  const pool = spawn(program, ['-q', file], { ...user, stdio: ['pipe', 'ignore', 'ignore'] })
  const gone = new Promise<void>((resolve) => pool.once('exit', () => resolve()))
  const reap = () => pool.kill('SIGKILL')
  process.once('exit', reap)
  const until = performance.now() + READY_MS
  const through = (url: string): string => {
    const { pathname } = new URL(url)
    return `postgres://postgres@127.0.0.1:${listen}${pathname}`
  }
  for (;;) {
    try {
      await ask(through('postgres://x/postgres'), 'select 1')
      break
    } catch (error) {
      if (pool.exitCode !== null || performance.now() > until) throw error
      await wait(20)
    }
  }
  return {
    through,
    async stop() {
      pool.kill('SIGKILL')
      await gone
      process.off('exit', reap)
      rmSync(home, { recursive: true, force: true })
    },
  }
}
