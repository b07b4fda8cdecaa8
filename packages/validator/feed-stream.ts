/** One stream of the feed (docs/protocol/feed.md §5), from before it is asked for until it ends. */
import type { BatchOutcome, Position } from '@signet/kernel/revocation-view.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { FeedEndpoints } from './discovery.ts'
import type { Attempt, FeedExchange } from './feed-exchange.ts'
import { MAX_BATCH_CHARS } from './feed-messages.ts'
import { HttpTrouble } from './http.ts'
import { silenceWatch } from './pace.ts'
import { readEvents } from './sse.ts'

/** What ended a stream: the next one begins at the position, after the snapshot if that is needed. */
export type StreamEnd = 'ended' | 'reset' | 'gap' | 'other_epoch' | 'poisoned' | 'full' | 'silent' | 'lagging' | 'handed_over'

/** Heartbeats come every 5 s; a stream silent for three of them is dead, however open it looks. */
const SILENCE_MS = 15_000
/** A stream that held so long was a good one: after it, the next attempt comes at once. */
const STEADY_MS = 3000

export interface StreamParts {
  readonly exchange: FeedExchange
  readonly surroundings: Surroundings
  /** It was opened. */
  onOpen(): void
  /** It has held for a while. */
  onSteady(): void
  take(jws: string): Promise<BatchOutcome>
}

/** Reads until the stream ends or the attempt is ended. Rejects when it could not be opened, broke or brought what cannot be read. */
export async function readStream(
  parts: StreamParts,
  feed: FeedEndpoints,
  after: Position,
  attempt: Attempt<StreamEnd>,
): Promise<StreamEnd> {
  const { surroundings } = parts
  const url = new URL(feed.stream)
  url.searchParams.set('after', String(after.seq))
  url.searchParams.set('epoch', after.epoch)
  try {
    const response = await parts.exchange.open(feed, { url: url.href, accept: 'text/event-stream' }, attempt)
    const watch = silenceWatch(surroundings, () => attempt.end('silent'), SILENCE_MS)
    try {
      if (!(response.header('content-type') ?? '').startsWith('text/event-stream')) {
        throw new HttpTrouble('content', url.href, { why: 'not an event stream' })
      }
      parts.onOpen()
      const openedAt = surroundings.clock.monotonic()
      await readEvents(response.body, MAX_BATCH_CHARS, {
        onBytes: () => {
          watch.heard()
          if (surroundings.clock.monotonic() - openedAt > STEADY_MS) parts.onSteady()
        },
        onEvent: async (event) => {
          if (attempt.endedBy !== undefined) return
          if (event.name === 'reset') return attempt.end('reset')
          if (event.name !== 'batch') return
          const outcome = await parts.take(event.data)
          if (outcome !== 'applied' && outcome !== 'duplicate') attempt.end(outcome)
        },
      })
    } finally {
      watch.stop()
      response.discard()
    }
  } catch (cause) {
    if (attempt.endedBy === undefined) throw cause
  }
  return attempt.endedBy ?? 'ended'
}
