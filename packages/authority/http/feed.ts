/**
 * The revocation feed over HTTP (docs/protocol/feed.md): head, stream, snapshot, and the keys that sign them. Served to clients whose
 * token has the scope, unless policy opens it: its entries are digests that name nobody.
 */
import { once } from 'node:events'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { fault, refusal } from '@signet/kernel/errors.ts'
import { PROBES_OF_NETWORK, SNAPSHOT_MEDIA_TYPE } from '@signet/kernel/feed.ts'
import { addressKey, createRateLimit, takeOrRefuse } from '@signet/kernel/rate-limit.ts'
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import type { Allow } from '@signet/kernel/verdict.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { FeedHub, FeedReader } from '../revocation/feed.ts'
import type { FleetHearing, FleetReport } from '../revocation/fleet.ts'

export interface FeedRouteParts {
  readonly hub: FeedHub
  /** Hears what validators say they have applied. */
  readonly fleet: Pick<FleetHearing, 'report'>
  /** Served to anyone. */
  readonly open: boolean
  /**
   * The verdict on the request's access token: audience the issuer, scope `signet:feed` or `signet:admin`. Throws what the one
   * catch answers with 401 or 403 and a challenge. Not asked when open.
   */
  authorize(request: FastifyRequest, reply: FastifyReply): Promise<Allow>
  /** Calls `ended` when the token behind a verdict is revoked; returns how to stop watching. */
  watch?(verdict: Allow, ended: () => void): () => void
  jwks(): object
  /** All public keys, signed: see feed-keys.ts. */
  signedKeys(): string
  readonly jwksCacheSeconds: number
  readonly clock: Clock
  readonly timers: Timers
}

/** Reasons of refusals here; all are `invalid_request`. */
export type FeedReason = 'malformed_probe' | 'malformed_validator' | 'malformed_place' | 'malformed_staleness'

export function feedRoutes(app: FastifyInstance, parts: FeedRouteParts): void {
  const { hub } = parts
  const noHead = { exposeHeadRoute: false } // HEAD would open a stream, or read the store, for nobody.
  const downloads = new Map<string, number>()
  const probes = createRateLimit(PROBES_OF_NETWORK, parts.clock)

  app.get('/feed/head', noHead, async (request, reply) => {
    const reader = await admit(request, reply, parts)
    const query = request.query as Query
    const probe = parse(query.probe, PROBE, 'malformed_probe')
    if (parts.open) await takeOrRefuse(probes, reader.owner, 'address_rate')
    const applied = readReport(query)
    const head = await hub.head(probe)
    if (applied !== undefined) parts.fleet.report({ ...applied, client: parts.open ? '' : reader.owner })
    return reply.header('cache-control', 'no-store').type('application/jwt').send(head)
  })

  app.get('/feed/stream', noHead, async (request, reply) => {
    const reader = await admit(request, reply, parts)
    const place = readPlace(request)
    if (reply.raw.destroyed) return reply // Gone before it began.
    const stream = new SseReader(reply, reader.owner)
    hub.join(stream, place)
    stream.onGone(() => hub.leave(stream))
    endWithToken(stream, reader.verdict, parts)
    return reply
  })

  app.get('/feed/snapshot', noHead, async (request, reply) => {
    const { owner } = await admit(request, reply, parts)
    if (reply.raw.destroyed) return reply
    const own = downloads.get(owner) ?? 0
    const all = [...downloads.values()].reduce((sum, each) => sum + each, 0)
    if (all >= MAX_DOWNLOADS || own >= MAX_DOWNLOADS / 2)
      throw fault('overloaded', { because: 'too many snapshots are being sent', retryAfterSeconds: 2 })
    downloads.set(owner, own + 1)
    const patience = parts.timers.after(DOWNLOAD_MS, () => reply.raw.destroy())
    reply.raw.once('close', () => {
      const left = (downloads.get(owner) ?? 1) - 1
      if (left > 0) downloads.set(owner, left)
      else downloads.delete(owner)
      patience.cancel()
    })
    const { epoch, seq, pieces, length } = await hub.snapshot()
    const etag = `"${epoch}:${seq}"`
    reply.header('etag', etag).header('cache-control', 'no-cache')
    if (request.headers['if-none-match'] === etag) return reply.code(304).send()
    return reply
      .type(SNAPSHOT_MEDIA_TYPE)
      .header('content-length', length)
      .send(Readable.from(pieces, { objectMode: false }))
  })

  app.get('/feed/jwks', async (_request, reply) =>
    reply
      .header('cache-control', `public, max-age=${parts.jwksCacheSeconds}`)
      .type('application/jwk-set+json')
      .send(parts.jwks()),
  )

  app.get('/feed/keys', async (_request, reply) =>
    reply.header('cache-control', `public, max-age=${parts.jwksCacheSeconds}`).type('application/jwt').send(parts.signedKeys()),
  )

  // An open stream would keep a server that was told to stop.
  app.addHook('preClose', async () => hub.close())
}

/** Snapshots under way at once, half of them for one owner at most: each holds some of its body in buffers. */
const MAX_DOWNLOADS = 64
const DOWNLOAD_MS = 120_000
/** No stream lasts longer, whatever its token says: timers end at 24 days. */
const MAX_STREAM_MS = 86_400_000

// ── Who reads ──

interface Admitted {
  readonly owner: string
  readonly verdict?: Allow
}

async function admit(request: FastifyRequest, reply: FastifyReply, parts: FeedRouteParts): Promise<Admitted> {
  if (parts.open) return { owner: addressKey(request.ip) }
  const verdict = await parts.authorize(request, reply)
  return { owner: verdict.claims.client_id, verdict }
}

/** A stream lives as long as the token it was opened with; nothing is lost by coming back with a new one. */
function endWithToken(stream: SseReader, verdict: Allow | undefined, { clock, timers, watch }: FeedRouteParts): void {
  if (verdict === undefined) return
  const leftMs = Math.min(MAX_STREAM_MS, Math.max(0, verdict.claims.exp * 1000 - clock.now()))
  const expiry = timers.after(leftMs, () => stream.end())
  const stop = watch?.(verdict, () => stream.end())
  stream.onGone(() => {
    expiry.cancel()
    stop?.()
  })
}

// ── What is asked ──

type Query = Readonly<Record<string, unknown>>
const PROBE = /^[\w-]{16,128}$/
const EPOCH = /^[\w-]{1,64}$/
const SEQ = /^(0|[1-9]\d{0,15})$/
const VALIDATOR = /^[\x21-\x7e]{1,128}$/
const VERSION = /^[\x21-\x7e]{1,32}$/

/** A parameter that is absent, given twice or of another form is refused. */
function parse(value: unknown, form: RegExp, reason: FeedReason): string {
  if (typeof value !== 'string' || !form.test(value)) throw refusal('invalid_request', reason)
  return value
}

/** What a store can give back: a larger number would keep everybody from reading what is beside it. */
function parseNumber(value: unknown, reason: FeedReason): number {
  const number = Number(parse(value, SEQ, reason))
  if (!Number.isSafeInteger(number)) throw refusal('invalid_request', reason)
  return number
}

/** Undefined as long as the validator has applied nothing, or does not say. */
function readReport(query: Query): Omit<FleetReport, 'client'> | undefined {
  const validator = query.validator === undefined ? undefined : parse(query.validator, VALIDATOR, 'malformed_validator')
  if (query.epoch === undefined && query.applied === undefined) return undefined
  const epoch = parse(query.epoch, EPOCH, 'malformed_place')
  const applied = parseNumber(query.applied, 'malformed_place')
  const version = query.version === undefined ? '' : parse(query.version, VERSION, 'malformed_validator')
  const staleness = query.staleness === undefined ? undefined : parseNumber(query.staleness, 'malformed_staleness')
  if (validator === undefined) return undefined
  return { validator, epoch, applied, version, ...(staleness === undefined ? {} : { stalenessMs: staleness }) }
}

/** `Last-Event-ID` is where a reader that was cut off stands; the query is where it once began. */
function readPlace(request: FastifyRequest): Position {
  const last = request.headers['last-event-id']
  const query = request.query as Query
  const [epoch, after] = typeof last === 'string' && last !== '' ? last.split(':', 2) : [query.epoch, query.after]
  return { epoch: parse(epoch, EPOCH, 'malformed_place'), seq: parseNumber(after, 'malformed_place') }
}

// ── The stream ──

/** A response that goes on. */
class SseReader implements FeedReader {
  readonly owner: string
  readonly #reply: FastifyReply
  readonly #raw: ServerResponse
  constructor(reply: FastifyReply, owner: string) {
    this.owner = owner
    this.#reply = reply
    this.#raw = reply.raw
  }
  get gone(): boolean {
    return this.#raw.destroyed || this.#raw.writableEnded
  }
  open(): void {
    const headers = { ...this.#reply.getHeaders(), ...STREAM_HEADERS }
    this.#reply.hijack()
    this.#raw.on('error', () => this.#raw.destroy())
    this.#raw.socket?.setNoDelay(true)
    this.#raw.socket?.setKeepAlive(true, 15_000) // Finds out about a reader whose machine went without a word.
    this.#raw.writeHead(200, headers as OutgoingHttpHeaders)
    this.#raw.flushHeaders()
  }
  write(bytes: Uint8Array): void {
    if (this.gone) return
    const { socket, chunkedEncoding } = this.#raw
    // In one piece: Node makes three of it, anew for each reader, which costs half as much as the write itself.
    if (socket !== null && chunkedEncoding) socket.write(chunkOf(bytes))
    else this.#raw.write(bytes)
  }
  pending(): number {
    return this.#raw.writableLength
  }
  async drained(): Promise<void> {
    const stream = this.#raw.socket ?? this.#raw
    if (this.gone || !stream.writableNeedDrain) return
    const done = new AbortController()
    const { signal } = done
    await Promise.race([once(stream, 'drain', { signal }), once(this.#raw, 'close', { signal })]).catch(() => {})
    done.abort()
  }
  end(): void {
    if (!this.gone) this.#raw.end()
  }
  destroy(): void {
    this.#raw.destroy()
  }
  onGone(task: () => void): void {
    this.#raw.once('close', task)
  }
}

let last: { readonly bytes: Uint8Array; readonly chunk: Uint8Array } | undefined

/** As a chunk of the body (RFC 9112 §7.1), made once for all readers. */
function chunkOf(bytes: Uint8Array): Uint8Array {
  if (last?.bytes !== bytes) {
    last = { bytes, chunk: Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, CRLF]) }
  }
  return last.chunk
}
const CRLF = Buffer.from('\r\n')

const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no', // nginx would hold the events back.
}
