/** A service with a real validator in it, on a simulated machine: what it says is put before the observer. */
import { createValidator, type FeedOptions, type Validator, type ValidatorOptions } from '@signet/validator/index.ts'
import type { Dice } from './dice.ts'
import { createFeedFetch, type DoorParts, type Middle } from './feed-door.ts'
import type { History, TokenFact } from './history.ts'
import type { Machine } from './machine.ts'
import { API, ISSUER } from './names.ts'
import type { Tampering } from './tampering.ts'

export interface Watcher {
  readonly machine: Machine
  readonly middle: Middle
  readonly isAwake: boolean
  readonly hasDisk: boolean
  /** Its wall clock may be stepped back: then nothing that rests on it alone is promised. */
  readonly mayStep: boolean
  /** Puts a token before its validator. */
  check(token: TokenFact): void
  /** Asks only how fresh it says it is. */
  look(): void
  readonly stalenessMs: number
  readonly position: { readonly epoch: string; readonly seq: number } | undefined
  crash(): void
  start(): void
  /** Ends every validator there ever was here: requests that wait in one would hold the process. */
  close(): void
}

export interface WatcherParts extends Omit<DoorParts, 'middle' | 'machine' | 'lastHead'> {
  readonly machine: Machine
  readonly history: History
  readonly tampering: Tampering
  readonly dice: Dice
  readonly tightestSeconds: number
  readonly skewSeconds: number
  readonly hasDisk: boolean
  /** Where its feed comes from, when that is a relay; asked at each start. */
  feed?(): FeedOptions
}

export function createWatcher(parts: WatcherParts): Watcher {
  const { machine, history, tampering, tightestSeconds, hasDisk } = parts
  const middle: Middle = { frozen: false, slowMs: 0, replay: 0, twice: 0, lost: 0 }
  const lastHead = { tookMs: 0 }
  const fetcher = createFeedFetch({ ...parts, middle, lastHead })
  const opened: Validator[] = []
  let validator = open()

  function open(): Validator {
    const options: ValidatorOptions = {
      issuer: ISSUER,
      audience: API,
      validatorId: machine.name,
      clockSkewSeconds: parts.skewSeconds,
      surroundings: machine.surroundings,
      fetch: fetcher,
      // One permission bears anything, so that a stale validator still says what it believes.
      permissions: {
        read: { scopes: ['api:read'], maxStalenessSeconds: Number.POSITIVE_INFINITY },
        pay: { scopes: ['api:read'], maxStalenessSeconds: tightestSeconds },
      },
      ...(parts.feed === undefined ? {} : { feed: parts.feed() }),
      ...(hasDisk ? { cacheFile: `/sim/${machine.name}/cache` } : {}),
    }
    const one = createValidator(tampering.validator?.(options) ?? options)
    opened.push(one)
    return one
  }

  const seen = () => {
    const { stalenessMs, position } = validator.stats()
    return { validator: machine.name, stalenessMs: tampering.staleness?.(stalenessMs, lastHead.tookMs) ?? stalenessMs, position }
  }
  return {
    machine,
    middle,
    hasDisk,
    mayStep: !hasDisk,
    get isAwake() {
      return machine.isUp && !machine.isPaused
    },
    check(token) {
      if (!machine.isUp || machine.isPaused) return
      const verdict = validator.validateSync(token.text)
      history.observe(token, { ...seen(), allowed: verdict.allowed, reason: verdict.allowed ? undefined : verdict.reason })
      // Requests go through the waiting path now and then: it is what fetches a key that is not known.
      if (!verdict.allowed && verdict.reason === 'unknown_key') void validator.validate(token.text)
    },
    look() {
      if (machine.isUp && !machine.isPaused) history.observeStaleness(seen())
    },
    get stalenessMs() {
      return validator.stats().stalenessMs
    },
    get position() {
      return validator.stats().position
    },
    crash() {
      machine.crash()
    },
    start() {
      machine.start()
      validator = open()
    },
    close() {
      for (const one of opened) void one.close()
    },
  }
}
