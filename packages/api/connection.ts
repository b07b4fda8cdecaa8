/** The way to one authority: where it is, what it says of itself, how often to try, and what to say when it cannot be reached. */
import { ApiError, errorFromAnswer } from './errors.ts'
import type { Problem } from './schema.ts'

export interface ConnectionOptions {
  readonly issuer: string
  /** Where to connect, when that is not the issuer itself (a tunnel, a port-forward). */
  readonly server?: string
  readonly fetch?: typeof globalThis.fetch
  readonly sleep?: (milliseconds: number) => Promise<void>
}

export interface Connection {
  readonly issuer: string
  readonly server: string
  /** RFC 8414 metadata of the authority, read once. */
  metadata(): Promise<Metadata>
  /** The metadata names addresses under the issuer; through a tunnel they are reached under `server`. */
  rebase(url: string): string
  /** One exchange. Throws an `unreachable` error when there was no answer. */
  send(doing: string, url: string, init: RequestInit): Promise<Response>
  /**
   * Exchanges until there is an answer that trying again would not change: at most four times, waiting as the authority
   * asks but never more than 5 s. `repeatable`: doing it twice is doing it once.
   */
  insist(doing: string, url: string, init: () => Promise<RequestInit>, repeatable: boolean): Promise<Response>
}

export interface Metadata {
  readonly issuer: string
  readonly token_endpoint: string
  readonly jwks_uri: string
  readonly introspection_endpoint?: string
  readonly signet_feed?: {
    readonly head: string
    readonly stream: string
    readonly snapshot: string
    readonly jwks_uri: string
    readonly open?: boolean
  }
}

export const ANSWER_WITHIN_MS = 30_000
const TRIES = 4
const LONGEST_WAIT_MS = 5000

export function createConnection(options: ConnectionOptions): Connection {
  const { fetch = globalThis.fetch } = options
  const sleep = options.sleep ?? ((milliseconds) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds)))
  const issuer = options.issuer.replace(/\/+$/, '')
  const server = (options.server ?? issuer).replace(/\/+$/, '')
  let known: Promise<Metadata> | undefined

  async function send(doing: string, url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, { ...init, redirect: 'error' })
    } catch (error) {
      if ((error as Error).name === 'AbortError') throw error
      const why = unreachableBecause(error, new URL(url))
      throw new ApiError('unreachable', {
        what: `Could not ${doing}`,
        why,
        advice: 'Start the authority, or name the right address.',
        cause: error,
      })
    }
  }

  async function insist(doing: string, url: string, init: () => Promise<RequestInit>, repeatable: boolean): Promise<Response> {
    for (let tries = 1; ; tries++) {
      const answer = await send(doing, url, await init())
      // 429: it was not begun. 503: it may have been done and the answer lost.
      const mayRepeat = answer.status === 429 || (answer.status === 503 && repeatable)
      if (!mayRepeat || tries >= TRIES) return answer
      await sleep(waitOf(answer, tries))
    }
  }

  async function discover(): Promise<Metadata> {
    const doing = `reach the authority at ${server}`
    const url = `${server}/.well-known/oauth-authorization-server`
    const init = { headers: { accept: 'application/json' } }
    const answer = await insist(doing, url, async () => ({ ...init, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) }), true)
    const found = answer.ok ? ((await answer.json().catch(() => undefined)) as Metadata | undefined) : undefined
    if (typeof found?.token_endpoint !== 'string') {
      if (answer.status >= 500) throw errorFromAnswer(doing, answer.status, await problemOf(answer))
      const why = 'something answers there, but it is not a token authority'
      throw new ApiError('incompatible', { what: `Could not ${doing}`, why, advice: 'Check the address.', status: answer.status })
    }
    // RFC 8414 §3.3: an authority under another name would get assertions that were meant for this one.
    if (found.issuer.replace(/\/+$/, '') !== issuer) {
      throw new ApiError('incompatible', {
        what: `Could not ${doing}`,
        why: `it is ${found.issuer}, the credentials are for ${issuer}`,
        advice: 'Use the credentials of that authority, or the address of this one.',
      })
    }
    return found
  }

  return {
    issuer,
    server,
    send,
    insist,
    metadata() {
      known ??= discover().catch((error) => {
        known = undefined
        throw error
      })
      return known
    },
    rebase: (url) => (url.startsWith(`${issuer}/`) ? server + url.slice(issuer.length) : url),
  }
}

/** As long as the authority asks (RFC 9110 §10.2.3), else a second, doubled each time; never above the bound. */
function waitOf(answer: Response, tries: number): number {
  const asked = Number(answer.headers.get('retry-after'))
  const milliseconds = Number.isFinite(asked) && asked > 0 ? asked * 1000 : 500 * 2 ** tries
  return Math.min(milliseconds, LONGEST_WAIT_MS)
}

export async function problemOf(answer: Response): Promise<Partial<Problem> | undefined> {
  const value: unknown = await answer.json().catch(() => undefined)
  return isProblem(value) ? value : undefined
}

export const isProblem = (value: unknown): value is Problem => typeof (value as Problem | undefined)?.error === 'string'

function unreachableBecause(error: unknown, url: URL): string {
  const { cause } = error as { cause?: { code?: string; message?: string } }
  if ((error as Error).name === 'TimeoutError') return `${url.host} did not answer within ${ANSWER_WITHIN_MS / 1000} seconds`
  if (cause?.code === 'ECONNREFUSED') return `nothing listens at ${url.host}`
  if (cause?.code === 'ENOTFOUND' || cause?.code === 'EAI_AGAIN') return `the name ${url.hostname} does not resolve`
  if (cause?.code === 'ECONNRESET' || cause?.code === 'UND_ERR_SOCKET') return `${url.host} closed the connection`
  if (cause?.message?.includes('redirect') === true) return `${url.host} redirects elsewhere, and credentials are not sent there`
  return cause?.code ?? cause?.message ?? (error as Error).message
}

/** At most 1 MiB to a line. */
const LONGEST_LINE = 2 ** 20

/** The lines of a body as they come. Throws an `unreachable` error when the connection is cut before its end. */
export async function* lines(answer: Response): AsyncGenerator<string> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of chunks(answer)) {
    rest += decoder.decode(chunk as Uint8Array, { stream: true })
    const whole = rest.split('\n')
    rest = whole.pop() ?? ''
    if (rest.length > LONGEST_LINE) throw new Error('a line of the answer is too long')
    for (const line of whole) yield line
  }
  if (rest !== '') yield rest
}

async function* chunks(answer: Response): AsyncGenerator<unknown> {
  try {
    yield* answer.body ?? []
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error
    throw new ApiError('unreachable', {
      what: 'Could not read the answer to its end',
      why: 'the connection was cut',
      advice: 'Try again.',
      cause: error,
    })
  }
}
