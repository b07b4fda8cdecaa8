/** Batches: the row that a job's pieces move, its plan beside it, and what it holds suspended. */
import type { BatchId } from '@signet/kernel/ids.ts'
import { KEY_KINDS, type KeyKind } from '@signet/kernel/revocation.ts'
import {
  BATCH_ACTIONS,
  BATCH_STATES,
  type BatchHold,
  type BatchLookups,
  type BatchRecord,
  type BatchState,
  type BatchTransitions,
} from '../ports/batches.ts'
import { id, integer, oneOf, table, text } from './columns.ts'
import { pageOf } from './page.ts'
import type { Sql, Step, Value, Work } from './sql.ts'

const batches = table<Omit<BatchRecord, 'plan'>>('batches', {
  id: ['id', id],
  action: ['action', oneOf(BATCH_ACTIONS)],
  state: ['state', oneOf(BATCH_STATES)],
  summary: ['summary', text],
  reason: ['reason', text],
  actor: ['actor', text],
  perSecond: ['per_second', integer],
  plannedAtMs: ['planned_at_ms', integer],
  startedAtMs: ['started_at_ms', integer],
  endedAtMs: ['ended_at_ms', integer],
  cursor: ['place', text],
  moved: ['moved', integer],
  unmoved: ['unmoved', integer],
  unsettled: ['unsettled', text],
  holder: ['holder', text],
  leaseUntilMs: ['lease_until_ms', integer],
  trouble: ['trouble', text],
  undoes: ['undoes', id],
  undoneBy: ['undone_by', id],
})

const stateOf = (state: BatchState): number => BATCH_STATES.indexOf(state)
const RUNNING = stateOf('running')
const PLANNED = stateOf('planned')
/** States from which it does not go on: `done`, `cancelled`, `failed` and what comes after them in the list. */
const FIRST_END = stateOf('done')
const CANCELLED = stateOf('cancelled')
/** Comes after every id: a listing that goes backwards begins before it. */
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

export function batchLookups(sql: Sql): BatchLookups {
  const { dialect } = sql
  const many = async (where: string, values: Parameters<Sql['read']>[1]) =>
    (await sql.read(`select ${batches.columns} from batches where ${where}`, values)).map((row) => batches.read(row, dialect))
  return {
    find: (batch) => find(sql, batch),
    list: ({ after, limit }) =>
      many('id < $1 order by id desc limit $2', [dialect.id(after ?? LAST_ID), pageOf({ limit }).limit]),
    running: (limit) => many('state = $1 order by id limit $2', [RUNNING, limit]),
    async count() {
      const rows = await sql.read('select state, count(*) as n from batches group by state', [])
      const counts = new Map(rows.map((row) => [row.state as number, Number(row.n)]))
      const entries = BATCH_STATES.map((state, n) => [state, counts.get(n) ?? 0])
      return Object.fromEntries(entries) as Record<BatchState, number>
    },
    async holds(batch, page) {
      const { after, limit } = pageOf(page)
      const rows = await sql.read(
        'select target, kind from batch_holds where batch = $1 and target > $2 order by target limit $3',
        [dialect.id(batch), after, limit],
      )
      return rows.map((row) => ({ kind: KEY_KINDS[row.kind as number] as KeyKind, target: row.target as string }))
    },
  }
}

export function batchTransitions(work: Work): BatchTransitions {
  const { dialect } = work
  return {
    find: (batch) => find(work, batch),
    async create({ plan, ...batch }) {
      await work.write(batches.insert, batches.values(batch, dialect))
      await work.write('insert into batch_plans (id, body) values ($1, $2)', [dialect.id(batch.id), plan ?? '{}'])
    },
    async move(batch, from, to, { trouble, undoneBy } = {}) {
      const mask = from.reduce((bits, state) => bits | (1 << stateOf(state)), 0)
      const ended = stateOf(to) < FIRST_END ? 'null' : `case when state < ${FIRST_END} then $5 else ended_at_ms end`
      // A batch that was undone moves no more: what it then suspended nobody would undo. Only an undoing that was cancelled gives way to another.
      const again =
        undoneBy === undefined
          ? ''
          : `or exists (select 1 from batches as u where u.id = batches.undone_by and u.state = ${CANCELLED})`
      const values: Value[] = [dialect.id(batch), stateOf(to), mask, trouble ?? null, work.nowMs]
      if (undoneBy !== undefined) values.push(dialect.id(undoneBy))
      const written = await work.write(
        `update batches set state = $2, holder = '', lease_until_ms = 0, trouble = $4, ended_at_ms = ${ended},
           started_at_ms = case when state = ${PLANNED} then $5 else started_at_ms end ${undoneBy === undefined ? '' : ', undone_by = $6'}
         where id = $1 and ((1 << state) & $3) <> 0 and (undone_by is null ${again})`,
        values,
      )
      return written === 1
    },
    async hold(batch, holder, leaseUntilMs) {
      const written = await work.write(
        `update batches set holder = $2, lease_until_ms = $3
         where id = $1 and state = ${RUNNING} and (holder = $2 or lease_until_ms < $4)`,
        [dialect.id(batch), holder, leaseUntilMs, work.nowMs],
      )
      return written === 1
    },
    async advance({ id: batch, holder, leaseUntilMs, from, to, unsettled }) {
      const written = await work.write(
        `update batches set place = $5, unsettled = $6, lease_until_ms = $3
         where id = $1 and state = ${RUNNING} and holder = $2 and place = $4`,
        [dialect.id(batch), holder, leaseUntilMs, from, to, unsettled],
      )
      return written === 1
    },
    async tally(batch, moved, unmoved) {
      const values = [dialect.id(batch), moved, unmoved]
      await work.write('update batches set moved = moved + $2, unmoved = unmoved + $3 where id = $1', values)
    },
    async addHold(batch, hold) {
      await work.write('insert into batch_holds (batch, target, kind) values ($1, $2, $3) on conflict do nothing', [
        dialect.id(batch),
        ...named(hold),
      ])
    },
    async release(hold) {
      await work.write('delete from batch_holds where target = $1 and kind = $2', named(hold))
    },
  }
}

const named = ({ target, kind }: BatchHold): [string, number] => [target, KEY_KINDS.indexOf(kind)]

async function find(sql: Sql, batch: BatchId): Promise<BatchRecord | undefined> {
  const columns = batches.columns
    .split(', ')
    .map((name) => `b.${name}`)
    .join(', ')
  const text = `select ${columns}, p.body from batches b join batch_plans p on p.id = b.id where b.id = $1`
  const row = await sql.readOne(text, [sql.dialect.id(batch)])
  return row && { ...batches.read(row, sql.dialect), plan: row.body as string }
}

/** A batch stays listed, and a suspension undoable, for so long after it ended; a plan for so long after it was made. */
const KEPT_MS = 365 * 86_400_000
/** A plan may have a megabyte. */
const PURGED_AT_ONCE = 8

/** Forgets batches with their plans. What they held is found by `purgeHolds` then. */
export async function purgeBatches(work: Work, nowMs: number, limit: number): Promise<Step> {
  const { dialect } = work
  const most = Math.min(limit, PURGED_AT_ONCE)
  // One that is being undone lists what the other has to resume; the other stays so that this can be told.
  const rows = await work.read(
    `select id from batches as b
     where (state = ${PLANNED} and planned_at_ms <= $1 or state >= ${FIRST_END} and ended_at_ms <= $1)
       and (undone_by is null or exists (select 1 from batches as u where u.id = b.undone_by and u.state >= ${FIRST_END}))
       and (undoes is null or not exists (select 1 from batches as o where o.id = b.undoes))
     order by id limit $2 ${dialect.skipLocked}`,
    [nowMs - KEPT_MS, most],
  )
  for (const { id } of rows) {
    const batch = dialect.id(dialect.readId(id))
    await work.write('delete from batches where id = $1', [batch])
    await work.write('delete from batch_plans where id = $1', [batch])
  }
  return { gone: rows.length, more: rows.length > 0 } // Those that undid them are next.
}

/** Forgets what batches hold that are gone. Their ids are hopped over in the index, however many targets each holds. */
export async function purgeHolds(work: Work, limit: number): Promise<Step> {
  const [orphan] = await work.read(
    `with recursive holding (batch) as (
       select batch from (select batch from batch_holds order by batch limit 1) as first
       union all
       select (select h.batch from batch_holds as h where h.batch > holding.batch order by h.batch limit 1)
       from holding where holding.batch is not null
     )
     select batch from holding
     where batch is not null and not exists (select 1 from batches where id = holding.batch) limit 1`,
    [],
  )
  if (orphan === undefined) return { gone: 0, more: false }
  const gone = await work.write(
    `delete from batch_holds where batch = $1 and target in (select target from batch_holds where batch = $1 limit $2)`,
    [work.dialect.id(work.dialect.readId(orphan.batch)), limit],
  )
  return { gone, more: true }
}
