/** Single facts by name. */
import type { MetaLookups, MetaTransitions } from '../ports/meta.ts'
import type { Sql, Work } from './sql.ts'

/** Under this name, the longest life in seconds that any policy ever allowed a token. */
export const TOKEN_SECONDS = 'max_token_seconds'
export const tokenSecondsOf = (value: unknown): number => Number(value ?? 0)

export function metaLookups(sql: Sql): MetaLookups {
  return {
    get: (name) => get(sql, name),
    tokenSeconds: async () => tokenSecondsOf(await get(sql, TOKEN_SECONDS)),
  }
}

export function metaTransitions(work: Work): MetaTransitions {
  return {
    get: (name) => get(work, name),
    put: (name, value) => put(work, name, value),
    async delete(name) {
      await work.write('delete from meta where name = $1', [name])
    },
    raise: (name, value) => raise(work, name, value),
    async tokenSeconds() {
      work.known.tokenSeconds ??= tokenSecondsOf(await get(work, TOKEN_SECONDS))
      return work.known.tokenSeconds
    },
    async raiseTokenSeconds(seconds) {
      await raise(work, TOKEN_SECONDS, seconds)
      work.known.tokenSeconds = undefined
    },
    async addCheckpoint(atMs, note) {
      await work.write('insert into audit_checkpoints (at_ms, note) values ($1, $2)', [atMs, note])
    },
  }
}

async function get(sql: Sql, name: string): Promise<string | undefined> {
  return (await sql.readOne('select value from meta where name = $1', [name]))?.value as string | undefined
}

export async function put(work: Work, name: string, value: string): Promise<void> {
  const text = 'insert into meta (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value'
  await work.write(text, [name, value])
}

/** Keeps the larger whole number; the answer is what now stands. */
export async function raise(work: Work, name: string, value: number): Promise<number> {
  const [row] = await work.writeRows(
    `insert into meta (name, value) values ($1, $2) on conflict (name) do update
     set value = case when cast(meta.value as bigint) >= cast(excluded.value as bigint) then meta.value else excluded.value end
     returning value`,
    [name, String(Math.floor(value))],
  )
  return Number(row?.value)
}
