/** PostgreSQL for a cluster: a primary with a synchronous standby, and what is done to them. */
import type { FamilyOptions } from '@signet/testkit/postgres-family.ts'
import { type PostgresServer, type ServerOptions, startPostgresServer } from '@signet/testkit/postgres-server.ts'
import type { Link } from './link.ts'

export interface Database {
  readonly port: number
  readonly primary: PostgresServer
  readonly standby: PostgresServer | undefined
  /** The nodes' ways to it: they are led to a new primary. */
  readonly links: Link[]
  /** The standby becomes the primary and nodes are led to it. Whoever calls has made sure that the old one is dead. */
  failOver(): Promise<void>
  /** The primary waits for its standby with each commit, or for nobody. */
  waitForStandby(wait: boolean): Promise<void>
  /** Makes a new standby from the primary, and waits for it with each commit. */
  renewStandby(): Promise<void>
  close(): Promise<void>
}

export async function startDatabase(options: FamilyOptions & Pick<ServerOptions, 'settings'>): Promise<Database> {
  let primary = await startPostgresServer({ listen: 'tcp', ...options })
  let standby: PostgresServer | undefined
  let standbys = 0
  const links: Link[] = []
  const database: Database = {
    get port() {
      return primary.port as number
    },
    get primary() {
      return primary
    },
    get standby() {
      return standby
    },
    links,
    async failOver() {
      if (standby === undefined) throw new Error('there is no standby')
      await standby.promote()
      primary = standby
      standby = undefined
      await primary.set('synchronous_standby_names', '')
      for (const link of links) link.lead(primary.port as number)
    },
    waitForStandby: (wait) => primary.set('synchronous_standby_names', wait ? `standby${standbys}` : ''),
    async renewStandby() {
      standby = await primary.addStandby(`standby${++standbys}`)
      await database.waitForStandby(true)
    },
    close: () => primary.close(),
  }
  try {
    await database.renewStandby()
    return database
  } catch (error) {
    await primary.close()
    throw error
  }
}
