/**
 * The admin API as functions. Every call is typed by the endpoint table, gets a token with the least scope that will do,
 * tries again where trying again cannot do harm, and fails with an `ApiError` that says what to do.
 *
 * @example
 * const admin = createAdminClient({ credentials: JSON.parse(await readFile('.signet/cli.json', 'utf8')) })
 * const { items } = await admin.call('listClients', { query: { limit: 10 } })
 */
import {
  ANSWER_WITHIN_MS,
  type Connection,
  type ConnectionOptions,
  createConnection,
  isProblem,
  lines,
  problemOf,
} from './connection.ts'
import { authentication, type Credentials, type SecretCredentials } from './credentials.ts'
import { ApiError, errorFromAnswer } from './errors.ts'
import {
  ADMIN_BASE,
  type Call,
  type Endpoint,
  type EndpointName,
  endpoints,
  type PlainName,
  type Reply,
  type StreamName,
} from './schema.ts'

export interface AdminClientOptions extends Omit<ConnectionOptions, 'issuer'> {
  readonly credentials: Credentials | SecretCredentials
  /** Epoch milliseconds. */
  readonly now?: () => number
}

type Args<N extends EndpointName> = Record<never, never> extends Call<N> ? [given?: Call<N>] : [given: Call<N>]

export interface AdminClient extends Pick<Connection, 'issuer' | 'server' | 'metadata'> {
  call<N extends PlainName>(name: N, ...given: Args<N>): Promise<Reply<N>>
  /** Lines as they come. Ending the loop ends the request. */
  stream<N extends StreamName>(name: N, ...given: Args<N>): AsyncGenerator<Reply<N>>
  /** A token for this client; kept until shortly before it expires. Without a resource: for the admin API. */
  accessToken(scope: string, resource?: string): Promise<IssuedToken>
  /** A GET at an address that the metadata named, with a token of the given scope or, without one, as anybody. */
  open(url: string, scope: string | undefined, signal?: AbortSignal): Promise<Response>
}

export interface IssuedToken {
  readonly access_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly scope?: string
}

/** A token is not used in its last seconds, so that it does not die on the way. */
const TOKEN_MARGIN_MS = 10_000

export function createAdminClient(options: AdminClientOptions): AdminClient {
  const { credentials, now = Date.now } = options
  const connection = createConnection({ ...options, issuer: credentials.issuer })
  const { issuer, server, metadata, rebase } = connection
  const tokens = new Map<string, { token: IssuedToken; untilMs: number }>()

  async function call(name: EndpointName, given: Given = {}): Promise<unknown> {
    const endpoint: Endpoint = endpoints[name]
    const answer = await request(endpoint, given, ANSWER_WITHIN_MS)
    return endpoint.reply === undefined ? undefined : understood(endpoint, await answer.json().catch(() => undefined))
  }

  async function* stream(name: EndpointName, given: Given = {}): AsyncGenerator<unknown> {
    const endpoint: Endpoint = endpoints[name]
    let last: unknown
    for await (const line of lines(await request(endpoint, given, undefined))) {
      if (line === '') continue
      const value: unknown = JSON.parse(line)
      if (isProblem(value)) throw errorFromAnswer(describe(endpoint), 503, value)
      last = understood(endpoint, value)
      yield last
    }
    if ((last as { kind?: string } | undefined)?.kind === 'result') return
    const why = 'the connection ended before the result'
    throw new ApiError('unavailable', {
      what: `Could not ${describe(endpoint)}`,
      why,
      advice: 'Try again; if it ends again, read the log of the authority.',
    })
  }

  async function request(endpoint: Endpoint, given: Given, withinMs: number | undefined): Promise<Response> {
    const doing = describe(endpoint)
    const url = server + ADMIN_BASE + fillPath(endpoint.path, given.params) + queryText(given.query)
    // One for all tries of a call, so that none is done twice, nor refused because another was done.
    const key = given.idempotencyKey ?? (endpoint.idempotencyKey === true ? crypto.randomUUID() : undefined)
    const repeatable = endpoint.method !== 'POST' || key !== undefined
    const init = async (): Promise<RequestInit> => {
      const { access_token } = await tokenFor(scopeOf(endpoint, given.scope))
      const signals = [
        ...(withinMs === undefined ? [] : [AbortSignal.timeout(withinMs)]),
        ...(given.signal === undefined ? [] : [given.signal]),
      ]
      return {
        method: endpoint.method,
        headers: {
          authorization: `Bearer ${access_token}`,
          accept: endpoint.stream === true ? 'application/x-ndjson' : 'application/json',
          ...(given.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
        },
        ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
        ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
      }
    }
    let answer = await connection.insist(doing, url, init, repeatable)
    if (answer.status === 401) {
      tokens.clear() // It died between two calls (a revocation, a restart): once with a new one.
      answer = await connection.insist(doing, url, init, repeatable)
    }
    if (answer.ok) return answer
    throw errorFromAnswer(doing, answer.status, await problemOf(answer))
  }

  /** The least scope, or `signet:admin` for a client that was registered with that one alone. */
  async function tokenFor(scope: string): Promise<IssuedToken> {
    try {
      return await accessToken(scope)
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'invalid_scope' || scope === 'signet:admin') throw error
      return await accessToken('signet:admin').catch(() => Promise.reject(error))
    }
  }

  async function accessToken(scope: string, resource: string = issuer): Promise<IssuedToken> {
    const kept = tokens.get(`${scope} ${resource}`)
    if (kept !== undefined && kept.untilMs > now()) return kept.token
    const doing = `get a token as client ${credentials.client_id}`
    const { token_endpoint } = await metadata()
    const init = async (): Promise<RequestInit> => {
      const proof = await authentication(credentials, now()) // Fresh each time: the authority remembers those it has seen.
      return {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...proof.headers },
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          resource,
          ...(scope === '' ? {} : { scope }),
          ...proof.form,
        }).toString(),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      }
    }
    const answer = await connection.insist(doing, rebase(token_endpoint), init, true)
    if (!answer.ok) throw errorFromAnswer(doing, answer.status, await problemOf(answer))
    const token = (await answer.json()) as IssuedToken
    tokens.set(`${scope} ${resource}`, { token, untilMs: now() + token.expires_in * 1000 - TOKEN_MARGIN_MS })
    return token
  }

  async function open(url: string, scope: string | undefined, signal?: AbortSignal): Promise<Response> {
    const doing = `open ${new URL(url).pathname}`
    const headers = scope === undefined ? {} : { authorization: `Bearer ${(await accessToken(scope)).access_token}` }
    const answer = await connection.send(doing, rebase(url), { headers, ...(signal === undefined ? {} : { signal }) })
    if (!answer.ok) throw errorFromAnswer(doing, answer.status, await problemOf(answer))
    return answer
  }

  return { issuer, server, call, stream, metadata, accessToken, open } as AdminClient
}

/** `signet:admin` opens everything; any other wider scope comes beside the endpoint's own. */
const scopeOf = ({ scope }: Endpoint, wider: string | undefined): string =>
  wider === undefined || wider === scope ? scope : wider === 'signet:admin' ? wider : `${scope} ${wider}`

interface Given {
  readonly params?: Readonly<Record<string, unknown>>
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: unknown
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
  readonly scope?: string
}

/** What the answer says, in the terms of this version; members that a newer authority added are dropped. */
function understood(endpoint: Endpoint, value: unknown): unknown {
  const parsed = endpoint.reply?.safeParse(value)
  if (parsed?.success === true) return parsed.data
  const [issue] = parsed?.error.issues ?? []
  throw new ApiError('incompatible', {
    what: `Could not ${describe(endpoint)}`,
    why: `the answer is not what this version understands${issue === undefined ? '' : ` (${issue.path.join('.') || 'as a whole'}: ${issue.message})`}`,
    advice: 'Bring client and authority to the same version.',
  })
}

/** The brief as the end of "could not …": "List resources, the APIs that tokens are for." becomes "list resources". */
function describe(endpoint: Endpoint): string {
  const [clause = ''] = endpoint.brief.split(/[;:,.]/)
  return clause.charAt(0).toLowerCase() + clause.slice(1)
}

function fillPath(path: string, params: Readonly<Record<string, unknown>> | undefined): string {
  return path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params?.[name])))
}

function queryText(query: Readonly<Record<string, unknown>> | undefined): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}
