/**
 * One budget for all nodes, without asking the store for each request. A node grants a small share of the burst on its own
 * account and tells the store afterwards, many at a time; only an asker that is faster than that waits for the answer. So N nodes
 * together grant at most burst + rate × time + N × share of the burst. While the store is away each node keeps the budget by itself.
 */

import { createRateLimit, type Rate, type RateLimit } from '@signet/kernel/rate-limit.ts'
import type { Clock } from '@signet/kernel/surroundings.ts'

/** Takes up to `count` from the budget that all nodes share, and says when there is more if that was not all. */
export type TakeShared = (key: string, count: number) => Promise<{ readonly granted: number; readonly retryAfterMs: number }>

/** What a node may be ahead of the store, as a part of the burst. */
const SHARE = 1 / 16
/** Answers of the store that one request waits for at most; then it is told to come again soon. */
const MAX_LOOKS = 4
const SOON_MS = 100
/** Askers remembered at once. One that was forgotten may be ahead by its share again. */
const CAPACITY = 100_000

interface Account {
  /** Granted, and not told yet. */
  debt: number
  /** Told, and not granted yet: for those who wait. */
  credit: number
  waiting: number
  /** The store has no more until then, on the monotonic clock. */
  emptyUntil: number
  telling: Promise<void> | undefined
}

export function createSharedRateLimit(rate: Rate, clock: Clock, takeShared: TakeShared): RateLimit {
  const alone = createRateLimit(rate, clock)
  const share = Math.max(1, Math.floor(rate.burst * SHARE))
  let young = new Map<string, Account>()
  let old = new Map<string, Account>()

  function accountOf(key: string): Account {
    const known = young.get(key) ?? old.get(key)
    const account = known ?? { debt: 0, credit: 0, waiting: 0, emptyUntil: Number.NEGATIVE_INFINITY, telling: undefined }
    young.set(key, account)
    if (young.size > CAPACITY / 2) {
      old = young
      young = new Map()
    }
    return account
  }

  /** 0, what to wait, or undefined when the store must be heard first. */
  function grant(account: Account, key: string): number | undefined {
    if (account.credit > 0) {
      account.credit--
      return 0
    }
    const emptyMs = account.emptyUntil - clock.monotonic()
    if (emptyMs > 0) return emptyMs
    if (account.debt >= share) return undefined
    account.debt++
    if (account.debt >= share / 2) void tell(account, key)
    return 0
  }

  function tell(account: Account, key: string): Promise<void> {
    account.telling ??= settle(account, key).finally(() => {
      account.telling = undefined
    })
    return account.telling
  }

  async function settle(account: Account, key: string): Promise<void> {
    await Promise.resolve() // Whoever asks in this turn is in it.
    const told = account.debt
    const count = Math.min(rate.burst, told + account.waiting)
    try {
      const { granted, retryAfterMs } = await takeShared(key, count)
      account.debt -= Math.min(granted, told)
      account.credit += Math.max(0, granted - told)
      if (granted < count) account.emptyUntil = clock.monotonic() + retryAfterMs
    } catch {
      account.debt -= told // The store is away, and with it what this request is about to ask of it; the own budget holds.
    }
  }

  async function wait(account: Account, key: string): Promise<number> {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      account.waiting++
      await tell(account, key)
      account.waiting--
      const answer = grant(account, key)
      if (answer !== undefined) return answer
    }
    return SOON_MS
  }

  return {
    take(key) {
      const ownMs = alone.take(key)
      if (ownMs > 0) return ownMs
      const account = accountOf(key)
      return grant(account, key) ?? wait(account, key)
    },
  }
}
