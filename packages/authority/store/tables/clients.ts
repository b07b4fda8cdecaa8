import { fromBase64Url, toBase64Url } from '@signet/kernel/bytes.ts'
import type { ClientLookups, ClientRecord, ClientTransitions } from '../ports/clients.ts'
import { type Codec, flag, integer, json, standing, table, text } from './columns.ts'
import { pageOf } from './page.ts'
import type { Sql, Work } from './sql.ts'
import { changeStanding, withdraw } from './standing.ts'

/** JSON, in which each secret's hash stands as base64url. */
const secrets: Codec = {
  write: (list) =>
    JSON.stringify((list as ClientRecord['secrets']).map((secret) => ({ ...secret, sha256: toBase64Url(secret.sha256) }))),
  read: (stored) =>
    (JSON.parse(stored as string) as { sha256: string }[]).map((secret) => ({ ...secret, sha256: fromBase64Url(secret.sha256) })),
}

const clients = table<ClientRecord>('clients', {
  id: ['id', text],
  ...standing,
  createdAt: ['created_at', integer],
  name: ['name', text],
  platform: ['platform', text],
  authMethod: ['auth_method', text],
  secrets: ['secrets', secrets],
  jwks: ['jwks', json],
  redirectUris: ['redirect_uris', json],
  postLogoutRedirectUris: ['post_logout_redirect_uris', json],
  grantTypes: ['grant_types', json],
  scopes: ['scopes', json],
  resources: ['resources', json],
  introspects: ['introspects', json],
  dpopBound: ['dpop_bound', flag],
  firstParty: ['first_party', flag],
  accessTokenSeconds: ['access_token_seconds', integer],
  refreshIdleSeconds: ['refresh_idle_seconds', integer],
  refreshMaxSeconds: ['refresh_max_seconds', integer],
})

export function clientLookups(sql: Sql): ClientLookups {
  return {
    async find(id) {
      const row = await sql.readOne(`select ${clients.columns} from clients where id = $1`, [id])
      return row && clients.read(row, sql.dialect)
    },
    async list(page) {
      const { after, limit } = pageOf(page)
      const rows = await sql.read(`select ${clients.columns} from clients where id > $1 order by id limit $2`, [after, limit])
      return rows.map((row) => clients.read(row, sql.dialect))
    },
  }
}

export function clientTransitions(work: Work): ClientTransitions {
  return {
    find: clientLookups(work).find,
    async create(client) {
      return (await work.write(`${clients.insert} on conflict do nothing`, clients.values(client, work.dialect))) === 1
    },
    async update(client, before) {
      // Everything but id, standing and creation: columns 6 to the last.
      const columns = clients.columns.split(', ').slice(5)
      const values = clients.values(client, work.dialect).slice(5)
      const sets = columns.map((column, n) => `${column} = $${n + 2}`).join(', ')
      const known = before === undefined ? [] : clients.values(before, work.dialect).slice(5)
      const unchanged = known.map((_, n) => ` and ${columns[n]} is not distinct from $${n + 2 + columns.length}`).join('')
      return (await work.write(`update clients set ${sets} where id = $1${unchanged}`, [client.id, ...values, ...known])) === 1
    },
    async delete(id) {
      await work.write('delete from consents where client = $1', [id])
      return (await work.write('delete from clients where id = $1', [id])) === 1
    },
    changeStanding: (id, change) => changeStanding(work, { table: 'clients', key: id, hasRevoked: true }, change),
    withdraw: (id, made, before) => withdraw(work, 'clients', id, made, before),
  }
}
