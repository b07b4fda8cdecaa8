/** The store as configured. Only the engine in use is loaded; a PostgreSQL that was promoted is settled before it is used (failover.ts). */
import { setTimeout as wait } from 'node:timers/promises'
import { Fault } from '@signet/kernel/errors.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { Config } from './config.ts'
import type { MasterOf } from './keys/master-key.ts'
import type { PostgresOptions } from './store/postgres.ts'
import type { Store } from './store/store.ts'
import type { Log } from './telemetry/log.ts'

type Database = Pick<Config, 'database' | 'migrations' | 'failover' | 'issuer' | 'settings'>

export async function openStore(config: Database, masterOf: MasterOf, surroundings: Surroundings, log: Log): Promise<Store> {
  const { database, migrations, failover, issuer, settings } = config
  if (database.engine === 'sqlite') {
    const { openSqliteStore } = await import('./store/sqlite.ts')
    return openSqliteStore({ path: database.path, migrations, surroundings })
  }
  const { openPostgresStore } = await import('./store/postgres.ts')
  const { settlePromotion } = await import('./failover.ts')
  const { url, pooled } = database
  let settling: Promise<unknown> | undefined
  // Every connection that is tried comes by here, so a settlement that fails is tried again as long as somebody needs the store.
  const promoted: PostgresOptions['promoted'] = (promotion) => {
    const { from, to } = promotion
    settling ??= settlePromotion(promotion, { url, pooled, failover, issuer, settings, masterOf, surroundings })
      .then((settled) => {
        const isProven = settled.kind === 'began_anew' && settled.proven
        const lost = isProven
          ? 'it lost what this node saw acknowledged: everything before has ended'
          : 'it is settled what that lost'
        log[isProven ? 'error' : 'warn']({ from, to, settled }, `the database was promoted, and ${lost}`)
      })
      .catch((err: unknown) => log.error({ from, to, err }, 'the database was promoted; what that lost is not settled yet'))
      .finally(() => {
        settling = undefined
      })
  }
  const { clock } = surroundings
  const untilMs = clock.monotonic() + PATIENCE_MS
  for (let tries = 1; ; tries++) {
    try {
      return await openPostgresStore({ url, pooled, migrations, surroundings, promoted })
    } catch (err) {
      if (!(err instanceof Fault) || clock.monotonic() > untilMs) throw err
      if (tries === 1) log.warn({ err, seconds: PATIENCE_MS / 1000 }, 'the database is not there yet; trying again')
      await (settling ?? wait(BETWEEN_MS)) // A timer of the node's own would not keep a process that does nothing else yet.
    }
  }
}

/** A node that is started while its database starts too, or is failed over, waits so long for it; then whoever runs it has to know. */
const PATIENCE_MS = 30_000
const BETWEEN_MS = 250

/** Brings the schema up to date and nothing else; the version that it then has. Needs no master key. */
export async function migrateStore({ database }: Pick<Config, 'database'>, surroundings: Surroundings): Promise<number> {
  let store: Store
  if (database.engine === 'sqlite') {
    const { openSqliteStore } = await import('./store/sqlite.ts')
    store = await openSqliteStore({ path: database.path, surroundings })
  } else {
    const { openPostgresStore } = await import('./store/postgres.ts')
    store = await openPostgresStore({ url: database.url, pooled: database.pooled, surroundings, anyTimeline: true })
  }
  try {
    return (await store.health()).schemaVersion
  } finally {
    await store.close()
  }
}
