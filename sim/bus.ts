/** The bus between simulated nodes: wake-ups that are late, lost or repeated, as every engine may have them. */
import type { Bus, Subject } from '@signet/bus/bus.ts'
import { createLocalWakes, type LocalWakes, OTHERS, OWN } from '@signet/bus/local-wakes.ts'
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'

export interface SimulatedBus {
  of(machine: Machine): Bus
  /** Share of wake-ups that get lost, and that come twice. */
  weather: { loss: number; twice: number }
  /** The weather while nothing is wrong with it. */
  readonly calm: { loss: number; twice: number }
}

/** Where it is not `present`, nodes find everything by their polls alone. */
export function createSimulatedBus(network: Network, dice: Dice, present: boolean): SimulatedBus {
  const calm = { loss: present ? 0 : 1, twice: 0 }
  const ends = new Map<Bus, { machine: Machine; life: number; local: LocalWakes }>()
  const self: SimulatedBus = {
    weather: calm,
    calm,
    of(machine) {
      const local = createLocalWakes(machine.surroundings.timers)
      const bus: Bus = {
        publish(subject: Subject, along) {
          const bytes = along?.()
          for (const end of ends.values()) {
            const times = dice.happens(self.weather.loss) ? 0 : dice.happens(self.weather.twice) ? 2 : 1
            for (let i = 0; i < times; i++) {
              const due =
                end.machine === machine ? OWN : bytes === undefined ? OTHERS : ({ by: 'telling', along: [bytes] } as const)
              network.send(machine, end.machine, () => end.machine.life === end.life && end.local.wake(subject, due))
            }
          }
        },
        subscribe: local.subscribe,
        linked: () => true,
        async close() {
          ends.delete(bus)
          local.close()
        },
      }
      for (const [old, end] of ends) if (end.machine === machine) ends.delete(old)
      ends.set(bus, { machine, life: machine.life, local })
      return bus
    },
  }
  return self
}
