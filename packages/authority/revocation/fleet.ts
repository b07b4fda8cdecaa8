/** What the validators that asked this node have applied, by their own account: bounded, in memory, for people to look at. */

export interface FleetReport {
  /** The validator's own name, within the client it authenticates as. */
  readonly validator: string
  readonly client?: string
  readonly epoch: string
  /** The last sequence number it says it has applied. */
  readonly applied: number
  /** When it last asked, epoch milliseconds. */
  readonly seenAtMs: number
}

export interface Fleet {
  report(report: FleetReport): void
  /** Those seen lately, the latest last. */
  list(nowMs: number): readonly FleetReport[]
}

/** More than so many, and those not seen for longest go. */
const MAX_REPORTS = 10_000
const MEMORY_MS = 600_000

export function createFleet(): Fleet {
  // A Map keeps the order of insertion; whoever reports moves to its end.
  const reports = new Map<string, FleetReport>()
  return {
    report(report) {
      const key = JSON.stringify([report.client ?? '', report.validator])
      reports.delete(key)
      reports.set(key, report)
      if (reports.size > MAX_REPORTS) reports.delete(reports.keys().next().value as string)
    },
    list(nowMs) {
      for (const [key, { seenAtMs }] of reports) {
        if (nowMs - seenAtMs <= MEMORY_MS) break
        reports.delete(key)
      }
      return [...reports.values()]
    },
  }
}
