/** Who follows the feed and how far. Written by every node in batches; who was seen later is believed. */
import type { Fleet, FleetCounts, FleetNote, FleetPage, FleetPlace, ValidatorRecord } from '../ports/fleet.ts'
import { boundedLimit, MAX_PAGE } from './page.ts'
import type { Row, Sql, Value, Work } from './sql.ts'

/** `inOneWork` runs what is written in a work of its own. */
export function openFleet(sql: Sql, inOneWork: <T>(work: (work: Work) => Promise<T>) => Promise<T>): Fleet {
  return {
    list: (page) => listFleet(sql, page),
    count: (place, aliveSinceMs) => countFleet(sql, place, aliveSinceMs),
    note: (notes) => inOneWork((work) => noteFleet(work, notes)),
    forget: (beforeMs, most) => inOneWork((work) => forgetFleet(work, beforeMs, most)),
  }
}

const COLUMNS = 'client, validator, epoch, applied, steps, staleness_ms, version, first_seen_ms, seen_ms'
/** Characters of history kept for one validator: some forty steps. */
const HISTORY = 1000

/** Whether a validator has come to a place in the log: `epoch`, `seq`, and the epoch of the log's head. */
const APPLIED = `(case when epoch = $1 then case when applied >= $2 then 1 else 0 end when epoch = $3 then 1 else 0 end)`
const placeValues = ({ epoch, seq, headEpoch }: FleetPlace): Value[] => [epoch, seq, headEpoch]

async function listFleet(sql: Sql, { after, limit }: FleetPage): Promise<readonly ValidatorRecord[]> {
  const rows = await sql.read(
    `select ${COLUMNS} from validators where client > $1 or (client = $1 and validator > $2) order by client, validator limit $3`,
    [after?.client ?? '', after?.validator ?? '', boundedLimit(limit, MAX_PAGE)],
  )
  return rows.map(readValidator)
}

async function countFleet(sql: Sql, place: FleetPlace, aliveSinceMs: number): Promise<FleetCounts> {
  const row = await sql.readOne(
    `select count(*) as known, coalesce(sum(applied), 0) as applied,
       coalesce(sum(case when applied = 0 and seen_ms < $4 then 1 else 0 end), 0) as gone
     from (select ${place.presentOnly ? `case when seen_ms < $4 then 0 else ${APPLIED} end` : APPLIED} as applied, seen_ms from validators) as counted`,
    [...placeValues(place), aliveSinceMs],
  )
  const [known, applied, gone] = [Number(row?.known), Number(row?.applied), Number(row?.gone)]
  return { applied, gone, lagging: known - applied - gone }
}

/** Each validator once. In the order of their keys, so that nodes that note the same ones do not wait for each other in a ring. */
async function noteFleet(work: Work, notes: readonly FleetNote[]): Promise<void> {
  const rows = [...notes].sort(byKey).map(valuesOf)
  if (rows.length === 0) return
  if (work.dialect.engine === 'sqlite') {
    for (const row of rows)
      await work.write(`insert into validators (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) ${MERGE.sqlite}`, row)
    return
  }
  const columns = (rows[0] as Value[]).map((_, n) => rows.map((row) => row[n] as string | number | null))
  await work.write(
    `insert into validators (${COLUMNS}) select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[],
       $6::bigint[], $7::text[], $8::bigint[], $9::bigint[]) ${MERGE.postgres}`,
    columns,
  )
}

const merge = (
  steps: string,
) => `on conflict (client, validator) do update set epoch = excluded.epoch, applied = excluded.applied,
  steps = case when validators.epoch = excluded.epoch then ${steps} else excluded.steps end,
  staleness_ms = excluded.staleness_ms, version = excluded.version, seen_ms = excluded.seen_ms
  where excluded.seen_ms >= validators.seen_ms`
const MERGE = {
  sqlite: merge(`substr(validators.steps || excluded.steps, -${HISTORY})`),
  postgres: merge(`right(validators.steps || excluded.steps, ${HISTORY})`),
}

/** Those not seen since then, and of the rest those beyond `most` that were not seen for longest; a bounded number at a time. */
async function forgetFleet(work: Work, beforeMs: number, most: number): Promise<number> {
  const gone = await work.write(
    `delete from validators where (client, validator) in
     (select client, validator from validators where seen_ms < $1 order by seen_ms limit $2)`,
    [beforeMs, MAX_PAGE],
  )
  const count = Number((await work.readOne('select count(*) as count from validators', []))?.count)
  if (count <= most) return gone
  return (
    gone +
    (await work.write(
      `delete from validators where (client, validator) in (select client, validator from validators order by seen_ms limit $1)`,
      [boundedLimit(count - most, MAX_PAGE)],
    ))
  )
}

const byKey = (a: FleetNote, b: FleetNote): number =>
  a.client === b.client ? (a.validator < b.validator ? -1 : 1) : a.client < b.client ? -1 : 1

function valuesOf(note: FleetNote): Value[] {
  const steps = note.steps.map(({ seq, atMs }) => `${seq}@${atMs},`).join('')
  const { client, validator, epoch, applied, stalenessMs = null, version, seenMs } = note
  return [client, validator, epoch, applied, steps, stalenessMs, version, seenMs, seenMs]
}

function readValidator(row: Row): ValidatorRecord {
  return {
    client: row.client as string,
    validator: row.validator as string,
    epoch: row.epoch as string,
    applied: row.applied as number,
    steps: readSteps(row.steps as string),
    ...(row.staleness_ms === null ? {} : { stalenessMs: row.staleness_ms as number }),
    version: row.version as string,
    firstSeenMs: row.first_seen_ms as number,
    seenMs: row.seen_ms as number,
  }
}

/** The first may have been cut. */
function readSteps(text: string): { seq: number; atMs: number }[] {
  const whole = text.length < HISTORY ? text : text.slice(text.indexOf(',') + 1)
  return [...whole.matchAll(/(\d+)@(\d+),/g)].map(([, seq, atMs]) => ({ seq: Number(seq), atMs: Number(atMs) }))
}
