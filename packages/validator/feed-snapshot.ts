/** Downloading the snapshot of the registry (docs/protocol/feed.md §6): bounded in size, in silence and as a whole. */
import { RECORD_BYTES, SNAPSHOT_MEDIA_TYPE } from '@signet/kernel/feed.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { FeedEndpoints } from './discovery.ts'
import type { Attempt, FeedExchange } from './feed-exchange.ts'
import { HttpTrouble } from './http.ts'
import { silenceWatch } from './pace.ts'

const IDLE_MS = 15_000
/** However steadily it trickles. The largest registry, 28 MB a million entries, is through by then at 100 kB/s. */
const WHOLE_MS = 300_000
const HEADER_BYTES = 16 * 1024

export async function fetchSnapshot(
  parts: { readonly exchange: FeedExchange; readonly surroundings: Surroundings; readonly maxEntries: number },
  feed: FeedEndpoints,
  attempt: Attempt,
): Promise<Uint8Array> {
  const { exchange, surroundings, maxEntries } = parts
  const response = await exchange.open(feed, { url: feed.snapshot, accept: SNAPSHOT_MEDIA_TYPE }, attempt)
  const most = maxEntries * RECORD_BYTES + HEADER_BYTES
  const chunks: Uint8Array[] = []
  let length = 0
  let isLate = false
  const giveUp = (): void => {
    isLate = true
    response.discard()
  }
  const watch = silenceWatch(surroundings, giveUp, IDLE_MS)
  const whole = surroundings.timers.after(WHOLE_MS, giveUp)
  try {
    for await (const chunk of response.body) {
      watch.heard()
      attempt.progressed()
      length += chunk.length
      if (length > most) throw new HttpTrouble('too_large', feed.snapshot)
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof HttpTrouble) throw cause
    const kind = isLate || attempt.signal.aborted ? 'timeout' : 'unreachable'
    throw new HttpTrouble(kind, feed.snapshot, { cause, why: 'the snapshot did not come whole' })
  } finally {
    watch.stop()
    whole.cancel()
  }
  return Buffer.concat(chunks, length)
}
