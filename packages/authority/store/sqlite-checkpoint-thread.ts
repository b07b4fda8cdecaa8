/** The thread behind sqlite-checkpointer.ts, on a connection of its own. */
import { fsyncSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** A log longer than this, in pages, is begun anew … */
const LONG_LOG = 16_384
/** … once no more pages than this came in while the last were moved, since for those the writer must wait; */
const SHORT_REST = 256
/** this long, however many those are. */
const TOO_LONG_LOG = 4 * LONG_LOG
/** Rounds of moving the rest, which each find less. */
const MAX_ROUNDS = 8

const { path, file, everyMs } = workerData as { path: string; file: number; everyMs: number }
const db = new DatabaseSync(path, { timeout: 1000 })
// The file is synced before the log is begun anew.
db.exec('pragma synchronous = full; pragma wal_autocheckpoint = 0')
const passive = db.prepare('pragma wal_checkpoint(passive)')
const restart = db.prepare('pragma wal_checkpoint(restart)')
/** Pages of the log that were in the file after the last round. */
let reached = 0

const timer = setInterval(checkpoint, everyMs)
parentPort?.on('message', stop)

function checkpoint(): void {
  try {
    // Passive waits for nobody and nobody for it. Under steady writes it never quite reaches the log's end, so the
    // last of a long log is moved under the write lock.
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { log, moved } = move()
      if (log <= LONG_LOG) return
      if (moved > SHORT_REST && log < TOO_LONG_LOG) continue
      restart.get()
      return
    }
  } catch {
    // Busy or out of space: the log holds everything, and the next turn tries again.
  }
}

/**
 * A round that does not reach the end leaves what it wrote to the operating system, and whoever does reach it syncs all of that: under the write lock, a tenth
 * of a second and more. So it is synced here, where nobody waits.
 */
function move(): { log: number; moved: number } {
  const { log, checkpointed } = passive.get() as { log: number; checkpointed: number }
  const moved = checkpointed < reached ? checkpointed : checkpointed - reached
  reached = checkpointed
  if (moved > 0) fsyncSync(file)
  return { log, moved }
}

function stop(): void {
  clearInterval(timer)
  checkpoint()
  db.close()
  parentPort?.close()
}
