/**
 * On PostgreSQL a statement costs more than what it finds, so a transaction asks for what revocations need of the store's single rows along
 * with the clock.
 */
import { TOKEN_SECONDS, tokenSecondsOf } from './meta.ts'
import { HEAD_COLUMNS, headOf } from './revocations.ts'
import type { Dialect, Row, Work } from './sql.ts'

/** To be selected, and from where. No head is there before the first epoch has begun. */
export const BEGINNING = `${HEAD_COLUMNS}, (select value from meta where name = '${TOKEN_SECONDS}') as token_seconds
  from (select 1) as one left join revocation_head h on h.one = 1`

export function knownFrom(row: Row, dialect: Dialect): Work['known'] {
  return {
    ...(row.epoch !== null && { head: headOf(row, dialect) }),
    tokenSeconds: tokenSecondsOf(row.token_seconds),
  }
}
