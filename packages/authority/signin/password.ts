/**
 * Passwords: argon2id (RFC 9106) at OWASP's floor of 19 MiB, two passes, one lane; about 35 ms of one core. Hashing runs
 * outside the event loop in a pool with a bound, so that a flood of guesses can neither take all memory nor starve the rest.
 */
import { argon2, timingSafeEqual } from 'node:crypto'
import { fault } from '@signet/kernel/errors.ts'
import type { Secret } from '@signet/kernel/secret.ts'
import type { Chance } from '@signet/kernel/surroundings.ts'

export interface Passwords {
  /** The PHC string to keep. Throws `fault('overloaded')` when too many are waiting. */
  hash(password: Secret): Promise<string>
  /**
   * Whether it is the password behind `stored`. Does the same work when there is nothing stored, so that time does not tell
   * whether an account exists. `outdated`: genuine, but hashed with less than today's cost, so hash it again.
   */
  verify(password: Secret, stored: string | undefined): Promise<{ readonly genuine: boolean; readonly outdated: boolean }>
}

export interface Cost {
  /** KiB. */
  readonly memory: number
  readonly passes: number
  readonly lanes: number
}

export const COST: Cost = { memory: 19_456, passes: 2, lanes: 1 }

const SALT_BYTES = 16
const TAG_BYTES = 32

export function createPasswords(chance: Chance, cost: Cost = COST): Passwords {
  const pool = createPool()
  // What an unknown account is compared with: nobody's password, made with today's cost.
  const nobody: Phc = { cost, salt: chance.bytes(SALT_BYTES), tag: chance.bytes(TAG_BYTES) }
  return {
    async hash(password) {
      const salt = chance.bytes(SALT_BYTES)
      const tag = await pool.run(() => derive(password, salt, cost, TAG_BYTES))
      return formatPhc({ cost, salt, tag })
    },
    async verify(password, stored) {
      const known = stored === undefined ? undefined : parsePhc(stored)
      const against = known ?? nobody
      const tag = await pool.run(() => derive(password, against.salt, against.cost, against.tag.length))
      const equal = timingSafeEqual(tag, against.tag)
      const genuine = equal && known !== undefined
      return { genuine, outdated: genuine && isLess(against.cost, cost) }
    },
  }
}

/** Unicode spells one text in several ways; keyboards differ in which they send (RFC 8265 §4, NIST SP 800-63B §3.1.1.2). */
export const normalizePassword = (text: string): string => text.normalize('NFKC')

function derive(password: Secret, salt: Uint8Array, cost: Cost, tagLength: number): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  argon2(
    'argon2id',
    {
      message: normalizePassword(password.reveal()),
      nonce: salt,
      parallelism: cost.lanes,
      tagLength,
      memory: cost.memory,
      passes: cost.passes,
    },
    (error, tag) => (error === null ? resolve(tag) : reject(error)),
  )
  return promise
}

const isLess = (a: Cost, b: Cost): boolean => a.memory < b.memory || a.passes < b.passes

// ── The string that is stored ──────────────────────────────────────────────────────────────────────────────────────

export interface Phc {
  readonly cost: Cost
  readonly salt: Uint8Array
  readonly tag: Uint8Array
}

export function formatPhc({ cost, salt, tag }: Phc): string {
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.lanes}$${base64(salt)}$${base64(tag)}`
}

const PHC = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/
// A hash from elsewhere may cost more than ours, but not so much that one sign-in hurts the node.
const MAX_MEMORY = 262_144
const MAX_PASSES = 16
const MAX_LANES = 16

/** Undefined for anything but argon2id version 19 within bounds; such a password is never genuine. */
export function parsePhc(text: string): Phc | undefined {
  const match = PHC.exec(text)
  if (match === null) return undefined
  const [, memory, passes, lanes, salt, tag] = match as unknown as [string, string, string, string, string, string]
  const cost = { memory: Number(memory), passes: Number(passes), lanes: Number(lanes) }
  const fits =
    cost.lanes >= 1 &&
    cost.lanes <= MAX_LANES &&
    cost.passes >= 1 &&
    cost.passes <= MAX_PASSES &&
    cost.memory >= 8 * cost.lanes &&
    cost.memory <= MAX_MEMORY
  if (!fits) return undefined
  const phc = { cost, salt: new Uint8Array(Buffer.from(salt, 'base64')), tag: new Uint8Array(Buffer.from(tag, 'base64')) }
  return phc.salt.length >= 8 && phc.tag.length >= 16 ? phc : undefined
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '')

// ── The pool ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Two at once leave libuv's other threads to the store; each holds 19 MiB. */
const RUNNING = 2
/** About a second's worth of waiting; whoever comes later is told to come back rather than kept. */
const WAITING = 64

function createPool(): { run<T>(work: () => Promise<T>): Promise<T> } {
  let running = 0
  const waiting: (() => void)[] = []
  return {
    async run(work) {
      if (running >= RUNNING) {
        if (waiting.length >= WAITING)
          throw fault('overloaded', { because: 'too many passwords wait to be checked', retryAfterSeconds: 2 })
        await new Promise<void>((resolve) => waiting.push(resolve)) // Whoever leaves hands over its place.
      } else running++
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next === undefined) running--
        else next()
      }
    },
  }
}
