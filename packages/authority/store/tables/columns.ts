/** Records to rows and back: each table names its columns once. */
import type { Status } from '../ports/standing.ts'
import type { Dialect, Row, Value } from './sql.ts'

export interface Codec {
  write(value: unknown, dialect: Dialect): Value
  read(value: unknown, dialect: Dialect): unknown
}

export interface Table<Stored> {
  readonly name: string
  /** The columns, comma-separated. */
  readonly columns: string
  /** `insert into … values ($1, …)`, to which a conflict clause may be added. */
  readonly insert: string
  values(record: Stored, dialect: Dialect): Value[]
  read(row: Row, dialect: Dialect): Stored
}

/** Properties in the order of their columns. An absent property is a NULL. */
export function table<Stored>(
  name: string,
  columns: { readonly [P in keyof Stored]-?: readonly [string, Codec] },
): Table<Stored> {
  const list = Object.entries<readonly [string, Codec]>(columns)
  const names = list.map(([, [column]]) => column).join(', ')
  return {
    name,
    columns: names,
    insert: `insert into ${name} (${names}) values (${list.map((_, n) => `$${n + 1}`).join(', ')})`,
    values: (record, dialect) =>
      list.map(([property, [, codec]]) => {
        const value = (record as Record<string, unknown>)[property]
        return value === undefined ? null : codec.write(value, dialect)
      }),
    read(row, dialect) {
      const record: Record<string, unknown> = {}
      for (const [property, [column, codec]] of list) {
        const value = row[column]
        if (value !== null && value !== undefined) record[property] = codec.read(value, dialect)
      }
      return record as Stored
    },
  }
}

export const id: Codec = {
  write: (value, dialect) => dialect.id(value as string),
  read: (value, dialect) => dialect.readId(value),
}
export const text: Codec = { write: (value) => value as string, read: (value) => value }
export const integer: Codec = { write: (value) => value as number, read: (value) => value }
export const flag: Codec = { write: (value) => (value ? 1 : 0), read: (value) => value === 1 }
export const bytes: Codec = { write: (value) => value as Uint8Array, read: (value, dialect) => dialect.readBytes(value) }
export const json: Codec = { write: (value) => JSON.stringify(value), read: (value) => JSON.parse(value as string) }

/** One of a closed list of words, as its place in the list, which therefore only grows at its end. */
export const oneOf = (words: readonly string[]): Codec => ({
  write(value) {
    const place = words.indexOf(value as string)
    if (place < 0) throw new Error(`not a value that can be stored: ${String(value)}`)
    return place
  },
  read: (value) => words[value as number],
})

export const STATUSES: readonly Status[] = ['active', 'suspended', 'revoked']
export const status: Codec = oneOf(STATUSES)

export const standing = {
  status: ['status', status],
  cutoffMs: ['cutoff_ms', integer],
  revokedMs: ['revoked_ms', integer],
} as const
