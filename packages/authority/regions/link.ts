/**
 * The way to one other region: HTTP with an access token that its own token endpoint gave us. Answers are bounded in size and time, and
 * checked before anybody uses them.
 */
import type { Secret } from '@signet/kernel/secret.ts'
import type { Clock, Timers } from '@signet/kernel/surroundings.ts'
import { type ZodType, z } from 'zod'
import { REGION_SCOPE, regionClient } from './link-messages.ts'

export interface Peer {
  readonly name: string
  /** An origin at which this very region answers, not one that may lead to any. */
  readonly url: string
  readonly clientSecret: Secret
}

export interface Link {
  /** Throws `LinkTrouble`. */
  get<T>(path: string, query: Readonly<Record<string, string | number>>, schema: ZodType<T>): Promise<T>
  post<T>(path: string, body: object, schema: ZodType<T>): Promise<T>
  /** Gives up what is under way. */
  close(): void
}

/** Why a region cannot be followed; the words are for logs, health and `signet region status`. */
export type LinkProblem =
  | 'unreachable'
  | 'unauthorized'
  | 'malformed_answer'
  | 'wrong_region'
  | 'wrong_issuer'
  | 'wrong_master_key'
  | 'clocks_apart'
  | 'cutoff_in_the_future'
  | 'entries_were_lost'

export class LinkTrouble extends Error {
  readonly problem: LinkProblem
  /** It is there, and says "come back". */
  readonly isPassing: boolean
  constructor(problem: LinkProblem, options?: { cause?: unknown; isPassing?: boolean }) {
    super(problem, options)
    this.name = 'LinkTrouble'
    this.problem = problem
    this.isPassing = options?.isPassing ?? false
  }
}

const unanswered = (status: number) =>
  new LinkTrouble('unreachable', { cause: `status ${status}`, isPassing: status === 503 || status === 429 })

const PATIENCE_MS = 5000
/** A page of the log is some 100 KiB, a list of keys less. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024
/** A new token is asked for so long before the old one ends. */
const RENEW_BEFORE_MS = 30_000

const tokenAnswer = z.object({ access_token: z.string().max(16_384), expires_in: z.number().positive() })

export interface LinkParts {
  readonly self: string
  readonly issuer: string
  readonly clock: Clock
  readonly timers: Timers
  /** The system's unless given. */
  readonly fetch?: typeof fetch | undefined
}

export function openLink(peer: Peer, parts: LinkParts): Link {
  const { timers, fetch: ask = fetch } = parts
  const closed = new AbortController()
  let token: { readonly text: string; readonly untilMs: number } | undefined
  let asking: Promise<string> | undefined

  return {
    get: (path, query, schema) => call(`${path}?${new URLSearchParams(asText(query))}`, {}, schema),
    post: (path, body, schema) =>
      call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }, schema),
    close: () => closed.abort(),
  }

  async function call<T>(path: string, request: RequestInit, schema: ZodType<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const authorization = `Bearer ${await accessToken()}`
      const { status, body } = await send(path, { ...request, headers: { ...request.headers, authorization } })
      if (status === 200) return parse(body, schema)
      if (status !== 401 && status !== 403) throw unanswered(status)
      token = undefined // It may have been revoked, or the key that signed it.
      if (attempt > 0) throw new LinkTrouble('unauthorized')
    }
  }

  function accessToken(): Promise<string> {
    if (token !== undefined && parts.clock.monotonic() < token.untilMs) return Promise.resolve(token.text)
    asking ??= askToken().finally(() => {
      asking = undefined
    })
    return asking
  }

  async function askToken(): Promise<string> {
    const askedMs = parts.clock.monotonic()
    const pair = `${encodeURIComponent(regionClient(parts.self))}:${encodeURIComponent(peer.clientSecret.reveal())}`
    const { status, body } = await send('/token', {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: REGION_SCOPE, resource: parts.issuer }),
    })
    if (status >= 400 && status < 500 && status !== 429) throw new LinkTrouble('unauthorized', { cause: `status ${status}` })
    if (status !== 200) throw unanswered(status)
    const { access_token, expires_in } = parse(body, tokenAnswer)
    token = { text: access_token, untilMs: askedMs + Math.max(1000, expires_in * 1000 - RENEW_BEFORE_MS) }
    return access_token
  }

  async function send(path: string, request: RequestInit): Promise<{ status: number; body: string }> {
    const late = new AbortController()
    const timer = timers.after(PATIENCE_MS, () => late.abort(new Error('no answer in time')))
    try {
      const signal = AbortSignal.any([closed.signal, late.signal])
      const response = await ask(peer.url + path, { ...request, redirect: 'error', signal })
      return { status: response.status, body: await bounded(response) }
    } catch (cause) {
      throw cause instanceof LinkTrouble ? cause : new LinkTrouble('unreachable', { cause })
    } finally {
      timer.cancel()
    }
  }
}

async function bounded(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of response.body ?? []) {
    length += piece.length
    if (length > MAX_ANSWER_BYTES) throw new LinkTrouble('malformed_answer', { cause: 'too long' })
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

function parse<T>(body: string, schema: ZodType<T>): T {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    throw new LinkTrouble('malformed_answer')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const at = parsed.error.issues[0]?.path.join('.')
  throw new LinkTrouble('malformed_answer', { cause: `at ${at}` })
}

const asText = (query: Readonly<Record<string, string | number>>): Record<string, string> =>
  Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value)]))
