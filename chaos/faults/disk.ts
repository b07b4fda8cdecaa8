/** The disk is full, fails to sync, or takes its time. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../cluster.ts'
import { BOTH, type Fault, type Preparation, type Prepared } from './fault.ts'

// ── Full ──

const FULL_BYTES = { sqlite: 24, postgres: 320 } // MiB.
/**
 * PostgreSQL keeps its log for standbys and until the next checkpoint; as it is usually set that alone would fill this disk within ten
 * rounds, so that there would be no room to recover in when the ballast is gone.
 */
const SPARING = { wal_keep_size: '0', min_wal_size: '32MB', max_wal_size: '64MB' }
const storeIn = (directory: string) => join(directory, 'store')

/** A file system of its own, in memory, that is small. */
async function smallDisk({ directory, engine, janitor }: Preparation): Promise<Prepared> {
  const path = storeIn(directory)
  mkdirSync(path)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${FULL_BYTES[engine]}m,mode=755`, 'tmpfs', path], {
    encoding: 'utf8',
  })
  if (mounted.status !== 0) throw new Error(`no file system could be mounted: ${mounted.stderr}`)
  const forget = janitor.add('mount', path)
  return {
    options: { storeDirectory: path, databaseSettings: SPARING },
    async close() {
      spawnSync('umount', ['-l', path])
      forget()
    },
  }
}

/** Takes what is left, to the last block. */
function fill(directory: string): void {
  const file = openSync(join(storeIn(directory), 'ballast'), 'w')
  try {
    for (let size = 2 ** 20; size >= 512; size /= 2) {
      const block = new Uint8Array(size)
      try {
        for (;;) writeSync(file, block)
      } catch {
        // Full for this size.
      }
    }
  } finally {
    closeSync(file)
  }
}

const full: Fault = {
  name: 'disk-full',
  about: 'not a block is left on the disk of the store, until somebody makes room',
  engines: BOTH,
  missing: () => (process.getuid?.() === 0 ? undefined : 'a file system can be mounted by root only'),
  prepare: smallDisk,
  begin: standAlone,
  async inject({ surroundings, database }) {
    fill(surroundings.directory)
    // A new segment of the log needs room at once.
    for (let i = 0; i < 2; i++) await database?.primary.query('select pg_switch_wal()').catch(() => {})
  },
  lastsMs: [300, 1200],
  async heal({ surroundings, database }) {
    rmSync(join(storeIn(surroundings.directory), 'ballast'), { force: true })
    await revive(database)
  },
}

/** The standby would meet the same disk. */
async function standAlone({ database }: Cluster): Promise<void> {
  await database?.waitForStandby(false)
  await database?.standby?.stop()
}

const TRIES = 10
/**
 * What a server takes at most to go through its log by itself. One that met the failing disk again as it began to waits for ever, and an outage
 * beyond the grace of a refresh ends the grants of those who had no answer.
 */
const RECOVERY_MS = 5_000

/** PostgreSQL ends itself when it can't write or sync its log; whoever runs it starts it again, unless it does so itself. */
async function revive(database: Cluster['database']): Promise<void> {
  const until = performance.now() + RECOVERY_MS
  for (let tries = 0; database !== undefined && tries < TRIES; ) {
    const trouble = await database.primary.query('select 1').then(
      () => undefined,
      (error: { code?: string }) => error.code ?? 'none',
    )
    if (trouble === undefined) return
    const isRecovering = trouble === '57P03' // cannot_connect_now
    if (!isRecovering || performance.now() > until) tries++
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await database?.primary.stop('immediate')
  await database?.primary.start()
}

// ── Syncing ──

const GCC = '/usr/bin/gcc'
const controlIn = (directory: string) => join(directory, 'disk')

function order(directory: string, what: string): void {
  const file = controlIn(directory)
  writeFileSync(`${file}.new`, what, { mode: 0o644 })
  renameSync(`${file}.new`, file)
}

async function preload({ directory, engine }: Preparation): Promise<Prepared> {
  const library = join(directory, 'preload.so')
  const built = spawnSync(GCC, ['-shared', '-fPIC', '-O1', '-o', library, join(import.meta.dirname, 'preload.c'), '-ldl'], {
    encoding: 'utf8',
  })
  if (built.status !== 0) throw new Error(`gcc could not build the library: ${built.stderr}`)
  order(directory, 'well')
  const env = { LD_PRELOAD: library, SIGNET_CHAOS_DISK: controlIn(directory) }
  return { options: engine === 'sqlite' ? { nodeEnv: env } : { databaseEnv: env } }
}

const missingGcc = () => (spawnSync(GCC, ['--version']).status === 0 ? undefined : 'there is no gcc')

const failedSync: Fault = {
  name: 'sync-fails',
  about: 'fsync answers EIO; afterwards whoever gave up is started again',
  engines: BOTH,
  missing: missingGcc,
  prepare: preload,
  begin: standAlone,
  inject: ({ surroundings }) => order(surroundings.directory, 'fail'),
  lastsMs: [100, 600],
  async heal({ surroundings, database, nodes }) {
    order(surroundings.directory, 'well')
    await revive(database)
    if (database !== undefined) return
    // After a failed sync nobody knows what the disk holds: the node acknowledges nothing more until it is started anew.
    for (const node of nodes) {
      await node.proc.stop()
      await node.start()
    }
  },
}

const slowSync: Fault = {
  name: 'sync-slow',
  about: 'fsync takes 150 ms',
  engines: BOTH,
  missing: missingGcc,
  prepare: preload,
  inject: ({ surroundings }) => order(surroundings.directory, 'slow 150'),
  lastsMs: [500, 1500],
  heal: ({ surroundings }) => order(surroundings.directory, 'well'),
}

export const diskFaults: readonly Fault[] = [full, failedSync, slowSync]
