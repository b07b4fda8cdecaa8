/** The audit record: chains of batches, one batch for each commit that had events. Nothing here is ever changed or deleted. */
import { type AuditBatch, batchHash, eventsRoot, GENESIS, joinEvents } from '@signet/kernel/audit-entry.ts'
import { sha256 } from '../../surroundings.ts'
import type { AuditLookups, StoredCheckpoint } from '../ports/audit.ts'
import { bytes, id, integer, table, text } from './columns.ts'
import { boundedLimit, MAX_PAGE } from './page.ts'
import type { Row, Sql, Work } from './sql.ts'

const batches = table<AuditBatch>('audit_batches', {
  chain: ['chain', id],
  index: ['idx', integer],
  atMs: ['at_ms', integer],
  events: ['events', text],
  count: ['count', integer],
  previous: ['previous', bytes],
  hash: ['hash', bytes],
})

/** A link of a chain; 0 is before the first. */
export interface ChainPlace {
  readonly chain: string
  readonly index: number
}

/** Where a chain ends. */
export interface ChainHead extends ChainPlace {
  readonly hash: Uint8Array
}

/** The most batches looked through by one statement of a search, so that no other reader waits long. */
const SEARCH_STRIDE = 2000

export function auditLookups(sql: Sql, slow: Sql): AuditLookups {
  const { dialect } = sql
  return {
    async chains() {
      const rows = await sql.read('select chain, idx, hash, started_at_ms from audit_chains order by started_at_ms, chain', [])
      return rows.map((row) => ({ ...readHead(row, sql), startedAtMs: row.started_at_ms as number }))
    },
    async headsSince(atMs) {
      const rows = await sql.read(
        `select c.chain, c.idx, c.hash from audit_chains c join audit_batches b on b.chain = c.chain and b.idx = c.idx
         where b.at_ms >= $1 order by c.chain`,
        [atMs],
      )
      return rows.map((row) => readHead(row, sql))
    },
    async batches(chain, fromIndex, limit) {
      const rows = await slow.read(
        `select ${batches.columns} from audit_batches where chain = $1 and idx >= $2 order by idx limit $3`,
        [dialect.id(chain), fromIndex, boundedLimit(limit, MAX_PAGE)],
      )
      return rows.map((row) => batches.read(row, dialect))
    },
    search: (search) => searchBatches(slow, search),
    async checkpoints() {
      const rows = await sql.read('select at_ms, note from audit_checkpoints order by at_ms, n', [])
      return rows.map(readCheckpoint)
    },
    async checkpointsBefore(place, limit) {
      const rows = await sql.read('select n, at_ms, note from audit_checkpoints where n < $1 order by n desc limit $2', [
        place ?? MAX_PLACE,
        boundedLimit(limit, MAX_PAGE),
      ])
      return rows.map((row) => ({ place: row.n as number, ...readCheckpoint(row) }))
    },
  }
}

/** Numbers of rows are 32 bits. */
const MAX_PLACE = 2 ** 31 - 1

const readCheckpoint = (row: Row): StoredCheckpoint => ({ atMs: row.at_ms as number, note: row.note as string })

async function searchBatches(sql: Sql, search: Parameters<AuditLookups['search']>[0]): Promise<AuditBatch[]> {
  const { dialect } = sql
  const limit = boundedLimit(search.limit, MAX_PAGE)
  const found: AuditBatch[] = []
  let place = search.after ?? { atMs: search.fromMs, chain: '00000000-0000-0000-0000-000000000000', index: 0 }
  for (;;) {
    const stride = `select chain, idx, at_ms from audit_batches where (at_ms, chain, idx) > ($1, $2, $3) and at_ms >= $4 and at_ms <= $5
      order by at_ms, chain, idx limit 1 offset ${SEARCH_STRIDE - 1}`
    const from = [place.atMs, dialect.id(place.chain), place.index]
    const end = await sql.readOne(stride, [...from, search.fromMs, search.toMs])
    const last = end
      ? [end.at_ms as number, dialect.id(dialect.readId(end.chain)), end.idx as number]
      : [search.toMs, dialect.id(LAST), MOST]
    const rows = await sql.read(
      `select ${batches.columns} from audit_batches where (at_ms, chain, idx) > ($1, $2, $3) and at_ms >= $4
       and (at_ms, chain, idx) <= ($5, $6, $7) and ($8 = '' or ${dialect.position}(events, $8) > 0)
       order by at_ms, chain, idx limit $9`,
      [...from, search.fromMs, ...last, search.text ?? '', limit - found.length],
    )
    for (const row of rows) found.push(batches.read(row, dialect))
    if (end === undefined || found.length === limit) return found
    place = { atMs: end.at_ms as number, chain: dialect.readId(end.chain), index: end.idx as number }
  }
}

const LAST = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const MOST = Number.MAX_SAFE_INTEGER

/** Makes the next link of a chain from the events of one commit. */
export function linkOf(head: ChainHead, atMs: number, events: readonly string[]): AuditBatch {
  const index = head.index + 1
  const hash = batchHash(sha256, { chain: head.chain, index, atMs, previous: head.hash, root: eventsRoot(sha256, events) })
  return { chain: head.chain, index, atMs, events: joinEvents(events), count: events.length, previous: head.hash, hash }
}

/** On PostgreSQL, in one statement. */
const WRITE_LINK = `with moved as (update audit_chains set idx = $2, hash = $7 where chain = $1 and idx = $2 - 1 returning 1),
  put as (${batches.insert}) select count(*) as moved from moved`

/** Writes a link and moves the chain's head on to it. False, or refused by the key, when the head is not where the link was made for. */
export async function writeLink(work: Work, link: AuditBatch): Promise<boolean> {
  const { dialect } = work
  if (dialect.engine === 'postgres' && link.index > 1) {
    const [row] = await work.writeRows(WRITE_LINK, batches.values(link, dialect))
    return row?.moved === 1
  }
  const [moved] = await Promise.all([
    link.index === 1
      ? work.write('insert into audit_chains (chain, idx, hash, started_at_ms) values ($1, 1, $2, $3) on conflict do nothing', [
          dialect.id(link.chain),
          link.hash,
          link.atMs,
        ])
      : work.write('update audit_chains set idx = $2, hash = $3 where chain = $1 and idx = $2 - 1', [
          dialect.id(link.chain),
          link.index,
          link.hash,
        ]),
    work.write(batches.insert, batches.values(link, dialect)),
  ])
  return moved === 1
}

/** Where the chain stands; at its beginning when it was never written. */
export async function readChain(sql: Sql, chain: string): Promise<ChainHead> {
  const row = await sql.readOne('select chain, idx, hash from audit_chains where chain = $1', [sql.dialect.id(chain)])
  return row === undefined ? { chain, index: 0, hash: GENESIS } : readHead(row, sql)
}

function readHead(row: Row, { dialect }: Sql): ChainHead {
  return { chain: dialect.readId(row.chain), index: row.idx as number, hash: dialect.readBytes(row.hash) }
}
