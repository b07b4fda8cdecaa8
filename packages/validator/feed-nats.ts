/**
 * The feed by NATS (docs/protocol/feed.md §11). NATS leads when the last batch it brought reaches as far as we are; then the stream over
 * HTTP is closed, for nothing can be missing. Whatever makes that doubtful gives the lead back to the stream, at once and without loss,
 * since batches merge and each says what it follows. What NATS says is believed no more than what anybody says: heads over HTTP tell how
 * far the log is, and prove freshness, as ever.
 */

import type { NatsFeedListener } from '@signet/bus/nats-feed.ts'
import { natsNames } from '@signet/kernel/nats.ts'
import type { BatchOutcome, Position, RevocationView } from '@signet/kernel/revocation-view.ts'
import type { Surroundings, Timer } from '@signet/kernel/surroundings.ts'
import type { NatsFeedOptions } from './options.ts'

/** Why the lead went back to the stream. */
export type NatsFallback =
  /** The link broke, or the server does not answer. */
  | 'down'
  /** Heads say that there is more, and NATS does not bring it. */
  | 'lagging'
  /** A batch before the last is missing. */
  | 'gap'
  /** Too much that nobody signed, or a batch that may not be taken in. */
  | 'refused'
  /** Our place in the log is gone: the snapshot says more. */
  | 'resync'

/**
 * A revocation that NATS does not bring is there by the stream after so long: the time to find out, which is the longer of the link's
 * silence (1.5 s) and a probe's turn plus NATS_PATIENCE_MS (1.5 s), and half a second to open the stream and read on.
 */
export const NATS_FALLBACK_MS = 2000
/** While there is NATS, probes come at least so often: nothing else says that the authority's nodes do not reach NATS. */
export const NATS_PROBE_MS = 1000
/** A batch may be so much later by NATS than the head that told of it. */
export const NATS_PATIENCE_MS = 500
/** After a fallback NATS may lead again, at the earliest; doubles with each, up to the most, until it has led for the most. */
const REST_MS = { first: 5000, most: 300_000 }
/** What waits to be checked, at most; more, and the stream takes over. */
const MAX_WAITING = 1000
const MAX_WAITING_CHARS = 16 * 1024 * 1024
/** So many messages in one rest's time that nobody signed, and NATS is given up for as long. */
const MAX_FORGED = 20

export interface NatsFeedParts {
  readonly options: NatsFeedOptions
  readonly issuer: string
  readonly surroundings: Surroundings
  readonly view: Pick<RevocationView, 'position'>
  /** Checks a batch and takes it in. Throws when nobody signed it. */
  take(jws: string): Promise<{ readonly outcome: BatchOutcome; readonly end: Position }>
  /** The lead changed hands. */
  onLead(leads: boolean, why: NatsFallback | undefined): void
  onTrouble(cause: unknown): void
}

export class NatsFeed {
  private readonly parts: NatsFeedParts
  private listener: NatsFeedListener | undefined
  private waiting: string[] = []
  private waitingChars = 0
  private isChecking = false
  private isUp = false
  /** How far the newest batch reaches that came since the link is up. */
  private newest: Position | undefined
  private isClosed = false
  private forged = 0
  private forgedSinceMs = 0
  private ledAtMs = Number.NEGATIVE_INFINITY
  private restMs = REST_MS.first
  private restsUntilMs = Number.NEGATIVE_INFINITY
  private patience: Timer | undefined
  private rest: Timer | undefined
  private failed: PromiseWithResolvers<void> | undefined
  leads = false
  fallbacks = 0

  constructor(parts: NatsFeedParts) {
    this.parts = parts
  }

  /** Nobody else pays for the library: it is loaded here. */
  async start(): Promise<void> {
    const { options, issuer, surroundings } = this.parts
    const { credentials } = options
    try {
      const { openNatsFeed } = await import('@signet/bus/nats-feed.ts')
      if (this.isClosed) return
      this.listener = openNatsFeed({
        options: {
          servers: typeof options.servers === 'string' ? [options.servers] : options.servers,
          ...(credentials === undefined
            ? {}
            : { credentials: typeof credentials === 'string' ? () => credentials : credentials }),
          ...(options.ca === undefined ? {} : { ca: options.ca }),
        },
        names: natsNames(issuer),
        surroundings,
        up: (last) => {
          this.isUp = true
          if (last !== undefined) this.heard(last)
        },
        heard: (jws) => this.heard(jws),
        down: (cause) => {
          this.isUp = false
          this.newest = undefined
          this.parts.onTrouble(cause)
          this.fall('down')
        },
      })
    } catch (cause) {
      this.parts.onTrouble(
        new Error('The feed by NATS needs the package @nats-io/transport-node beside the validator.', { cause }),
      )
    }
  }

  close(): void {
    this.isClosed = true
    this.leads = false
    this.patience?.cancel()
    this.rest?.cancel()
    this.failed?.resolve()
    void this.listener?.close()
  }

  /** A head said that there is more than we have. */
  expectMore(isStillMissing: () => boolean): void {
    if (!this.leads) return
    this.patience ??= this.parts.surroundings.timers.after(NATS_PATIENCE_MS, () => {
      this.patience = undefined
      if (isStillMissing()) this.fall('lagging')
    })
  }

  /** The lead goes back to the stream. */
  fall(why: NatsFallback): void {
    if (!this.leads) return
    const nowMs = this.nowMs()
    this.leads = false
    this.patience?.cancel()
    this.patience = undefined
    if (why !== 'resync') {
      this.fallbacks++
      if (nowMs - this.ledAtMs >= REST_MS.most) this.restMs = REST_MS.first
      this.restsUntilMs = nowMs + this.restMs
      this.rest = this.parts.surroundings.timers.after(this.restMs, () => this.consider())
      this.restMs = Math.min(REST_MS.most, this.restMs * 2)
    }
    this.parts.onLead(false, why)
    this.failed?.resolve()
  }

  /** Resolves when NATS does not lead any more. */
  async untilItFails(): Promise<'ended'> {
    if (this.leads) {
      this.failed = Promise.withResolvers()
      await this.failed.promise
    }
    return 'ended'
  }

  /** We moved, or NATS brought something: it leads when the two have met, for then nothing is missing in what it goes on to bring. */
  consider(): void {
    const { position } = this.parts.view
    const haveMet = this.newest !== undefined && this.newest.epoch === position?.epoch && this.newest.seq === position.seq
    if (this.leads || this.isClosed || !haveMet || this.nowMs() < this.restsUntilMs) return
    this.leads = true
    this.ledAtMs = this.nowMs()
    this.parts.onLead(true, undefined)
  }

  private heard(jws: string): void {
    if (this.isClosed || !this.isUp) return
    if (this.waiting.length >= MAX_WAITING || this.waitingChars + jws.length > MAX_WAITING_CHARS) {
      this.waiting = []
      this.waitingChars = 0
      this.fall('lagging')
      return
    }
    this.waiting.push(jws)
    this.waitingChars += jws.length
    if (!this.isChecking) void this.check()
  }

  /** One after the other, in the order in which they came. */
  private async check(): Promise<void> {
    this.isChecking = true
    for (let jws = this.waiting.shift(); jws !== undefined; jws = this.waiting.shift()) {
      this.waitingChars -= jws.length
      if (this.isClosed || this.isTooForged()) continue
      try {
        const { outcome, end } = await this.parts.take(jws)
        this.judge(outcome, end)
      } catch (cause) {
        this.forged++
        this.parts.onTrouble(cause)
        if (this.isTooForged()) this.fall('refused')
      }
    }
    this.isChecking = false
  }

  /** Of another epoch nothing follows: it is an old batch again, or a new epoch, which the next head names. */
  private judge(outcome: BatchOutcome, end: Position): void {
    if (this.isClosed || !this.isUp) return
    if (this.newest?.epoch !== end.epoch || end.seq > this.newest.seq) this.newest = end
    if (outcome === 'gap') this.fall('gap')
    else if (outcome === 'poisoned' || outcome === 'full') this.fall('refused')
    else this.consider()
  }

  /** Checking costs more than making it up: beyond the bound, what comes is not even looked at for a while. */
  private isTooForged(): boolean {
    const nowMs = this.nowMs()
    if (nowMs - this.forgedSinceMs > REST_MS.first) {
      this.forgedSinceMs = nowMs
      this.forged = 0
    }
    return this.forged >= MAX_FORGED
  }

  private nowMs(): number {
    return this.parts.surroundings.clock.monotonic()
  }
}
