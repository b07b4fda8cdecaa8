/** The store goes back to an older state, and the gap is ended as docs/operating.md says: nothing that was issued before is good any more. */
import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Cluster } from '../cluster.ts'
import { BOTH, type Fault } from './fault.ts'

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))
/** Between the backup and the loss: what happens then is forgotten. */
const lifeGoesOn = () => wait(300 + Math.random() * 500)

/** Runs the operator's command and writes down since when everything may be forgotten. */
async function endTheGap(cluster: Cluster, backup: string, since: number): Promise<void> {
  const dead = cluster.surroundings.recorder.now() // No node runs.
  const script = join(import.meta.dirname, '../../packages/authority/main.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [script, 'restore', backup, ...cluster.authorityArgs()])
  const { epoch } = JSON.parse(stdout.trim().split('\n').at(-1) as string) as { epoch: string }
  cluster.surroundings.recorder.note({ is: 'gap', since, dead, epoch })
}

const stopNodes = ({ nodes }: Cluster) => Promise.all(nodes.map((node) => node.proc.stop()))
const startNodes = async ({ nodes }: Cluster) => {
  await Promise.all(nodes.map((node) => node.start()))
}

const restoreSqlite = async (cluster: Cluster, round: number): Promise<void> => {
  const { recorder } = cluster.surroundings
  const since = recorder.now()
  const name = `round-${round}`
  for await (const _ of cluster.admin.stream('startBackup', { body: { name } })) {
    // Until it is written.
  }
  await lifeGoesOn()
  await stopNodes(cluster)
  const backup = join(cluster.state, 'backups', `${name}.db`)
  await endTheGap(cluster, backup, since)
  await rm(backup)
}

/** The copy is a standby that was stopped then. */
const restorePostgres = async (cluster: Cluster): Promise<void> => {
  const database = cluster.database as NonNullable<Cluster['database']>
  await database.waitForStandby(false)
  const since = cluster.surroundings.recorder.now()
  await database.standby?.stop()
  await lifeGoesOn()
  await stopNodes(cluster)
  await database.primary.kill()
  await database.standby?.start()
  await database.failOver()
  await endTheGap(cluster, '-', since)
}

const restore: Fault = {
  name: 'restore-backup',
  about: 'an old copy of the store is put back, with the gap ended as documented',
  engines: BOTH,
  inject: (cluster, round) => (cluster.engine === 'sqlite' ? restoreSqlite(cluster, round) : restorePostgres(cluster)),
  lastsMs: [0, 0],
  heal: startNodes,
  wellWithinMs: 15_000, // Signing keys are new, and validators ask for the feed's keys every 10 s at most.
  async after({ database }) {
    await database?.renewStandby()
  },
}

const lossyFailover: Fault = {
  name: 'failover-lossy',
  about: 'an asynchronous standby that lags is promoted: commits are lost, and nodes that were told so end the gap by themselves',
  engines: ['postgres'],
  prepare: async () => ({ options: { failover: 'may-lose' } }),
  async inject(cluster) {
    const { recorder } = cluster.surroundings
    const database = cluster.database as NonNullable<Cluster['database']>
    const { epoch: before } = await feedOf(cluster)
    await database.waitForStandby(false)
    const since = recorder.now()
    database.standby?.pause()
    await lifeGoesOn()
    await database.primary.kill()
    const dead = recorder.now()
    database.standby?.resume()
    await database.failOver()
    for (;;) {
      const { epoch } = await feedOf(cluster)
      if (epoch !== before) return void recorder.note({ is: 'gap', since, dead, epoch })
      await wait(50)
    }
  },
  lastsMs: [0, 0],
  heal: () => {},
  wellWithinMs: 15_000,
  async after({ database }) {
    await database?.renewStandby()
  },
}

/** Asked until there is an answer: nodes settle the promotion first. */
async function feedOf({ admin }: Cluster): Promise<{ epoch: string }> {
  for (let tries = 0; ; tries++) {
    try {
      return await admin.call('showFeed')
    } catch (error) {
      if (tries > 100) throw error
      await wait(100)
    }
  }
}

export const restoreFaults: readonly Fault[] = [restore, lossyFailover]
