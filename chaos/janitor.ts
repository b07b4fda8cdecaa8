/**
 * A process that outlives the run by a moment: when its standard input closes, in whatever way the run ended, it kills what is still running,
 * unmounts what is still mounted and removes what is still there, of what it was told to look after.
 */
import { spawn, spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'

export interface Charge {
  readonly kind: 'process' | 'mount' | 'namespace' | 'directory'
  /** Process id (of a group), path, or the name of a network namespace. */
  readonly name: string
}

export interface Janitor {
  /** Look after it; the answer says that it has gone. */
  add(kind: Charge['kind'], name: string): () => void
  /** Clears up whatever is left; resolves when it is gone. */
  close(): Promise<void>
}

export function startJanitor(): Janitor {
  const child = spawn(process.execPath, [import.meta.filename], { stdio: ['pipe', 'ignore', 'inherit'], detached: true })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.unref()
  ;(child.stdin as unknown as { unref?(): void }).unref?.()
  child.stdin.on('error', () => {}) // It has ended: nothing is left to look after.
  const tell = (line: object) => void child.stdin.write(`${JSON.stringify(line)}\n`)
  return {
    add(kind, name) {
      tell({ add: { kind, name } })
      return () => tell({ gone: { kind, name } })
    },
    async close() {
      child.ref()
      child.stdin.end()
      await gone
    },
  }
}

if (import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  const charges = new Map<string, Charge>()
  for await (const line of createInterface({ input: process.stdin })) {
    const { add, gone } = JSON.parse(line) as { add?: Charge; gone?: Charge }
    if (add !== undefined) charges.set(`${add.kind} ${add.name}`, add)
    if (gone !== undefined) charges.delete(`${gone.kind} ${gone.name}`)
  }
  const left = [...charges.values()].reverse()
  for (const { kind, name } of left) {
    if (kind !== 'process') continue
    try {
      process.kill(-Number(name), 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  for (const { kind, name } of left) if (kind === 'mount') spawnSync('umount', ['-l', name], { stdio: 'ignore' })
  for (const { kind, name } of left) if (kind === 'namespace') spawnSync('ip', ['netns', 'delete', name], { stdio: 'ignore' })
  for (const { kind, name } of left) if (kind === 'directory') rmSync(name, { recursive: true, force: true })
}
