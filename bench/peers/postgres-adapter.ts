/** oidc-provider on PostgreSQL, as its documentation advises: one table of JSON payloads with a primary key and an index on the grant. */
import type { Adapter, AdapterPayload } from 'oidc-provider'
import pg from 'pg'

export async function createPostgresAdapter(url: string): Promise<(model: string) => Adapter> {
  const pool = new pg.Pool({ connectionString: url, max: 16 })
  pool.on('error', () => {}) // The server may go first when a run ends.
  await pool.query(SCHEMA)
  const found = async (statement: { name: string; text: string }, values: unknown[]) => {
    const { rows } = await pool.query<{ payload: AdapterPayload; consumed: number | null }>({ ...statement, values })
    const row = rows[0]
    return row && { ...row.payload, ...(row.consumed !== null && { consumed: row.consumed }) }
  }
  const run = async (statement: { name: string; text: string }, values: unknown[]) => {
    await pool.query({ ...statement, values })
  }
  return (model) => ({
    find: (id) => found(FIND, [model, id]),
    findByUid: (uid) => found(FIND_BY_UID, [model, uid]),
    findByUserCode: (userCode) => found(FIND_BY_USER_CODE, [model, userCode]),
    upsert: (id, payload, expiresIn) => {
      const expiresAt = expiresIn === undefined ? null : new Date(Date.now() + expiresIn * 1000)
      return run(UPSERT, [model, id, JSON.stringify(payload), payload.grantId ?? null, expiresAt])
    },
    consume: (id) => run(CONSUME, [model, id, Math.floor(Date.now() / 1000)]),
    destroy: (id) => run(DESTROY, [model, id]),
    revokeByGrantId: (grantId) => run(REVOKE, [grantId]),
  })
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS oidc_payload (
    model text NOT NULL, id text NOT NULL, payload jsonb NOT NULL, grant_id text, consumed bigint, expires_at timestamptz,
    PRIMARY KEY (model, id));
  CREATE INDEX IF NOT EXISTS oidc_payload_grant ON oidc_payload (grant_id)`

// Named, so that the server plans each once per connection.
const LIVE = '(expires_at IS NULL OR expires_at > now())'
const FIND = {
  name: 'find',
  text: `SELECT payload, consumed::int4 FROM oidc_payload WHERE model = $1 AND id = $2 AND ${LIVE}`,
}
const FIND_BY_UID = {
  name: 'find-by-uid',
  text: `SELECT payload, consumed::int4 FROM oidc_payload WHERE model = $1 AND payload->>'uid' = $2 AND ${LIVE}`,
}
const FIND_BY_USER_CODE = {
  name: 'find-by-user-code',
  text: `SELECT payload, consumed::int4 FROM oidc_payload WHERE model = $1 AND payload->>'userCode' = $2 AND ${LIVE}`,
}
const UPSERT = {
  name: 'upsert',
  text: `INSERT INTO oidc_payload (model, id, payload, grant_id, expires_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (model, id) DO UPDATE SET payload = excluded.payload, expires_at = excluded.expires_at`,
}
const CONSUME = { name: 'consume', text: 'UPDATE oidc_payload SET consumed = $3 WHERE model = $1 AND id = $2' }
const DESTROY = { name: 'destroy', text: 'DELETE FROM oidc_payload WHERE model = $1 AND id = $2' }
const REVOKE = { name: 'revoke', text: 'DELETE FROM oidc_payload WHERE grant_id = $1' }
