/** All faults, in the order of the report. */

import { clockFaults } from './clock.ts'
import { databaseFaults } from './database.ts'
import { diskFaults } from './disk.ts'
import type { Fault } from './fault.ts'
import { networkFaults } from './network.ts'
import { processFaults } from './processes.ts'
import { restoreFaults } from './restore.ts'

export const FAULTS: readonly Fault[] = [
  ...processFaults,
  ...databaseFaults,
  ...restoreFaults,
  ...networkFaults,
  ...clockFaults,
  ...diskFaults,
]
