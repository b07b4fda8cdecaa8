/** Forgetting what is over, a bounded number of rows at a time. The audit record is not touched. */
import { idTimeMs } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import { type Haste, PIECE } from '../pace.ts'
import type { PurgeReport } from '../store.ts'
import { purgeBatches, purgeHolds } from './batches.ts'
import { LONGEST_FAMILY } from './families.ts'
import { put } from './meta.ts'
import { purgeEntries, purgeOutside } from './revocations.ts'
import type { Step, Work } from './sql.ts'

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

/** Runs one piece when its turn has come. */
type InPieces = <T>(haste: Haste, work: (work: Work) => Promise<T>) => Promise<T>

export async function purge(inPieces: InPieces, nowMs: number, limit: number): Promise<PurgeReport> {
  const purged: Record<string, number> = Object.fromEntries(Object.keys(steps).map((table) => [table, 0]))
  let left = Object.entries(steps)
  let more = false
  while (left.length > 0) {
    const { at, table, ...done } = await inPieces(hasteOf(left), (work) => purgeFirst(work, left, purged, nowMs, limit))
    if (table === undefined) break
    const count = (purged[table] ?? 0) + done.gone
    purged[table] = count
    const isEnough = count >= limit
    more ||= isEnough && done.more
    left = left.slice(done.more && !isEnough ? at : at + 1)
  }
  const families = await purgeFamilies(inPieces, nowMs, limit)
  return { purged: { ...purged, families: families.gone }, more: more || families.more }
}

type Steps = readonly (readonly [string, (work: Work, nowMs: number, limit: number) => Promise<Step>])[]

/** What is over of an epoch is never more than it was; the others grow with every request, and must go as fast. */
const hasteOf = (left: Steps): Haste => (left[0]?.[0] === OLD_EPOCHS ? 'whenever' : 'soon')

/** A piece: some rows of the first table that has any to forget. Those before it, which have none, cost a look each. */
async function purgeFirst(work: Work, left: Steps, purged: Readonly<Record<string, number>>, nowMs: number, limit: number) {
  for (const [at, [table, step]] of left.entries()) {
    const most = Math.min(PIECE[work.dialect.engine].rows, limit - (purged[table] ?? 0))
    const done = await step(work, nowMs, most)
    if (done.gone > 0 || done.more) return { at, table, ...done }
  }
  return { at: left.length, table: undefined, gone: 0, more: false }
}

const OLD_EPOCHS = 'old_epochs'

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
  async [OLD_EPOCHS](work, nowMs, limit) {
    const gone = await purgeOutside(work, nowMs, limit)
    return { gone, more: gone > 0 } // Of one kind at a time.
  },
}

/** Where the pass over the families stands, as JSON. */
const PLACE = 'purge_families'
const START = '00000000-0000-0000-0000-000000000000'

/** Families have no index on their end, which each rotation would have to move; they are passed over by id instead. */
async function purgeFamilies(inPieces: InPieces, nowMs: number, limit: number): Promise<Step> {
  const stored = await inPieces('whenever', (work) => work.readOne('select value from meta where name = $1', [PLACE]))
  const last = stored === undefined ? { after: '', begunMs: 0 } : JSON.parse(stored.value as string)
  // A clock that went back must not stop the passes.
  const isEarly = last.begunMs <= nowMs && nowMs - last.begunMs < PASS_MS
  if (last.after === '' && stored !== undefined && isEarly) return { gone: 0, more: false }
  const begunMs = last.after === '' ? nowMs : last.begunMs
  let after: string | undefined = last.after === '' ? START : last.after
  let gone = 0
  for (let spent = 0; after !== undefined && spent < limit; ) {
    const from: string = after
    const stretch = await inPieces('whenever', (work) => lookAtFamilies(work, from, nowMs))
    const over = stretch.over.slice(0, Math.ceil(limit - spent))
    // Each piece little beside a commit, and apart from the look: what was seen holds still, or it is not taken.
    for (let at = 0; at < over.length; at += stretch.most)
      gone += await inPieces('whenever', (work) => deleteFamilies(work, over.slice(at, at + stretch.most)))
    after = over.length < stretch.over.length ? over.at(-1)?.id : stretch.next
    spent += Math.max(over.length, stretch.looked / LOOKS_PER_ROW, 1)
  }
  // Once for all of it: a pass in which nothing is over should write next to nothing.
  await inPieces('whenever', (work) => put(work, PLACE, JSON.stringify({ after: after ?? '', begunMs })))
  return { gone, more: after !== undefined }
}

/** A family that is over, as it was read. */
interface Over {
  readonly id: string
  readonly generation: number
  readonly status: number
}

/** Looks at the next families and finds those that are over; `next` is undefined at the end. */
async function lookAtFamilies(work: Work, after: string, nowMs: number) {
  const { dialect } = work
  const { families: most, looks } = PIECE[dialect.engine]
  const rows = await work.read(
    `select id, generation, status, rotated_at_ms, cutoff_ms, idle_seconds, life_seconds, created_after_ms
     from families where id > $1 order by id limit $2`,
    [dialect.id(after), looks],
  )
  const nowAt = epochSeconds(nowMs) - MARGIN_SECONDS
  const over: Over[] = []
  let id: string | undefined
  for (const row of rows) {
    id = dialect.readId(row.id)
    const { generation, status } = row as unknown as Over
    if (isOver(row as Record<string, number>, id, nowAt)) over.push({ id, generation, status })
  }
  return { over, most, looked: rows.length, next: rows.length < looks ? undefined : id }
}

/** Only as they were read: a rotation that came in between keeps a family. */
async function deleteFamilies(work: Work, over: readonly Over[]): Promise<number> {
  const { dialect } = work
  const values = over.map(({ id, generation, status }) => [dialect.id(id), generation, status] as const)
  if (dialect.engine === 'postgres') {
    const columns = [0, 1, 2].map((n) => values.map((value) => value[n] as string | number))
    const text = `delete from families f using unnest($1::uuid[], $2::integer[], $3::smallint[]) as o(id, generation, status)
      where f.id = o.id and f.generation = o.generation and f.status = o.status`
    return work.write(text, columns)
  }
  let gone = 0
  for (const value of values)
    gone += await work.write('delete from families where id = $1 and generation = $2 and status = $3', value)
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
