/**
 * The network as the validator sees it: one exchange at a time, bounded in time and size, no redirects. Node's own client is
 * the default, since only it lets a process end while a stream is open; `fetchTransport` puts any Fetch function in its place.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Timers } from '@signet/kernel/surroundings.ts'

export interface HttpRequest {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}
export interface HttpResponse {
  readonly status: number
  header(name: string): string | undefined
  /** Read it whole, or leave the loop early: then the connection is dropped. */
  readonly body: AsyncIterable<Uint8Array>
  /** Drops the connection without reading on. */
  discard(): void
}
/** One exchange. Rejects when there is no answer; an answer of any status is an answer. Never follows a redirect. */
export type Transport = (request: HttpRequest) => Promise<HttpResponse>

/** Why an exchange brought nothing that can be used. Its message names host and path, never a header, a query or a body. */
export class HttpTrouble extends Error {
  readonly kind: 'unreachable' | 'timeout' | 'too_large' | 'status' | 'content'
  readonly status: number | undefined
  constructor(kind: HttpTrouble['kind'], url: string, detail: { status?: number; cause?: unknown; why?: string } = {}) {
    super(
      `${kind}${detail.status === undefined ? '' : ` ${detail.status}`}: ${place(url)}${detail.why ? `: ${detail.why}` : ''}`,
      {
        cause: detail.cause,
      },
    )
    this.name = 'HttpTrouble'
    this.kind = kind
    this.status = detail.status
  }
}

export interface Bounds {
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** One exchange with its whole body. Rejects with `HttpTrouble` for anything but status 2xx within the bounds. */
export async function fetchWhole(
  parts: { readonly transport: Transport; readonly timers: Timers; readonly signal?: AbortSignal },
  request: Omit<HttpRequest, 'signal'>,
  bounds: Bounds,
): Promise<{ readonly bytes: Uint8Array; header(name: string): string | undefined }> {
  const abort = new AbortController()
  const timer = parts.timers.after(bounds.timeoutMs, () => abort.abort(new HttpTrouble('timeout', request.url)))
  const signal = parts.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, parts.signal])
  try {
    const response = await parts.transport({ ...request, signal })
    if (response.status < 200 || response.status > 299) {
      response.discard()
      throw new HttpTrouble('status', request.url, { status: response.status })
    }
    return { bytes: await readBody(response, request.url, bounds.maxBytes), header: response.header }
  } catch (cause) {
    if (cause instanceof HttpTrouble) throw cause
    if (signal.aborted && signal.reason instanceof HttpTrouble) throw signal.reason
    throw new HttpTrouble('unreachable', request.url, { cause })
  } finally {
    timer.cancel()
  }
}

/** The same for a JSON object. */
export async function fetchJson(
  parts: Parameters<typeof fetchWhole>[0],
  request: Omit<HttpRequest, 'signal'>,
  bounds: Bounds,
): Promise<{ readonly value: Record<string, unknown>; header(name: string): string | undefined }> {
  const { bytes, header } = await fetchWhole(parts, request, bounds)
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (cause) {
    throw new HttpTrouble('content', request.url, { cause, why: 'not JSON' })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpTrouble('content', request.url, { why: 'not a JSON object' })
  }
  return { value: value as Record<string, unknown>, header }
}

async function readBody(response: HttpResponse, url: string, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body) {
    length += chunk.length
    if (length > maxBytes) throw new HttpTrouble('too_large', url)
    chunks.push(chunk)
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
}

/** Node's client, with connections kept for the next exchange and none of them holding the process. */
export function nodeTransport(): Transport {
  const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) }
  return ({ url, method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const isSecure = url.startsWith('https:')
      const options = {
        method,
        signal,
        agent: isSecure ? agents.https : agents.http,
        headers: body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
      }
      const outgoing = isSecure ? httpsRequest(url, options) : httpRequest(url, options)
      outgoing.on('socket', (socket) => socket.unref())
      outgoing.on('error', reject)
      outgoing.on('response', (incoming) => resolve(responseOf(incoming)))
      outgoing.end(body)
    })
}

function responseOf(incoming: IncomingMessage): HttpResponse {
  return {
    status: incoming.statusCode ?? 0,
    header: (name) => {
      const value = incoming.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
    body: incoming,
    discard: () => void incoming.destroy(),
  }
}

/** Any Fetch function as a transport: to go through a proxy, or to stay within one process in a test. */
export function fetchTransport(fetcher: typeof fetch): Transport {
  return async ({ url, method, headers, body, signal }) => {
    const drop = new AbortController()
    const response = await fetcher(url, {
      method,
      headers,
      signal: AbortSignal.any([signal, drop.signal]),
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    })
    return {
      status: response.status,
      header: (name) => response.headers.get(name) ?? undefined,
      body: (response.body ?? []) as AsyncIterable<Uint8Array>,
      discard: () => drop.abort(),
    }
  }
}

/**
 * Whether a URL may be spoken to: https, or http to this very machine; other http only where the operator said so, for it lets
 * anyone on the way put in keys of his own.
 */
export function isAllowedUrl(url: string, allowInsecureHttp: boolean): boolean {
  const parsed = URL.parse(url)
  if (parsed === null || parsed.username !== '' || parsed.password !== '') return false
  if (parsed.protocol === 'https:') return true
  return parsed.protocol === 'http:' && (allowInsecureHttp || isLoopback(parsed.hostname))
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function place(url: string): string {
  const parsed = URL.parse(url)
  return parsed === null ? 'an unreadable URL' : parsed.origin + parsed.pathname
}
