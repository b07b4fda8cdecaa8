/** Seeded chance for the simulation's own choices. Every machine and every purpose has dice of its own, so that one more throw here moves nothing there. */
import type { Chance } from '@signet/kernel/surroundings.ts'
import { seededChance } from '@signet/testkit/surroundings.ts'

export interface Dice {
  /** 0 ≤ x < 1. */
  real(): number
  /** A whole number, `from` ≤ x ≤ `to`. */
  whole(from: number, to: number): number
  between(from: number, to: number): number
  /** True with this probability. */
  happens(probability: number): boolean
  pick<T>(from: readonly T[]): T
  /** Other dice of the same seed, which these throws do not move. */
  named(name: string): Dice
  readonly chance: Chance
}

export function createDice(seed: string): Dice {
  const chance = seededChance(seed)
  const real = () => {
    const [a, b, c, d] = chance.bytes(4) as unknown as [number, number, number, number]
    return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) / 2 ** 32
  }
  const whole = (from: number, to: number) => from + Math.floor(real() * (to - from + 1))
  return {
    real,
    whole,
    between: (from, to) => from + real() * (to - from),
    happens: (probability) => real() < probability,
    pick: (from) => from[whole(0, from.length - 1)] as never,
    named: (name) => createDice(`${seed}/${name}`),
    chance,
  }
}
