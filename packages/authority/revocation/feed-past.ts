/**
 * What readers that come back have missed: from memory when it was lately, else from the store, a page at a time. A page is read
 * and signed once for all who ask for it within a moment, for readers come back together.
 */
import type { Clock } from '@signet/kernel/surroundings.ts'
import type { LogEntry } from '../store/ports/revocations.ts'
import type { Store } from '../store/store.ts'
import { type Frame, MAX_BATCH } from './feed-frames.ts'

export interface FeedPast {
  /** Takes a frame that was sent; each follows the one before. */
  add(frame: Frame): void
  /** The next frame for a reader that has everything up to `seq`, which lies behind us; `gone` when it is not in the log any more. */
  after(epoch: string, seq: number): Promise<Frame | 'gone'>
  /** Whether everything between `seq` and `to` is in memory. */
  covers(seq: number, to: number): boolean
  clear(): void
}

/** Kept in memory, at most. */
const MAX_BYTES = 4 * 1024 * 1024
const MAX_FRAMES = 4096
/** Pages from the store are shared for so long, and so many of them. */
const PAGE_MS = 1000
const MAX_PAGES = 64

export function createFeedPast(parts: {
  readonly store: Pick<Store, 'revocations'>
  readonly clock: Clock
  frame(entries: readonly LogEntry[]): Frame
}): FeedPast {
  let frames: Frame[] = []
  let bytes = 0
  const pages = new Map<string, { readonly page: Promise<Frame | 'gone'>; readonly atMs: number }>()

  return {
    add(frame) {
      frames.push(frame)
      bytes += frame.bytes.length
      // A quarter goes at once, so that the rest need not be moved each time.
      if (bytes > MAX_BYTES || frames.length > MAX_FRAMES) {
        const gone = frames.slice(0, Math.ceil(frames.length / 4))
        frames = frames.slice(gone.length)
        bytes -= gone.reduce((sum, one) => sum + one.bytes.length, 0)
      }
    },
    async after(epoch, seq) {
      return recent(seq) ?? sharedPage(epoch, seq)
    },
    covers: (seq, to) => seq === to || (frames.length > 0 && (frames[0] as Frame).from <= seq + 1),
    clear() {
      frames = []
      bytes = 0
      pages.clear()
    },
  }

  /** The frame that holds the entry after `seq`, by bisection. */
  function recent(seq: number): Frame | undefined {
    let low = 0
    let high = frames.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((frames[middle] as Frame).to > seq) high = middle
      else low = middle + 1
    }
    const frame = frames[low]
    return frame !== undefined && frame.from <= seq + 1 ? frame : undefined
  }

  function sharedPage(epoch: string, seq: number): Promise<Frame | 'gone'> {
    const nowMs = parts.clock.monotonic()
    for (const [key, { atMs }] of pages) {
      if (nowMs - atMs < PAGE_MS && pages.size < MAX_PAGES) break
      pages.delete(key)
    }
    const key = `${epoch}:${seq}`
    const shared = pages.get(key)
    if (shared !== undefined) return shared.page
    const page = readPage(epoch, seq)
    pages.set(key, { page, atMs: nowMs })
    page.catch(() => pages.delete(key))
    return page
  }

  async function readPage(epoch: string, seq: number): Promise<Frame | 'gone'> {
    const entries = await parts.store.revocations.after(seq, MAX_BATCH)
    const isWhole = entries.length > 0 && entries.every((entry, index) => entry.seq === seq + 1 + index && entry.epoch === epoch)
    return isWhole ? parts.frame(entries) : 'gone'
  }
}
