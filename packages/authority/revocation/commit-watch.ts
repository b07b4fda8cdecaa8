/**
 * Sees when something that was appended inside another flow's transaction has committed. The store fills its place in the log
 * then; a transaction that was undone never does, and is forgotten after a while.
 */
import type { Timers } from '@signet/kernel/surroundings.ts'

export interface CommitWatch<Item> {
  add(item: Item, place: { readonly seq: number }): void
  /** Somebody takes care of it himself. */
  remove(item: Item): void
  close(): void
}

/** Looks come 1, 2, 4, … milliseconds apart, then so often; after so many it was undone. */
const SLOWEST_LOOK_MS = 50
const MAX_LOOKS = 200
/** More than so many at once are not watched: their wake-up is left to the poll. */
const MAX_WATCHED = 10_000

export function createCommitWatch<Item>(timers: Timers, committed: (item: Item) => void): CommitWatch<Item> {
  const watched = new Map<Item, { readonly place: { readonly seq: number }; looks: number }>()
  let waiting = false
  let waitMs = 1
  let closed = false

  function look(): void {
    waiting = false
    if (closed) return
    for (const [item, entry] of watched) {
      if (entry.place.seq === 0 && ++entry.looks < MAX_LOOKS) continue
      watched.delete(item)
      if (entry.place.seq > 0) committed(item)
    }
    waitMs = Math.min(SLOWEST_LOOK_MS, waitMs * 2)
    wait()
  }

  function wait(): void {
    if (waiting || closed || watched.size === 0) return
    waiting = true
    timers.after(waitMs, look)
  }

  return {
    add(item, place) {
      if (watched.size >= MAX_WATCHED) return
      watched.set(item, { place, looks: 0 })
      waitMs = 1
      wait()
    },
    remove: (item) => void watched.delete(item),
    close() {
      closed = true
      watched.clear()
    },
  }
}
