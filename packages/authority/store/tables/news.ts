/**
 * What the commits of this store append to the revocation log, told to who follows it here: once for each commit, when it is durable and
 * before any of its callers hears of it.
 */
import type { LogEntry } from '../ports/revocations.ts'

export interface News {
  follow(told: (entries: readonly LogEntry[]) => void): { stop(): void }
  /** One more entry of the commit that is being settled in this turn. */
  appended(entry: () => LogEntry): void
  /** That commit began another epoch. */
  renewed(): void
}

export function createNews(): News {
  // A follower is a box, so that one function that follows twice is two followers.
  const followers = new Set<{ readonly told: (entries: readonly LogEntry[]) => void }>()
  let commit: LogEntry[] | undefined

  /** A commit is settled in one go, and its callers go on in microtasks that come behind this one. */
  function tellSoon(): LogEntry[] {
    if (commit === undefined) {
      commit = []
      queueMicrotask(() => {
        const entries = commit as LogEntry[]
        commit = undefined
        for (const { told } of [...followers]) told(entries)
      })
    }
    return commit
  }

  return {
    follow(told) {
      const follower = { told }
      followers.add(follower)
      return { stop: () => void followers.delete(follower) }
    },
    appended(entry) {
      if (followers.size > 0) tellSoon().push(entry())
    },
    renewed() {
      if (followers.size > 0) tellSoon()
    },
  }
}
