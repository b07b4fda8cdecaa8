/**
 * A PostgreSQL that was promoted goes on under another timeline (manual, 26.3.5), and may lack what the one before had acknowledged. The
 * timeline that is known to be whole is kept in `meta`; a server on another one is not written to or read from until somebody has
 * decided what that means (failover.ts). Relatives of PostgreSQL that have no timelines lose nothing in a failover of theirs.
 */
import { fault } from '@signet/kernel/errors.ts'

/** Name in `meta` of the timeline that is known to be whole. */
export const TIMELINE = 'timeline'
/** Also in the first statement of each transaction: behind a pooler the server can change while the connection stays. */
export const TIMELINE_NOW = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'

export interface Promotion {
  readonly from: string
  readonly to: string
}

type Ask = (text: string) => Promise<{ readonly rows: readonly Record<string, unknown>[] }>

/** The server's own timeline and the one that is known to be whole; undefined where there is none. */
export async function readTimelines(ask: Ask): Promise<{ current: string | undefined; whole: string | undefined }> {
  try {
    const [now] = (await ask(`select ${TIMELINE_NOW} as current, to_regclass('meta') is not null as has_meta`)).rows
    const known = now?.has_meta === true ? (await ask(`select value from meta where name = '${TIMELINE}'`)).rows[0] : undefined
    return { current: now?.current as string, whole: known?.value as string | undefined }
  } catch (error) {
    if ((error as { code?: unknown }).code !== UNDEFINED_FUNCTION) throw error
    return { current: undefined, whole: undefined }
  }
}

const UNDEFINED_FUNCTION = '42883'

/** The fault that a server on another timeline is. */
export const promoted = ({ from, to }: Promotion) =>
  fault('store_unavailable', {
    cause: new Error(`the database was promoted from timeline ${from} to ${to}: what that lost has to be settled first`),
  })
