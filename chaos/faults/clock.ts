/** A node's wall clock is off, or is set: libfaketime reads from a file by how much. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../cluster.ts'
import { BOTH, type Fault, type Preparation, type Prepared, turn } from './fault.ts'

const missing = () => (process.env.SIGNET_FAKETIME ? undefined : 'libfaketime is not installed')
const fileIn = (directory: string) => join(directory, 'clock')

/** As a whole, so that nobody reads half of it. */
function setClock(directory: string, seconds: number): void {
  const file = fileIn(directory)
  writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
  renameSync(`${file}.new`, file)
}

async function prepare({ directory }: Preparation): Promise<Prepared> {
  setClock(directory, 0)
  const nodeEnv = {
    LD_PRELOAD: process.env.SIGNET_FAKETIME as string,
    FAKETIME_TIMESTAMP_FILE: fileIn(directory),
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1', // Only the wall clock can be set.
    DONT_FAKE_MONOTONIC: '1',
  }
  return { options: { nodeEnv } }
}

const set = (cluster: Cluster, seconds: number) => setClock(cluster.surroundings.directory, seconds)

const within: Fault = {
  name: 'clock-within',
  about: "a node's clock is set by up to 0.3 s, which the policy allows",
  engines: BOTH,
  missing,
  prepare,
  inject: (cluster, round) => set(cluster, turn([0.3, -0.3, 0.15, -0.15], round)),
  lastsMs: [300, 1500],
  heal: (cluster) => set(cluster, 0),
}

/** Not on SQLite: the clock of the only node is the store's own. */
const beyond: Fault = {
  name: 'clock-beyond',
  about: "a node's clock is set by 2 s to a day: it must stop minting, and the others go on",
  engines: ['postgres'],
  missing,
  prepare,
  inject: (cluster, round) => set(cluster, turn([2, -2, 60, -60, 86_400, -86_400], round)),
  lastsMs: [500, 2000],
  heal: (cluster) => set(cluster, 0),
}

export const clockFaults: readonly Fault[] = [within, beyond]
