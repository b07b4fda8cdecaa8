/** Stores filled in bulk by the engines' own SQL, which is a hundred times faster than a transition for each row. */
import { hash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { defaultSettings } from '@signet/authority/policy/settings.ts'
import { restartLog } from '@signet/authority/revocation/restart.ts'
import type { Store } from '@signet/authority/store/store.ts'
import { realSurroundings, sha256 } from '@signet/authority/surroundings.ts'
import { type FamilyId, idFromBytes, idToBytes } from '@signet/kernel/ids.ts'
import type pg from 'pg'

export interface Filled {
  readonly count: number
  /** Bytes that the families take with their indexes. */
  readonly bytes: number
  /** The id of the family at this place; the first half is over. */
  idAt(place: number): FamilyId
}

const DAY_MS = 86_400_000
/** The families were made one after another in so long, the older half in sessions that are long over. */
const SPAN_MS = 80 * DAY_MS
const IDLE_SECONDS = 14 * 86_400
const LIFE_SECONDS = 90 * 86_400

const TERMS = JSON.stringify([
  'bench-web',
  'web',
  ['a'],
  ['https://orders.bench.example'],
  'urn:signet:acr:password',
  ['pwd'],
  'bench',
  IDLE_SECONDS,
])

function createIds(count: number) {
  const fromMs = Date.now() - SPAN_MS
  const gapMs = SPAN_MS / count
  return {
    /** A UUIDv7 whose chance is a digest of the place, so that ids need not be remembered. */
    idAt(place: number): FamilyId {
      const bytes = hash('md5', String(place), 'buffer')
      bytes.writeUIntBE(Math.floor(fromMs + place * gapMs), 0, 6)
      bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70
      bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
      return idFromBytes<FamilyId>(bytes)
    },
  }
}

/** When the family at this place was last rotated: half of them so long ago that a purge takes them. */
const rotatedMs = (place: number, count: number): number => Date.now() - (place < count / 2 ? 30 * DAY_MS : 1000)

export function fillSqlite(db: DatabaseSync, count: number, entries: number): Filled {
  const { idAt } = createIds(count)
  db.exec('pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = -2000000; pragma wal_autocheckpoint = 100000')
  db.prepare('insert into terms (n, digest, body) values (1, ?, ?)').run(sha256(TERMS), TERMS)
  const bytes = () => Number((db.prepare('pragma page_count').get() as { page_count: number }).page_count) * 2048
  const before = bytes()
  const insert =
    db.prepare(`insert into families (id, subject, session, device, nonce, seen, cutoff_ms, created_after_ms, rotated_at_ms, terms,
    auth_age, idle_seconds, life_seconds, generation, ring, previous_ring, status, grace, runs, jkt, parent)
    values (?, randomblob(16), ?, ?, randomblob(16), randomblob(8), 0, 0, ?, 1, 0, ${IDLE_SECONDS}, ${LIFE_SECONDS}, 0, 1, 1, 0, 0, 0, x'', x'')`)
  for (let place = 0; place < count; ) {
    db.exec('begin')
    for (const end = Math.min(count, place + 100_000); place < end; place++) {
      const id = idToBytes(idAt(place))
      insert.run(id, id, id, rotatedMs(place, count))
    }
    db.exec('commit')
  }
  const taken = bytes() - before
  db.exec(`begin; with recursive n(i) as (select 1 union all select i + 1 from n where i < ${entries})
    insert into revocation_log (seq, at_ms, key, cutoff_ms, drop_after, kind, issuer, target, reason, actor)
    select i, ${Date.now()}, randomblob(16), 1, 5000000000, 0, 'https://auth.bench.example', 't' || i, 'bench', 'system' from n;
    update revocation_head set seq = ${entries}; commit`)
  db.exec('pragma wal_checkpoint(truncate)')
  return { count, bytes: taken, idAt }
}

export async function fillPostgres(client: pg.Client, count: number, entries: number): Promise<Filled> {
  const { idAt } = createIds(count)
  await client.query('set synchronous_commit = off')
  await client.query('insert into terms (digest, body) values ($1, $2)', [sha256(TERMS), TERMS])
  const bytes = async () => Number((await client.query("select pg_total_relation_size('families') as size")).rows[0].size)
  const before = await bytes()
  const { n: terms } = (await client.query('select n from terms limit 1')).rows[0]
  for (let place = 0; place < count; ) {
    const end = Math.min(count, place + 20_000)
    const ids = Array.from({ length: end - place }, (_, at) => idAt(place + at))
    await client.query(
      `insert into families (id, subject, session, device, nonce, seen, cutoff_ms, created_after_ms, rotated_at_ms, terms,
        auth_age, idle_seconds, life_seconds, generation, ring, previous_ring, status, grace, runs, jkt, parent)
       select id, gen_random_uuid(), id, id, decode(md5(id::text), 'hex'), substr(decode(md5(id::text), 'hex'), 1, 8), 0, 0, $2, $3,
        0, ${IDLE_SECONDS}, ${LIFE_SECONDS}, 0, 1, 1, 0, 0, 0, '', '' from unnest($1::uuid[]) as i(id)`,
      [ids, rotatedMs(place, count), terms],
    )
    place = end
  }
  const taken = (await bytes()) - before
  await client.query(
    `insert into revocation_log (seq, at_ms, key, cutoff_ms, drop_after, kind, issuer, target, reason, actor)
     select i, $1, decode(md5(i::text), 'hex'), 1, 5000000000, 0, 'https://auth.bench.example', 't' || i, 'bench', 'system'
     from generate_series(1, $2::int) as i`,
    [Date.now(), entries],
  )
  await client.query('update revocation_head set seq = $1', [entries])
  await client.query('vacuum analyze')
  return { count, bytes: taken, idAt }
}

/** Begins a new epoch over the whole log; gives how many entries went over. */
export async function renewLog(store: Store): Promise<number> {
  const { seq, floor } = await store.revocations.head()
  const surroundings = realSurroundings()
  await restartLog(
    { reason: 'bench', actor: 'operator:bench' },
    { store, issuer: 'https://auth.bench.example', settings: defaultSettings, sha256, ...surroundings },
  )
  return seq - floor
}
