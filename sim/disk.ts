/** Disks of simulated machines: paths `/sim/<machine>/…`. Each step takes its time; what was not synced is gone after a power cut. */
import type { Machine } from './machine.ts'

interface File {
  bytes: Uint8Array
  /** How much of it survives a power cut. */
  synced: number
}

export interface SimulatedDisk {
  /** The operations for this path, when it is one of ours. */
  of(path: string): Operations | undefined
  add(machine: Machine): void
  /** The machine lost its power, not only its process. */
  powerCut(machine: string): void
  /** Somebody removes what it kept. */
  wipe(machine: string): void
}

interface Operations {
  open(path: string, flags: string): Promise<Handle>
  readFile(path: string): Promise<Buffer>
  rename(from: string, to: string): Promise<void>
  stat(path: string): Promise<{ mode: number }>
  unlink(path: string): Promise<void>
}

interface Handle {
  write(bytes: Uint8Array): Promise<void>
  writeFile(content: Uint8Array | string): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

const STEP_MS = 0.2

export function createDisk(): SimulatedDisk {
  const machines = new Map<string, Machine>()
  const files = new Map<string, File>()
  const owner = (path: string) => /^\/sim\/([^/]+)(?:\/|$)/.exec(path)?.[1]

  function operations(machine: Machine): Operations {
    const step = () => machine.delay(STEP_MS)
    const existing = async (path: string) => {
      await step()
      const file = files.get(path)
      if (file === undefined) throw Object.assign(new Error(`no such file: ${path}`), { code: 'ENOENT' })
      return file
    }
    return {
      async open(path, flags) {
        await step()
        if (flags === 'r') return { write: step, writeFile: step, sync: step, close: step } // The directory, whose names are durable at once here.
        const file: File = { bytes: new Uint8Array(0), synced: 0 }
        files.set(path, file)
        const write = async (bytes: Uint8Array) => {
          await step()
          file.bytes = Buffer.concat([file.bytes, bytes])
        }
        return {
          write,
          writeFile: (content) => write(Buffer.from(content as string)),
          async sync() {
            await step()
            file.synced = file.bytes.length
          },
          close: step,
        }
      },
      readFile: async (path) => Buffer.from((await existing(path)).bytes),
      async rename(from, to) {
        const file = await existing(from)
        files.delete(from)
        files.set(to, file)
      },
      async stat(path) {
        await existing(path)
        return { mode: 0o100600 }
      },
      async unlink(path) {
        await existing(path)
        files.delete(path)
      },
    }
  }

  const known = new Map<string, Operations>()
  return {
    of(path) {
      const name = owner(path)
      return name === undefined ? undefined : known.get(name)
    },
    add(machine) {
      machines.set(machine.name, machine)
      known.set(machine.name, operations(machine))
    },
    wipe(machine) {
      for (const path of files.keys()) if (owner(path) === machine) files.delete(path)
    },
    powerCut(machine) {
      for (const [path, file] of files) if (owner(path) === machine) file.bytes = file.bytes.subarray(0, file.synced)
    },
  }
}
