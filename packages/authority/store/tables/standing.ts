/** How the standing of subjects, clients, sessions, devices and families moves. */
import type { Standing, StandingChange, Status } from '../ports/standing.ts'
import { STATUSES } from './columns.ts'
import type { Row, Value, Work } from './sql.ts'

/** True when it moved. `revoked` is the end: nothing leads out of it, whatever `from` says. */
export async function changeStanding(
  work: Work,
  at: { readonly table: string; readonly key: Value; readonly hasRevoked: boolean },
  change: StandingChange,
): Promise<boolean> {
  const larger = work.dialect.larger
  const revoked = at.hasRevoked ? `, revoked_ms = ${larger}(revoked_ms, $5)` : ''
  const values: Value[] = [at.key, STATUSES.indexOf(change.to), leavable(change), change.cutoffMs ?? 0]
  if (at.hasRevoked) values.push(change.revokedMs ?? 0)
  const written = await work.write(
    `update ${at.table} set status = $2, cutoff_ms = ${larger}(cutoff_ms, $4)${revoked} where id = $1 and ((1 << status) & $3) <> 0`,
    values,
  )
  return written === 1
}

/** Undoes a revocation by which `revoked_ms` became `made`; false when a later one stands. */
export async function withdraw(work: Work, table: string, key: Value, made: number, before: number): Promise<boolean> {
  return (await work.write(`update ${table} set revoked_ms = $3 where id = $1 and revoked_ms = $2`, [key, made, before])) === 1
}

/** One bit for each status that may be left. */
export function leavable(change: { readonly from: readonly Status[]; readonly to: Status }): number {
  let mask = 0
  for (const status of change.from) if (status !== 'revoked' || change.to === 'revoked') mask |= 1 << STATUSES.indexOf(status)
  return mask
}

/** The standing in columns `<prefix>status`, …; undefined when an outer join found nothing. */
export function readStanding(row: Row, prefix: string): Standing | undefined {
  const status = row[`${prefix}status`]
  if (status === null || status === undefined) return undefined
  return {
    status: STATUSES[status as number] as Status,
    cutoffMs: row[`${prefix}cutoff`] as number,
    revokedMs: row[`${prefix}revoked`] as number,
  }
}
