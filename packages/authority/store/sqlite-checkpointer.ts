/** Moves SQLite's log into its file from another thread, so that no transaction waits for it. */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

export interface Checkpointer {
  /** Ends the thread, after a last checkpoint. */
  stop(): Promise<void>
}

/** The thread looks at the log so often, milliseconds. */
const EVERY_MS = 500
/** The thread needs little; this bounds its heap, in MiB. */
const HEAP_MB = 16

/** `file` is a descriptor of the file, open until it has stopped. */
export function startCheckpointer(path: string, file: number): Checkpointer {
  const entry = new URL(`./sqlite-checkpoint-thread${extname(import.meta.url)}`, import.meta.url)
  const worker = new Worker(entry, {
    workerData: { path, file, everyMs: EVERY_MS },
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 4 },
    execArgv: [],
  })
  worker.unref()
  worker.on('error', () => undefined) // Its end only lets the log grow until the next start; `exit` follows.
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  return {
    async stop() {
      worker.ref()
      worker.postMessage('stop')
      await ended
    },
  }
}
