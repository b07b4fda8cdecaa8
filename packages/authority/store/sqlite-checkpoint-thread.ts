/** The thread behind sqlite-checkpointer.ts, on a connection of its own. */
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** A log longer than this, in pages, is begun anew … */
const LONG_LOG = 16_384
/** … once so few pages of it are left to move, since for those the writer must wait. */
const SHORT_REST = 512
/** Rounds of moving the rest, which each find less. */
const MAX_ROUNDS = 8

const { path, everyMs } = workerData as { path: string; everyMs: number }
const db = new DatabaseSync(path, { timeout: 1000 })
// The file is synced before the log is begun anew.
db.exec('pragma synchronous = full; pragma wal_autocheckpoint = 0')
const passive = db.prepare('pragma wal_checkpoint(passive)')
const restart = db.prepare('pragma wal_checkpoint(restart)')

const timer = setInterval(checkpoint, everyMs)
parentPort?.on('message', stop)

function checkpoint(): void {
  try {
    // Passive waits for nobody and nobody for it. Under steady writes it never quite reaches the log's end, so the
    // last of a long log is moved under the write lock.
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { log, checkpointed } = passive.get() as { log: number; checkpointed: number }
      if (log <= LONG_LOG) return
      if (log - checkpointed > SHORT_REST) continue
      restart.get()
      return
    }
  } catch {
    // Busy or out of space: the log holds everything, and the next turn tries again.
  }
}

function stop(): void {
  clearInterval(timer)
  checkpoint()
  db.close()
  parentPort?.close()
}
