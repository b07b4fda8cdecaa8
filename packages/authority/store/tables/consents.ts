import type { ConsentLookups, ConsentRecord, ConsentTransitions } from '../ports/consents.ts'
import { id, integer, json, table, text } from './columns.ts'
import { MAX_PAGE } from './page.ts'
import type { Sql, Work } from './sql.ts'

const consents = table<ConsentRecord>('consents', {
  subject: ['subject', id],
  client: ['client', text],
  scopes: ['scopes', json],
  resources: ['resources', json],
  grantedAt: ['granted_at', integer],
})

export function consentLookups(sql: Sql): ConsentLookups {
  const { dialect } = sql
  return {
    async find(subject, client) {
      const text = `select ${consents.columns} from consents where subject = $1 and client = $2`
      const row = await sql.readOne(text, [dialect.id(subject), client])
      return row && consents.read(row, dialect)
    },
    async ofSubject(subject) {
      const text = `select ${consents.columns} from consents where subject = $1 order by client limit ${MAX_PAGE}`
      return (await sql.read(text, [dialect.id(subject)])).map((row) => consents.read(row, dialect))
    },
  }
}

export function consentTransitions(work: Work): ConsentTransitions {
  const { dialect } = work
  return {
    async put(consent) {
      await work.write(
        `${consents.insert} on conflict (subject, client) do update set scopes = excluded.scopes,
         resources = excluded.resources, granted_at = excluded.granted_at`,
        consents.values(consent, dialect),
      )
    },
    async hold(subject, client) {
      const values = [dialect.id(subject), client]
      const text = 'update consents set granted_at = granted_at where subject = $1 and client = $2'
      return (await work.write(text, values)) === 1
    },
    async delete(subject, client) {
      const values = [dialect.id(subject), client]
      return (await work.write('delete from consents where subject = $1 and client = $2', values)) === 1
    },
  }
}
