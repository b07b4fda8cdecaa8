/** Forgetting what is over, a bounded number of rows at a time. The audit record is not touched. */
import { idTimeMs } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { PurgeReport } from '../store.ts'
import { LONGEST_FAMILY } from './families.ts'
import { put } from './meta.ts'
import { purgeEntries, purgeOutside } from './revocations.ts'
import type { Value, Work } from './sql.ts'

/** Rows that one unit of work deletes at most, so that nobody behind it waits long. */
const STRIDE = 64
/** Families that one unit of work looks at. */
const SCAN_STRIDE = 256
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
    const most = table === 'families' ? SCAN_STRIDE : STRIDE
    let count = 0
    let last: Step = { gone: 0, more: true }
    while (last.more && count < limit) {
      const stride = Math.min(most, limit - count)
      last = await inOneWork((work) => step(work, nowMs, stride))
      count += last.counted ?? last.gone
      purged[table] = (purged[table] ?? 0) + last.gone
    }
    more ||= last.more
  }
  return { purged, more }
}

interface Step {
  readonly gone: number
  readonly more: boolean
  /** What counts against the limit, where that is not what has gone. */
  readonly counted?: number
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
  async old_epochs(work, nowMs, limit) {
    const gone = await purgeOutside(work, nowMs, limit)
    return { gone, more: gone > 0 } // Of one kind at a time.
  },
  families: purgeFamilies,
}

/** Where the pass over the families stands, as JSON. */
const PLACE = 'purge_families'

/** Families have no index on their end, which each rotation would have to move; they are passed over by id instead. */
async function purgeFamilies(work: Work, nowMs: number, limit: number): Promise<Step> {
  const { dialect } = work
  const stored = (await work.readOne('select value from meta where name = $1', [PLACE]))?.value
  let { after, begunMs } = stored === undefined ? { after: '', begunMs: 0 } : JSON.parse(stored as string)
  if (after === '') {
    // A clock that went back must not stop the passes.
    if (stored !== undefined && begunMs <= nowMs && nowMs - begunMs < PASS_MS) return { gone: 0, more: false }
    after = '00000000-0000-0000-0000-000000000000'
    begunMs = nowMs
  }
  const rows = await work.read(
    `select id, generation, status, rotated_at_ms, cutoff_ms, idle_seconds, life_seconds, created_after_ms
     from families where id > $1 order by id limit $2`,
    [dialect.id(after), limit],
  )
  const nowAt = epochSeconds(nowMs) - MARGIN_SECONDS
  let gone = 0
  for (const row of rows) {
    if (!isOver(row as Record<string, number>, dialect.readId(row.id), nowAt)) continue
    // Only as it was read: a rotation that came in between keeps it.
    const values: Value[] = [dialect.id(dialect.readId(row.id)), row.generation as number, row.status as number]
    gone += await work.write('delete from families where id = $1 and generation = $2 and status = $3', values)
  }
  const end = rows.length < limit
  const last = rows.at(-1)
  await put(work, PLACE, JSON.stringify({ after: end || last === undefined ? '' : dialect.readId(last.id), begunMs }))
  return { gone, more: !end, counted: rows.length }
}

function isOver(row: Record<string, number>, id: string, nowAt: number): boolean {
  const { rotated_at_ms = 0, idle_seconds = 0, life_seconds = 0, created_after_ms = 0, status, cutoff_ms = 0 } = row
  const idleEnd = epochSeconds(rotated_at_ms) + idle_seconds
  const end = epochSeconds(idTimeMs(id) + created_after_ms) + life_seconds
  if (status === REVOKED) return epochSeconds(Math.max(rotated_at_ms, cutoff_ms)) <= nowAt
  return Math.min(idleEnd, end) <= nowAt
}

const REVOKED = 2
