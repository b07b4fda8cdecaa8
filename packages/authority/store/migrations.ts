/**
 * The schema's versions. Each runs once, in order, under a lock, in the transaction that records it; a version that was changed after it
 * ran stops the start. Versions of a newer program are borne as long as they only add, so that nodes of two programs run side by side
 * and an upgrade can be taken back.
 */
import { sha256 } from '../surroundings.ts'
import { first } from './migrations/0001-first.ts'
import { regions } from './migrations/0002-regions.ts'
import { batches } from './migrations/0003-batches.ts'
import { validators } from './migrations/0004-validators.ts'
import { epochs } from './migrations/0005-epochs.ts'
import { largestCutoff } from './migrations/0006-largest-cutoff.ts'
import { apiKeysOfPeople } from './migrations/0007-api-keys-of-people.ts'

interface Migration {
  readonly version: number
  readonly sql: string
  /** It takes something away or changes what something means: programs that do not know it must not run beside it. */
  readonly breaks?: true
}

const MIGRATIONS: readonly Migration[] = [
  { version: 1, sql: first },
  { version: 2, sql: regions },
  { version: 3, sql: batches },
  { version: 4, sql: validators },
  { version: 5, sql: epochs },
  { version: 6, sql: largestCutoff },
  { version: 7, sql: apiKeysOfPeople },
]

export const SCHEMA_VERSION = MIGRATIONS.length

/** What the engine gives: one statement at a time, already inside a transaction that nobody else can have open. */
interface Migrator {
  readonly words: Readonly<Record<string, string>>
  run(sql: string): Promise<void>
  applied(): Promise<readonly { readonly version: number; readonly checksum: string }[]>
  record(version: number, checksum: string): Promise<void>
}

export const MIGRATIONS_TABLE = `create table if not exists schema_migrations (
  version integer not null primary key, checksum text not null, at_ms bigint not null)`

/** `auto`: an opened store brings its schema up to date. `off`: it must be, and nothing of it is changed. */
export type Migrations = 'auto' | 'off'

export async function migrate(migrator: Migrator): Promise<void> {
  for (const { version, sql, checksum } of missing(await migrator.applied())) {
    for (const statement of statements(sql, migrator.words)) await migrator.run(statement)
    await migrator.record(version, checksum)
  }
}

/** Throws unless the schema is this program's. */
export function demandSchema(applied: Awaited<ReturnType<Migrator['applied']>>): void {
  const [first] = missing(applied)
  if (first === undefined) return
  throw new SchemaMismatch(
    `schema version ${first.version} has not run, and this node may not run it (migrations: off): run \`signet migrate\` first`,
  )
}

/** Those that are to be run, in order. Throws when the store is not one that this program knows. */
function missing(found: Awaited<ReturnType<Migrator['applied']>>) {
  const applied = new Map(found.map((row) => [row.version, row.checksum]))
  const newest = Math.max(0, ...applied.keys())
  for (let version = SCHEMA_VERSION + 1; version <= newest; version++) {
    if (!ADDS.test(applied.get(version) ?? ''))
      throw new SchemaMismatch(
        `the store has schema version ${newest}, this program knows ${SCHEMA_VERSION}: start a newer program`,
      )
  }
  return MIGRATIONS.flatMap(({ version, sql, breaks }) => {
    const checksum = breaks === true ? `breaks ${checksumOf(sql)}` : checksumOf(sql)
    const found = applied.get(version)
    if (found === checksum) return []
    if (found !== undefined) {
      throw new SchemaMismatch(
        `schema version ${version} ran with checksum ${found}, this program has ${checksum}: the file was changed`,
      )
    }
    if (version < newest) throw new SchemaMismatch(`schema version ${version} is missing although ${newest} has run`)
    return [{ version, sql, checksum }]
  })
}

/** How a version that only adds is recorded: by its checksum alone. */
const ADDS = /^[0-9a-f]{64}$/

/** The store was made by another program than this one: an operator must look. */
class SchemaMismatch extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SchemaMismatch'
  }
}

function checksumOf(sql: string): string {
  return Buffer.from(sha256(sql)).toString('hex')
}

function statements(sql: string, words: Migrator['words']): string[] {
  const written = sql.replace(/\{(\w+)\}/g, (_, word: string) => {
    const meaning = words[word]
    if (meaning === undefined) throw new Error(`no meaning for {${word}}`)
    return meaning
  })
  return written
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
