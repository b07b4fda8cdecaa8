/**
 * Keeps a key set up to date: fetched before it is needed, again before it is old, and at once when a token names a key that
 * is not in it, but not more often than a cooldown allows. When the issuer cannot be asked, the keys known so far go on being
 * good: what must die dies by revocation.
 */

import { EPOCH_HEADER } from '@signet/kernel/feed.ts'
import type { Surroundings, Timer } from '@signet/kernel/surroundings.ts'
import { TwoGenerations } from '@signet/kernel/two-generations.ts'
import { type Bounds, fetchWhole, HttpTrouble, type Transport } from './http.ts'
import { type Algorithm, isRecord } from './jwk.ts'
import type { KeySet } from './key-set.ts'

export interface JwksParts {
  readonly keys: KeySet
  /** Where the JWKS is; asked each time, since metadata may move. */
  readonly uri: () => Promise<string>
  /** From what was fetched to a JWKS, where it is not one as it stands. Throws when it does not count. */
  readonly read?: (bytes: Uint8Array, url: string) => Promise<unknown>
  readonly transport: Transport
  readonly surroundings: Surroundings
  readonly signal: AbortSignal
  onChange(): void
  onTrouble(cause: unknown): void
  /**
   * Where strangers cannot name keys: milliseconds between two fetches for one that is not known, however often in vain. A node of the issuer
   * that has yet to read its keys may have answered, and until the key is there nothing signed with it counts.
   */
  readonly seekEveryMs?: number
}

const BOUNDS: Bounds = { timeoutMs: 5000, maxBytes: 256 * 1024 }
/** Cache-Control max-age is honoured between these; without one, `DEFAULT_AGE_SECONDS`. */
const MIN_AGE_SECONDS = 30
const MAX_AGE_SECONDS = 3600
const DEFAULT_AGE_SECONDS = 300
/** Unknown key ids make us ask at most so often, whoever makes them up; twice as long after each time in vain. */
const COOLDOWN_MS = 1000
const COOLDOWN_MOST_MS = 32_000
/** An id that was not there is not asked for again for so long. */
const ABSENT_MS = 60_000
const ABSENT_REMEMBERED = 1000
const RETRY_FIRST_MS = 500
const RETRY_MOST_MS = 30_000

export class Jwks {
  private readonly parts: JwksParts
  private fetching: Promise<boolean> | undefined
  private timer: Timer | undefined
  private askedAt = Number.NEGATIVE_INFINITY
  private failures = 0
  private epochRead: string | undefined
  private cooldownMs: number
  private readonly absent = new TwoGenerations<string, number>(ABSENT_REMEMBERED)

  constructor(parts: JwksParts) {
    this.parts = parts
    this.cooldownMs = this.firstCooldownMs
  }

  private get firstCooldownMs(): number {
    return this.parts.seekEveryMs ?? COOLDOWN_MS
  }

  /** Fetches now, and from then on by itself. Resolves after the attempt, which may have failed. */
  async start(): Promise<void> {
    await this.refresh()
  }

  /** Fetches now, although it is not due: there is a reason to think that the keys have changed. */
  hurry(): void {
    void this.refresh()
  }

  /** The epoch of the log that the keys were read in, where the issuer says so. */
  get epoch(): string | undefined {
    return this.epochRead
  }

  /** Fetches now, past all caches, and shares no fetch that began before. True when it brought a key set. */
  async anew(): Promise<boolean> {
    await this.fetching
    return this.refresh(true)
  }

  /**
   * Asks again for a key that is not known, if asking is due. `unsure`: it was not due, or nobody answered, so nothing is said
   * about the token.
   */
  async seek(kid: string | undefined, alg: Algorithm): Promise<'found' | 'absent' | 'unsure'> {
    const { keys, surroundings } = this.parts
    const { clock } = surroundings
    const name = `${alg} ${kid ?? ''}`
    if (this.fetching === undefined) {
      const now = clock.monotonic()
      if (now - (this.absent.get(name) ?? Number.NEGATIVE_INFINITY) < ABSENT_MS) return 'absent'
      if (now - this.askedAt < this.cooldownMs) return 'unsure'
    }
    const fetched = await this.refresh()
    if (keys.find(kid, alg) !== undefined) {
      this.cooldownMs = this.firstCooldownMs
      return 'found'
    }
    if (!fetched) return 'unsure'
    if (this.parts.seekEveryMs !== undefined) return 'absent'
    this.absent.set(name, clock.monotonic())
    this.cooldownMs = Math.min(COOLDOWN_MOST_MS, this.cooldownMs * 2)
    return 'absent'
  }

  close(): void {
    this.timer?.cancel()
    this.timer = undefined
  }

  /** One fetch at a time; whoever asks meanwhile waits for the same. True when it brought a key set. */
  private refresh(pastCaches = false): Promise<boolean> {
    this.fetching ??= this.fetchOnce(pastCaches).finally(() => {
      this.fetching = undefined
    })
    return this.fetching
  }

  private async fetchOnce(pastCaches: boolean): Promise<boolean> {
    const { parts } = this
    const { clock, timers } = parts.surroundings
    this.askedAt = clock.monotonic()
    try {
      const url = await parts.uri()
      const headers = { accept: 'application/json', ...(pastCaches && { 'cache-control': 'no-cache' }) }
      const request = { url, method: 'GET', headers } as const
      const exchange = { transport: parts.transport, timers, signal: parts.signal }
      const { bytes, header } = await fetchWhole(exchange, request, BOUNDS)
      const document = await (parts.read ?? readJson)(bytes, url)
      const { taken, changed } = parts.keys.replace(document)
      if (!taken) throw new HttpTrouble('content', url, { why: 'no key that can be used' })
      this.failures = 0
      // Who need not be believed about keys, need not be about their epoch: there it is in what is signed.
      this.epochRead = parts.read === undefined ? header(EPOCH_HEADER) : epochOf(document)
      this.again(maxAgeSeconds(header('cache-control')) * 800)
      if (changed) {
        this.absent.clear()
        this.cooldownMs = this.firstCooldownMs
        parts.onChange()
      }
      return true
    } catch (cause) {
      this.failures++
      this.again(Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(this.failures - 1, 10)))
      if (!parts.signal.aborted) parts.onTrouble(cause)
      return false
    }
  }

  /** Next fetch, give or take a tenth, so that a fleet does not come all at once. */
  private again(milliseconds: number): void {
    const { timers, chance } = this.parts.surroundings
    this.timer?.cancel()
    if (this.parts.signal.aborted) return
    const jitter = 0.9 + ((chance.bytes(1)[0] as number) / 255) * 0.2
    this.timer = timers.after(milliseconds * jitter, () => void this.refresh())
  }
}

/** RFC 9111 §5.2.2.1 within our bounds. */
export function maxAgeSeconds(cacheControl: string | undefined): number {
  const match = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(cacheControl ?? '')
  const seconds = match === null ? DEFAULT_AGE_SECONDS : Number(match[1])
  return Math.min(MAX_AGE_SECONDS, Math.max(MIN_AGE_SECONDS, seconds))
}

async function readJson(bytes: Uint8Array, url: string): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (cause) {
    throw new HttpTrouble('content', url, { cause, why: 'not JSON' })
  }
}

const epochOf = (document: unknown): string | undefined =>
  isRecord(document) && typeof document.epoch === 'string' ? document.epoch : undefined
