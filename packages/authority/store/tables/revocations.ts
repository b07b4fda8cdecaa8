/**
 * The revocation log. Its head is one row, locked last in a commit and until its end, so that numbers are dense and in the
 * order of the commits. The log is the rows between the head's `base` and its `seq`. A new epoch begins far above: its rows are laid
 * there piece by piece, unseen, and one change of the head makes them the log; what then lies below is purged.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import type { FamilyId } from '@signet/kernel/ids.ts'
import type { KeyKind, Revocation } from '@signet/kernel/revocation.ts'
import { KEY_KINDS } from '@signet/kernel/revocation.ts'
import { type Chance, epochSeconds } from '@signet/kernel/surroundings.ts'
import { heldAfter } from '../ports/peers.ts'
import type { LogAct, LogEntry, LogHead, RevocationLookups, RevocationTransitions } from '../ports/revocations.ts'
import { raise } from './meta.ts'
import type { News } from './news.ts'
import { boundedLimit, MAX_PAGE } from './page.ts'
import { peerLookups } from './peers.ts'
import type { Dialect, NewEntry, Place, Row, Sql, Work } from './sql.ts'

export const HEAD_COLUMNS = 'h.epoch, h.seq, h.floor, h.salt_version, h.salt, h.cutoff_ms'
const HEAD = `select ${HEAD_COLUMNS} from revocation_head h where h.one = 1`
/**
 * Of the head, as one value. Joined to it, PostgreSQL would walk a log of some ten thousand entries from its beginning to have it in order,
 * instead of going to the bound and finding it in order there.
 */
const ofHead = (column: string) => `(select ${column} from revocation_head h where h.one = 1)`
// A node of the version before begins an epoch without a base, and with a floor of 0.
const BASE = ofHead('case when h.base <= h.floor then h.base else 0 end')
const LOG = `revocation_log l where l.seq <= ${ofHead('h.seq')}`
const ENTRY = `select l.seq, ${ofHead('h.epoch')} as epoch, l.at_ms, l.key, l.cutoff_ms, l.drop_after, l.kind, l.issuer, l.target, l.reason, l.actor, l.act, l.origin
  from ${LOG}`
const OF_KEY = `${ENTRY} and l.seq > ${BASE} and l.key = $1 order by l.seq desc limit 100`
/** After a number and in the log. One bound, so that the engine goes straight to it. */
const after = (sql: Sql, parameter: string) => `l.seq > ${sql.dialect.larger}(${parameter}, ${BASE})`

const ACTS: readonly LogAct[] = ['revoke', 'renew', 'suspend', 'cover']

/** Entries that one `after` gives at most. */
const MAX_ENTRIES = 10_000

export function revocationLookups(sql: Sql, news: News, snapshot: RevocationLookups['snapshot']): RevocationLookups {
  return {
    head: () => readHead(sql),
    since: (seq, limit) => readSince(sql, seq, limit),
    after: (seq, limit) => readAfter(sql, seq, limit),
    async before(seq, within, fromMs, toMs) {
      const text = `${ENTRY} and ${after(sql, '$1')} and l.seq < $2 and l.cutoff_ms >= $3 and l.cutoff_ms < $4 order by l.seq desc`
      const rows = await sql.read(text, [seq - 1 - boundedLimit(within, MAX_ENTRIES), seq, fromMs, toMs])
      return rows.map((row) => readEntry(row, sql))
    },
    snapshot,
    async ofKey(key) {
      return (await sql.read(OF_KEY, [key])).map((row) => readEntry(row, sql))
    },
    async nextDue() {
      const row = await sql.readOne('select due_ms from deferred_cutoffs order by due_ms limit 1', [])
      return row?.due_ms as number | undefined
    },
    followCommits: news.follow,
  }
}

async function readAfter(sql: Sql, seq: number, limit: number): Promise<LogEntry[]> {
  const text = `${ENTRY} and ${after(sql, '$1')} order by l.seq limit $2`
  const rows = await sql.read(text, [seq, boundedLimit(limit, MAX_ENTRIES)])
  return rows.map((row) => readEntry(row, sql))
}

/** On PostgreSQL one statement, since two of them cost twice as much; the bound on the inner one keeps its rows in order. */
async function readSince(sql: Sql, seq: number, limit: number): ReturnType<RevocationLookups['since']> {
  if (sql.dialect.engine === 'sqlite') return { head: await readHead(sql), entries: await readAfter(sql, seq, limit) }
  const text = `select h.epoch as head_epoch, h.seq as head_seq, h.floor as head_floor, e.*
    from revocation_head h left join lateral (${ENTRY} and ${after(sql, '$1')} order by l.seq limit $2) e on true where h.one = 1`
  const rows = await sql.read(text, [seq, boundedLimit(limit, MAX_ENTRIES)])
  const [head] = rows
  if (head === undefined) throw new Error('the revocation log has no head')
  return {
    head: { epoch: head.head_epoch as string, seq: head.head_seq as number, floor: head.head_floor as number },
    entries: rows.filter((row) => row.seq !== null).map((row) => readEntry(row, sql)),
  }
}

export async function readHead(sql: Sql): Promise<LogHead> {
  const row = await sql.readOne(HEAD, [])
  if (row === undefined) throw new Error('the revocation log has no head')
  return headOf(row, sql.dialect)
}

export function headOf(row: Row, dialect: Dialect): LogHead {
  return {
    epoch: row.epoch as string,
    seq: row.seq as number,
    floor: row.floor as number,
    salt: { version: row.salt_version as number, bytes: dialect.readBytes(row.salt) },
    cutoffMs: row.cutoff_ms as number,
  }
}

/** Begins the first epoch, unless there is one. */
export async function createHead(work: Work, chance: Chance): Promise<void> {
  const text = `insert into revocation_head (one, epoch, seq, floor, salt_version, salt) values (1, $1, 0, 0, 1, $2) on conflict do nothing`
  await work.write(text, [toBase64Url(chance.bytes(12)), chance.bytes(16)])
}

/** Part of a snapshot: entries needed at `nowAt` after `seq`, by sequence, at most `limit`. The caller holds one moment still. */
export async function snapshotPart(
  sql: Sql,
  nowAt: number,
  seq: number,
  limit: number,
): Promise<readonly (Revocation & { readonly seq: number })[]> {
  const text = `select l.seq, l.key, l.cutoff_ms, l.drop_after from ${LOG} and ${after(sql, '$1')} and l.drop_after > $2
    order by l.seq limit $3`
  return (await sql.read(text, [seq, nowAt, limit])).map((row) => ({
    seq: row.seq as number,
    key: sql.dialect.readBytes(row.key),
    cutoffMs: row.cutoff_ms as number,
    dropAfter: row.drop_after as number,
  }))
}

export function revocationTransitions(work: Work, news: News | undefined): RevocationTransitions {
  const { outbox, dialect } = work
  const { larger } = dialect
  return {
    async head() {
      const head = work.known.head ?? (await readHead(work))
      work.known.head = head
      outbox.head = head
      return head
    },
    append(entry) {
      const place: Place = { seq: 0, epoch: '', beforeMs: 0 }
      outbox.entries.push({ entry, place })
      work.afterCommit(() => news?.appended(() => ({ ...entry, seq: place.seq, epoch: place.epoch, atMs: work.nowMs })))
      return place
    },
    async ofKey(key) {
      return (await work.read(OF_KEY, [key])).map((row) => readEntry(row, work))
    },
    async stage(entries, staged) {
      const { base, count } = staged ?? { base: await nextBase(work), count: 0 }
      await insertRows(
        work,
        entries.map((entry, n) => entryValues(base + count + n + 1, work.nowMs, entry)),
      )
      return { base, count: count + entries.length }
    },
    async newEpoch(epoch, salt, entries, staged) {
      await work.exclusive()
      // Held to the head that this work decided by: a revocation that came in between would be lost.
      const seen = outbox.head ?? (await readHead(work))
      const { base, count } = staged ?? { base: await nextBase(work), count: 0 }
      const seq = base + count + entries.length
      const cutoffMs = entries.reduce((most, entry) => Math.max(most, entry.cutoffMs), seen.cutoffMs)
      work.known.head = undefined
      const moved = await work.write(
        `update revocation_head set epoch = $1, seq = $2, floor = $3, base = $3, salt_version = $4, salt = $5, cutoff_ms = $8
         where one = 1 and epoch = $6 and seq = $7`,
        [epoch, seq, base, salt.version, salt.bytes, seen.epoch, seen.seq, cutoffMs],
      )
      if (moved !== 1) work.again()
      // The head is locked now, and who sweeps locks it too: what is there stays.
      const swept = (await work.readOne('select value from meta where name = $1', [SWEPT]))?.value
      if (Number(swept ?? 0) > base) return false
      await insertRows(
        work,
        entries.map((entry, n) => entryValues(base + count + n + 1, work.nowMs, entry)),
      )
      outbox.head = { epoch, seq, floor: base, salt, cutoffMs }
      work.known.head = outbox.head
      outbox.renewed = true
      work.afterCommit(() => news?.renewed())
      return true
    },
    async defer(cutoff) {
      await work.write(
        `insert into deferred_cutoffs (due_ms, family, cutoff_ms) values ($1, $2, $3) on conflict (due_ms, family)
         do update set cutoff_ms = ${larger}(deferred_cutoffs.cutoff_ms, excluded.cutoff_ms)`,
        [cutoff.dueMs, dialect.id(cutoff.family), cutoff.cutoffMs],
      )
    },
    async takeDue(nowMs, limit) {
      const rows = await work.writeRows(
        `delete from deferred_cutoffs where (due_ms, family) in
         (select due_ms, family from deferred_cutoffs where due_ms <= $1 order by due_ms limit $2 ${dialect.skipLocked})
         returning due_ms, family, cutoff_ms`,
        [nowMs, boundedLimit(limit, MAX_PAGE)],
      )
      return rows
        .map((row) => ({
          dueMs: row.due_ms as number,
          family: dialect.readId(row.family) as FamilyId,
          cutoffMs: row.cutoff_ms as number,
        }))
        .sort((a, b) => a.dueMs - b.dueMs)
    },
  }
}

/** More than the log grows by while a new epoch is laid out above it; numbers stay whole for two million epochs. */
const GAP = 2 ** 32

/** Where the numbers of a new epoch may begin: above all there are, so that two that are laid out at once stay apart. */
async function nextBase(work: Work): Promise<number> {
  const row = await work.readOne(
    `select ${work.dialect.larger}(seq, coalesce((select max(seq) from revocation_log), 0)) as top from revocation_head where one = 1`,
    [],
  )
  return (row?.top as number) + GAP
}

/**
 * Gives the entries of a commit their numbers; the last thing before the commit, since it locks the head. False when the
 * epoch is not the one whose salt the entries' keys were made with.
 */
export async function appendEntries(
  work: Work,
  seenEpoch: string | undefined,
  outboxes: readonly Work['outbox'][],
): Promise<boolean> {
  const all = outboxes.flatMap((outbox) => outbox.entries)
  if (all.length === 0) return true
  const rows = all.map(({ entry }, n) => entryValues(n + 1, work.nowMs, entry))
  const head = await (work.dialect.engine === 'postgres' ? appendMany : appendEach)(work, seenEpoch ?? null, rows)
  if (head === undefined) return false
  const before = (head.seq as number) - all.length
  all.forEach(({ place }, n) => {
    work.afterCommit(() => {
      place.seq = before + n + 1
      place.epoch = head.epoch as string
      place.beforeMs = head.previous_cutoff_ms as number
    })
  })
  return true
}

/** A log row; its first value is its place in the commit, or its sequence number. */
type Entry = (string | number | Uint8Array | null)[]

const COLUMNS = 'seq, at_ms, key, cutoff_ms, drop_after, kind, issuer, target, reason, actor, act, origin'
const INSERT = `insert into revocation_log (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
const ADVANCE = `update revocation_head set seq = seq + $1, previous_cutoff_ms = cutoff_ms, cutoff_ms = max(cutoff_ms, $3)
  where one = 1 and epoch = coalesce($2, epoch) returning seq, epoch, previous_cutoff_ms`
const CUTOFF = 3
const largest = (rows: readonly Entry[]): number => rows.reduce((most, row) => Math.max(most, row[CUTOFF] as number), 0)

async function appendEach(work: Work, epoch: string | null, rows: readonly Entry[]): Promise<Row | undefined> {
  const [head] = await work.writeRows(ADVANCE, [rows.length, epoch, largest(rows)])
  if (head === undefined) return undefined
  const before = (head.seq as number) - rows.length
  for (const [place, ...rest] of rows) await work.write(INSERT, [before + (place as number), ...rest])
  return head
}

/** Where the head is of another epoch it divides by zero, so that a commit that was sent along does not go through. */
const APPEND_MANY = `with head as (update revocation_head set seq = seq + cast($1 as bigint), previous_cutoff_ms = cutoff_ms,
      cutoff_ms = greatest(cutoff_ms, cast($15 as bigint))
    where one = 1 and epoch = coalesce($2, epoch) returning seq, epoch, previous_cutoff_ms),
  put as (insert into revocation_log (${COLUMNS})
    select head.seq - $1 + r.place, r.at_ms, r.key, r.cutoff_ms, r.drop_after, r.kind, r.issuer, r.target, r.reason, r.actor,
      r.act, r.origin
    from head, unnest($3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::smallint[], $9::text[], $10::text[],
      $11::text[], $12::text[], $13::smallint[], $14::text[])
      as r(place, at_ms, key, cutoff_ms, drop_after, kind, issuer, target, reason, actor, act, origin))
  select seq, epoch, previous_cutoff_ms, 1 / cast(there as integer) as there
  from (select count(*) as there from head) as counted left join head on true`

async function appendMany(work: Work, epoch: string | null, rows: readonly Entry[]): Promise<Row | undefined> {
  return (await work.writeRows(APPEND_MANY, [rows.length, epoch, ...columnsOf(rows), largest(rows)]))[0]
}

async function insertRows(work: Work, rows: readonly Entry[]): Promise<void> {
  if (rows.length === 0) return
  if (work.dialect.engine === 'postgres') await work.write(INSERT_MANY, columnsOf(rows))
  else for (const row of rows) await work.write(INSERT, row)
}

const INSERT_MANY = `insert into revocation_log (${COLUMNS}) select * from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[],
  $5::bigint[], $6::smallint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::smallint[], $12::text[])`

const columnsOf = (rows: readonly Entry[]): Entry[] => (rows[0] ?? []).map((_, n) => rows.map((row) => row[n] as Entry[number]))

function entryValues(seq: number, atMs: number, entry: NewEntry): Entry {
  const { key, cutoffMs, dropAfter, kind, issuer, target, reason, actor, act, origin } = entry
  const about = [issuer, target, reason, actor, act === undefined ? null : ACTS.indexOf(act), origin ?? null]
  return [seq, atMs, key, cutoffMs, dropAfter, KEY_KINDS.indexOf(kind), ...about]
}

function readEntry(row: Row, { dialect }: Sql): LogEntry {
  return {
    seq: row.seq as number,
    epoch: row.epoch as string,
    atMs: row.at_ms as number,
    key: dialect.readBytes(row.key),
    cutoffMs: row.cutoff_ms as number,
    dropAfter: row.drop_after as number,
    kind: KEY_KINDS[row.kind as number] as KeyKind,
    issuer: row.issuer as string,
    target: row.target as string,
    reason: row.reason as string,
    actor: row.actor as string,
    ...(row.act !== null && { act: ACTS[row.act as number] as LogAct }),
    ...(row.origin !== null && { origin: row.origin as string }),
  }
}

/**
 * Forgets entries that no living token needs, at most `limit`; the floor rises to the last of them. What another region has not taken over
 * yet is kept for it, expired or not: there may be grants and sessions there that have to end.
 */
export async function purgeEntries(work: Work, nowMs: number, limit: number): Promise<number> {
  const nowAt = epochSeconds(nowMs)
  const over = await work.read(
    `select l.seq from ${LOG} and l.seq > ${BASE} and l.drop_after <= $1 and (l.seq <= $3 or l.drop_after <= $4)
     order by l.drop_after limit $2`,
    [nowAt, limit, await takenOverByAll(work), nowAt - LONGEST_HOLD_SECONDS],
  )
  if (over.length === 0) return 0
  const last = Math.max(...over.map((row) => row.seq as number))
  await work.write(`update revocation_head set floor = ${work.dialect.larger}(floor, $1) where one = 1`, [last])
  work.known.head = undefined // Its floor has risen.
  let gone = 0
  for (const row of over) gone += await work.write('delete from revocation_log where seq = $1', [row.seq as number])
  return gone
}

/** Meta name of the largest number that was forgotten before its epoch began: who staged it must not begin one. */
const SWEPT = 'log_swept'
/** What was staged so long ago is nobody's any more. */
const ABANDONED_MS = 3_600_000

/** Forgets the rows outside the log, at most `limit`: of epochs that are over, and staged for one that never began. */
export async function purgeOutside(work: Work, nowMs: number, limit: number): Promise<number> {
  const bounds = await work.readOne(`select ${BASE} as base, h.seq from revocation_head h where h.one = 1`, [])
  const over = await work.write(
    'delete from revocation_log where seq in (select seq from revocation_log where seq <= $1 order by seq limit $2)',
    [bounds?.base as number, limit],
  )
  // The first of them is the oldest, for each epoch is laid out above those before it: so no more is read than goes.
  const staged = 'select seq, at_ms from revocation_log where seq > $1 order by seq limit $2'
  const isAbandoned = (row: Row | undefined) => row !== undefined && (row.at_ms as number) <= nowMs - ABANDONED_MS
  if (over > 0 || !isAbandoned(await work.readOne(staged, [bounds?.seq as number, 1]))) return over
  // Under the head's lock, for now they may be the log.
  const [head] = await work.writeRows('update revocation_head set floor = floor where one = 1 returning seq', [])
  const abandoned = (await work.read(staged, [head?.seq as number, limit])).filter(isAbandoned).map((row) => row.seq as number)
  if (abandoned.length === 0) return 0
  await raise(work, SWEPT, Math.max(...abandoned))
  let gone = 0
  for (const seq of abandoned) gone += await work.write('delete from revocation_log where seq = $1', [seq])
  return gone
}

/** A region that was cut off for longer than this finds a gap, and an operator has to look (docs/regions.md). */
const LONGEST_HOLD_SECONDS = 30 * 86_400

/** Everything, when there is no other region. */
async function takenOverByAll(work: Work): Promise<number> {
  const peers = await peerLookups(work).all()
  return peers.length === 0 ? Number.MAX_SAFE_INTEGER : heldAfter(peers, (await readHead(work)).epoch)
}
