/** What a fault is, and the ways of breaking something for a while that several of them share. */
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import type { World } from './world.ts'

export interface Fault {
  readonly name: string
  /** Breaks something, and mends it itself after a while. */
  strike(world: World, dice: Dice): Promise<void> | void
}

/** Time goes on without the machine; `slept`: and its monotonic clock stood still, as in a suspended one. */
export async function stop(machine: Machine, slept: boolean, forMs: number, world: World): Promise<void> {
  if (!machine.isUp || machine.isPaused) return
  world.history.tell(`${machine.name} ${slept ? 'sleeps' : 'stands still'} for ${forMs.toFixed(0)} ms`)
  machine.pause()
  await world.apps.delay(forMs)
  machine.resume(slept)
}

/** All links are whole again, also those that another fault had cut. */
export async function mend(world: World, afterMs: number): Promise<void> {
  await world.apps.delay(afterMs)
  world.network.heal()
}
