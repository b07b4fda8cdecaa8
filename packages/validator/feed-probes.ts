/**
 * Asks "what is your head?" all the while (docs/protocol/feed.md §7): the answers prove how fresh the view is, say which epoch is now,
 * and carry to the authority how far we are.
 */
import { toBase64Url } from '@signet/kernel/bytes.ts'
import type { HeadPayload } from '@signet/kernel/feed.ts'
import type { RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Surroundings } from '@signet/kernel/surroundings.ts'
import type { FeedEndpoints } from './discovery.ts'
import type { FeedExchange } from './feed-exchange.ts'
import { type FeedTrust, readHead } from './feed-messages.ts'
import type { FreshnessProof, Moment } from './freshness.ts'
import { HttpTrouble } from './http.ts'
import { Pause } from './pace.ts'
import { VERSION } from './version.ts'

export interface ProbeParts {
  readonly exchange: FeedExchange
  readonly trust: FeedTrust
  readonly surroundings: Surroundings
  readonly view: Pick<RevocationView, 'position'>
  readonly freshness: Pick<FreshnessProof, 'moment' | 'stalenessMs'>
  readonly validatorId: string
  /** The tightest staleness bound, which probes must keep up with, milliseconds. */
  readonly tightestMs: number
  /** They come at least so often, milliseconds. */
  readonly mostMs: number
  readonly signal: AbortSignal
  /** An answer to a question that went out at `sent`. Throws when it does not count. */
  onHead(head: HeadPayload, sent: Moment, feed: FeedEndpoints): void
  /** A probe was answered after one that was not. */
  onRecovery(): void
  onTrouble(cause: unknown): void
  /** A probe is over, however it went. */
  onProgress(): void
}

export const PROBE_MOST_MS = 5000
const PROBE_LEAST_MS = 50
const PROBE_TIMEOUT_MOST_MS = 10_000
/** What was applied is reported with a probe of its own, soon: within so long of it, by chance, so that a fleet does not come as one … */
const REPORT_WITHIN_MS = 250
/** … but not sooner than this after the last probe, … */
const REPORT_GAP_MS = 200
/** … and for every fourth probe that comes by itself, one. So many are saved up; with more revocations than that, reports come with the others. */
const MAX_SAVED_REPORTS = 5
const REPORTS_PER_PROBE = 1 / 4

export class FeedProbes {
  private readonly parts: ProbeParts
  private readonly pause: Pause
  private readonly everyMs: number
  private readonly leastTimeoutMs: number
  private timeoutMs: number
  private areFailing = false
  private probedAt = Number.NEGATIVE_INFINITY
  private savedReports = MAX_SAVED_REPORTS
  private stopReporting: (() => void) | undefined

  constructor(parts: ProbeParts) {
    this.parts = parts
    const { tightestMs } = parts
    this.pause = new Pause(parts.surroundings.timers, parts.signal)
    this.everyMs = Math.max(PROBE_LEAST_MS, Math.min(parts.mostMs, tightestMs / 4))
    this.leastTimeoutMs = Math.max(250, Math.min(PROBE_MOST_MS, tightestMs / 2))
    this.timeoutMs = this.leastTimeoutMs
  }

  /** Until the signal ends. */
  async run(): Promise<void> {
    const { clock, chance } = this.parts.surroundings
    while (!this.parts.signal.aborted) {
      const began = clock.monotonic()
      this.probedAt = began
      try {
        await this.probe()
        this.timeoutMs = this.leastTimeoutMs
        if (this.areFailing) this.parts.onRecovery()
        this.areFailing = false
      } catch (cause) {
        this.areFailing = true
        // A slow authority is better than none: wait longer for the next answer, for permissions that can bear it.
        if (cause instanceof HttpTrouble && cause.kind === 'timeout') {
          this.timeoutMs = Math.min(PROBE_TIMEOUT_MOST_MS, this.timeoutMs * 2)
        }
        this.parts.onTrouble(cause)
      }
      this.parts.onProgress()
      const jitter = 0.8 + ((chance.bytes(1)[0] as number) / 255) * 0.2
      const spent = clock.monotonic() - began
      await this.pause.wait(Math.max(PROBE_LEAST_MS, this.everyMs * jitter - spent))
      if (this.stopReporting === undefined) this.savedReports = Math.min(MAX_SAVED_REPORTS, this.savedReports + REPORTS_PER_PROBE)
    }
    this.stopReporting?.()
  }

  /** The next one comes now. */
  hurry(): void {
    this.pause.wake()
  }

  /** Lets the authority know soon how far we are: somebody may wait for it. */
  reportSoon(): void {
    if (this.stopReporting !== undefined || this.savedReports < 1 || this.parts.signal.aborted) return
    const { clock, chance, timers } = this.parts.surroundings
    const byChance = ((chance.bytes(1)[0] as number) / 255) * REPORT_WITHIN_MS
    const timer = timers.after(Math.max(byChance, this.probedAt + REPORT_GAP_MS - clock.monotonic()), () => {
      this.stopReporting = undefined
      this.savedReports--
      this.pause.wake()
    })
    this.stopReporting = () => timer.cancel()
  }

  /** One question and its answer. Rejects when that does not come in time or does not count. */
  async probe(): Promise<void> {
    const { view, freshness, surroundings, exchange } = this.parts
    const feed = await exchange.endpoints()
    const probe = toBase64Url(surroundings.chance.bytes(16))
    const url = new URL(feed.head)
    url.searchParams.set('probe', probe)
    url.searchParams.set('validator', this.parts.validatorId)
    if (view.position !== undefined) {
      url.searchParams.set('applied', String(view.position.seq))
      url.searchParams.set('epoch', view.position.epoch)
      url.searchParams.set('version', VERSION)
      const stalenessMs = freshness.stalenessMs()
      // Behind a head that was never wholly known it is larger than any number that could be said.
      if (Number.isSafeInteger(Math.round(stalenessMs))) url.searchParams.set('staleness', String(Math.round(stalenessMs)))
    }
    let sent = freshness.moment()
    const onSend = (): void => {
      sent = freshness.moment()
    }
    const bounds = { timeoutMs: this.timeoutMs, maxBytes: 16 * 1024 }
    const bytes = await exchange.ask(feed, { url: url.href, accept: 'application/jwt', onSend }, bounds)
    this.parts.onHead(await readHead(Buffer.from(bytes).toString('latin1'), probe, this.parts.trust), sent, feed)
  }
}
