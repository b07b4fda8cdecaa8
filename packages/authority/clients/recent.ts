/** What the store said a moment ago: a small cache whose answers say how old they are, so that minting can be refused on old knowledge. */
import { Fault } from '@signet/kernel/errors.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'

/** A point in time on both clocks: one stops in a suspended machine, the other jumps. */
export interface Moment {
  readonly wallMs: number
  readonly monotonicMs: number
}

const thisMoment = (clock: Clock): Moment => ({ wallMs: clock.now(), monotonicMs: clock.monotonic() })

/** Milliseconds since then, by the clock that says more. */
export const ageMs = (clock: Clock, moment: Moment): number =>
  Math.max(clock.now() - moment.wallMs, clock.monotonic() - moment.monotonicMs)

export interface Known<V> {
  readonly value: V
  /** Just before the store was asked. */
  readonly at: Moment
}

export interface Recent<V> {
  find(key: string): Known<V> | Promise<Known<V>>
  /** The next question goes to the store. */
  forget(key: string): void
  forgetAll(): void
}

/**
 * Remembers answers for `maxAgeMs`, "there is none" too: an unknown key must not be told from a known one by the time it takes.
 * A fault of the store's is answered with what is at most `staleMs` old, if there is. One read in flight per key. Holds at most `capacity` answers.
 */
export function createRecent<V>(
  load: (key: string) => Promise<V>,
  bounds: { maxAgeMs: number; staleMs?: number; capacity: number; clock: Clock },
): Recent<V> {
  const { maxAgeMs, staleMs = maxAgeMs, capacity, clock } = bounds
  let young = new Map<string, Known<V>>()
  let old = new Map<string, Known<V>>()
  const flights = new Map<string, Promise<Known<V>>>()

  function keep(key: string, known: Known<V>): void {
    young.set(key, known)
    if (young.size > capacity / 2) {
      old = young
      young = new Map()
    }
  }

  function takeOff(key: string): Promise<Known<V>> {
    const at = thisMoment(clock)
    const flight = load(key).then((value) => ({ value, at }))
    flights.set(key, flight)
    // Forgotten meanwhile: whoever waited gets this answer, nobody later does.
    const land = (known?: Known<V>) => {
      if (flights.get(key) !== flight) return
      flights.delete(key)
      if (known !== undefined) keep(key, known)
    }
    flight.then(land, () => land())
    return flight
  }

  return {
    find(key) {
      const known = young.get(key) ?? old.get(key)
      if (known !== undefined && ageMs(clock, known.at) <= maxAgeMs) return known
      const flight = flights.get(key) ?? takeOff(key)
      // While the store is away an answer that says how old it is serves those who can bear it; minting can't.
      if (known === undefined || ageMs(clock, known.at) > staleMs) return flight
      return flight.catch((error: unknown) => {
        if (error instanceof Fault) return known
        throw error
      })
    },
    forget(key) {
      young.delete(key)
      old.delete(key)
      flights.delete(key)
    },
    forgetAll() {
      young.clear()
      old.clear()
      flights.clear()
    },
  }
}
