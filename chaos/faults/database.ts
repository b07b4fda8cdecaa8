/** PostgreSQL dies, stands still, hands over to its standby, and loses what was never promised. */
import { type Fault, turn } from './fault.ts'

const POSTGRES = ['postgres'] as const

const kill: Fault = {
  name: 'database-kill',
  about: 'kill -9 of all of PostgreSQL, started again in its place',
  engines: POSTGRES,
  inject: ({ database }) => database?.primary.kill(),
  lastsMs: [0, 500],
  heal: ({ database }) => database?.primary.start(),
}

const freeze: Fault = {
  name: 'database-pause',
  about: 'SIGSTOP of all of PostgreSQL, and SIGCONT',
  engines: POSTGRES,
  inject: ({ database }) => database?.primary.pause(),
  lastsMs: [200, 2000],
  heal: ({ database }) => database?.primary.resume(),
}

const standbyPause: Fault = {
  name: 'standby-pause',
  about: 'SIGSTOP of the synchronous standby: no commit ends until SIGCONT',
  engines: POSTGRES,
  inject: ({ database }) => database?.standby?.pause(),
  lastsMs: [200, 1500],
  heal: ({ database }) => database?.standby?.resume(),
}

const failover: Fault = {
  name: 'failover',
  about: 'the primary is killed, its synchronous standby promoted, nodes are led to it; a new standby is made',
  engines: POSTGRES,
  async inject({ database }) {
    await database?.primary.kill()
  },
  lastsMs: [0, 300],
  heal: ({ database }) => database?.failOver(),
  async after({ database }) {
    await database?.renewStandby()
  },
}

/**
 * While its standby stands still the primary holds commits back. Somebody cancels those waits: the server then calls them done, with a warning. Then it
 * dies, and the standby knows nothing of them.
 */
const cancelledWait: Fault = {
  name: 'failover-cancelled-wait',
  about: 'commits whose wait for the standby was cancelled, and then a failover that has never heard of them',
  engines: POSTGRES,
  async inject({ database }, round) {
    if (database === undefined) return
    database.standby?.pause()
    for (let tries = 0; tries < turn([2, 4, 8], round); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await database.primary.query(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'signet'",
      )
    }
    await database.primary.kill()
    database.standby?.resume()
  },
  lastsMs: [0, 100],
  heal: ({ database }) => database?.failOver(),
  async after({ database }) {
    await database?.renewStandby()
  },
}

export const databaseFaults: readonly Fault[] = [kill, freeze, standbyPause, failover, cancelledWait]
