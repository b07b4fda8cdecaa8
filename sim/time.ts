/**
 * Simulated time. One queue of what is to happen, in the order of virtual time; what falls on the same moment on different machines
 * is ordered by the seed. Between two events everything that was set off has run to its end (microtasks), so a run depends on the seed
 * alone. Nothing here knows the real clock.
 */
import type { Dice } from './dice.ts'

export interface Happening {
  cancel(): void
}

export interface VirtualTime {
  /** Milliseconds since the world began. */
  readonly nowMs: number
  /** `lane` orders what falls on the same moment: first in, first out within a lane, by chance between lanes. */
  at(atMs: number, lane: string, task: () => unknown): Happening
  after(milliseconds: number, lane: string, task: () => unknown): Happening
  /** Runs until `untilMs`, or until `stop` says so. */
  run(untilMs: number, stop?: () => boolean): Promise<void>
  readonly events: number
}

interface Entry {
  readonly atMs: number
  readonly tie: number
  readonly order: number
  task: (() => unknown) | undefined
}

/** `failed` hears of what a task threw. */
export function createVirtualTime(dice: Dice, failed: (cause: unknown) => void): VirtualTime {
  const heap: Entry[] = []
  const lanes = new Map<string, number>()
  const salt = dice.whole(1, 0x7fffffff)
  let nowMs = 0
  let order = 0
  let events = 0

  /** The same for one lane at one moment, so that a lane keeps its own order. */
  function tieOf(lane: string, atMs: number): number {
    const id = lanes.get(lane) ?? lanes.size + 1
    lanes.set(lane, id)
    let hash = Math.imul(id ^ salt, 0x9e3779b1) ^ Math.imul(Math.floor(atMs * 1000) | 0, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    return (hash ^ (hash >>> 12)) >>> 0
  }

  const before = (a: Entry, b: Entry) =>
    a.atMs !== b.atMs ? a.atMs < b.atMs : a.tie !== b.tie ? a.tie < b.tie : a.order < b.order

  function push(entry: Entry): void {
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!before(heap[at] as Entry, heap[parent] as Entry)) break
      swap(at, parent)
      at = parent
    }
  }

  function pop(): Entry | undefined {
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    heap[0] = last
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      const right = left + 1
      let least = at
      if (left < heap.length && before(heap[left] as Entry, heap[least] as Entry)) least = left
      if (right < heap.length && before(heap[right] as Entry, heap[least] as Entry)) least = right
      if (least === at) return first
      swap(at, least)
      at = least
    }
  }

  function swap(a: number, b: number): void {
    const kept = heap[a] as Entry
    heap[a] = heap[b] as Entry
    heap[b] = kept
  }

  const self: VirtualTime = {
    get nowMs() {
      return nowMs
    },
    get events() {
      return events
    },
    at(atMs, lane, task) {
      const due = Math.max(nowMs, atMs)
      const entry: Entry = { atMs: due, tie: tieOf(lane, due), order: order++, task }
      push(entry)
      return {
        cancel: () => {
          entry.task = undefined
        },
      }
    },
    after: (milliseconds, lane, task) => self.at(nowMs + Math.max(0, milliseconds), lane, task),
    async run(untilMs, stop = () => false) {
      await settled() // What the caller has set off comes first.
      while (!stop()) {
        const next = heap[0]
        if (next === undefined || next.atMs > untilMs) break
        pop()
        if (next.task === undefined) continue
        nowMs = next.atMs
        events++
        try {
          const set = next.task()
          if (set instanceof Promise) set.catch(failed)
        } catch (cause) {
          failed(cause)
        }
        await settled()
      }
      if (!stop()) nowMs = Math.max(nowMs, untilMs)
    },
  }
  return self
}

/** Resolves when every microtask, and every one those set off, has run. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
