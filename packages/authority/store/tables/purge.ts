/** Forgetting what is over, a bounded number of rows at a time. The audit record is not touched. */
import { idTimeMs } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { PurgeReport } from '../store.ts'
import { purgeBatches, purgeHolds } from './batches.ts'
import { LONGEST_FAMILY } from './families.ts'
import { put } from './meta.ts'
import { purgeEntries, purgeOutside } from './revocations.ts'
import type { Row, Step, Work } from './sql.ts'

/** Rows that one unit of work deletes at most, so that nobody behind it waits long. */
const STRIDE = 64
/** Families that one unit of work looks at where few are over … */
const SCAN_STRIDE = 256
/** … and takes where many are. On SQLite each costs the writer about 10 µs, for which refreshes wait; PostgreSQL takes them in one statement. */
const DELETE_STRIDE = { sqlite: 16, postgres: 128 } as const
/** Looking at so many costs as much as taking one. */
const LOOKS_PER_ROW = 8
/** A pass over all families begins at most so often. */
const PASS_MS = 3_600_000
/** What has ended stays so much longer, for clocks that disagree and for people who ask why. */
const MARGIN_SECONDS = 86_400
/** What was used up is remembered so much longer: a node whose clock is behind the store's takes it for so much longer. */
const CLOCKS_SECONDS = 60
/** API keys stay listed for so long after they expired. */
const API_KEY_SECONDS = 90 * 86_400

type InOneWork = <T>(work: (work: Work) => Promise<T>) => Promise<T>

export async function purge(inOneWork: InOneWork, nowMs: number, limit: number): Promise<PurgeReport> {
  const purged: Record<string, number> = {}
  let more = false
  for (const [table, step] of Object.entries(steps)) {
    let count = 0
    let last: Step = { gone: 0, more: true }
    while (last.more && count < limit) {
      const stride = Math.min(STRIDE, limit - count)
      last = await inOneWork((work) => step(work, nowMs, stride))
      count += last.gone
    }
    purged[table] = count
    more ||= last.more
  }
  const families = await purgeFamilies(inOneWork, nowMs, limit)
  return { purged: { ...purged, families: families.gone }, more: more || families.more }
}

const expiring =
  (table: string, key: string, column: string, laterSeconds = 0, unit: 1 | 1000 = 1) =>
  async (work: Work, nowMs: number, limit: number): Promise<Step> => {
    const gone = await work.write(
      `delete from ${table} where ${key} in
       (select ${key} from ${table} where ${column} <= $1 order by ${column} limit $2 ${work.dialect.skipLocked})`,
      [(epochSeconds(nowMs) - laterSeconds) * unit, limit],
    )
    return { gone, more: gone === limit }
  }

const steps: Readonly<Record<string, (work: Work, nowMs: number, limit: number) => Promise<Step>>> = {
  codes: expiring('codes', 'hash', 'expires_at'),
  interactions: expiring('interactions', 'hash', 'expires_at'),
  replay: expiring('replay', 'key', 'expires_at', CLOCKS_SECONDS),
  idempotency: expiring('idempotency', 'key', 'expires_at'),
  throttle: expiring('throttle', 'key', 'tat_ms', 0, 1000),
  api_keys: expiring('api_keys', 'id', 'expires_at', API_KEY_SECONDS),
  async sessions(work, nowMs, limit) {
    // A family hangs on its session's standing, so a session is remembered until the last family begun in it is over.
    const row = await work.readOne('select value from meta where name = $1', [LONGEST_FAMILY])
    return expiring('sessions', 'id', 'expires_at', Number(row?.value ?? 0))(work, nowMs, limit)
  },
  async revocation_log(work, nowMs, limit) {
    const gone = await purgeEntries(work, nowMs, limit)
    return { gone, more: gone === limit }
  },
  batches: (work, nowMs, limit) => purgeBatches(work, nowMs, limit),
  batch_holds: (work, _nowMs, limit) => purgeHolds(work, limit),
  async old_epochs(work, nowMs, limit) {
    const gone = await purgeOutside(work, nowMs, limit)
    return { gone, more: gone > 0 } // Of one kind at a time.
  },
}

/** Where the pass over the families stands, as JSON. */
const PLACE = 'purge_families'
const START = '00000000-0000-0000-0000-000000000000'

/** Where a pass stands; `dense`: many of the last were over. */
interface Place {
  readonly after: string
  readonly dense: boolean
}

/** Families have no index on their end, which each rotation would have to move; they are passed over by id instead. */
async function purgeFamilies(inOneWork: InOneWork, nowMs: number, limit: number): Promise<Step> {
  const stored = await inOneWork((work) => work.readOne('select value from meta where name = $1', [PLACE]))
  const last = stored === undefined ? { after: '', begunMs: 0 } : JSON.parse(stored.value as string)
  // A clock that went back must not stop the passes.
  const isEarly = last.begunMs <= nowMs && nowMs - last.begunMs < PASS_MS
  if (last.after === '' && stored !== undefined && isEarly) return { gone: 0, more: false }
  const begunMs = last.after === '' ? nowMs : last.begunMs
  let place: Place | undefined = { after: last.after === '' ? START : last.after, dense: last.dense === true }
  let gone = 0
  for (let spent = 0; place !== undefined && spent < limit; ) {
    const from: Place = place
    const most = Math.ceil(limit - spent)
    const stretch = await inOneWork((work) => purgeStretch(work, from, nowMs, most))
    gone += stretch.gone
    spent += Math.max(stretch.gone, stretch.looked / LOOKS_PER_ROW, 1)
    place = stretch.next
  }
  // Once for all of it: a pass in which nothing is over should write next to nothing.
  await inOneWork((work) => put(work, PLACE, JSON.stringify({ after: '', ...place, begunMs })))
  return { gone, more: place !== undefined }
}

/** Looks at the next families and takes those that are over; `next` is undefined at the end. */
async function purgeStretch(work: Work, { after, dense }: Place, nowMs: number, most: number) {
  const { dialect } = work
  const room = Math.min(DELETE_STRIDE[dialect.engine], most)
  const stride = dense ? room : SCAN_STRIDE
  const rows = await work.read(
    `select id, generation, status, rotated_at_ms, cutoff_ms, idle_seconds, life_seconds, created_after_ms
     from families where id > $1 order by id limit $2`,
    [dialect.id(after), stride],
  )
  const nowAt = epochSeconds(nowMs) - MARGIN_SECONDS
  const over = rows.filter((row) => isOver(row as Record<string, number>, dialect.readId(row.id), nowAt))
  const taken = over.slice(0, room)
  const gone = await deleteFamilies(work, taken)
  // What did not fit is looked at again.
  const isCut = taken.length < over.length
  const last = isCut ? taken.at(-1) : rows.at(-1)
  const isEnd = last === undefined || (!isCut && rows.length < stride)
  const next: Place | undefined = isEnd ? undefined : { after: dialect.readId(last.id), dense: over.length * 2 > room }
  return { gone, looked: rows.length, next }
}

/** Only as they were read: a rotation that came in between keeps a family. */
async function deleteFamilies(work: Work, rows: readonly Row[]): Promise<number> {
  const { dialect } = work
  const values = rows.map((row) => [dialect.id(dialect.readId(row.id)), row.generation as number, row.status as number] as const)
  if (dialect.engine === 'postgres') {
    if (rows.length === 0) return 0
    const columns = [0, 1, 2].map((n) => values.map((row) => row[n] as string | number))
    const text = `delete from families f using unnest($1::uuid[], $2::integer[], $3::smallint[]) as o(id, generation, status)
      where f.id = o.id and f.generation = o.generation and f.status = o.status`
    return work.write(text, columns)
  }
  let gone = 0
  for (const row of values)
    gone += await work.write('delete from families where id = $1 and generation = $2 and status = $3', row)
  return gone
}

function isOver(row: Record<string, number>, id: string, nowAt: number): boolean {
  const { rotated_at_ms = 0, idle_seconds = 0, life_seconds = 0, created_after_ms = 0, status, cutoff_ms = 0 } = row
  const idleEnd = epochSeconds(rotated_at_ms) + idle_seconds
  const end = epochSeconds(idTimeMs(id) + created_after_ms) + life_seconds
  if (status === REVOKED) return epochSeconds(Math.max(rotated_at_ms, cutoff_ms)) <= nowAt
  return Math.min(idleEnd, end) <= nowAt
}

const REVOKED = 2
