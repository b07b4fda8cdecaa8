/**
 * Refresh families: one row each, updated in place by every rotation, so the row is kept small. Times that lie near one
 * another are stored as distances: creation from the id's own time, the rest from creation or the last rotation.
 */
import { fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import type { DeviceId, FamilyId, SessionId, SubjectId, TokenId } from '@signet/kernel/ids.ts'
import { idFromBytes, idTimeMs, idToBytes, isUuid, isUuidV7 } from '@signet/kernel/ids.ts'
import { epochSeconds } from '@signet/kernel/surroundings.ts'
import type { FamilyLookups, FamilyRecord, FamilyStanding, FamilyTransitions, Rotation } from '../ports/families.ts'
import type { Status } from '../ports/standing.ts'
import { STATUSES } from './columns.ts'
import { raise } from './meta.ts'
import { uuidPageOf } from './page.ts'
import type { Dialect, Gathering, Row, Sql, Value, Work } from './sql.ts'
import { changeStanding, readStanding } from './standing.ts'
import type { TermsTable } from './terms.ts'
import { together } from './together.ts'

const NAMES = [
  'id',
  'subject',
  'session',
  'device',
  'nonce',
  'seen',
  'cutoff_ms',
  'created_after_ms',
  'rotated_at_ms',
  'terms',
  'auth_age',
  'idle_seconds',
  'life_seconds',
  'generation',
  'ring',
  'previous_ring',
  'status',
  'grace',
  'runs',
  'jkt',
  'parent',
]
/** The byte strings and ids among them, apart from the key. */
const BYTES = ['subject', 'session', 'device', 'nonce', 'seen', 'jkt', 'parent']
const standingsOf = (...tables: readonly string[]) =>
  tables.map((t) => `${t}.status as ${t}_status, ${t}.cutoff_ms as ${t}_cutoff, ${t}.revoked_ms as ${t}_revoked`).join(', ')

// Each byte string costs SQLite's driver as much as ten numbers, so there all but the id are read as one.
const NUMBERS = NAMES.filter((name) => name !== 'id' && !BYTES.includes(name))
  .map((name) => `f.${name}`)
  .join(', ')
const COLUMNS = {
  postgres: `${NUMBERS}, ${BYTES.map((name) => `f.${name}`).join(', ')}`,
  sqlite: `${NUMBERS}, cast(f.subject || f.nonce || f.seen || coalesce(f.session, zeroblob(16)) || coalesce(f.device, zeroblob(16))
    || f.jkt || f.parent as blob) as packed`,
} as const

const find = (columns: string, which: string) => `select ${columns}, ${standingsOf('u', 's', 'd')} from families f
  left join subjects u on u.id = f.subject left join sessions s on s.id = f.session left join devices d on d.id = f.device
  where ${which}`
const FIND = find(COLUMNS.sqlite, 'f.id = $1')
const FIND_ALL = find(`f.id, ${COLUMNS.postgres}`, 'f.id = any($1::uuid[])')
const STANDINGS = `select ${standingsOf('u', 's', 'd', 'c')} from (select 1) as one
  left join subjects u on u.id = $1 left join sessions s on s.id = $2 left join devices d on d.id = $3 left join clients c on c.id = $4`
const INSERT = `insert into families (${NAMES.join(', ')}) values (${NAMES.map((_, n) => `$${n + 1}`).join(', ')})`

/** Meta name of the longest life any family was given: sessions must be remembered for so long after their end. */
export const LONGEST_FAMILY = 'max_family_seconds'

/** The two runs share a number, each up to this; policy decides far below it. */
const MAX_RUN = 32_767
/** `grace` is twice the count and a bit, in 16 bits. */
const MAX_GRACE = 16_000
/** 68 years: a span is 32 bits. */
const MAX_SPAN = 2 ** 31 - 1

export function familyLookups(sql: Sql, terms: TermsTable): FamilyLookups {
  const { dialect } = sql

  async function standingOf(id: FamilyId, row: Row | undefined): Promise<FamilyStanding | undefined> {
    if (row === undefined) return undefined
    const family = await readFamily(sql, terms, id, row)
    return { family, subject: readStanding(row, 'u_'), session: readStanding(row, 's_'), device: readStanding(row, 'd_') }
  }

  async function findAll(ids: readonly FamilyId[]): Promise<readonly (FamilyStanding | undefined)[]> {
    const rows = new Map((await sql.read(FIND_ALL, [ids.filter(isUuid)])).map((row) => [row.id as FamilyId, row]))
    return Promise.all(ids.map((id) => standingOf(id, rows.get(id))))
  }

  return {
    find:
      dialect.engine === 'postgres' ? together(findAll) : async (id) => standingOf(id, await sql.readOne(FIND, [dialect.id(id)])),
    async standings({ subject, session, device, client }) {
      const row = (await sql.readOne(STANDINGS, [dialect.id(subject), dialect.id(session), dialect.id(device), client])) as Row
      return {
        subject: readStanding(row, 'u_'),
        session: readStanding(row, 's_'),
        device: readStanding(row, 'd_'),
        client: readStanding(row, 'c_'),
      }
    },
    async ofSubject(subject, page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select f.id, ${COLUMNS[dialect.engine]} from families f where ${dialect.isSubject('f.subject', '$1')} and f.id > $2 order by f.id limit $3`
      const rows = await sql.read(text, [dialect.id(subject), dialect.id(after), limit])
      return Promise.all(rows.map((row) => readFamily(sql, terms, dialect.readId(row.id) as FamilyId, row)))
    },
    async all(page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select f.id, ${COLUMNS[dialect.engine]} from families f where f.id > $1 order by f.id limit $2`
      const rows = await sql.read(text, [dialect.id(after), limit])
      return Promise.all(rows.map((row) => readFamily(sql, terms, dialect.readId(row.id) as FamilyId, row)))
    },
  }
}

export function familyTransitions(work: Work, terms: TermsTable, longest: { seconds: number }): FamilyTransitions {
  const { dialect } = work
  return {
    async create(family) {
      const life = family.expiresAt - epochSeconds(family.createdAtMs)
      if (life > longest.seconds) {
        const seconds = await raise(work, LONGEST_FAMILY, life)
        work.afterCommit(() => {
          longest.seconds = Math.max(longest.seconds, seconds)
        })
      }
      await work.gather(creation, familyValues(family, await terms.number(work, family.terms), work))
    },
    rotate: (rotation) => work.gather(turn, rotation),
    async countGrace(grace) {
      const written = await work.write(
        'update families set grace = (grace + 2) | $4 where id = $1 and generation = $2 and status = 0 and grace < 2 * $3',
        [dialect.id(grace.id), grace.generation, Math.min(grace.limit, MAX_GRACE), grace.foreign ? 1 : 0],
      )
      return written === 1
    },
    changeStanding: (id, change) => changeStanding(work, { table: 'families', key: dialect.id(id), hasRevoked: false }, change),
    async status(id) {
      const row = await work.readOne('select status from families where id = $1', [dialect.id(id)])
      return row && STATUSES[row.status as number]
    },
  }
}

/** A row's values in the order of `NAMES`. */
function familyValues(family: FamilyRecord, termsNumber: number, { dialect }: Sql): Value[] {
  if (!isUuidV7(family.id)) throw new Error('a family id must be a UUIDv7')
  return [
    dialect.id(family.id),
    dialect.id(family.subject),
    family.session === undefined ? null : dialect.id(family.session),
    family.device === undefined ? null : dialect.id(family.device),
    family.nonce,
    family.seen,
    family.cutoffMs,
    family.createdAtMs - idTimeMs(family.id),
    family.rotatedAtMs,
    termsNumber,
    epochSeconds(family.createdAtMs) - family.authAt,
    span(epochSeconds(family.rotatedAtMs), family.idleExpiresAt),
    span(epochSeconds(family.createdAtMs), family.expiresAt),
    family.generation,
    family.ring,
    family.previousRing,
    STATUSES.indexOf(family.status),
    2 * family.graceCount + (family.graceForeign ? 1 : 0),
    packRuns(family),
    family.jkt === undefined ? NONE : thumbprint(family.jkt),
    family.parent === undefined ? NONE : idToBytes(family.parent),
  ]
}

async function readFamily(sql: Sql, terms: TermsTable, id: FamilyId, row: Row): Promise<FamilyRecord> {
  const createdAtMs = idTimeMs(id) + (row.created_after_ms as number)
  const createdAt = epochSeconds(createdAtMs)
  const rotatedAtMs = row.rotated_at_ms as number
  const grace = row.grace as number
  const runs = row.runs as number
  // A family is read for every refresh: what it may lack is put in afterwards, since to spread it in costs several times as much.
  const family: Writable<FamilyRecord> = {
    id,
    terms: terms.held(row.terms as number) ?? (await terms.find(sql, row.terms as number)),
    subject: NOBODY,
    status: STATUSES[row.status as number] as Status,
    cutoffMs: row.cutoff_ms as number,
    createdAtMs,
    authAt: createdAt - (row.auth_age as number),
    generation: row.generation as number,
    nonce: NONE,
    ring: row.ring as number,
    previousRing: row.previous_ring as number,
    rotatedAtMs,
    graceCount: grace >> 1,
    graceForeign: (grace & 1) === 1,
    graceRun: runs >> 15,
    foreignRun: runs & MAX_RUN,
    seen: NONE,
    idleExpiresAt: epochSeconds(rotatedAtMs) + (row.idle_seconds as number),
    expiresAt: createdAt + (row.life_seconds as number),
  }
  if (sql.dialect.engine === 'sqlite') unpack(row.packed as Uint8Array, family)
  else takeApart(row, sql.dialect, family)
  return family
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Of a family whose columns have not been read yet. */
const NOBODY = '' as SubjectId

/** What PostgreSQL gives column by column. */
function takeApart(row: Row, dialect: Dialect, family: Writable<FamilyRecord>): void {
  family.subject = row.subject as SubjectId
  family.nonce = dialect.readBytes(row.nonce)
  family.seen = dialect.readBytes(row.seen)
  if (row.session !== null) family.session = row.session as SessionId
  if (row.device !== null) family.device = row.device as DeviceId
  bind(family, dialect.readBytes(row.jkt), dialect.readBytes(row.parent))
}

/** What SQLite gives in one: subject 16, nonce 16, seen 8, session 16, device 16 (zeros for none), jkt 32 or 0, parent 16 or 0. */
function unpack(packed: Uint8Array, family: Writable<FamilyRecord>): void {
  family.subject = idFromBytes(packed)
  family.nonce = packed.subarray(16, 32)
  family.seen = packed.subarray(32, 40)
  if (!isZero(packed, 40)) family.session = idFromBytes<SessionId>(packed, 40)
  if (!isZero(packed, 56)) family.device = idFromBytes<DeviceId>(packed, 56)
  if (packed.length === 72) return
  const keyEnd = packed.length >= 104 ? 104 : 72
  bind(family, packed.subarray(72, keyEnd), packed.subarray(keyEnd))
}

function bind(family: Writable<FamilyRecord>, jkt: Uint8Array, parent: Uint8Array): void {
  if (jkt.length > 0) family.jkt = toBase64Url(jkt)
  if (parent.length > 0) family.parent = idFromBytes<TokenId>(parent)
}

function isZero(bytes: Uint8Array, from: number): boolean {
  for (let i = from; i < from + 16; i++) if (bytes[i] !== 0) return false
  return true
}

const span = (fromAt: number, toAt: number): number => Math.max(-MAX_SPAN, Math.min(MAX_SPAN, toAt - fromAt))

function packRuns(runs: { readonly graceRun: number; readonly foreignRun: number }): number {
  return (Math.min(runs.graceRun, MAX_RUN) << 15) | Math.min(runs.foreignRun, MAX_RUN)
}

/** Stands for what is absent, at no cost to the row. */
const NONE = new Uint8Array(0)

/** RFC 7638: a SHA-256 thumbprint is 32 bytes. */
function thumbprint(jkt: string): Uint8Array {
  const bytes = fromBase64Url(jkt)
  if (bytes?.length !== 32) throw new Error('a jkt must be a SHA-256 thumbprint')
  return bytes
}

// ── The two transitions that many do at once ───────────────────────────────────────────────────────────────────────

const creation: Gathering<Value[], void> = {
  name: 'families.create',
  key: (values) => String(values[0]),
  async one(work, values) {
    await work.write(INSERT, values)
  },
  async many(work, items) {
    await work.write(CREATE_MANY, columnsOf(items))
    return items.map(() => undefined)
  },
}

const TYPES: Readonly<Record<string, string>> = {
  ...{
    id: 'uuid',
    subject: 'uuid',
    session: 'uuid',
    device: 'uuid',
    parent: 'bytea',
    nonce: 'bytea',
    seen: 'bytea',
    jkt: 'bytea',
  },
  ...{ cutoff_ms: 'bigint', created_after_ms: 'bigint', rotated_at_ms: 'bigint' },
  ...{ ring: 'smallint', previous_ring: 'smallint', status: 'smallint' },
}
const CREATE_MANY = `insert into families (${NAMES.join(', ')})
  select * from unnest(${NAMES.map((name, n) => `$${n + 1}::${TYPES[name] ?? 'integer'}[]`).join(', ')})`

const ROTATE = `update families set generation = generation + 1, previous_ring = ring, ring = $3, rotated_at_ms = $4,
  idle_seconds = $5, runs = $6, seen = $7, cutoff_ms = max(cutoff_ms, $8), grace = 0
  where id = $1 and generation = $2 and status = 0`

const turn: Gathering<Rotation, boolean> = {
  name: 'families.rotate',
  key: (rotation) => rotation.id,
  async one(work, rotation) {
    return (await work.write(ROTATE, rotationValues(rotation, work))) === 1
  },
  async many(work, items) {
    // By id, so that two groups rather wait for one another than deadlock.
    const sorted = items.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const rows = await work.writeRows(ROTATE_MANY, columnsOf(sorted.map((rotation) => rotationValues(rotation, work))))
    const won = new Set(rows.map((row) => row.id))
    return items.map((rotation) => won.has(rotation.id))
  },
}

const ROTATE_MANY = `update families f set generation = f.generation + 1, previous_ring = f.ring, ring = r.ring,
  rotated_at_ms = r.rotated_at_ms, idle_seconds = r.idle_seconds, runs = r.runs, seen = r.seen,
  cutoff_ms = greatest(f.cutoff_ms, r.cutoff_ms), grace = 0
  from unnest($1::uuid[], $2::integer[], $3::smallint[], $4::bigint[], $5::integer[], $6::integer[], $7::bytea[], $8::bigint[])
    as r(id, spent, ring, rotated_at_ms, idle_seconds, runs, seen, cutoff_ms)
  where f.id = r.id and f.generation = r.spent and f.status = 0
  returning f.id`

function rotationValues(rotation: Rotation, { dialect }: Sql): Value[] {
  return [
    dialect.id(rotation.id),
    rotation.spent,
    rotation.ring,
    rotation.rotatedAtMs,
    span(epochSeconds(rotation.rotatedAtMs), rotation.idleExpiresAt),
    packRuns(rotation),
    rotation.seen,
    rotation.cutoffMs ?? 0,
  ]
}

/** Rows to columns, for `unnest`. */
function columnsOf(rows: readonly (readonly Value[])[]): Value[] {
  return (rows[0] ?? []).map((_, n) => rows.map((row) => row[n] as string | number | Uint8Array | null))
}
