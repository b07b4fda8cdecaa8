import type { ResourceLookups, ResourceRecord, ResourceTransitions } from '../ports/resources.ts'
import { flag, integer, json, oneOf, table, text } from './columns.ts'
import { pageOf } from './page.ts'
import type { Sql, Work } from './sql.ts'

const resources = table<ResourceRecord>('resources', {
  uri: ['uri', text],
  name: ['name', text],
  scopes: ['scopes', json],
  accessTokenSeconds: ['access_token_seconds', integer],
  dpopRequired: ['dpop_required', flag],
  tokenFormat: ['token_format', oneOf(['jwt', 'opaque'])],
  createdAt: ['created_at', integer],
})

export function resourceLookups(sql: Sql): ResourceLookups {
  return {
    async find(uri) {
      const row = await sql.readOne(`select ${resources.columns} from resources where uri = $1`, [uri])
      return row && resources.read(row, sql.dialect)
    },
    async list(page) {
      const { after, limit } = pageOf(page)
      const rows = await sql.read(`select ${resources.columns} from resources where uri > $1 order by uri limit $2`, [
        after,
        limit,
      ])
      return rows.map((row) => resources.read(row, sql.dialect))
    },
  }
}

export function resourceTransitions(work: Work): ResourceTransitions {
  return {
    async put(resource) {
      await work.write(
        `${resources.insert} on conflict (uri) do update set name = excluded.name, scopes = excluded.scopes,
         access_token_seconds = excluded.access_token_seconds, dpop_required = excluded.dpop_required,
         token_format = excluded.token_format`,
        resources.values(resource, work.dialect),
      )
    },
    async delete(uri) {
      return (await work.write('delete from resources where uri = $1', [uri])) === 1
    },
  }
}
