/** A fault: what is done to a cluster, how it is put back, and what is promised meanwhile. */
import type { Cluster, ClusterOptions, Engine } from '../cluster.ts'

export interface Fault {
  readonly name: string
  readonly about: string
  readonly engines: readonly Engine[]
  /** Why it can't be had here, or undefined. */
  missing?(): string | undefined
  /** What it needs of the cluster before it starts. */
  prepare?(parts: Preparation): Promise<Prepared>
  /** Done once, before the first round. */
  begin?(cluster: Cluster): Promise<void>
  inject(cluster: Cluster, round: number): Promise<void> | void
  /** How long it lasts, milliseconds: between these. */
  readonly lastsMs: readonly [least: number, most: number]
  heal(cluster: Cluster, round: number): Promise<void> | void
  /** When all is well again: what makes ready for the next round. */
  after?(cluster: Cluster): Promise<void>
  /** Within so long after it was healed everybody is well again, milliseconds. */
  readonly wellWithinMs?: number
}

export interface Preparation {
  readonly directory: string
  readonly engine: Engine
  readonly janitor: ClusterOptions['janitor']
}
export interface Prepared {
  readonly options: Partial<
    Pick<ClusterOptions, 'nodeEnv' | 'databaseEnv' | 'databaseSettings' | 'storeDirectory' | 'failover' | 'apart'>
  >
  close?(): Promise<void> | void
}

export const BOTH: readonly Engine[] = ['sqlite', 'postgres']
/** One after the other, round by round. */
export const turn = <T>(list: readonly T[], round: number): T => list[round % list.length] as T
