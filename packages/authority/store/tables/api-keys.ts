import type { ApiKeyLookups, ApiKeyRecord, ApiKeyTransitions } from '../ports/api-keys.ts'
import { bytes, id, integer, json, STATUSES, status, table, text } from './columns.ts'
import { replayTransitions } from './guards.ts'
import { uuidPageOf } from './page.ts'
import type { Sql, Work } from './sql.ts'
import { leavable } from './standing.ts'

const apiKeys = table<ApiKeyRecord>('api_keys', {
  id: ['id', id],
  secretHash: ['secret_hash', bytes],
  name: ['name', text],
  client: ['client', text],
  subject: ['subject', id],
  scopes: ['scopes', json],
  resource: ['resource', text],
  status: ['status', status],
  createdAt: ['created_at', integer],
  expiresAt: ['expires_at', integer],
  lastUsedAt: ['last_used_at', integer],
  replacedBy: ['replaced_by', id],
})

export function apiKeyLookups(sql: Sql): ApiKeyLookups {
  const { dialect } = sql
  return {
    async find(key) {
      const row = await sql.readOne(`select ${apiKeys.columns} from api_keys where id = $1`, [dialect.id(key)])
      return row && apiKeys.read(row, dialect)
    },
    async ofClient(client, page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select ${apiKeys.columns} from api_keys where client = $1 and id > $2 order by id limit $3`
      return (await sql.read(text, [client, dialect.id(after), limit])).map((row) => apiKeys.read(row, dialect))
    },
    async ofSubject(subject, page) {
      const { after, limit } = uuidPageOf(page)
      const text = `select ${apiKeys.columns} from api_keys where subject = $1 and id > $2 order by id limit $3`
      return (await sql.read(text, [dialect.id(subject), dialect.id(after), limit])).map((row) => apiKeys.read(row, dialect))
    },
  }
}

const CHANGE = 'update api_keys set status = $2 where id = $1 and ((1 << status) & $3) <> 0'

/** Both in one statement; what it finds costs less than a second one. */
const END_TOKEN = `with ended as (${CHANGE} returning 1),
  until as (select case when exists (select 1 from ended) then cast($5 as bigint) else cast($6 as bigint) end as at),
  claimed as (insert into replay (key, expires_at) select cast($4 as bytea), at from until where at is not null
    on conflict (key) do update set expires_at = excluded.expires_at where replay.expires_at < $7 returning 1)
  select (select count(*) from ended) as keys, (select count(*) from claimed) as claims`

export function apiKeyTransitions(work: Work): ApiKeyTransitions {
  const { dialect } = work
  return {
    async create(key) {
      await work.write(apiKeys.insert, apiKeys.values(key, dialect))
    },
    async replace(key, heir, expiresAt) {
      // Its end only comes nearer.
      const written = await work.write(
        `update api_keys set replaced_by = $2, expires_at = case when expires_at < $3 then expires_at else $3 end
         where id = $1 and status = 0 and replaced_by is null`,
        [dialect.id(key), dialect.id(heir), expiresAt],
      )
      return written === 1
    },
    async changeStatus(key, from, to) {
      return (await work.write(CHANGE, [dialect.id(key), STATUSES.indexOf(to), leavable({ from, to })])) === 1
    },
    async endToken(key, claim) {
      const { forApiKey = null, otherwise = null } = claim
      const values = [dialect.id(key), STATUSES.indexOf('revoked'), leavable({ from: ['active', 'suspended'], to: 'revoked' })]
      if (dialect.engine === 'postgres') {
        const nowAt = Math.floor(work.nowMs / 1000)
        const [row] = await work.writeRows(END_TOKEN, [...values, claim.key, forApiKey, otherwise, nowAt])
        return { isApiKey: row?.keys === 1, isFirst: row?.claims === 1 }
      }
      const isApiKey = (await work.write(CHANGE, values)) === 1
      const until = isApiKey ? forApiKey : otherwise
      return { isApiKey, isFirst: until !== null && (await replayTransitions(work).remember(claim.key, until)) }
    },
    async touch(key, lastUsedAt) {
      const text = 'update api_keys set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)'
      await work.write(text, [dialect.id(key), lastUsedAt])
    },
  }
}
