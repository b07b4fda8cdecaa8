/**
 * Which entries this node saw arrive in time: while their cutoff still lay the slack ahead of the store's clock (ADR 5). An
 * entry seen in time was committed in time, whoever was to check it.
 */
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { LogEntry } from '../store/ports/revocations.ts'

export interface Witness {
  /** Entries up to here were there before we looked; nothing is known of them. */
  begin(position: Position): void
  saw(entries: readonly LogEntry[], storeNowMs: number): void
  /** Whoever committed it found it late, however it looked from here. */
  foundLate(epoch: string, seq: number): void
  sawInTime(epoch: string, seq: number): boolean
}

/** Remembered late ones; when there are more, everything before the latest counts as not seen. */
const MAX_LATE = 10_000

export function createWitness(slackMs: number): Witness {
  let epoch = ''
  let since = 0
  let to = 0
  const late = new Set<number>()

  function note(seq: number): void {
    late.add(seq)
    if (late.size <= MAX_LATE) return
    late.clear()
    since = Math.max(since, seq)
  }

  return {
    begin(position) {
      epoch = position.epoch
      since = position.seq
      to = position.seq
      late.clear()
    },
    saw(entries, storeNowMs) {
      for (const { seq, cutoffMs } of entries) {
        to = seq
        if (storeNowMs > cutoffMs - slackMs) note(seq)
      }
    },
    foundLate(of, seq) {
      if (of === epoch && seq > since) note(seq)
    },
    sawInTime: (of, seq) => of === epoch && seq > since && seq <= to && !late.has(seq),
  }
}
