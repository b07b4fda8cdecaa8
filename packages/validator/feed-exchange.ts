/** Exchanges with whoever serves the feed: with the token that it asks for, and none waited for without an end. */
import type { Clock, Surroundings } from '@signet/kernel/surroundings.ts'
import type { Discovery, FeedEndpoints } from './discovery.ts'
import type { FeedToken } from './feed-token.ts'
import { type Bounds, fetchWhole, type HttpResponse, HttpTrouble, type Transport } from './http.ts'

export interface ExchangeParts {
  readonly discovery: Discovery
  readonly token: FeedToken | undefined
  readonly transport: Transport
  readonly surroundings: Surroundings
}

/** Nobody waits longer for an answer to begin. */
export const CONNECT_MS = 10_000

export class FeedExchange {
  private readonly parts: ExchangeParts
  private readonly closing: AbortSignal

  /** `closing` ends whatever is under way. */
  constructor(parts: ExchangeParts, closing: AbortSignal) {
    this.parts = parts
    this.closing = closing
  }

  async endpoints(): Promise<FeedEndpoints> {
    const { issuer, feed } = await this.parts.discovery.metadata()
    if (feed === undefined) throw new HttpTrouble('content', issuer, { why: 'its metadata has no signet_feed' })
    return feed
  }

  /** A whole answer. `onSend` is called when the question goes out: for a second time when another token was needed. */
  async ask(feed: FeedEndpoints, request: FeedRequest & { onSend(): void }, bounds: Bounds): Promise<Uint8Array> {
    const { transport, surroundings } = this.parts
    const { bytes } = await this.withToken(feed, request.accept, (headers) => {
      request.onSend()
      const exchange = { transport, timers: surroundings.timers, signal: this.closing }
      return fetchWhole(exchange, { url: request.url, method: 'GET', headers }, bounds)
    })
    return bytes
  }

  /** An answer whose body is still to come. Until the attempt is ended, and for its head only so long. */
  async open(feed: FeedEndpoints, request: FeedRequest, attempt: Attempt): Promise<HttpResponse> {
    const response = await this.withToken(feed, request.accept, (headers) => this.openWith(request.url, headers, attempt))
    attempt.progressed()
    return response
  }

  /**
   * A token that is not taken is replaced at once, since it may have died with the very revocation that we are about to hear of;
   * metadata that led nowhere is asked for again.
   */
  private async withToken<T>(
    feed: FeedEndpoints,
    accept: string,
    exchange: (headers: Record<string, string>) => Promise<T>,
  ): Promise<T> {
    const { token, discovery } = this.parts
    if (token === undefined && !feed.open) throw new MissingFeedCredentials()
    const attempt = async (): Promise<T> => {
      return exchange(token === undefined ? { accept } : { accept, authorization: `Bearer ${await token.get()}` })
    }
    try {
      return await attempt()
    } catch (cause) {
      if (!(cause instanceof HttpTrouble) || (cause.status !== 401 && cause.status !== 403)) {
        discovery.doubt()
        throw cause
      }
      token?.forget()
      if (token === undefined || cause.status === 403) throw cause
      return await attempt()
    }
  }

  private async openWith(url: string, headers: Record<string, string>, attempt: Attempt): Promise<HttpResponse> {
    const { transport, surroundings } = this.parts
    const late = new AbortController()
    const timer = surroundings.timers.after(CONNECT_MS, () => late.abort())
    try {
      const signal = AbortSignal.any([late.signal, this.closing, attempt.signal])
      const response = await transport({ url, method: 'GET', headers, signal })
      if (response.status === 200) return response
      response.discard()
      throw new HttpTrouble('status', url, { status: response.status })
    } catch (cause) {
      if (cause instanceof HttpTrouble) throw cause
      throw new HttpTrouble(late.signal.aborted || attempt.signal.aborted ? 'timeout' : 'unreachable', url, { cause })
    } finally {
      timer.cancel()
    }
  }
}

export interface FeedRequest {
  readonly url: string
  readonly accept: string
}

/** Something that is being waited for, from before it is asked for until its last byte. Whoever knows better ends it, at any time. */
export class Attempt<Why extends string = string> {
  private readonly abort = new AbortController()
  private readonly clock: Clock
  private progressAt: number
  /** Why it was ended; undefined as long as it was not. */
  endedBy: Why | undefined

  constructor(clock: Clock) {
    this.clock = clock
    this.progressAt = clock.monotonic()
  }

  get signal(): AbortSignal {
    return this.abort.signal
  }

  /** It brought something. */
  progressed(): void {
    this.progressAt = this.clock.monotonic()
  }

  /** Milliseconds since it began or last brought something. */
  idleMs(): number {
    return this.clock.monotonic() - this.progressAt
  }

  /** The first reason counts. */
  end(why: Why): void {
    this.endedBy ??= why
    this.abort.abort()
  }
}

/** The feed wants to know who asks, and nobody said. */
export class MissingFeedCredentials extends Error {
  constructor() {
    super(
      "The issuer's revocation feed is not open to everyone: pass feedCredentials of a client that has the scope signet:feed, " +
        'or open the feed at the authority (policy setting feedOpen).',
    )
    this.name = 'MissingFeedCredentials'
  }
}
