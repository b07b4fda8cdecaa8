/** A node in a process of its own, to be killed: `node batch-node.testkit.ts ENGINE PLACE`. It works on batches until then. */
import { openPostgresStore } from '../store/postgres.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { realSurroundings } from '../surroundings.ts'
import { openBatchNode } from './batch.testkit.ts'

const [engine, place = ''] = process.argv.slice(2)
const surroundings = realSurroundings()
const store =
  engine === 'sqlite'
    ? await openSqliteStore({ path: place, surroundings })
    : await openPostgresStore({ url: place, surroundings })
await openBatchNode(store, { leaseMs: Number(process.env.LEASE_MS) })
process.stdout.write('ready\n')
setInterval(() => {}, 60_000) // Timers of the node keep no process alive.
