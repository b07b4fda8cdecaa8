/** A place in a database for a store that is thrown away: a schema of its own, in a database where nobody else has anything. */
import { postgresHosts } from '@signet/kernel/postgres-hosts.ts'
import { Line, postgresFault, type Session, Target } from './postgres-line.ts'

export interface Inhabitant {
  readonly schema: string
  readonly tables: number
  /** They are those of a store. */
  readonly signet: boolean
}

/** The URL of the server that takes writes, and who has tables in the database already. Changes nothing. */
export async function lookAround(url: string): Promise<{ readonly url: string; readonly inhabitants: readonly Inhabitant[] }> {
  const hosts = postgresHosts(url)
  if (typeof hosts === 'string') throw new Error(`the database's address ${hosts}`)
  for (const [index, one] of hosts.urls.entries()) {
    try {
      return { url: one, inhabitants: await on(one, inhabitantsOf) }
    } catch (error) {
      if (index + 1 === hosts.urls.length) throw error
    }
  }
  throw new Error('unreachable') // There is one host at least.
}

/** All tables, seen by everybody whatever his rights; those that an extension brought are nobody's. */
async function inhabitantsOf(session: Session): Promise<Inhabitant[]> {
  const { rows } = await session.query(`
    select n.nspname as schema, count(*) as tables, bool_or(c.relname = 'schema_migrations') and bool_or(c.relname = 'revocation_log') as signet
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'm') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    group by 1 order by 1 limit 100`)
  return rows as unknown as Inhabitant[]
}

/** A name that needs no quotes. */
function identifier(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) throw new Error('that is no name for a schema')
  return name
}

export async function makeSchema(url: string, name: string): Promise<void> {
  await on(url, (session) => session.query(`create schema ${identifier(name)}`))
}

/** With all that is in it. Whoever still works in it is waited for, as long as a statement may take. */
export async function dropSchema(url: string, name: string): Promise<void> {
  await on(url, (session) => session.query(`drop schema if exists ${identifier(name)} cascade`))
}

const STATEMENT_MS = 10_000

async function on<T>(url: string, work: (session: Session) => Promise<T>): Promise<T> {
  const line = new Line(new Target([url], false), { writes: true, anyTimeline: true, statementMs: STATEMENT_MS })
  try {
    return await work(await line.session())
  } catch (error) {
    throw postgresFault(error) ?? error
  } finally {
    await line.close()
  }
}
