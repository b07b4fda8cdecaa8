import type { KeyLookups, KeyPurpose, KeyRecord, KeyState, KeyTransitions } from '../ports/keys.ts'
import { bytes, id, integer, oneOf, table, text } from './columns.ts'
import type { Sql, Work } from './sql.ts'

const PURPOSES: readonly KeyPurpose[] = ['token', 'feed', 'ring', 'audit']
const STATES: readonly KeyState[] = ['next', 'active', 'retiring', 'retired', 'compromised']

const keys = table<KeyRecord>('keys', {
  id: ['id', id],
  purpose: ['purpose', oneOf(PURPOSES)],
  alg: ['alg', text],
  state: ['state', oneOf(STATES)],
  version: ['version', integer],
  publicJwk: ['public_jwk', text],
  wrapped: ['wrapped', bytes],
  createdAt: ['created_at', integer],
  activeAt: ['active_at', integer],
  retiringAt: ['retiring_at', integer],
  retiredAt: ['retired_at', integer],
})

export function keyLookups(sql: Sql): KeyLookups {
  return {
    async all() {
      const rows = await sql.read(`select ${keys.columns} from keys order by purpose, version`, [])
      return rows.map((row) => keys.read(row, sql.dialect))
    },
  }
}

export function keyTransitions(work: Work): KeyTransitions {
  const { dialect } = work
  return {
    all: keyLookups(work).all,
    async create(key) {
      return (await work.write(`${keys.insert} on conflict do nothing`, keys.values(key, dialect))) === 1
    },
    async move(key, from, to, times) {
      const written = await work.write(
        `update keys set state = $3, active_at = coalesce($4, active_at), retiring_at = coalesce($5, retiring_at),
         retired_at = coalesce($6, retired_at) where id = $1 and state = $2`,
        [
          dialect.id(key),
          STATES.indexOf(from),
          STATES.indexOf(to),
          times.activeAt ?? null,
          times.retiringAt ?? null,
          times.retiredAt ?? null,
        ],
      )
      return written === 1
    },
    async delete(key) {
      return (await work.write('delete from keys where id = $1', [dialect.id(key)])) === 1
    },
  }
}
