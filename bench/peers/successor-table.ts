/**
 * Rotation as it is often built: a row per refresh token, found by the hash of its secret, marked when used, its successor inserted, with an
 * outbox and an audit table beside it. Five statements in one transaction on PostgreSQL.
 */
import { hash, randomBytes } from 'node:crypto'
import pg from 'pg'

const CONNECTIONS = 8
const LIVE_TOKENS = 2_000

export async function createSuccessorTable(url: string): Promise<{ rotate(): Promise<void>; close(): Promise<void> }> {
  const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS })
  pool.on('error', () => {}) // The server may go first when a run ends.
  await pool.query(SCHEMA)
  const secrets = Array.from({ length: LIVE_TOKENS }, () => randomBytes(32))
  for (const secret of secrets) await insert(pool, digest(secret), crypto.randomUUID())
  return {
    async rotate() {
      const secret = secrets.shift() as Buffer
      const successor = randomBytes(32)
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const { rows } = await client.query({ ...FIND, values: [digest(secret)] })
        const { family } = rows[0] as { family: string }
        await client.query({ ...MARK, values: [digest(secret)] })
        await insert(client, digest(successor), family)
        await client.query({ ...OUTBOX, values: [family] })
        await client.query({ ...AUDIT, values: [JSON.stringify({ type: 'token.refreshed', family })] })
        await client.query('COMMIT')
      } finally {
        client.release()
      }
      secrets.push(successor)
    },
    close: () => pool.end(),
  }
}

const digest = (secret: Uint8Array): Buffer => hash('sha256', secret, 'buffer')

async function insert(client: pg.Pool | pg.PoolClient, tokenHash: Buffer, family: string): Promise<void> {
  await client.query({ ...INSERT, values: [tokenHash, family] })
}

const SCHEMA = `
  CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY, family uuid NOT NULL, client text NOT NULL, scope text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz);
  CREATE INDEX refresh_token_family ON refresh_token (family);
  CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, family uuid NOT NULL);
  CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now())`

// Named, so that the server plans each once per connection.
const FIND = { name: 'find', text: 'SELECT family FROM refresh_token WHERE hash = $1 AND used_at IS NULL FOR UPDATE' }
const MARK = { name: 'mark', text: 'UPDATE refresh_token SET used_at = now() WHERE hash = $1' }
const INSERT = {
  name: 'insert',
  text: `INSERT INTO refresh_token (hash, family, client, scope) VALUES ($1, $2, 'app', 'read write')`,
}
const OUTBOX = { name: 'outbox', text: 'INSERT INTO outbox (family) VALUES ($1)' }
const AUDIT = { name: 'audit', text: 'INSERT INTO audit (event) VALUES ($1)' }
