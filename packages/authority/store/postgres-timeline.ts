/**
 * A PostgreSQL that was promoted goes on under another timeline (manual, 26.3.5), and may lack what the one before had acknowledged. The
 * timeline that is known to be whole is kept in `meta`; a server on another one is not written to or read from until somebody has
 * decided what that means (failover.ts). Relatives of PostgreSQL that have no timelines lose nothing in a failover of theirs.
 */
import { fault } from '@signet/kernel/errors.ts'

/** Name in `meta` of the timeline that is known to be whole. */
export const TIMELINE = 'timeline'
/** Name in `meta` of the last timeline on which everything that could have been revoked was ended: whatever is missing on it was answered for. */
export const BEGAN_ANEW = 'timeline_began_anew'
/** Also in the first statement of each transaction: behind a pooler the server can change while the connection stays. */
export const TIMELINE_NOW = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'

export interface Promotion {
  readonly from: string
  readonly to: string
}

type Ask = (text: string) => Promise<{ readonly rows: readonly Record<string, unknown>[] }>

/** `current` is the server's own; the others are as in `meta`. Undefined where there is none. */
export interface Timelines {
  readonly current?: string
  readonly whole?: string
  readonly beganAnew?: string
}

export async function readTimelines(ask: Ask): Promise<Timelines> {
  try {
    const [now] = (await ask(`select ${TIMELINE_NOW} as current, to_regclass('meta') is not null as has_meta`)).rows
    const text = `select name, value from meta where name in ('${TIMELINE}', '${BEGAN_ANEW}')`
    const { rows } = now?.has_meta === true ? await ask(text) : { rows: [] }
    const known = new Map(rows.map(({ name, value }) => [name, value as string]))
    const [whole, beganAnew] = [known.get(TIMELINE), known.get(BEGAN_ANEW)]
    return {
      current: now?.current as string,
      ...(whole !== undefined && { whole }),
      ...(beganAnew !== undefined && { beganAnew }),
    }
  } catch (error) {
    if ((error as { code?: unknown }).code !== UNDEFINED_FUNCTION) throw error
    return {}
  }
}

const UNDEFINED_FUNCTION = '42883'

/** The fault that a server on another timeline is. */
export const promoted = ({ from, to }: Promotion) =>
  fault('store_unavailable', {
    cause: new Error(`the database was promoted from timeline ${from} to ${to}: what that lost has to be settled first`),
  })
