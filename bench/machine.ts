/** What the figures were measured on; without it they mean little. */
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { quantile } from './rounds.ts'

export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  readonly openssl: string
  readonly sqlite: string
  /** Load average over one minute when the run began: what else the machine was doing. */
  readonly load: number
  /** A 4 KiB write made durable, median and p99, milliseconds: what every durable commit pays at least once. */
  readonly syncMs: { readonly p50: number; readonly p99: number }
  /** Packages that are compared with. */
  readonly peers: Readonly<Record<string, string>>
}

export function describeMachine(scratch: string, peers: readonly string[]): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.versions.node,
    openssl: process.versions.openssl,
    sqlite: process.versions.sqlite ?? 'unknown',
    load: loadavg()[0] ?? 0,
    syncMs: measureSync(scratch),
    peers: Object.fromEntries(peers.map((name) => [name, packageVersion(name)])),
  }
}

export function machineLines(machine: Machine): readonly string[] {
  const { processor, cores, memoryGiB, system, node, openssl, sqlite, load, syncMs, peers } = machine
  return [
    `${processor}, ${cores} cores, ${memoryGiB} GiB, ${system}, load ${load.toFixed(1)}`,
    `Node ${node}, OpenSSL ${openssl}, SQLite ${sqlite}; durable 4 KiB write ${syncMs.p50.toFixed(2)} ms (p99 ${syncMs.p99.toFixed(1)} ms)`,
    `compared with ${Object.entries(peers)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
  ]
}

function measureSync(scratch: string): Machine['syncMs'] {
  const path = join(scratch, 'sync-probe')
  const file = openSync(path, 'w')
  const page = new Uint8Array(4096)
  const times: number[] = []
  try {
    for (let i = 0; i < 100; i++) {
      const began = performance.now()
      writeSync(file, page, 0, page.length, (i % 16) * page.length)
      fdatasyncSync(file)
      times.push(performance.now() - began)
    }
  } finally {
    closeSync(file)
    rmSync(path, { force: true })
  }
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

function packageVersion(name: string): string {
  const path = join(import.meta.dirname, '../node_modules', name, 'package.json')
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
