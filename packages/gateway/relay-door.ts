/** A relay over HTTP: the resources of docs/protocol/feed.md, and what it says of itself. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Fault } from '@signet/kernel/errors.ts'
import { PROBES_OF_NETWORK, RELAY_PATH, SNAPSHOT_MEDIA_TYPE } from '@signet/kernel/feed.ts'
import { addressKey, createRateLimit } from '@signet/kernel/rate-limit.ts'
import type { Position } from '@signet/kernel/revocation-view.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import type { Allow } from '@signet/kernel/verdict.ts'
import { answerOf, certificateThumbprint, isDpopRequest } from '@signet/validator/adapters/answer.ts'
import type { Validator } from '@signet/validator/index.ts'
import type { RelayedFeed } from './relayed-feed.ts'
import { SseReader } from './sse-reader.ts'

export interface RelayDoorParts {
  readonly issuer: string
  readonly feed: RelayedFeed
  /** Judges the tokens of readers, by what the relay itself knows. */
  readonly validator: Pick<Validator, 'validate' | 'watch' | 'dpopNonce'>
  /** Served to anyone. */
  readonly open: boolean
  /** The relay's own public keys. */
  readonly jwks: object
  readonly clock: Clock
  readonly timers: Timers
  ready(): boolean
}

/** The permission that reading the feed needs. */
export const FEED_PERMISSION = 'signet:feed'

/** Snapshots under way at once, half of them for one owner at most. */
const MAX_DOWNLOADS = 64
const DOWNLOAD_MS = 120_000
const KEYS_SECONDS = 60

const PROBE = /^[\w-]{16,128}$/
const EPOCH = /^[\w-]{1,64}$/
const SEQ = /^(0|[1-9]\d{0,15})$/

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void

/** A request that is not as it should be; answered with 400. */
class BadRequest extends Error {}

export function createRelayDoor(parts: RelayDoorParts): (request: IncomingMessage, response: ServerResponse) => void {
  const { feed, issuer, open, jwks } = parts
  const downloads = new Map<string, number>()
  const probes = createRateLimit(PROBES_OF_NETWORK, parts.clock)

  const routes: Readonly<Record<string, Handler>> = {
    [RELAY_PATH]: (_request, response) => {
      const { guardMs, hops } = feed.stats()
      if (guardMs === undefined) return problem(response, 503, 'not_ready', 1)
      const paths = {
        head: '/feed/head',
        stream: '/feed/stream',
        snapshot: '/feed/snapshot',
        keys: '/feed/keys',
        jwks_uri: '/feed/jwks',
      }
      send(response, 'application/json', JSON.stringify({ issuer, hops, signet_feed: { ...paths, guard_ms: guardMs, open } }), {
        'cache-control': `public, max-age=${KEYS_SECONDS}`,
      })
    },
    '/feed/jwks': (_request, response) =>
      send(response, 'application/jwk-set+json', JSON.stringify(jwks), { 'cache-control': `public, max-age=${KEYS_SECONDS}` }),
    '/feed/keys': (_request, response) =>
      send(response, 'application/jwt', feed.keys(), { 'cache-control': `public, max-age=${KEYS_SECONDS}` }),
    '/feed/head': async (request, response, url) => {
      const reader = await admit(request, response)
      if (reader === undefined) return
      if (open && probes.take(reader.owner) > 0) return problem(response, 429, 'address_rate', 1)
      send(response, 'application/jwt', feed.head(parse(url.searchParams.getAll('probe'), PROBE, 'malformed_probe')), {
        'cache-control': 'no-store',
      })
    },
    '/feed/stream': async (request, response, url) => {
      const reader = await admit(request, response)
      if (reader === undefined) return
      const place = readPlace(request, url)
      if (response.destroyed) return // Gone before it began.
      const stream = new SseReader(response, reader.owner)
      feed.join(stream, place)
      stream.onGone(() => feed.leave(stream))
      if (reader.verdict === undefined) return
      // A stream lives as long as the token it was opened with; nothing is lost by coming back with a new one.
      stream.onGone(parts.validator.watch(reader.verdict, () => stream.end(), { needs: FEED_PERMISSION }))
    },
    '/feed/snapshot': async (request, response) => {
      const reader = await admit(request, response)
      if (reader === undefined || response.destroyed) return // Gone before it began: nothing would give its place back.
      const own = downloads.get(reader.owner) ?? 0
      const all = [...downloads.values()].reduce((sum, each) => sum + each, 0)
      if (all >= MAX_DOWNLOADS || own >= MAX_DOWNLOADS / 2) return problem(response, 503, 'overloaded', 2)
      downloads.set(reader.owner, own + 1)
      const patience = parts.timers.after(DOWNLOAD_MS, () => response.destroy())
      response.once('close', () => {
        const left = (downloads.get(reader.owner) ?? 1) - 1
        if (left > 0) downloads.set(reader.owner, left)
        else downloads.delete(reader.owner)
        patience.cancel()
      })
      const { epoch, seq, frame } = await feed.snapshot()
      const headers = { etag: `"${epoch}:${seq}"`, 'cache-control': 'no-cache' }
      if (request.headers['if-none-match'] === headers.etag) return void response.writeHead(304, headers).end()
      send(response, SNAPSHOT_MEDIA_TYPE, frame, headers)
    },
    '/healthz': (_request, response) => send(response, 'application/json', '{"status":"ok"}', { 'cache-control': 'no-store' }),
    '/readyz': (_request, response) => {
      if (!parts.ready()) return problem(response, 503, 'not_ready', 1)
      send(response, 'application/json', '{"status":"ready"}', { 'cache-control': 'no-store' })
    },
  }

  /** Who reads; undefined when the answer has been given already. */
  async function admit(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<{ readonly owner: string; readonly verdict?: Allow } | undefined> {
    if (open) return { owner: addressKey(request.socket.remoteAddress) }
    const context = { needs: FEED_PERMISSION, certificateThumbprint: certificateThumbprint(request.socket) }
    const verdict = await parts.validator.validate(request, context)
    if (verdict.allowed) return { owner: verdict.claims.client_id, verdict }
    const { status, headers, body } = answerOf(
      verdict,
      parts.validator as Validator,
      isDpopRequest(request.headers.authorization),
    )
    response.writeHead(status, headers).end(body)
    return undefined
  }

  return (request, response) => {
    const url = URL.parse(request.url ?? '', 'http://relay.invalid')
    const handler = url === null || !Object.hasOwn(routes, url.pathname) ? undefined : routes[url.pathname]
    if (url === null || handler === undefined) return problem(response, 404, 'not_found')
    if (request.method !== 'GET') return problem(response, 405, 'method_not_allowed')
    Promise.resolve()
      .then(() => handler(request, response, url))
      .catch((error: unknown) => {
        if (response.headersSent) response.destroy()
        else if (error instanceof BadRequest) problem(response, 400, error.message)
        else if (error instanceof Fault) problem(response, 503, error.code, error.retryAfterSeconds)
        else problem(response, 500, 'server_error')
      })
  }
}

/** A parameter that is absent, given twice or of another form is refused. */
function parse(values: readonly (string | undefined)[], form: RegExp, reason: string): string {
  const [value, ...more] = values
  if (value === undefined || more.length > 0 || !form.test(value)) throw new BadRequest(reason)
  return value
}

/** `Last-Event-ID` is where a reader that was cut off stands; the query is where it once began. */
function readPlace(request: IncomingMessage, url: URL): Position {
  const last = request.headers['last-event-id']
  const given = typeof last === 'string' && last !== '' ? last.split(':', 2) : undefined
  const epoch = given === undefined ? url.searchParams.getAll('epoch') : [given[0]]
  const after = given === undefined ? url.searchParams.getAll('after') : [given[1]]
  return { epoch: parse(epoch, EPOCH, 'malformed_place'), seq: Number(parse(after, SEQ, 'malformed_place')) }
}

function send(response: ServerResponse, type: string, body: string | Uint8Array, headers: Record<string, string>): void {
  response.writeHead(200, { ...headers, 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}

/** `error` by status; of others the reason is that too. */
const ERRORS: Readonly<Record<number, string>> = { 400: 'invalid_request', 429: 'slow_down', 503: 'temporarily_unavailable' }

function problem(response: ServerResponse, status: number, reason: string, retryAfterSeconds?: number): void {
  const code = ERRORS[status] ?? reason
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
  }
  response.writeHead(status, headers).end(JSON.stringify({ error: code, reason }))
}
