/** What every engine must do, run for each. The parts lie in contract/. */
import { after, afterEach, before, beforeEach, describe } from 'node:test'
import { batchesContract } from './contract/batches.contract.ts'
import { commitContract } from './contract/commit.contract.ts'
import { familiesContract } from './contract/families.contract.ts'
import { fleetContract } from './contract/fleet.contract.ts'
import { guardsContract } from './contract/guards.contract.ts'
import { logContract } from './contract/log.contract.ts'
import { purgeContract } from './contract/purge.contract.ts'
import { recordsContract } from './contract/records.contract.ts'
import type { World } from './contract/samples.contract.ts'

export type { World } from './contract/samples.contract.ts'

/** `open` gives an empty store; `reopen` closes it and opens it again on what it kept. */
export function storeContract(name: string, open: () => Promise<World>): void {
  describe(`store contract, ${name}`, () => {
    let world: World
    describe('on one store', () => {
      before(async () => {
        world = await open()
      })
      after(() => world.close())
      recordsContract(() => world.store)
      familiesContract(() => world.store)
      guardsContract(() => world.store)
      logContract(() => world.store)
      batchesContract(() => world.store)
    })
    describe('on a new store each', () => {
      beforeEach(async () => {
        world = await open()
      })
      afterEach(() => world.close())
      commitContract(() => world)
      purgeContract(() => world.store)
      fleetContract(() => world.store)
    })
  })
}
